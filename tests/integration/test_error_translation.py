"""Errors of the engine become ours, by their code, with the engine's own as the cause."""

import errno
import os
import sqlite3
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from agentpool import (
    AgentPool,
    AgentPoolError,
    IncompatibleStoreError,
    InvalidValueError,
    RunAddress,
    SqliteAgentPoolStore,
    StoreBusyError,
    StoreClosedError,
    StoreError,
    StoreFullError,
)
from agentpool.stores.sqlite.errors import translated
from agentpool.testing import a_message

from .helpers import POOL, member, send, sql

MEANING = {
    "SQLITE_BUSY": StoreBusyError,
    "SQLITE_BUSY_RECOVERY": StoreBusyError,
    "SQLITE_BUSY_SNAPSHOT": StoreBusyError,
    "SQLITE_LOCKED": StoreBusyError,
    "SQLITE_PROTOCOL": StoreBusyError,
    "SQLITE_FULL": StoreFullError,
    "SQLITE_TOOBIG": InvalidValueError,
    "SQLITE_IOERR_WRITE": StoreError,
    "SQLITE_IOERR_SHMSIZE": StoreFullError,
    "SQLITE_NOTADB": IncompatibleStoreError,
    "SQLITE_READONLY": IncompatibleStoreError,
    "SQLITE_READONLY_DIRECTORY": IncompatibleStoreError,
    "SQLITE_CANTOPEN": IncompatibleStoreError,
    "SQLITE_CANTOPEN_ISDIR": IncompatibleStoreError,
    "SQLITE_PERM": IncompatibleStoreError,
    "SQLITE_CORRUPT": StoreError,
    "SQLITE_CORRUPT_INDEX": StoreError,
    "SQLITE_IOERR": StoreError,
    "SQLITE_IOERR_FSYNC": StoreError,
    "SQLITE_ERROR": StoreError,
    "SQLITE_NOMEM": StoreError,
    "SQLITE_CONSTRAINT_PRIMARYKEY": StoreError,
}


@pytest.mark.parametrize(("name", "type_"), MEANING.items(), ids=MEANING.keys())
def test_the_code_decides(name: str, type_: type[AgentPoolError]) -> None:
    error = sqlite3.OperationalError("what the engine says")
    error.sqlite_errorcode = getattr(sqlite3, name)
    with pytest.raises(AgentPoolError) as caught, translated("the/file.db"):
        raise error
    assert type(caught.value) is type_
    assert caught.value.__cause__ is error
    assert "the/file.db" in str(caught.value)
    assert "what the engine says" in str(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        sqlite3.ProgrammingError("Cannot operate on a closed database."),
        sqlite3.InterfaceError("no code at all"),
        sqlite3.DataError("string or blob too big"),
    ],
)
def test_an_error_without_a_code_is_a_store_error(error: sqlite3.Error) -> None:
    with pytest.raises(StoreError) as caught, translated("the/file.db"):
        raise error
    assert caught.value.__cause__ is error


def test_other_errors_pass() -> None:
    for error in (StoreClosedError("closed"), ZeroDivisionError()):
        with pytest.raises(type(error)) as caught, translated("the/file.db"):
            raise error
        assert caught.value is error


