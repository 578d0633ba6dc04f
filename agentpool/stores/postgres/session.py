"""A session on a server: connected, guarded against bad plans, and asked who it is with."""

import os
import re
from dataclasses import dataclass, field
from math import ceil
from typing import Any, Final, NamedTuple

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from agentpool.errors import IncompatibleStoreError, InvalidValueError, shown
from agentpool.stores.postgres.errors import not_connected
from agentpool.stores.postgres.pipeline import Pipeline, Statement

__all__ = ("STARTED", "Identity", "Place", "Session", "checked_url", "connect", "quoted")

_CONNECT_SECONDS: Final = 10
_LEAST_TO_CONNECT: Final = 2
"""What libpq makes of less."""
_SLACK_SECONDS: Final = 5.0
"""How much longer than for a lock an answer is waited for."""
_OLDEST: Final = 140000
_HELD_TOO_LONG: Final = "2s"
"""How long others wait for what a client holds that was suspended, or cut off."""

# A plan that was made while a table was empty, or was never analysed, scans it for ever. Each
# statement is written for an index, so the plans are those that go by it, whatever the planner
# believes of the tables.
_SETTINGS: Final = {
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_hashagg": "off",
    "enable_sort": "off",
    "enable_material": "off",
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
    "idle_in_transaction_session_timeout": _HELD_TOO_LONG,
    "default_transaction_isolation": "read committed",
    "client_min_messages": "error",
}


def _settings(*, is_local: bool) -> Statement:
    """Make the statement that sets all, and how long a lock is waited for, its parameter."""
    values = {name: f"'{value}'" for name, value in _SETTINGS.items()}
    values["lock_timeout"] = "$1::text"
    each = (f"set_config('{name}', {value}, {is_local})" for name, value in values.items())
    return Statement(f"SELECT {', '.join(each)}")


_FOR_SESSION: Final = _settings(is_local=False)
_FOR_TRANSACTION: Final = _settings(is_local=True)

STARTED: Final = """(
    extract(epoch FROM pg_postmaster_start_time())
    || ' ' || extract(epoch FROM pg_stat_get_bgwriter_stat_reset_time())
)"""
"""When a server was started, or has recovered since because one of its processes was killed.

Statistics begin anew with each recovery, and are kept when it is stopped in order. Whoever resets
them makes it look like another start, of which a transaction is only looked up with more care.
"""
_WHO: Final = Statement(
    f"""
    SELECT pg_backend_pid(), current_setting('server_encoding'),
        (SELECT system_identifier FROM pg_control_system()),
        CASE WHEN pg_is_in_recovery() THEN '' ELSE
            substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) END,
        (SELECT oid FROM pg_database WHERE datname = current_database()),
        {STARTED}
    """
)


class Identity(NamedTuple):
    """Which server a session is with, and which of its timelines."""

    system: bytes
    timeline: bytes
    database: bytes

    def is_same_database(self, other: "Identity") -> bool:
        """Tell whether it is the same database of the same server, or of a standby of that."""
        return (self.system, self.database) == (other.system, other.database)

    def __str__(self) -> str:
        system, timeline, database = (each.decode() for each in self)
        return f"system {system} timeline {timeline} database {database}"


@dataclass(frozen=True)
class Place:
    """Where a store is.

    :ivar conninfo: how to connect to it, as libpq has it
    :ivar schema: the schema of its tables
    :ivar patience: seconds that a lock is waited for
    """

    conninfo: str = field(repr=False)
    schema: str
    patience: float

    @property
    def hosts(self) -> int:
        """At how many hosts it may be; the same one at another port counts as one more."""
        known = conninfo_to_dict(self.conninfo)
        hosts = _hosts(known) if known.get("host") else str(known.get("hostaddr")).split(",")
        ports = str(known.get("port") or "").split(",")
        return len(set(zip(hosts, ports * len(hosts) if len(ports) == 1 else ports, strict=False)))

    def __str__(self) -> str:
        """Name the place without its password."""
        known = conninfo_to_dict(self.conninfo)
        host = known.get("host") or known.get("hostaddr") or "the default host"
        port = known.get("port")
        address = f"{host}:{port}" if port else str(host)
        return f"{address}/{known.get('dbname') or ''} schema {self.schema}"


class Session:
    """A connection and what is known of the other side.

    :ivar started: when the server was, as of `STARTED`; ``None``: it does not say
    :ivar is_pooled: whether a pooler may give each transaction to another process of the server
    """

    def __init__(
        self,
        pipeline: Pipeline,
        identity: Identity,
        started: bytes | None,
        lock_millis: str,
        *,
        is_pooled: bool,
    ) -> None:
        self.pipeline: Final = pipeline
        self.identity: Final = identity
        self.started: Final = started
        self.is_pooled: Final = is_pooled
        self._lock_millis = lock_millis

    def is_with_same(self, former: "Session") -> bool:
        """Tell whether it is with the same server as another; it may have been started anew."""
        return self.identity == former.identity

    def guard(self) -> None:
        """Guard the transaction that was begun; to be called right after that."""
        if self.is_pooled:
            self.pipeline.ask(_FOR_TRANSACTION, self._lock_millis)


