"""The tables of a store, and how a file comes to have them.

The first two tables are the wire format's, shared with other implementations. All others are ours
and derived from them; the indexes over the records look into the JSON, so they stay true whoever
writes. ``user_version`` counts the migrations that a file has had; 0 is a file that another
implementation made, or an empty one.
"""

import sqlite3
import threading
import time
from typing import Final

from agentpool.errors import IncompatibleStoreError
from agentpool.stores.sqlite.connection import is_busy, read_transaction, write_transaction
from agentpool.wire.payload import LONGEST

__all__ = (
    "CONDITION_ID",
    "IS_LONG",
    "IS_UTF_8",
    "MEMBER_RUN",
    "MESSAGE_KEY",
    "MIGRATIONS",
    "POOL_KINDS",
    "SCHEMA_VERSION",
    "WAKE_KEY",
    "prepare_file",
    "refuse_foreign_file",
    "set_up_connection",
)

_WIRE_TABLES: Final = (
    """
    CREATE TABLE IF NOT EXISTS agent_pool_records (
        pool_id TEXT NOT NULL,
        seq INTEGER NOT NULL,
        kind TEXT NOT NULL,
        payload_json TEXT NOT NULL,
        PRIMARY KEY (pool_id, seq)
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS agent_pool_event_seq (
        pool_id TEXT PRIMARY KEY,
        seq INTEGER NOT NULL
    )
    """,
)


def json_field(path: str) -> str:
    """Write the SQL for a field of a payload; NULL where the payload is not even JSON."""
    return f"CASE WHEN json_valid(payload_json) THEN json_extract(payload_json, '{path}') END"


MESSAGE_KEY: Final = json_field("$.stored.message.idempotency_key")
CONDITION_ID: Final = json_field("$.stored.condition.condition_id")
MEMBER_RUN: Final = json_field("$.member.run_id")
WAKE_KEY: Final = json_field("$.stored.condition.idempotency_key")
POOL_KINDS: Final = "kind <> 'run_message'"
IS_LONG: Final = f"length(payload_json) > {LONGEST}"
IS_UTF_8: Final = "agentpool_is_utf_8"
"""A function that every connection of ours has: SQLite itself takes any bytes for text."""

_DERIVED: Final = (
    f"""
    CREATE INDEX agentpool_message_by_key ON agent_pool_records (pool_id, {MESSAGE_KEY}, seq)
    WHERE kind = 'run_message'
    """,
    f"""
    CREATE INDEX agentpool_wake_by_key ON agent_pool_records (pool_id, {WAKE_KEY}, seq)
    WHERE kind = 'wake'
    """,
    f"""
    CREATE INDEX agentpool_wake_by_id ON agent_pool_records (pool_id, {CONDITION_ID}, seq)
    WHERE kind = 'wake'
    """,
    f"""
    CREATE INDEX agentpool_joins_by_run ON agent_pool_records (pool_id, {MEMBER_RUN}, seq)
    WHERE kind = 'member_joined'
    """,
    f"CREATE INDEX agentpool_pool_records ON agent_pool_records (pool_id, seq) WHERE {POOL_KINDS}",
    # The small state of a pool as of one record, so that opening a pool where members have come
    # and gone a million times reads only what came after.
    """
    CREATE TABLE agentpool_checkpoints (
        pool_id TEXT PRIMARY KEY,
        seq INTEGER NOT NULL,
        state_json TEXT NOT NULL
    )
    """,
    # How far the records of a coordinated pool have been worked into its rows.
    """
    CREATE TABLE agentpool_pools (
        pool_id TEXT PRIMARY KEY,
        projected INTEGER NOT NULL
    )
    """,
    # What is not a fact but a state of affairs: unread messages, claims, deadlines, host events.
    """
    CREATE TABLE agentpool_rows (
        pool_id TEXT NOT NULL,
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        number INTEGER NOT NULL,
        due_at INTEGER NOT NULL,
        value TEXT NOT NULL,
        PRIMARY KEY (pool_id, kind, name, number)
    ) WITHOUT ROWID
    """,
    """
    CREATE INDEX agentpool_deadlines ON agentpool_rows (pool_id, due_at, name)
    WHERE kind = 'deadline'
    """,
    """
    CREATE INDEX agentpool_inboxes ON agentpool_rows (pool_id, name, due_at)
    WHERE kind = 'inbox'
    """,
    # When the records from one number on were appended, as far as we appended them.
    """
    CREATE TABLE agentpool_times (
        pool_id TEXT NOT NULL,
        seq INTEGER NOT NULL,
        millis INTEGER NOT NULL,
        PRIMARY KEY (pool_id, seq)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE agentpool_content (
        sha256 TEXT PRIMARY KEY,
        media_type TEXT NOT NULL,
        data BLOB NOT NULL
    )
    """,
)

