"""What the tests of the doctor share: a store on a server in which everything is to be broken."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from integration.doctoring import NOW, fill, now
from integration.helpers import BOUND, POOL

from agentpool import AgentPool, open_store
from agentpool.doctor import Report, examine
from agentpool.stores.postgres.schema import MIGRATIONS, SCHEMA_VERSION
from agentpool.support.clock import SteadyClock

from .server import Server

if TYPE_CHECKING:
    import psycopg

__all__ = ("NOW", "POOL", "Patient", "copied", "filled")

_TABLES: Final = ("records", "checkpoints", "rows", "times", "content", "content_pieces")
_CLOCK: Final = SteadyClock(now)


async def _fill(url: str, schema: str) -> None:
    async with (
        asyncio.timeout(BOUND),
        open_store(url, schema=schema, clock=_CLOCK) as store,
        AgentPool.open(store, POOL) as pool,
    ):
        await fill(pool)


class Patient:
    """A store in a schema of its own, with every kind of row but those of runs that wait."""

    def __init__(self, url: str, schema: str, session: "psycopg.Connection[Any]") -> None:
        self.url = url
        self.schema = schema
        self._session = session

    def sql(self, *statements: str) -> list[tuple[object, ...]]:
        """Change it as no program of ours would, or look at it; give what comes last."""
        sql = ";".join(statements).replace("@.", f"{self.schema}.")
        cursor = self._session.execute(sql.encode())
        while cursor.nextset():
            pass
        return cursor.fetchall() if cursor.description else []

    def restore(self, of: "Patient") -> None:
        """Have in it what another one has."""
        tables = ("pools", *_TABLES)
        self.sql(
            *(f"DELETE FROM @.{table}" for table in tables),
            f"UPDATE @.meta SET version = {SCHEMA_VERSION}",
            f"INSERT INTO @.pools OVERRIDING SYSTEM VALUE TABLE {of.schema}.pools",
            *(f"INSERT INTO @.{table} TABLE {of.schema}.{table}" for table in _TABLES),
        )

    def examined(self, millis: int = NOW, url: str | None = None) -> Report:
        clock = SteadyClock(lambda: millis)
        return examine(url or self.url, schema=self.schema, clock=clock)

    def content(self) -> Sequence[object]:
        """List all that it holds."""
        return [self.sql(f"SELECT * FROM @.{table} t ORDER BY t") for table in ("pools", *_TABLES)]


@contextmanager
def filled(server: Server, schema: str) -> Iterator[Patient]:
    """Fill a new store."""
    asyncio.run(_fill(server.url(), schema))
    with server.connect() as session:
        patient = Patient(server.url(), schema, session)
        lease = f"'deadline', 'lease run.a', 0, {NOW + 30_000}, ''"
        patient.sql(f"INSERT INTO @.rows SELECT pool, {lease} FROM @.pools")
        yield patient
        patient.sql(f"DROP SCHEMA {schema} CASCADE")


@contextmanager
def copied(server: Server, schema: str, of: Patient) -> Iterator[Patient]:
    """Make a store that has in it what another one has."""
    with server.connect() as session:
        patient = Patient(server.url(), schema, session)
        patient.sql(f"CREATE SCHEMA {schema}", *chain.from_iterable(MIGRATIONS))
        patient.sql("SELECT setval(pg_get_serial_sequence('@.pools', 'pool'), 100)")
        patient.restore(of)
        yield patient
        patient.sql(f"DROP SCHEMA {schema} CASCADE")
