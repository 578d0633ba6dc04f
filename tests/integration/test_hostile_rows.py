"""Another program may put anything into any column: every call ends in an error of ours, or well.

And the doctor says what it finds, whatever that is.
"""

import asyncio
import shutil
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import pytest
from samples import condition, envelope, message

from agentpool import (
    AgentPool,
    AgentPoolError,
    AgentPoolMember,
    AgentPoolStore,
    EventFilter,
    EventKind,
    MessageResponseContract,
    RunAddress,
    SqliteAgentPoolStore,
)
from agentpool.doctor import examine
from agentpool.wire.content import PIECE, content_ref

POOL = "pool.x"
ME = AgentPoolMember("run.a", "agent.a")
BODY = b"a body"
LARGE_BODY = bytes(PIECE + 1)
NUMBERS = {
    "the largest": "9223372036854775807",
    "text": "'abc'",
    "infinite": "9e999",
}
TEXTS = {"no UTF-8": "CAST(x'ff41' AS TEXT)"}
TABLES = {
    "agent_pool_records": ("pool_id", "seq", "kind", "payload_json"),
    "agent_pool_event_seq": ("pool_id", "seq"),
    "agentpool_checkpoints": ("pool_id", "seq", "state_json"),
    "agentpool_pools": ("pool_id", "projected"),
    "agentpool_rows": ("pool_id", "kind", "name", "number", "due_at", "value"),
    "agentpool_times": ("pool_id", "seq", "millis"),
    "agentpool_content": ("sha256", "media_type", "data", "size"),
    "agentpool_content_pieces": ("sha256", "number", "data"),
    "agentpool_promises": ("pool_id", "boot_id", "promised", "former"),
}
COLUMNS = [(table, column) for table, columns in TABLES.items() for column in columns]
IS_NUMBER = {"seq", "projected", "number", "due_at", "millis", "promised", "former", "size"}


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a file with something in every table, and in the rows something of every sort."""
    path = tmp_path_factory.mktemp("hostile") / "pool.db"
    asyncio.run(seed(path))
    return path


async def seed(path: Path) -> None:
    async with (
        SqliteAgentPoolStore.open(path, synchronous="NORMAL") as store,
        AgentPool.open(store, POOL) as pool,
    ):
        await store.put_content(BODY)
        await store.put_content(LARGE_BODY)
        await pool.join_run(ME)
        to = RunAddress.run("run.a")
        contract = MessageResponseContract(2, 60_000)
        await pool.send(message("m.1", to=to, response_contract=contract, expires_at_millis=10**13))
        await pool.send(message("m.2", to=to, reply_to="m.1"))
        await pool.suspend_until("run.a", condition(timeout_millis=10**7, filter=NEVER))
        await pool.publish(envelope())


NEVER = EventFilter(terminal_only=True)


def calls(store: AgentPoolStore) -> dict[str, Callable[[], Awaitable[object]]]:
    """Name what a user does, so that each table is looked at."""
    pool = AgentPool(store, POOL)
    me = pool.acting_as(ME)
    return {
        "open": lambda: opened(store),
        "read": lambda: store.read(POOL),
        "watch": lambda: anext(store.watch(POOL)),
        "subscribe": lambda: anext(pool.subscribe(EventFilter())),
        "snapshot": pool.snapshot,
        "send": lambda: me.send(RunAddress.run("run.a"), content_ref="content.2"),
        "publish": lambda: pool.publish(envelope(event_id="event.2")),
        "take": me.inbox.take,
        "peek": me.inbox.peek,
        "join": lambda: pool.join_run(AgentPoolMember("run.b", "agent.b")),
        "next_event_sequence": lambda: store.next_event_sequence(POOL),
        "poll": lambda: pool.poll_wake("wake.1"),
        "get": lambda: store.get_content(content_ref(BODY)),
        "get a large one": lambda: store.get_content(content_ref(LARGE_BODY)),
        "put": lambda: store.put_content(b"another"),
        "put a large one": lambda: store.put_content(LARGE_BODY),
        "leave": lambda: pool.leave_run("run.a"),
    }


async def opened(store: AgentPoolStore) -> None:
    async with AgentPool.open(store, POOL):
        pass


@pytest.mark.parametrize(("table", "column"), COLUMNS)
async def test_no_row_of_another_program_brings_out_a_foreign_error(
    table: str, column: str, seeded: Path, tmp_path: Path
) -> None:
    found = []
    for name, value in (NUMBERS if column in IS_NUMBER else TEXTS).items():
        path = tmp_path / f"{name}.db"
        shutil.copyfile(seeded, path)
        with closing(sqlite3.connect(path)) as other:
            other.execute(f"UPDATE OR REPLACE {table} SET {column} = {value}")
            other.commit()
        assert examine(path).findings
        found += [f"{name}: {error}" for error in await foreign_errors(path)]
    assert found == []


async def foreign_errors(path: Path) -> list[str]:
    found = []
    async with SqliteAgentPoolStore.open(path) as store:
        for name, call in calls(store).items():
            try:
                async with asyncio.timeout(0.05):
                    await call()
            except (AgentPoolError, TimeoutError):
                pass
            except Exception as error:  # noqa: BLE001  # which there must not be
                found.append(f"{name}: {type(error).__name__}: {error}")
    return found


async def test_a_record_with_the_largest_number_is_looked_at_like_others(
    seeded: Path, tmp_path: Path
) -> None:
    path = tmp_path / "largest.db"
    shutil.copyfile(seeded, path)
    with closing(sqlite3.connect(path)) as other:
        other.execute(
            "INSERT INTO agent_pool_records VALUES (?, ?, 'pool_created', ?)",
            (POOL, 2**63 - 1, '{"type":"pool_created"}'),
        )
        other.commit()
    async with asyncio.timeout(60), SqliteAgentPoolStore.open(path) as store:
        subscription = AgentPool(store, POOL).subscribe(EventFilter())
        first = await anext(subscription)
        assert first.event_kind is EventKind.AGENT_POOL_CREATED
        await subscription.aclose()
