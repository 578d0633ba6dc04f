"""The tables of a store on a server, and how a schema comes to have them.

Every key leads with the pool, by a number that stands for its id, and a transaction touches the
rows of one pool, or of several each for itself; so the tables can be distributed by pool. Text is
compared byte by byte, whatever the collation of the database.
"""

from typing import Final

from agentpool.errors import IncompatibleStoreError
from agentpool.stores.postgres.pipeline import Pipeline, ServerError, Statement

__all__ = ("MIGRATIONS", "SCHEMA_VERSION", "prepare", "version_of")

_TABLES: Final = (
    """
    CREATE TABLE @.meta (
        one boolean PRIMARY KEY DEFAULT true CHECK (one),
        version integer NOT NULL
    )
    """,
    # Written with every commit that changes a pool: so that whoever hears of none can see one, and
    # the row stays on its page.
    """
    CREATE TABLE @.pools (
        pool bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        pool_id text COLLATE "C" NOT NULL UNIQUE,
        event_sequence bigint NOT NULL DEFAULT 0,
        projected bigint,
        version bigint NOT NULL DEFAULT 0
    ) WITH (fillfactor = 20)
    """,
    # What a record is looked up by stands beside it: JSON with \\u0000 in any string can be looked
    # into by no function of the server.
    """
    CREATE TABLE @.records (
        pool bigint NOT NULL,
        seq bigint NOT NULL,
        kind text COLLATE "C" NOT NULL,
        key text COLLATE "C",
        subject text COLLATE "C",
        payload text COLLATE "C" NOT NULL,
        PRIMARY KEY (pool, seq)
    )
    """,
    "CREATE INDEX records_by_key ON @.records (pool, kind, key, seq) WHERE key IS NOT NULL",
    """
    CREATE INDEX records_by_subject ON @.records (pool, kind, subject, seq)
    WHERE subject IS NOT NULL
    """,
    "CREATE INDEX pool_records ON @.records (pool, seq) WHERE kind <> 'run_message'",
    """
    CREATE TABLE @.checkpoints (
        pool bigint PRIMARY KEY,
        seq bigint NOT NULL,
        state text NOT NULL
    )
    """,
    """
    CREATE TABLE @.rows (
        pool bigint NOT NULL,
        kind text COLLATE "C" NOT NULL,
        name text COLLATE "C" NOT NULL,
        number bigint NOT NULL,
        due_at bigint NOT NULL,
        value text COLLATE "C" NOT NULL,
        PRIMARY KEY (pool, kind, name, number)
    ) WITH (
        fillfactor = 70,
        autovacuum_vacuum_scale_factor = 0.02,
        autovacuum_vacuum_cost_delay = 0
    )
    """,
    "CREATE INDEX deadlines ON @.rows (pool, due_at, name) WHERE kind = 'deadline'",
    "CREATE INDEX inboxes ON @.rows (pool, name, due_at, number) WHERE kind = 'inbox'",
    """
    CREATE TABLE @.times (
        pool bigint NOT NULL,
        seq bigint NOT NULL,
        millis bigint NOT NULL,
        PRIMARY KEY (pool, seq)
    )
    """,
    # Without a size it is all there; else it is in pieces.
    """
    CREATE TABLE @.content (
        sha256 text COLLATE "C" PRIMARY KEY,
        media_type text COLLATE "C" NOT NULL,
        data bytea NOT NULL,
        size bigint
    )
    """,
    """
    CREATE TABLE @.content_pieces (
        sha256 text COLLATE "C" NOT NULL,
        number bigint NOT NULL,
        data bytea NOT NULL,
        PRIMARY KEY (sha256, number)
    )
    """,
    "INSERT INTO @.meta (version) VALUES (0)",
)

MIGRATIONS: Final = (_TABLES,)
SCHEMA_VERSION: Final = len(MIGRATIONS)
"""The version that this library writes; it refuses schemas of a higher one."""

