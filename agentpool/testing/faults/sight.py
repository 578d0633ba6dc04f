"""What is to be seen in a store by whoever opens it after a fault."""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass

from agentpool import (
    AgentPool,
    AgentPoolError,
    AgentPoolStore,
    AgentPoolStoreRecordPayload,
    RunAddress,
)
from agentpool.doctor import Level, examine
from agentpool.rules.command import PoolView
from agentpool.rules.rows import InboxEntry, inbox_key, value_of
from agentpool.testing.faults.journal import EVENTS, RUNS, WORK
from agentpool.testing.sites import Site
from agentpool.testing.values import a_member, a_message

__all__ = ("Sight", "integrity", "look", "works")

_ALL = 2**31
_OWN = "pool.check"


@dataclass(frozen=True)
class Sight:
    """One look at a store.

    :ivar logs: the records of each pool, by their numbers
    :ivar inboxes: for each run the numbers of its unacknowledged messages, and their attempts
    :ivar number: the last event number that was given away
    :ivar contents: the refs, of those asked for, whose body is there
    """

    logs: dict[str, dict[int, AgentPoolStoreRecordPayload]]
    inboxes: dict[str, dict[int, int]]
    number: int
    contents: frozenset[str]


async def look(site: Site, contents: Iterable[str] = ()) -> Sight:
    """Open a store and look at everything in it: first the records, then the rows."""
    async with site.open() as store:
        logs = {name: await _log(store, name) for name in await store.pool_ids()}
        inboxes = {run_id: await _inbox(store, run_id) for run_id in RUNS}
        number = await store.query(EVENTS, lambda view: view.event_sequence)
        found = [ref for ref in contents if await _has(store, ref)]
    return Sight(logs, inboxes, number, frozenset(found))


async def works(site: Site, name: str) -> None:
    """Use a store once more: join, send, take, acknowledge, leave, in a pool of its own.

    :param name: of the message; not to be used twice
    """
    async with site.open() as store, AgentPool.open(store, _OWN) as pool:
        await pool.join_run(a_member())
        message = a_message(name, to=RunAddress.run("run.a"))
        receipt = await pool.send(message)
        assert receipt.delivered_to == ("run.a",)
        async with await pool.inbox("run.a").take() as delivery:
            assert delivery.message == message
        assert await pool.inbox("run.a").peek() == ()
        await pool.leave_run("run.a")


def integrity(site: Site) -> list[str]:
    """Have everything checked, by the engine of a file, by the doctor on a server.

    Nothing is said of what is well.
    """
    if site.schema:
        findings = examine(site.where, schema=site.schema).findings
        return [str(each) for each in findings if each.level is Level.BROKEN]
    with closing(sqlite3.connect(site.where, timeout=30)) as connection:
        lines = [line for (line,) in connection.execute("PRAGMA integrity_check")]
    return [line for line in lines if line != "ok"]


async def _log(store: AgentPoolStore, pool_id: str) -> dict[int, AgentPoolStoreRecordPayload]:
    records = await store.read(pool_id)
    return {record.cursor.sequence: record.payload for record in records}  # type: ignore[misc]


async def _inbox(store: AgentPoolStore, run_id: str) -> dict[int, int]:
    def entries(view: PoolView) -> dict[int, int]:
        rows = view.rows(inbox_key(run_id, 0).kind, run_id, limit=_ALL)
        return {row.key.number: value_of(row, InboxEntry).attempt for row in rows}

    return await store.query(WORK, entries)


async def _has(store: AgentPoolStore, ref: str) -> bool:
    try:
        await store.get_content(ref)
    except AgentPoolError:
        return False
    return True
