"""Checks of the schema: what is missing, what is in the way, and what this role may not do."""

import re
from collections.abc import Iterator
from functools import cache
from itertools import chain
from typing import Final

from agentpool.doctor.report import Finding, broken, note, ok
from agentpool.doctor.server.visit import Visit
from agentpool.stores.postgres.schema import MIGRATIONS, SCHEMA_VERSION

__all__ = ("RIGHTS", "check_rights", "check_schema", "expected", "has_records", "is_whole")

RIGHTS: Final = {
    "meta": "SELECT",
    "pools": "SELECT, INSERT, UPDATE",
    "records": "SELECT, INSERT",
    "checkpoints": "SELECT, INSERT, UPDATE",
    "rows": "SELECT, INSERT, UPDATE, DELETE",
    "times": "SELECT, INSERT",
    "content": "SELECT, INSERT, UPDATE",
    "content_pieces": "SELECT, INSERT, UPDATE",
}
"""What a role has to be granted on each table, beside USAGE of the schema."""

_NAME: Final = r"@\.(\w+)"
_TABLE: Final = re.compile(rf"\s*CREATE TABLE {_NAME} \((.*?)^ {{4}}\)", re.DOTALL | re.MULTILINE)
_COLUMN: Final = re.compile(r"^ {8}([a-z]\w*) ", re.MULTILINE)
_ADDED: Final = re.compile(rf"\s*ALTER TABLE {_NAME}\s+ADD COLUMN (\w+)")
_INDEX: Final = re.compile(r"\s*CREATE (?:UNIQUE )?INDEX (\w+)")

_IN_SCHEMA: Final = "relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1)"
_RELATIONS: Final = f"""
    SELECT relname, relkind, relpersistence, relrowsecurity,
        EXISTS (SELECT FROM pg_index WHERE indexrelid = c.oid AND indisvalid AND indisready)
    FROM pg_class c WHERE {_IN_SCHEMA} AND relkind NOT IN ('S', 't', 'c')
"""
_COLUMNS: Final = f"""
    SELECT relname, attname, attnotnull AND NOT atthasdef AND attidentity = '',
        typname = 'text' AND collname <> 'C'
    FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid AND {_IN_SCHEMA} AND relkind = 'r'
    JOIN pg_type t ON t.oid = atttypid LEFT JOIN pg_collation l ON l.oid = attcollation
    WHERE attnum > 0 AND NOT attisdropped
"""
_ACTING: Final = f"""
    SELECT 'trigger ' || tgname || ' of ' || relname FROM pg_trigger t
    JOIN pg_class c ON c.oid = tgrelid WHERE {_IN_SCHEMA} AND NOT tgisinternal
    UNION ALL
    SELECT 'rule ' || rulename || ' of ' || relname FROM pg_rewrite r
    JOIN pg_class c ON c.oid = ev_class
    WHERE {_IN_SCHEMA} AND relkind <> 'v' AND rulename <> '_RETURN'
"""
_MAY: Final = "SELECT has_schema_privilege($1::text, 'USAGE')"
_LACKING: Final = """
    SELECT g.name, trim(k.kind)
    FROM unnest(string_to_array($2, ';'), string_to_array($3, ';')) AS g (name, kinds)
    CROSS JOIN LATERAL unnest(string_to_array(g.kinds, ',')) AS k (kind)
    WHERE NOT has_table_privilege(format('%I.%I', $1::text, g.name), trim(k.kind))
"""
_WORDS: Final = {"v": "a view", "m": "a view", "f": "a foreign table", "p": "a table in parts"}


@cache
def expected(version: int) -> tuple[dict[str, frozenset[str]], frozenset[str]]:
    """List the tables of a version, each with its columns, and the indexes beside their keys."""
    tables: dict[str, frozenset[str]] = {}
    indexes: set[str] = set()
    for sql in chain.from_iterable(MIGRATIONS[:version]):
        if made := _TABLE.match(sql):
            tables[made[1]] = frozenset(_COLUMN.findall(made[2]))
        elif added := _ADDED.match(sql):
            tables[added[1]] |= {added[2]}
        elif index := _INDEX.match(sql):
            indexes.add(index[1])
    return tables, frozenset(indexes)


def _version(visit: Visit) -> int | None:
    """Give the version of a schema; ``None``: there is no store in it that this role may read.

    :raises ServerError: its version cannot be read
    """
    tables = {name for name, *_ in visit.ask(_RELATIONS, visit.schema)}
    if "meta" not in tables or visit.ask(_MAY, visit.schema) == [("f",)]:
        return None
    found = visit.ask("SELECT version FROM @.meta")
    return int(found[0][0]) if found else 0


