"""A member under a lease stays one for as long as its process lives, however busy that is."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from agentpool import AgentPool, MemberLeft, SqliteAgentPoolStore
from agentpool.rules.command import PoolView
from agentpool.rules.rows import LEASE, deadline_key
from agentpool.testing import a_member
from agentpool.testing.conformance.pool_kit import ManualClock, outlive

from .helpers import BOUND, POOL, payloads

LEASE_MILLIS: Final = 300


def end_of_lease(view: PoolView) -> int:
    row = view.row(deadline_key(LEASE, "run.a"))
    assert row is not None, "the member was recorded as left"
    return row.due_at


@contextmanager
def thinking(store: SqliteAgentPoolStore) -> Iterator[list["asyncio.Task[None]"]]:
    """Ask questions of which the first takes until the end of the block to answer."""
    answer = threading.Event()

    def think(_view: PoolView) -> None:
        """Take long, as a search through a long history does."""
        assert answer.wait(BOUND)

    try:
        yield [asyncio.create_task(store.query(POOL, think)) for _ in range(12)]
    finally:
        answer.set()


async def test_long_questions_do_not_hold_up_heartbeats(path: Path) -> None:
    """The other handle stands for a process; it would record the member as left."""
    clock = ManualClock()
    async with (
        SqliteAgentPoolStore.open(path, clock=clock) as other,
        AgentPool.open(other, POOL) as pool,
        SqliteAgentPoolStore.open(path, clock=clock) as store,
        AgentPool.open(store, POOL) as busy,
        busy.member(a_member(), LEASE_MILLIS / 1000),
    ):
        with thinking(store) as questions:
            await outlive(pool, clock, LEASE_MILLIS, end_of_lease)
            assert not any(question.done() for question in questions)
        await asyncio.gather(*questions)
        assert not any(isinstance(each, MemberLeft) for each in await payloads(pool))
        assert [member.run_id for member in await pool.members()] == ["run.a"]
