"""Arguments, help and exit codes."""

import errno
import importlib
import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from agentpool import errors
from agentpool.cli import running
from agentpool.cli.arguments import Verb
from agentpool.cli.printing import Printer, as_json, harmless
from agentpool.cli.running import MODULES, exit_code, parsed, verbs_of
from agentpool.cli.times import Since, iso, seconds, since
from agentpool.wire.records import MessageReceipt, MessageStatus
from agentpool.wire.refused import NoRecipientError

from .conftest import Called, Shell

VERBS = verbs_of(*MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_a_call_loads_the_module_of_its_verb(module: str) -> None:
    found = importlib.import_module(f"agentpool.cli.{module}").VERBS
    assert tuple(each.name for each in found) == MODULES[module]


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_the_examples_of_a_verb_are_calls_of_it(verb: Verb) -> None:
    name, lines = verb.name, verb.examples.splitlines()
    assert lines
    for line in lines:
        call = re.search(rf"agentpool {name}\b[^|)>]*", line)
        assert call is not None, line
        arguments = shlex.split(call[0])[1:]
        assert parsed(arguments).verb.name == name


def test_the_help_names_every_verb_and_each_shows_an_example(shell: Shell) -> None:
    out = shell("--help").out
    assert [each.name for each in VERBS if f"\n    {each.name}" not in out] == []
    assert "for example:\n  agentpool take " in shell("take --help").out
    assert "exit code: 0 done" in shell("take --help").out


FEW = ("tail -n -3", "tail --count 0", "take --count 0", "inbox --count 0")


@pytest.mark.parametrize("line", FEW)
def test_a_number_that_is_too_small_is_told_by_the_name_of_its_option(
    shell: Shell, line: str
) -> None:
    called = shell(line)
    _, option, number = line.split()
    least = 0 if option == "-n" else 1
    assert (called.code, called.raw) == (2, b"")
    assert re.search(rf"argument .*{option}.*: {number} is less than {least}\n", called.err)


@pytest.mark.parametrize("line", ["", "nosuch", "send", "take --lease x", "tail --since x"])
def test_what_is_no_call_is_a_wrong_use(shell: Shell, line: str) -> None:
    called = shell(line)
    assert (called.code, called.raw) == (2, b"")
    assert "usage: agentpool" in called.err


@pytest.mark.parametrize(
    ("line", "given"),
    [
        ("send queue:work --key z 'body here'", {"to": "queue:work", "body": "body here"}),
        ("ask agent.x --timeout 1s q", {"to": "agent.x", "timeout": 1.0, "body": "q"}),
        ("reply z1 --key z q", {"message": "z1", "key": "z", "body": "q"}),
        ("publish n --tag t body --tag u", {"name": "n", "tag": ["t", "u"], "body": "body"}),
        ("wait member --timeout 1s run.me", {"kind": "member", "name": "run.me"}),
        ("ack 1 --queue work 2", {"tokens": ["1", "2"], "queue": "work"}),
        ("send queue:work --key z -- -q", {"key": "z", "body": "-q"}),
        ("send -- queue:work -q", {"key": None, "to": "queue:work", "body": "-q"}),
        ("send --key z -- queue:work --json", {"key": "z", "to": "queue:work", "body": "--json"}),
        ("send queue:work -- --", {"key": None, "body": "--"}),
        ("send -- queue:work -", {"to": "queue:work", "body": "-"}),
        ("ack --as run.me -- -x a", {"tokens": ["-x", "a"]}),
        ("wait -- member run:a", {"kind": "member", "name": "run:a"}),
        ("send queue:work --key z", {"key": "z", "body": "-"}),
    ],
)
def test_options_may_stand_between_arguments(line: str, given: dict[str, object]) -> None:
    options = vars(parsed(shlex.split(line)))
    assert {name: options[name] for name in given} == given


@pytest.mark.parametrize("more", ["--nosuch", "a b", "--tim 1s"])
def test_a_wrong_use_of_a_verb_shows_how_that_is_used(shell: Shell, more: str) -> None:
    called = shell(f"wait mail postgresql://me:secret@host/db {more}")
    assert (called.code, "secret" in called.err) == (2, False)
    assert called.err.startswith("usage: agentpool wait [-h]")
    assert "{mail,member,event}" in called.err


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("members", "AGENTPOOL_STORE"),
        ("init -s pool.db", "AGENTPOOL_POOL"),
        *((f"{verb} -s memory: -p pool.x", "name a file") for verb in ("init", "members")),
        ("doctor -s MEMORY://", "name a file"),
    ],
)
def test_what_is_missing_is_asked_for(shell: Shell, line: str, word: str) -> None:
    called = shell(line)
    assert called.code == 2
    assert word in called.err


