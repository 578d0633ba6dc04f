"""Processes that are stopped for longer than their lease, and what they find when they go on."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from agentpool import AgentPool, MemberJoined, MemberLeft, RunAddress, SqliteAgentPoolStore
from agentpool.testing import a_member
from agentpool.testing.conformance.pool_kit import an_event

from .helpers import POOL, Worker, next_record, payloads, process, stop

LEASE: Final = 0.9


async def answer(worker: Worker, start: str) -> str:
    """Wait for the next line that begins so."""
    while True:
        line = await worker.line()
        assert line, f"it ended before it said {start}"
        if line.startswith(start):
            return line


async def left(pool: AgentPool, run_id: str) -> None:
    await next_record(
        pool, lambda record: isinstance(record, MemberLeft) and record.member.run_id == run_id
    )


async def test_no_member_is_lost_while_the_whole_machine_sleeps(path: Path) -> None:
    async with (
        process("hold.py", path, "run.a", LEASE) as one,
        process("hold.py", path, "run.b", LEASE) as other,
    ):
        for worker in (one, other):
            await answer(worker, "ready")
        for worker in (one, other):
            worker.pause()
        await asyncio.sleep(1.5 * LEASE)
        for worker in (one, other):
            worker.go_on()
        await asyncio.sleep(LEASE)
        for worker in (one, other):
            worker.tell("send")
            assert await answer(worker, "sent") == "sent delivered"
        async with SqliteAgentPoolStore.open(path) as store, AgentPool.open(store, POOL) as pool:
            assert not [each for each in await payloads(pool) if isinstance(each, MemberLeft)]


async def test_no_member_is_lost_while_the_file_is_locked(path: Path) -> None:
    async with (
        process("hold.py", path, "run.a", LEASE) as one,
        process("hold.py", path, "run.b", LEASE) as other,
    ):
        for worker in (one, other):
            await answer(worker, "ready")
        with closing(sqlite3.connect(path, isolation_level=None, timeout=60)) as holder:
            holder.execute("BEGIN IMMEDIATE")
            await asyncio.sleep(1.5 * LEASE)
            holder.execute("ROLLBACK")
        await asyncio.sleep(LEASE)
        async with SqliteAgentPoolStore.open(path) as store, AgentPool.open(store, POOL) as pool:
            assert not [each for each in await payloads(pool) if isinstance(each, MemberLeft)]


async def test_a_member_that_was_stopped_comes_back_and_goes_on(
    pool: AgentPool, path: Path
) -> None:
    await pool.join_run(a_member("run.me"))
    me = pool.acting_as(a_member("run.me"))
    async with process("hold.py", path, "run.a", LEASE) as worker:
        await answer(worker, "ready")
        worker.tell("wait")
        await answer(worker, "wait")
        await asyncio.sleep(LEASE / 3)
        await stop(worker, path)
        await left(pool, "run.a")
        await pool.publish(an_event(run_id="run.me"))
        worker.go_on()
        assert await answer(worker, "waited") == "waited triggered", "with what happened meanwhile"
        await me.send(RunAddress.run("run.a"), content_ref="content.after")
        assert await answer(worker, "heard") == "heard content.after"
        log = await payloads(pool)
        assert log.count(MemberJoined(a_member("run.a"))) == 2
        worker.tell("end")
        assert (await worker.finish())[0] == 0
        assert await pool.members() == (a_member("run.me"),)


async def test_a_run_that_was_taken_over_is_neither_used_nor_renewed_nor_let_go(
    pool: AgentPool, path: Path
) -> None:
    async with process("hold.py", path, "run.a", LEASE) as worker:
        await answer(worker, "ready")
        worker.tell("wait")
        await answer(worker, "wait")
        await stop(worker, path)
        await left(pool, "run.a")
        async with pool.member(a_member("run.a"), lease=LEASE) as me:
            worker.tell("send")
            worker.go_on()
            for what in ("inbox", "sent", "waited"):
                said = await _said(worker)
                assert "MembershipLostError" in said, what
                assert "has taken it over" in said
            worker.tell("end")
            assert (await worker.finish())[0] == 0
            receipt = await me.send(RunAddress.run("run.a"), content_ref="content.still")
            assert receipt.delivered_to == ("run.a",)
            log = await payloads(pool)
            assert log.count(MemberLeft(a_member("run.a"))) == 1
            assert log.count(MemberJoined(a_member("run.a"))) == 2
        assert await pool.members() == ()


async def _said(worker: Worker) -> str:
    while True:
        line = await worker.line()
        assert line
        if line.startswith(("inbox", "sent", "waited")):
            return line


async def test_a_run_that_is_taken_over_by_another_process_is_lost_at_once(
    pool: AgentPool, path: Path
) -> None:
    async with process("hold.py", path, "run.a", 1000) as worker:
        await answer(worker, "ready")
        async with pool.member(a_member("run.a"), lease=1000):
            assert "MembershipLostError" in await answer(worker, "inbox")
            worker.kill()
