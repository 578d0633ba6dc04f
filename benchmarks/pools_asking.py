"""How long a question and its answer take between two processes."""

import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Final

from agentpool import AgentPool, RunAddress, SqliteAgentPoolStore
from benchmarks import plain
from benchmarks.bench import Bench, run_bounded
from benchmarks.checks import expect
from benchmarks.children import pipe, run_together, wait_for_all
from benchmarks.figures import Figure, Round, at_most, percentile
from benchmarks.workloads import POOL, member, messages, payload

__all__ = ("run",)

AGAINST = "sqlite3, a commit and a byte through a pipe each way"
_TARGETS: Final = {50: at_most(5.0, of="value"), 99: at_most(20.0, of="value")}
_WARM_UP: Final = 5


def run(bench: Bench) -> Iterator[Figure]:
    """Measure one question after the other, and the baseline, in turns."""
    count = bench.size(500, 20)
    found = [(_ours(bench, count), _by_hand(bench, count)) for _ in bench.rounds(full=3)]
    for percent, target in _TARGETS.items():
        yield Figure.of(
            f"ask and reply, two processes, p{percent}",
            "ms",
            [Round(percentile(ours, percent), percentile(base, percent)) for ours, base in found],
            against=AGAINST,
            target=target,
            questions=count,
            synchronous="FULL",
        )


def _ours(bench: Bench, count: int) -> list[float]:
    with bench.fresh_file() as path:
        times, _ = run_together(partial(ask, path, count), partial(answer, path, count))
    return list(times)[_WARM_UP:]


def ask(path: Path, count: int) -> list[float]:
    """Ask in one process, and give the milliseconds until each answer was there."""

    async def work() -> list[float]:
        times = []
        async with (
            SqliteAgentPoolStore.open(path) as store,
            AgentPool.open(store, POOL) as pool,
            pool.member(member("asker")) as me,
        ):
            wait_for_all()
            for number in range(_WARM_UP + count):
                start = time.perf_counter()
                answers = await me.ask(
                    RunAddress.run("run.answerer"), content_ref=f"content.{number}"
                )
                times.append((time.perf_counter() - start) * 1e3)
                expect([each.content_ref for each in answers] == [f"answer.{number}"], "no answer")
            wait_for_all()
        return times

    return run_bounded(work())


def answer(path: Path, count: int) -> None:
    """Answer in the other process."""

    async def work() -> None:
        async with (
            SqliteAgentPoolStore.open(path) as store,
            AgentPool.open(store, POOL) as pool,
            pool.member(member("answerer")) as me,
        ):
            wait_for_all()
            for number in range(_WARM_UP + count):
                delivery = await me.inbox.take()
                await me.reply(delivery.message, content_ref=f"answer.{number}")
                await delivery.ack()
            wait_for_all()

    run_bounded(work())


# --- the baseline


def _by_hand(bench: Bench, count: int) -> list[float]:
    answers_come, answers_go = pipe()
    questions_come, questions_go = pipe()
    with bench.fresh_file() as path:
        plain.connect(path).close()
        times, _ = run_together(
            partial(ask_plainly, path, count, questions_go, answers_come),
            partial(answer_plainly, path, count, questions_come, answers_go),
        )
    return list(times)


def ask_plainly(path: Path, count: int, rings: Any, hears: Any) -> list[float]:
    """Commit a row, ring, and wait until the other's row is there."""
    times = []
    with closing(plain.connect(path)) as connection:
        wait_for_all()
        for number, sent in enumerate(messages(count)):
            start = time.perf_counter()
            plain.append_next(connection, payload(sent))
            rings.send_bytes(b"\a")
            hears.recv_bytes()
            found = plain.payloads_after(connection, 2 * number + 1)
            times.append((time.perf_counter() - start) * 1e3)
            expect(len(found) == 1, "the baseline lost an answer")
    return times


def answer_plainly(path: Path, count: int, hears: Any, rings: Any) -> None:
    """Wait for the other's row, commit one, and ring."""
    with closing(plain.connect(path)) as connection:
        wait_for_all()
        for number, sent in enumerate(messages(count)):
            hears.recv_bytes()
            expect(len(plain.payloads_after(connection, 2 * number)) == 1, "a question is lost")
            plain.append_next(connection, payload(sent))
            rings.send_bytes(b"\a")
