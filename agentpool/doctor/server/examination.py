"""All checks of a store on a server, in order."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Final, TypeAlias

from psycopg.conninfo import make_conninfo

from agentpool.doctor.pools import Told, check_pools, guarded
from agentpool.doctor.records import check_records
from agentpool.doctor.report import Finding, Report, broken, note, ok
from agentpool.doctor.server import activity, plans, settings, tables
from agentpool.doctor.server.keys import Keys
from agentpool.doctor.server.reader import ServerReader
from agentpool.doctor.server.visit import PASSING, Visit
from agentpool.errors import AgentPoolError, StoreBusyError
from agentpool.stores.postgres.errors import ours, translated
from agentpool.stores.postgres.pipeline import LostConnectionError, ServerError
from agentpool.stores.postgres.session import Place, Session, checked_url, connect, quoted
from agentpool.stores.postgres.statements import TIME_OF_SERVER
from agentpool.support.clock import Clock, StoreClock

__all__ = ("examine_server",)

_LOCK_SECONDS: Final = 1.0
_PATIENCE: Final = 5.0

_Check: TypeAlias = Callable[[Visit], Iterator[Finding]]
_OF_SERVER: Final[tuple[tuple[str, _Check], ...]] = (
    ("settings", settings.check_settings),
    ("encoding", settings.check_encoding),
    ("connections", settings.check_connections),
    ("recovery", settings.check_recovery),
    ("snapshots", activity.check_snapshots),
    ("schema", tables.check_schema),
)
_OF_STORE: Final[tuple[tuple[str, _Check], ...]] = (
    ("rights", tables.check_rights),
    ("plans", plans.check_plans),
    ("locks", activity.check_locks),
    ("listeners", activity.check_listeners),
    ("bloat", activity.check_bloat),
)


def examine_server(url: str, schema: str, clock: Clock) -> Report:
    """Examine a store on a server; see `agentpool.doctor.examine`."""
    where = "the server"
    try:
        place = Place(checked_url(url, "url"), quoted(schema), _PATIENCE)
        where = str(place)
        with translated(where):
            visit = Visit(_connected(place), place, schema)
    except AgentPoolError as error:
        advice = "see the message; nothing was examined"
        return Report(where, (broken("server", error.message, advice),))
    findings: list[Finding] = []
    try:
        for finding in _examine(visit, clock):
            findings.append(finding)  # noqa: PERF402  # what was found before it went away counts
    except (LostConnectionError, ServerError) as error:
        findings.append(note("server", f"went away meanwhile: {error}", "examine it again"))
    finally:
        visit.close()
    return Report(where, tuple(findings))


def _connected(place: Place) -> Session:
    """Connect to a primary, or, where there is none, to what there is."""
    try:
        return connect(place, _LOCK_SECONDS, place.patience)
    except StoreBusyError as error:
        if "read-only" not in error.message:
            raise
    conninfo = make_conninfo(place.conninfo, target_session_attrs="any")
    return connect(replace(place, conninfo=conninfo), _LOCK_SECONDS, place.patience)


def _examine(visit: Visit, clock: Clock) -> Iterator[Finding]:
    version = visit.pipeline.pgconn.server_version
    yield ok("server", f"PostgreSQL {version // 10000}.{version % 10000}")
    yield from _checked(visit, _OF_SERVER)
    told = partial(_told, visit)
    with visit.looking():
        is_store, is_whole = tables.has_records(visit), _is_whole(visit)
    if is_whole:
        yield from _checked(visit, _OF_STORE)
    if is_store:
        with visit.looking():
            yield from _of_pools(visit, clock, told) if is_whole else _of_records(visit, told)


def _is_whole(visit: Visit) -> bool:
    try:
        return tables.is_whole(visit)
    except ServerError:
        return False  # which the check of the schema has told


def _of_pools(visit: Visit, clock: Clock, told: Told) -> Iterator[Finding]:
    reader = ServerReader(visit.pipeline, visit.place.schema)
    keys, now = Keys(reader), _time_of(visit, clock)
    yield from check_pools(reader, now, told, (keys,))
    yield from guarded("keys", keys.findings, told)


def _of_records(visit: Visit, told: Told) -> Iterator[Finding]:
    reader = ServerReader(visit.pipeline, visit.place.schema)
    yield from guarded("records", partial(check_records, reader), told)


def _checked(visit: Visit, checks: tuple[tuple[str, _Check], ...]) -> Iterator[Finding]:
    """Carry out checks, each in a transaction of its own."""
    for name, check in checks:
        with visit.looking():
            yield from guarded(name, partial(check, visit), partial(_told, visit))


def _time_of(visit: Visit, clock: Clock) -> int:
    """Give the time by which those tell it who have the store open."""
    its_own = StoreClock(clock)
    if not its_own.is_shared:
        return its_own()
    [(now,)] = visit.pipeline.ask(TIME_OF_SERVER).rows
    return int(now)


def _told(visit: Visit, name: str, error: Exception) -> Finding:
    if isinstance(error, LostConnectionError):
        raise error
    if isinstance(error, ServerError):
        # What failed has ended the transaction.
        visit.begin_again()
        if error.state in PASSING:
            return note(name, f"took too long, or is locked: {error}", "examine it again")
        if error.state == "42501":
            return note(
                name, f"this role may not look at it: {error}", "GRANT SELECT, or do without"
            )
        return broken(
            name, f"cannot be read: {ours(error, visit.schema).message}", "restore a backup"
        )
    return broken(name, f"cannot be read: {error}", "restore a backup")
