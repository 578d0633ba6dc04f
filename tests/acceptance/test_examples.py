import re
from pathlib import Path

import pytest

from .programs import ROOT, run

pytestmark = pytest.mark.slow

EXAMPLES = ROOT / "examples"
SEED = EXAMPLES / "seed-store.db"


def test_two_processes_lose_nothing_and_do_nothing_twice(tmp_path: Path) -> None:
    """The answering process is killed in the middle, and goes on from its cursor."""
    killed, silence, end, verdict = run(EXAMPLES / "two_processes.py", tmp_path)
    answers = re.fullmatch(r"killed the answering process: 10 questions, (\d+) answers", killed)
    assert answers
    assert 7 <= int(answers[1]) <= 10
    assert silence == f"nobody listened meanwhile: 20 questions, {answers[1]} answers"
    assert end == "started it again, to the end: 20 questions, 20 answers"
    assert verdict == "nothing lost, nothing twice"


def test_foreign_file_shows_extends_and_tails_it(tmp_path: Path) -> None:
    assert run(EXAMPLES / "foreign_file.py", tmp_path) == [
        "member   run.a of agent.a, topics: topic.zeta, topic.alpha",
        'member   run.ünïcode.🚀 of agent."quoted\\", topics: topic.解',
        "message  message.0 from run.a: delivered to run.b",
        "message  message.1 from run.a: delivered to run.b",
        "message  message.2 from run.a: delivered to run.a, run.b",
        "message  message.3 from run.a: expired to nobody",
        "message  message.4 from run.a: failed to nobody",
        "wake     wake.1 of run.b: triggered",
        "wake     wake.2 of run.b: timed_out",
        "wake     wake.3 of run.a: cancelled",
        "record   21: MemberJoined",
        "record   22: RunMessageRecorded",
        "now      3 members, 6 messages",
    ]


def test_foreign_file_leaves_the_file_that_ships_as_it_is(tmp_path: Path) -> None:
    before = SEED.read_bytes()
    run(EXAMPLES / "foreign_file.py", tmp_path)
    assert SEED.read_bytes() == before
    assert list(EXAMPLES.glob(f"{SEED.name}-*")) == []


def test_the_file_that_ships_is_the_fixture() -> None:
    assert SEED.read_bytes() == (ROOT / "tests/fixtures/seed-store.db").read_bytes()
