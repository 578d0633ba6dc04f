"""How late a process carries out what became due, after the one that began it was killed."""

import asyncio
import multiprocessing
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Final

from agentpool import (
    AgentPool,
    EventEnvelope,
    EventFilter,
    EventKind,
    MessageResponseContract,
    RunAddress,
    RunMessage,
    SqliteAgentPoolStore,
    WakeCondition,
    include,
)
from agentpool.support.clock import wall_clock
from benchmarks.bench import LONGEST, Bench, run_bounded
from benchmarks.checks import expect
from benchmarks.figures import Figure, Round, at_most
from benchmarks.workloads import POOL, member

__all__ = ("run",)

_CONTEXT: Final = multiprocessing.get_context("spawn")
_SOONEST: Final = 3_000
_ENDS: Final = EventFilter(
    kinds=include(
        EventKind.WAKE_CONDITION_TIMED_OUT,
        EventKind.RUN_MESSAGE_TIMED_OUT,
        EventKind.RUN_MESSAGE_EXPIRED,
    )
)
_EVER: Final = 2**62


def run(bench: Bench) -> Iterator[Figure]:
    """Measure, in milliseconds, the latest of many waits, questions and messages."""
    count = bench.size(300, 12)
    rounds = [_round(bench, count, seed) for seed in bench.rounds(full=3)]
    settings: dict[str, Any] = {"deadlines": count, "target": at_most(200.0, of="value")}
    recorded, seen = zip(*rounds, strict=True)
    yield Figure.of(
        "deadline of a killed process, recorded", "ms", recorded, summary=max, **settings
    )
    yield Figure.of("deadline of a killed process, seen", "ms", seen, summary=max, **settings)


def _round(bench: Bench, count: int, seed: int) -> tuple[Round, Round]:
    hears, tells = _CONTEXT.Pipe(duplex=False)
    with bench.fresh_file() as path:
        owner = _CONTEXT.Process(target=owe, args=(path, count, seed, tells))
        owner.start()
        expect(hears.poll(LONGEST), "the owner did not begin")
        owner.kill()
        owner.join()
        return run_bounded(_watch(path, count))


async def _watch(path: Path, count: int) -> tuple[Round, Round]:
    """See each deadline end; it is late by when it was recorded, and by when that is seen here."""
    async with SqliteAgentPoolStore.open(path) as store, AgentPool.open(store, POOL) as pool:
        rows = await store.query(POOL, lambda view: view.deadlines(_EVER, 2 * count))
        due = {row.key.name.partition(" ")[2]: row.due_at for row in rows}
        expect(len(due) == count, "a deadline is missing")
        recorded, seen = [], []
        async for event in pool.subscribe(_ENDS):
            due_at = due.pop(event.subject_ref.id)
            recorded.append(_millis(event) - due_at)
            seen.append(wall_clock() - due_at)
            if not due:
                break
    expect(min(recorded) >= 0, "something ended before its time")
    return Round(max(recorded)), Round(max(seen))


def _millis(event: EventEnvelope) -> int:
    return round(datetime.fromisoformat(event.recorded_at).timestamp() * 1000)


def owe(path: Path, count: int, seed: int, tells: Any) -> None:
    """Begin what becomes due, in the process that is going to be killed."""

    async def work() -> None:
        random = Random(seed)
        async with SqliteAgentPoolStore.open(path) as store, AgentPool.open(store, POOL) as pool:
            await pool.join_run(member("a"))
            await pool.join_run(member("b"))
            acts = [partial(_BEGIN[n % len(_BEGIN)], pool, n) for n in range(count)]
            await asyncio.gather(*(act(_SOONEST + random.randrange(2_000)) for act in acts))
            tells.send_bytes(b"\a")
            await asyncio.sleep(LONGEST)

    run_bounded(work())


async def _begin_wait(pool: AgentPool, number: int, millis: int) -> None:
    condition = WakeCondition(
        condition_id=f"subject.{number}",
        run_id="run.a",
        filter=EventFilter(run_ids=include("run.nobody")),
        timeout_millis=millis,
        idempotency_key=f"key.wake.{number}",
    )
    await pool.suspend_until("run.a", condition)


async def _begin_question(pool: AgentPool, number: int, millis: int) -> None:
    await pool.send(_message(number, response_contract=MessageResponseContract(1, millis)))


async def _begin_message(pool: AgentPool, number: int, millis: int) -> None:
    await pool.send(_message(number, expires_at_millis=wall_clock() + millis))


def _message(number: int, **fields: Any) -> RunMessage:
    return RunMessage(
        message_id=f"subject.{number}",
        sender="run.a",
        to=RunAddress.run("run.b"),
        content_ref=f"content.{number}",
        idempotency_key=f"subject.{number}",
        **fields,
    )


_BEGIN: Final = (_begin_wait, _begin_question, _begin_message)