def check_schema(visit: Visit) -> Iterator[Finding]:
    """Look whether the tables and indexes of the schema version are there, and nothing else."""
    relations = {name: rest for name, *rest in visit.ask(_RELATIONS, visit.schema)}
    if not relations:
        what = f"there is nothing in the schema {visit.schema!r}: nothing was ever stored"
        yield note("schema", what, "nothing: opening the store makes it; or name another: --schema")
        return
    if "meta" not in relations:
        what = f"no store: the schema {visit.schema!r} is of something else"
        yield broken("schema", what, "name another schema: --schema")
        return
    version = _version(visit)
    if version is None:
        what = f"this role may not use the schema {visit.schema!r}"
        yield broken("schema", what, f'GRANT USAGE ON SCHEMA "{visit.schema}" TO it')
    elif version > SCHEMA_VERSION:
        what = f"version {version}; this library knows up to {SCHEMA_VERSION}"
        yield note("schema", what, "use the version that wrote it, or a newer one")
    elif strange := _in_the_way(visit, relations):
        what = f"in the way of what is written: {', '.join(strange)}"
        yield broken("schema", what, "drop them: they can swallow, hide or refuse what is written")
    elif missing := _missing(visit, relations, version):
        what = f"version {version}, but without {', '.join(missing)}"
        yield broken("schema", what, "restore a backup, or create what is missing")
    elif version < SCHEMA_VERSION:
        what = f"version {version}, of an earlier version of this library, with all its tables"
        yield note("schema", what, "nothing: opening the store adds what is missing")
    else:
        yield ok("schema", f"version {version}, with all its tables and indexes")
        yield from _beside(relations)


def _in_the_way(visit: Visit, relations: dict[str, list[str]]) -> list[str]:
    """List what acts on our tables, or stands in their place."""
    tables, _ = expected(SCHEMA_VERSION)
    strange = [name for [name] in visit.ask(_ACTING, visit.schema)]
    for name in tables.keys() & relations.keys():
        kind, persistence, has_row_security, _ = relations[name]
        if kind != "r":
            strange.append(f"{_WORDS.get(kind, 'something else')} in place of {name}")
        if persistence == "u":
            strange.append(f"{name} is unlogged, so a crash empties it")
        if has_row_security == "t":
            strange.append(f"row security of {name}")
    for table, column, is_demanded, is_collated in visit.ask(_COLUMNS, visit.schema):
        if is_demanded == "t" and column not in tables.get(table, {column}):
            strange.append(f"column {table}.{column}, which takes no null")
        if is_collated == "t" and table != "checkpoints" and column in tables.get(table, ()):
            strange.append(f"the collation of {table}.{column}, which has to be C")
    return sorted(strange)


def has_records(visit: Visit) -> bool:
    """Say whether there are tables of records and of pools, for this role to use."""
    names = {name for name, *_ in visit.ask(_RELATIONS, visit.schema)}
    return {"records", "pools"} <= names and visit.ask(_MAY, visit.schema) == [("t",)]


def is_whole(visit: Visit) -> bool:
    """Say whether there are all tables of a version that is known here, for this role to use.

    :raises ServerError: its version cannot be read
    """
    version = _version(visit)
    return version is not None and 0 < version <= SCHEMA_VERSION and not _lost(visit, version)


def _lost(visit: Visit, version: int) -> list[str]:
    """List the tables and columns that are missing."""
    columns = {(table, column) for table, column, *_ in visit.ask(_COLUMNS, visit.schema)}
    there = {table for table, _ in columns}
    lost = []
    for table, wanted in expected(version)[0].items():
        gone = [f"{table}.{each}" for each in sorted(wanted) if (table, each) not in columns]
        lost += gone if table in there else [table]
    return lost


def _missing(visit: Visit, relations: dict[str, list[str]], version: int) -> list[str]:
    tables, indexes = expected(version)
    missing = _lost(visit, version)
    for name in (*indexes, *(f"{table}_pkey" for table in tables)):
        if name not in relations:
            missing.append(f"the index {name}")
        elif relations[name][3] != "t":
            missing.append(f"the index {name}, which is not valid")
    return sorted(missing)


def _beside(relations: dict[str, list[str]]) -> Iterator[Finding]:
    tables, indexes = expected(SCHEMA_VERSION)
    keys = {f"{table}_pkey" for table in tables} | {"pools_pool_id_key"}
    others = sorted(relations.keys() - tables.keys() - indexes - keys)
    if others:
        what = f"not of the store, but in its schema: {', '.join(others[:3])}"
        yield note("others", what, "move them elsewhere; an index more can change plans")
    else:
        yield ok("others", "nothing else is in the schema")


def check_rights(visit: Visit) -> Iterator[Finding]:
    """Look whether this role may do all that a store does."""
    lacking = [
        f"{right} on {table}"
        for table, right in visit.ask(
            _LACKING, visit.schema, ";".join(RIGHTS), ";".join(RIGHTS.values())
        )
    ]
    if lacking:
        what = f"this role has not: {', '.join(lacking[:5])}"
        yield note("rights", what, "GRANT it; the guide examples/guides/servers.md has them all")
    else:
        yield ok("rights", "this role may read and write the tables")