_PROMISES: Final = (
    # How far a log may have been shown before it was on the disk: in the boot that last promised
    # anything, and in those before it.
    """
    CREATE TABLE agentpool_promises (
        pool_id TEXT PRIMARY KEY,
        boot_id TEXT NOT NULL,
        promised INTEGER NOT NULL,
        former INTEGER NOT NULL
    )
    """,
)

_REWRITTEN: Final = (
    # How often records were changed or deleted, by whomever: what was made of them is void then.
    "CREATE TABLE agentpool_rewritten (times INTEGER NOT NULL)",
    "INSERT INTO agentpool_rewritten VALUES (0)",
    *(
        f"""
        CREATE TRIGGER agentpool_record_{what.lower()} AFTER {what} ON agent_pool_records
        BEGIN UPDATE agentpool_rewritten SET times = times + 1; END
        """
        for what in ("UPDATE", "DELETE")
    ),
)

_CLOCK: Final = (
    # When a run of the machine began, by which all who have the file open tell the time.
    """
    CREATE TABLE agentpool_clock (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        boot_id TEXT NOT NULL,
        began INTEGER NOT NULL CHECK (typeof(began) = 'integer'),
        set_at INTEGER NOT NULL CHECK (typeof(set_at) = 'integer')
    )
    """,
)

_PIECES: Final = (
    # The bytes of a body that is kept in pieces; without it, the row has all of it.
    "ALTER TABLE agentpool_content ADD COLUMN size INTEGER",
    """
    CREATE TABLE agentpool_content_pieces (
        sha256 TEXT NOT NULL,
        number INTEGER NOT NULL,
        data BLOB NOT NULL,
        PRIMARY KEY (sha256, number)
    )
    """,
)

_LONG: Final = (
    # Payloads that are too long to be read, so that nobody has to read them to find that out.
    f"CREATE INDEX agentpool_long_records ON agent_pool_records (pool_id, seq) WHERE {IS_LONG}",
)

_COUNTED: Final = (
    # Who is asked, has answered and has left was listed before it was counted.
    """
    UPDATE agentpool_rows AS contract SET value = json_set(
        value,
        '$.recipients', json_array_length(value, '$.recipients'),
        '$.answered', ifnull(json_array_length(value, '$.answered'), 0),
        '$.left', (
            SELECT count(*) FROM json_each(contract.value, '$.left') AS gone
            WHERE gone.value NOT IN (
                SELECT run.value FROM json_each(contract.value, '$.answered') AS run
            )
        )
    )
    WHERE kind = 'contract' AND CASE WHEN json_valid(value)
        THEN json_type(value, '$.recipients') = 'array' END
    """,
)

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (
    _WIRE_TABLES + _DERIVED,
    _PROMISES,
    _REWRITTEN + _CLOCK,
    _PIECES + _LONG + _COUNTED,
)
SCHEMA_VERSION: Final = len(MIGRATIONS)
"""The version that this library writes; it refuses files of a higher one."""

_TABLES: Final = """
    SELECT name FROM sqlite_master
    WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite!_%' ESCAPE '!'
"""
_COLUMNS: Final = {
    "agent_pool_records": {"pool_id", "seq", "kind", "payload_json"},
    "agent_pool_event_seq": {"pool_id", "seq"},
}
_WAL_SIZE_LIMIT: Final = 64 * 2**20


