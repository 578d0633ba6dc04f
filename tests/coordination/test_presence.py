"""A member under a lease stays one for as long as its process lives, however busy that is."""

import asyncio
import time
from pathlib import Path
from typing import Final

from agentpool import AgentPool, MemberLeft, SqliteAgentPoolStore
from agentpool.rules.command import PoolView
from agentpool.testing import a_member

from .helpers import POOL, payloads

LEASE: Final = 1.0


def think(_view: PoolView) -> None:
    """Be a question that takes long to answer, as a search through a long history does."""
    time.sleep(LEASE / 4)


async def test_long_questions_do_not_hold_up_heartbeats(pool: AgentPool, path: Path) -> None:
    """The other handle stands for a process; it would record the member as left."""
    async with (
        SqliteAgentPoolStore.open(path) as store,
        AgentPool.open(store, POOL) as busy,
        busy.member(a_member(), LEASE),
    ):
        await asyncio.gather(*(store.query(POOL, think) for _ in range(12)))
        assert not any(isinstance(each, MemberLeft) for each in await payloads(pool))
        assert [member.run_id for member in await pool.members()] == ["run.a"]