_BEGIN: Final = Statement("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
_COMMIT: Final = Statement("COMMIT")
_ROLLBACK: Final = Statement("ROLLBACK")
# One migrates, the others wait for it, and then find that it is done.
_LOCK: Final = Statement("SELECT pg_advisory_xact_lock(hashtextextended('agentpool' || $1, 0))")
_PATIENCE: Final = Statement("SELECT set_config('lock_timeout', $1, true)")
_IS_MISSING: Final = Statement("SELECT to_regnamespace($1) IS NULL")
_IS_THERE: Final = Statement(
    """
    SELECT 2 = (
            SELECT count(*) FROM pg_attribute
            WHERE attrelid = to_regclass($1 || '.meta') AND attname IN ('one', 'version')
        ),
        (SELECT min(relname) FROM pg_class WHERE relnamespace = to_regnamespace($1))
    """
)
_VERSION: Final = Statement("SELECT version FROM @.meta")
_SET_VERSION: Final = Statement("UPDATE @.meta SET version = $1::integer")


def version_of(pipeline: Pipeline, schema: str) -> int | None:
    """Say which version a schema has; ``None``: there is none.

    :param schema: quoted
    :raises IncompatibleStoreError: it is of something else, or from a newer version
    """
    row = pipeline.ask(_IS_THERE, schema).row
    assert row is not None  # noqa: S101  # it has no FROM
    is_ours, other = row
    if is_ours != b"t":
        if other is not None:
            msg = f"the schema {schema} is of something else; name another one by schema="
            raise IncompatibleStoreError(msg)
        return None
    found = pipeline.ask(_VERSION).row
    version = 0 if found is None else int(found[0])
    if version > SCHEMA_VERSION:
        msg = (
            f"the schema {schema} has version {version}, this library knows up to"
            f" {SCHEMA_VERSION}; use the version that wrote it, or a newer one"
        )
        raise IncompatibleStoreError(msg)
    return version


def prepare(
    pipeline: Pipeline, schema: str, patience: float, *, create: bool, migrate: bool
) -> None:
    """Bring a schema to the current version, in one transaction.

    :param schema: quoted
    :param patience: seconds for which to wait for others who do that
    :param create: whether to make one that is not there
    :param migrate: whether to bring one of an older version to the current one
    :raises IncompatibleStoreError: it is not there, or of an older version, and is to stay so; or
        it is no store, or this role may not
    """
    version = version_of(pipeline, schema)
    if version == SCHEMA_VERSION:
        return
    if version is None and not create:
        msg = f"there is no store in the schema {schema}; leave out create=False to create one"
        raise IncompatibleStoreError(msg)
    if version is not None and not migrate:
        msg = (
            f"the schema {schema} has version {version}, this library writes {SCHEMA_VERSION}, and"
            " it is not to be changed; leave out migrate=False to bring it to that"
        )
        raise IncompatibleStoreError(msg)
    try:
        _migrate(pipeline, schema, patience)
    except ServerError as error:
        if error.state == "42501":
            msg = f"this role may not create the tables of the schema {schema}: {error}"
            raise IncompatibleStoreError(msg) from error
        raise
    finally:
        pipeline.forget()
        pipeline.ask(_ROLLBACK)  # of nothing, where it was committed
        pipeline.flush()


def _migrate(pipeline: Pipeline, schema: str, patience: float) -> None:
    pipeline.ask(_BEGIN)
    pipeline.ask(_PATIENCE, str(max(round(patience * 1000), 1)))
    pipeline.ask(_LOCK, schema).rows  # noqa: B018  # what is looked at next is as of now
    version = version_of(pipeline, schema)
    if pipeline.ask(_IS_MISSING, schema).rows == [(b"t",)]:
        pipeline.ask(Statement(f"CREATE SCHEMA {schema}"))
    for statements in MIGRATIONS[version or 0 :]:
        for sql in statements:
            pipeline.ask(Statement(sql))
    pipeline.ask(_SET_VERSION, SCHEMA_VERSION)
    pipeline.ask(_COMMIT)
    pipeline.flush()