@pytest.mark.parametrize(
    ("number", "type_", "words"),
    [
        (errno.ENOSPC, StoreFullError, "make room"),
        (errno.EDQUOT, StoreFullError, "quota"),
        (errno.EFBIG, StoreFullError, "grow"),
        (errno.EROFS, IncompatibleStoreError, "reading only"),
        (errno.EIO, StoreError, "read or written"),
    ],
)
def test_why_a_write_failed_is_found_out(
    number: int, type_: type[AgentPoolError], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_WRITE
    with pytest.raises(type_, match=words) as caught, translated("the/file.db"):
        raise error
    assert type(caught.value) is type_


SWALLOWING = {
    "a record, ignored": "BEFORE INSERT ON agent_pool_records BEGIN SELECT RAISE(IGNORE); END",
    "a record, deleted": "AFTER INSERT ON agent_pool_records BEGIN"
    " DELETE FROM agent_pool_records WHERE seq = NEW.seq; END",
    "a record, changed": "AFTER INSERT ON agent_pool_records BEGIN"
    " UPDATE agent_pool_records SET payload_json = '{' WHERE seq = NEW.seq; END",
    "a row": "BEFORE INSERT ON agentpool_rows BEGIN SELECT RAISE(IGNORE); END",
    "a row, deleted": "AFTER INSERT ON agentpool_rows BEGIN"
    " DELETE FROM agentpool_rows WHERE kind = NEW.kind; END",
    "an event number, deleted": "AFTER INSERT ON agent_pool_event_seq BEGIN"
    " DELETE FROM agent_pool_event_seq; END",
    "an event number": "BEFORE INSERT ON agent_pool_event_seq BEGIN SELECT RAISE(IGNORE); END",
    "a body": "BEFORE INSERT ON agentpool_content BEGIN SELECT RAISE(IGNORE); END",
}


@pytest.mark.parametrize("trigger", SWALLOWING.values(), ids=SWALLOWING)
async def test_nothing_is_acknowledged_that_a_trigger_has_swallowed(
    trigger: str, store: SqliteAgentPoolStore, path: Path
) -> None:
    async with AgentPool.open(store, POOL) as pool:
        await pool.join_run(member(1))
        with sql(path) as connection:
            connection.execute(f"CREATE TRIGGER swallow {trigger}")
        acknowledged = []
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "send": lambda: pool.send(a_message("a", sender="run.1", to=RunAddress.run("run.1"))),
            "number": lambda: store.next_event_sequence(POOL),
            "body": lambda: store.put_content(b"body"),
        }
        for name, call in calls.items():
            with suppress(StoreError):
                await call()
                acknowledged.append(name)
        assert len(acknowledged) == 2
        with sql(path) as connection:
            connection.execute("DROP TRIGGER swallow")
        receipt = await pool.send(a_message("b", sender="run.1", to=RunAddress.run("run.1")))
        assert receipt.delivered_to == ("run.1",)


async def test_a_table_that_is_gone_is_a_store_error_with_its_cause(
    store: SqliteAgentPoolStore, path: Path
) -> None:
    with sql(path) as connection:
        connection.execute("DROP TABLE agent_pool_records")
    for call in (lambda: send(store, "a"), lambda: store.read(POOL), lambda: store.snapshot(POOL)):
        with pytest.raises(StoreError) as caught:
            await call()
        assert isinstance(caught.value.__cause__, sqlite3.OperationalError)
        assert str(path) in str(caught.value)


async def test_every_caller_of_a_failed_batch_gets_the_cause(
    store: SqliteAgentPoolStore, path: Path
) -> None:
    with sql(path) as connection:
        connection.execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON agent_pool_records"
            " BEGIN SELECT RAISE(ABORT, 'refused by a trigger'); END"
        )
    with pytest.raises(StoreError, match="refused by a trigger") as caught:
        await send(store, "a")
    assert isinstance(caught.value.__cause__, sqlite3.IntegrityError)
    with sql(path) as connection:
        connection.execute("DROP TRIGGER refuse")
    assert await send(store, "a") == 2


async def test_an_acknowledgement_that_a_trigger_undoes_is_none(
    store: SqliteAgentPoolStore, path: Path
) -> None:
    async with AgentPool.open(store, POOL) as pool:
        await pool.join_run(member(1))
        await pool.send(a_message("a", sender="run.1", to=RunAddress.run("run.1")))
        delivery = await pool.inbox("run.1").take()
        with sql(path) as connection:
            connection.execute(
                "CREATE TRIGGER keep BEFORE DELETE ON agentpool_rows"
                " BEGIN SELECT RAISE(IGNORE); END"
            )
        with pytest.raises(StoreError, match="a trigger"):
            await delivery.ack()
        with sql(path) as connection:
            connection.execute("DROP TRIGGER keep")
        await delivery.ack()
        assert await pool.inbox("run.1").peek() == ()


async def test_a_trigger_that_only_writes_elsewhere_is_no_harm(
    store: SqliteAgentPoolStore, path: Path
) -> None:
    async with AgentPool.open(store, POOL) as pool:
        await pool.join_run(member(1))
        with sql(path) as connection:
            connection.execute("CREATE TABLE audit (seq)")
            connection.execute(
                "CREATE TRIGGER watch AFTER INSERT ON agent_pool_records"
                " BEGIN INSERT INTO audit VALUES (NEW.seq); END"
            )
        message = a_message("a", sender="run.1", to=RunAddress.run("run.1"))
        assert (await pool.send(message)).delivered_to == ("run.1",)
        async with await pool.inbox("run.1").take() as delivery:
            assert delivery.message.message_id == "a"
