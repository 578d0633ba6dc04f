"""What tests of a store under faults share: work, what it leaves in the log, and what it is cut at.

Each piece of work appends one record that has its name, so that what was lost or doubled shows.
"""

import asyncio
import json
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol

from agentpool import AgentPoolStore, MessageStatus
from agentpool.stores.postgres import PostgresAgentPoolStore
from agentpool.stores.postgres.pipeline import Statement
from agentpool.testing import a_member, a_message, a_receipt

from .server import Server

POOL: Final = "pool.test"
HELLO: Final = b"application_name"
"""What a client sends first."""
BOUND: Final = 200.0
"""Seconds after which a wait is a failure."""


class Work(Protocol):
    """Appends a record that has a name, and gives its number."""

    def __call__(
        self, store: AgentPoolStore, name: str, pool_id: str = POOL
    ) -> Coroutine[Any, Any, int]: ...


def rounds(name: str, usual: int) -> int:
    """Say how often to do something; the environment may ask for more."""
    return int(os.environ.get(f"AGENTPOOL_{name}", usual))


async def send(store: AgentPoolStore, name: str, pool_id: str = POOL) -> int:
    """Record a message, which has a key."""
    sent = a_message(name)
    receipt = a_receipt(sent, MessageStatus.DELIVERED)
    return (await store.record_message(pool_id, sent, receipt)).sequence


async def come(store: AgentPoolStore, name: str, pool_id: str = POOL) -> int:
    """Record a member."""
    return (await store.join_member(pool_id, a_member(name))).sequence


async def go(store: AgentPoolStore, name: str, pool_id: str = POOL) -> int:
    """Record that a member left, which has no key, and is refused where it has left."""
    _, cursor = await store.leave_member(pool_id, name)
    return cursor.sequence


def left_by(work: Work, name: str) -> dict[str, int]:
    """Say what a piece of work leaves in the log."""
    ending: dict[Work, str] = {come: " member_joined", go: " member_left", send: ""}
    return {name + ending[work]: 1}


def pages(server: Server, schema: str, pool_id: str = POOL) -> list[tuple[int, str]]:
    """List the numbers and payloads of a log."""
    return server.sql(
        f"""SELECT r.seq, r.payload FROM "{schema}".records r JOIN "{schema}".pools USING (pool)
        WHERE pool_id = %s ORDER BY seq""",
        pool_id,
    )


def names(server: Server, schema: str, pool_id: str = POOL) -> Counter[str]:
    """Count the names that the work left in a log, which has no gap."""
    found = pages(server, schema, pool_id)
    assert [seq for seq, _ in found] == list(range(1, len(found) + 1))
    return Counter(name for _, text in found if (name := _name(json.loads(text))))


def _name(payload: dict[str, Any]) -> str | None:
    match payload:
        case {"stored": {"message": message}}:
            return str(message["message_id"])
        case {"type": kind, "member": member}:
            return f"{member['run_id']} {kind}"
    return None


def pattern(store: PostgresAgentPoolStore, statement: Statement) -> bytes:
    """Say by which bytes the writer of an idle store is going to send a statement."""
    pipeline = store._opened.writer.engine.pipeline
    name = pipeline._names.get(statement)
    return pipeline._sql(statement)[-60:] if name is None else b"\0" + name + b"\0"


def sessions(server: Server) -> list[tuple[int, str]]:
    """List the sessions of stores on a server."""
    return server.sql(
        "SELECT pid, state FROM pg_stat_activity WHERE application_name = 'agentpool'"
    )


async def until(holds: Callable[[], bool], what: str) -> None:
    """Wait until something holds."""

    def wait() -> None:
        late = time.monotonic() + BOUND
        while not holds():
            assert time.monotonic() < late, f"waited {BOUND} s for {what}"
            time.sleep(0.02)

    await asyncio.to_thread(wait)


@asynccontextmanager
async def opened(url: str, schema: str, **options: Any) -> AsyncIterator[PostgresAgentPoolStore]:
    """Open a store whose server may be away for long, with a pool in it."""
    options = {"busy_timeout": BOUND, **options}
    async with PostgresAgentPoolStore.open(url, schema=schema, **options) as store:
        await store.open_pool(POOL)
        yield store