def checked_url(url: str, name: str) -> str:
    """Make of a URL how to connect, with what is ours to choose where nobody says it otherwise.

    :param name: of the argument
    :raises InvalidValueError: it is none that libpq can read
    """
    if type(url) is not str:
        msg = f"{name}: expected a URL, got {type(url).__name__}"
        raise InvalidValueError(msg)
    if "\0" in url:
        msg = f"{name}: there is a character in it that libpq takes for its end"
        raise InvalidValueError(msg)
    told = {each: os.environ.get(variable) for each, variable in _VARIABLES.items()}
    ours = {**_CHOSEN, **{each: value for each, value in told.items() if value}}
    return make_conninfo(**{**ours, **_known(url, name), "client_encoding": "utf8"})


_CHOSEN: Final[dict[str, Any]] = {
    "application_name": "agentpool",
    "connect_timeout": _CONNECT_SECONDS,
    "target_session_attrs": "read-write",
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}
_VARIABLES: Final = {
    "application_name": "PGAPPNAME",
    "connect_timeout": "PGCONNECT_TIMEOUT",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
}
"""By which libpq is told what else is ours to choose."""


def _hosts(known: dict[str, Any]) -> list[str]:
    return str(known.get("host") or "").split(",")


def _known(url: str, name: str) -> dict[str, Any]:
    """Read a URL; what is wrong with it is told without what it says.

    :raises InvalidValueError: it is none, or a password may have been taken for something else
    """
    try:
        known = conninfo_to_dict(url)
        for host in _hosts(known):
            if not host.startswith(("/", "@")):
                host.encode("idna")
    except (psycopg.Error, UnicodeError) as error:
        said = " ".join(str(error).split())
        why = _QUOTED.sub(lambda found: found[1] or "...", said)
    else:
        ports = str(known.get("port") or "").split(",")
        if any(each and not each.isdecimal() for each in ports):
            why = "the port is no number"
        elif _has_stray(url):
            why = "there is an '@', or a '/' in the name of the database"
        else:
            return known
    msg = f"{name}: {why}; write what is special in a URL as %40 for '@', %2F for '/', %25 for '%'"
    raise InvalidValueError(msg)


_QUOTED: Final = re.compile(r'("[^"]?")|".*')
"""A character, or all from what libpq quotes of a URL on."""
_USER: Final = re.compile(r"\w+://(?:[^/@]*@)?")


def _has_stray(url: str) -> bool:
    """Say whether what follows the user of a URL has what a password may have, and it has not."""
    user = _USER.match(url)
    server = "" if user is None else url[user.end() :].partition("?")[0]
    return "@" in server or server.count("/") > 1


def quoted(schema: str) -> str:
    """Quote the name of a schema.

    :raises InvalidValueError: it can be none
    """
    if type(schema) is not str or not 0 < len(schema.encode(errors="replace")) < _LONGEST_NAME:
        msg = f"schema: expected a name of 1 to {_LONGEST_NAME - 1} bytes, got {shown(schema)}"
        raise InvalidValueError(msg)
    if not schema.isprintable() or schema.startswith("pg_"):
        msg = f"schema: {shown(schema)} can be the name of no schema"
        raise InvalidValueError(msg)
    escaped = schema.replace('"', '""')
    return f'"{escaped}"'


_LONGEST_NAME: Final = 64


def connect(place: Place, lock_seconds: float, seconds: float) -> Session:
    """Connect to a server, and set the session up.

    :param lock_seconds: how long the server waits for a lock
    :param seconds: how long to try at most, by the whole second and not less than two for a host
    :raises IncompatibleStoreError: the server refuses that, is too old, or of another encoding
    :raises StoreBusyError: it cannot be reached
    """
    try:
        connection: psycopg.Connection[Any] = psycopg.connect(
            _in_time(place.conninfo, seconds), autocommit=True, prepare_threshold=None
        )
    except psycopg.Error as error:
        raise not_connected(error, str(place), place.hosts) from error
    try:
        pipeline = Pipeline(connection, place.schema, place.patience + _SLACK_SECONDS)
        return _set_up(pipeline, place, str(max(round(lock_seconds * 1000), 1)))
    except BaseException:
        connection.close()
        raise


def _in_time(conninfo: str, seconds: float) -> str:
    """Bound how long each of the hosts is tried."""
    known = conninfo_to_dict(conninfo)
    most = max(ceil(seconds / len(_hosts(known))), _LEAST_TO_CONNECT)
    said = str(known.get("connect_timeout"))
    wanted = int(said) if said.isdecimal() else 0
    return make_conninfo(conninfo, connect_timeout=min(wanted or most, most))


def _set_up(pipeline: Pipeline, place: Place, lock_millis: str) -> Session:
    version = pipeline.pgconn.server_version
    if version < _OLDEST:
        msg = f"{place}: the server has version {version // 10000}; it has to be 14 or newer"
        raise IncompatibleStoreError(msg)
    pipeline.prepares = False
    row = pipeline.ask(_WHO).row
    assert row is not None  # noqa: S101  # it has no FROM
    process, encoding, *identity, started = row
    if encoding != b"UTF8":
        msg = (
            f"{place}: the database has encoding {encoding.decode()}, which cannot hold every"
            " text; create one with ENCODING 'UTF8'"
        )
        raise IncompatibleStoreError(msg)
    is_pooled = int(process) != pipeline.pgconn.backend_pid
    pipeline.prepares = not is_pooled
    if not is_pooled:
        pipeline.ask(_FOR_SESSION, lock_millis)
        pipeline.flush()
    return Session(pipeline, Identity(*identity), started, lock_millis, is_pooled=is_pooled)