def set_up_connection(connection: sqlite3.Connection, synchronous: str) -> None:
    """Set what SQLite forgets with every connection."""
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    connection.execute(f"PRAGMA journal_size_limit = {_WAL_SIZE_LIMIT}")
    connection.execute("PRAGMA wal_autocheckpoint = 0")  # `Backfill` does it
    connection.create_function(IS_UTF_8, 1, _is_utf_8, deterministic=True)


def _is_utf_8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def refuse_foreign_file(connection: sqlite3.Connection, *, allow_tables: bool) -> None:
    """Refuse the database of an application, which was opened by mistake.

    :param allow_tables: make a store of it, beside what it has
    :raises IncompatibleStoreError: it has tables, and none of ours; or it counts its schema where
        we would count ours
    """
    with read_transaction(connection):  # or another process makes the store between the two
        names = {name for (name,) in connection.execute(_TABLES).fetchall()}
        version = _version(connection)
    if names & _COLUMNS.keys() or not (names or version):
        return
    if names and not allow_tables:
        msg = (
            f"it is the database of something else, with tables such as {min(names)!r}; name"
            " another file, or pass allow_foreign_tables=True to add a store to it"
        )
        raise IncompatibleStoreError(msg)
    if version:
        msg = (
            f"it is no store, yet its user_version is {version}, where a store counts its schema;"
            " name another file"
        )
        raise IncompatibleStoreError(msg)


def prepare_file(
    connection: sqlite3.Connection,
    patience: float,
    give_up: threading.Event,
    *,
    migrate: bool = True,
) -> None:
    """Bring a file to WAL mode and to the current schema, in one transaction.

    :param migrate: whether a file may be brought there that is not; else that is refused
    :raises IncompatibleStoreError: the file is no store, or one from a newer version
    :raises StoreBusyError: another connection was in the way for longer than ``patience``
    """
    version = _version(connection)
    _refuse_newer(version)
    if not migrate:
        _refuse_older(version)
    _refuse_other_tables(connection)
    _switch_to_wal(connection, patience, give_up)
    if _version(connection) < SCHEMA_VERSION:
        with write_transaction(connection, patience, give_up):
            _migrate(connection)


def _version(connection: sqlite3.Connection) -> int:
    [version] = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def _refuse_newer(version: int) -> None:
    if version > SCHEMA_VERSION:
        msg = (
            f"the file has schema version {version}, this library knows up to {SCHEMA_VERSION};"
            " use the version that wrote it, or a newer one"
        )
        raise IncompatibleStoreError(msg)


def _refuse_older(version: int) -> None:
    if version < SCHEMA_VERSION:
        msg = (
            f"the file has schema version {version}, this library writes {SCHEMA_VERSION}, and it"
            " is not to be changed; leave out migrate=False to bring it to that"
        )
        raise IncompatibleStoreError(msg)


def _migrate(connection: sqlite3.Connection) -> None:
    version = _version(connection)  # again, now that nobody else can change it
    _refuse_newer(version)
    for statements in MIGRATIONS[version:]:
        for statement in statements:
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _refuse_other_tables(connection: sqlite3.Connection) -> None:
    for table, columns in _COLUMNS.items():
        found = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
        if found and not found >= columns:
            missing = ", ".join(sorted(columns - found))
            msg = f"table {table} lacks the columns {missing}; the file is no store"
            raise IncompatibleStoreError(msg)


def _switch_to_wal(
    connection: sqlite3.Connection, patience: float, give_up: threading.Event
) -> None:
    """Switch, again and again: SQLite refuses some of those that switch a fresh file at once."""
    deadline = time.monotonic() + patience
    while True:
        try:
            [mode] = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() >= deadline or give_up.wait(0.001):
                raise
            continue
        if mode != "wal":
            msg = f"the file cannot be switched to WAL mode, it stays in {mode!r}"
            raise IncompatibleStoreError(msg)
        return