@pytest.mark.parametrize("name", [each for each in errors.__all__ if each.endswith("Error")])
def test_every_error_has_an_exit_code(name: str) -> None:
    expected = {
        "InvalidValueError": 2,
        "NoAnswerError": 1,
        "NotEnoughMembersError": 1,
        "StoreBusyError": 4,
        "StoreFullError": 4,
        "StoreError": 5,
        "CorruptRecordError": 5,
        "PoolConfigConflictError": 5,
    }
    assert exit_code(getattr(errors, name)("it")) == expected.get(name, 3)


def test_that_nothing_can_be_printed_is_told(
    library: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Printer, "_write", is_full)
    called = library("members")
    assert (called.code, called.err) == (5, "agentpool members: No space left on device\n")


HARMFUL = "\x1b]0;x\x07\x9b\u202e\x7f\nü😀\ud800\U000e0001"
UNREAD = ("explain", "reply", "show", "thread")


@pytest.mark.parametrize(
    ("line", "more"),
    [
        *((line, "run.\udcff") for line in (*UNREAD, "take --as", "ack", "wait member", "send")),
        *((line, "run.\udcff") for line in ("dead --queue", "wait event", "publish")),
        *((line, "9" * 5000) for line in (*UNREAD, "tail --from", "tail --since", "tail --last")),
        *((line, "9" * 400) for line in ("tail --since", "wait --timeout", "take --lease")),
    ],
)
def test_what_no_decoder_accepts_is_a_wrong_argument(library: Shell, line: str, more: str) -> None:
    library("join")
    called = library(line, more)
    assert (called.code, "a bug" in called.err) == (2, False)
    assert called.raw == b""


def test_a_bug_is_told_in_one_line(library: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_: object) -> None:
        raise LookupError(HARMFUL)

    monkeypatch.setattr(Printer, "_write", breaks)
    called = library("members")
    assert called.code == 5
    said = re.escape(f"agentpool members: a bug: LookupError: {harmless(HARMFUL)} ")
    assert re.fullmatch(rf"{said}\(test_arguments.py:\d+\)\n", called.err)


def test_an_interrupt_ends_it_quietly_from_the_beginning(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(running, "import_module", interrupted)
    assert shell("members") == Called(130, b"", "")


def test_that_nobody_is_there_is_nothing_there() -> None:
    receipt = MessageReceipt("message.a", MessageStatus.FAILED)
    assert exit_code(NoRecipientError.of(receipt, "nobody", "pool.x")) == 1


def test_times_are_read_as_people_write_them() -> None:
    spans = ("90", "500ms", "1.5s", "10m", "2h", "1d")
    assert [seconds(each) for each in spans] == [90, 0.5, 1.5, 600, 7200, 86400]
    assert since("10m").millis(1_000_000) == 400_000
    assert since("2026-11-27T17:00:00+00:00") == Since(1_795_798_800_000)
    assert iso(1_795_798_800_001) == "2026-11-27T17:00:00.001Z"
    assert iso(2**62) == f"{2**62} ms"


def test_what_a_terminal_would_obey_is_shown() -> None:
    shown = r"\x1b]0;x\x07\x9b\u202e\x7f\nü😀\ud800\U000e0001"
    assert harmless(HARMFUL) == shown
    line = as_json({"body": HARMFUL})
    assert line.isprintable()
    assert "ü😀" in line
    assert json.loads(line)["body"] == HARMFUL


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_shells_complete_the_verbs(shell: Shell, name: str, tmp_path: Path) -> None:
    script = shell(f"completion {name}").out
    assert "--max-attempts" in script or "-l max-attempts" in script
    if name == "bash":
        file = tmp_path / "completion"
        complete = "COMP_WORDS=(agentpool ex) COMP_CWORD=1; _agentpool; echo ${COMPREPLY[@]}"
        file.write_text(f"#!/bin/bash\n{script}\n{complete}\n")
        file.chmod(0o755)
        done = subprocess.run([str(file)], capture_output=True, text=True, check=True)
        assert done.stdout == "explain\n"
