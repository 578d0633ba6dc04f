"""Errors of the engine become ours, by their code, with the engine's own as the cause."""

import sqlite3
from pathlib import Path

import pytest

from agentpool import (
    AgentPoolError,
    IncompatibleStoreError,
    SqliteAgentPoolStore,
    StoreBusyError,
    StoreClosedError,
    StoreError,
    StoreFullError,
)
from agentpool.stores.sqlite.errors import translated

from .helpers import POOL, send, sql

MEANING = {
    "SQLITE_BUSY": StoreBusyError,
    "SQLITE_BUSY_RECOVERY": StoreBusyError,
    "SQLITE_BUSY_SNAPSHOT": StoreBusyError,
    "SQLITE_LOCKED": StoreBusyError,
    "SQLITE_PROTOCOL": StoreBusyError,
    "SQLITE_FULL": StoreFullError,
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
