"""What is to be seen in a file by whoever opens it after a fault."""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from agentpool import (
    AgentPool,
    AgentPoolError,
    AgentPoolStoreRecordPayload,
    RunAddress,
    SqliteAgentPoolStore,
)
from agentpool.rules.command import PoolView
from agentpool.rules.rows import InboxEntry, inbox_key, value_of
from agentpool.testing.faults.journal import EVENTS, RUNS, WORK
from agentpool.testing.values import a_member, a_message

__all__ = ("Sight", "integrity", "look", "pool_ids", "works")

_ALL = 2**31
_OWN = "pool.check"


@dataclass(frozen=True)
class Sight:
    """One look at a file.

    :ivar logs: the records of each pool, by their numbers
    :ivar inboxes: for each run the numbers of its unacknowledged messages, and their attempts
    :ivar number: the last event number that was given away
    :ivar contents: the refs, of those asked for, whose body is there
    """

    logs: dict[str, dict[int, AgentPoolStoreRecordPayload]]
    inboxes: dict[str, dict[int, int]]
    number: int
    contents: frozenset[str]


async def look(path: Path, contents: Iterable[str] = ()) -> Sight:
    """Open a file and look at everything in it: first the records, then the rows."""
    names = pool_ids(path)
    async with SqliteAgentPoolStore.open(path) as store:
        logs = {name: await _log(store, name) for name in names}
        inboxes = {run_id: await _inbox(store, run_id) for run_id in RUNS}
        number = await store.query(EVENTS, lambda view: view.event_sequence)
        found = [ref for ref in contents if await _has(store, ref)]
    return Sight(logs, inboxes, number, frozenset(found))


async def works(path: Path, name: str) -> None:
    """Use a file once more: join, send, take, acknowledge, leave, in a pool of its own.

    :param name: of the message; not to be used twice
    """
    async with SqliteAgentPoolStore.open(path) as store, AgentPool.open(store, _OWN) as pool:
        await pool.join_run(a_member())
        message = a_message(name, to=RunAddress.run("run.a"))
        receipt = await pool.send(message)
        assert receipt.delivered_to == ("run.a",)
        async with await pool.inbox("run.a").take() as delivery:
            assert delivery.message == message
        assert await pool.inbox("run.a").peek() == ()
        await pool.leave_run("run.a")


def integrity(path: Path) -> list[str]:
    """Have the engine check the whole file; ``["ok"]`` when there is nothing to say."""
    with closing(sqlite3.connect(path, timeout=30)) as connection:
        return [line for (line,) in connection.execute("PRAGMA integrity_check")]


def pool_ids(path: Path) -> list[str]:
    """List the pools that have records."""
    with closing(sqlite3.connect(path, timeout=30)) as connection:
        tables = connection.execute(
            "SELECT 1 FROM sqlite_master WHERE name = 'agent_pool_records'"
        ).fetchall()
        if not tables:
            return []
        found = connection.execute("SELECT DISTINCT pool_id FROM agent_pool_records")
        return [pool_id for (pool_id,) in found]


async def _log(store: SqliteAgentPoolStore, pool_id: str) -> dict[int, AgentPoolStoreRecordPayload]:
    records = await store.read(pool_id)
    return {record.cursor.sequence: record.payload for record in records}  # type: ignore[misc]


async def _inbox(store: SqliteAgentPoolStore, run_id: str) -> dict[int, int]:
    def entries(view: PoolView) -> dict[int, int]:
        rows = view.rows(inbox_key(run_id, 0).kind, run_id, limit=_ALL)
        return {row.key.number: value_of(row, InboxEntry).attempt for row in rows}

    return await store.query(WORK, entries)


async def _has(store: SqliteAgentPoolStore, ref: str) -> bool:
    try:
        await store.get_content(ref)
    except AgentPoolError:
        return False
    return True
