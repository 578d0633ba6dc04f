"""Every statement goes by an index and reads about what it gives, whatever the planner knows."""

from collections.abc import Iterator
from typing import Any, Final

import psycopg
import pytest

from agentpool import open_store
from agentpool.stores.postgres import content, statements
from agentpool.stores.postgres.pipeline import Statement
from agentpool.stores.postgres.session import _SETTINGS

SMALL: Final = 5_000
LARGE: Final = 50_000
ASKED: Final = 8
"""How many keys, rows and so on are asked for at once."""

MOST_READ: Final = 5 * ASKED
GROWTH: Final = 4 / 3
"""An index has three levels where there were two: four pages in place of three, with the row."""


def texts(prefix: str, first: int = 1000) -> str:
    names = (f"'{prefix}{first + 4 * number}'" for number in range(ASKED))
    return f"ARRAY[{', '.join(names)}]::text[]"


def many(value: str) -> str:
    return f"array_fill({value}, ARRAY[{ASKED}])"


NUMBERS: Final = f"ARRAY[{', '.join(str(1000 + 8 * number) for number in range(ASKED))}]::bigint[]"
INBOX: Final = (many("'inbox'::text"), many("'run.0'::text"))
LAST: Final = "9223372036854775807"
PUT: Final = (1, "NULL", 5, *INBOX, NUMBERS, NUMBERS, many("'{}'::text"))

GIVEN: Final[dict[str, tuple[object, ...]]] = {
    "INSERT_POOL": ("'pool.new'",),
    "LOCK": ("'pool.1'",),
    "HELD": ("ARRAY['pool.1', 'pool.2', 'pool.none']",),
    "FIND_POOL": ("'pool.1'",),
    "NUMBERS": (1,),
    "NUMBERS_AND_NEWS": (1, LAST + " - 5"),
    "LOOK": (1, LAST + " - 5"),
    "POOLS": (),
    "DUE_OF_POOLS": ("ARRAY['pool.1', 'pool.2', 'pool.none']",),
    "VERSIONS": ("ARRAY['pool.1', 'pool.2', 'pool.none']",),
    "PAGE": (1, 2000, ASKED),
    "POOL_PAGE": (1, 2000, LAST, ASKED),
    "FIRST_POOL_RECORD": (1,),
    "MEMBER_BEFORE": (1, "'subject.3'", 4000),
    "RECORDS_OF_MESSAGE": (1, "'key.4'", ASKED),
    "FIRST_OF_WAKE": (1, "'subject.2'"),
    "MESSAGES_BY_KEY": (1, texts("key.")),
    "WAKES_BY_KEY": (1, texts("key.", first=1002)),
    "WAKES_BY_CONDITION": (1, texts("subject.", first=1002)),
    "TIME": (1, 4000),
    "CHECKPOINT": (1,),
    "ROWS_BY_KEY": (1, *INBOX, NUMBERS),
    "FIRST_ROWS": (1, "ARRAY['owing', 'event']", "ARRAY['run.1', '']", "ARRAY[0, 1000]", ASKED),
    "ROWS": (1, "'event'", "''", 1000, ASKED),
    "DUE": (1, "'run.0'", 0, LAST, ASKED),
    "NEXT_DUE": (1, "'run.0'"),
    "DEADLINES": (1, LAST, ASKED),
    "FIRST_TO_TAKE": (1, "'run.0'", ASKED, "'deadline'"),
    "PUT": PUT,
    "APPEND": (*PUT, LAST + " - 10", 1, *[texts("new.")] * 4),
    "DELETE_ROWS": (1, *INBOX, NUMBERS),
    "PUT_CHECKPOINT": (1, 1, "'state'"),
    "_PUT": (texts("sha256:"), many("'text/plain'::text"), many("'body'::bytea")),
    "_PUT_ROW": ("'sha256:1'", "'text/plain'", 8),
    "_PUT_PIECE": ("'sha256:1'", 0, "'body'::bytea"),
    "_MEDIA_TYPE": ("'sha256:1'",),
    "_FIND": ("'sha256:1'",),
    "_PIECE": ("'sha256:1'", 0),
}
"""What each statement is given, in SQL."""

LISTS_ALL: Final = {"POOLS"}
"""Each pool is looked at, and asked for by nobody but who wants to see them all."""

FILL: Final = (
    "INSERT INTO @.pools (pool_id, projected) SELECT 'pool.' || n, 1 FROM range n WHERE n <= 100",
    """
    INSERT INTO @.records (pool, seq, kind, key, subject, payload)
    SELECT 1, n, (ARRAY['run_message', 'run_message', 'wake', 'member_joined'])[1 + n % 4],
        CASE WHEN n % 4 < 3 THEN 'key.' || n END, CASE WHEN n % 4 > 1 THEN 'subject.' || n END,
        repeat('x', 200) FROM range n
    """,
    """
    INSERT INTO @.rows (pool, kind, name, number, due_at, value)
    SELECT 1, (ARRAY['inbox', 'deadline', 'event', 'owing'])[1 + n % 4],
        (ARRAY['run.' || n % 8, 'lease run.' || n, '', 'run.1'])[1 + n % 4],
        CASE WHEN n % 4 = 1 THEN 0 ELSE n END,
        CASE WHEN n % 4 = 0 AND n % 16 > 0 AND n > 1000 THEN 0 ELSE 1000 + n END, '{}' FROM range n
    """,
    "INSERT INTO @.times SELECT 1, n, n FROM range n",
    "INSERT INTO @.checkpoints SELECT n, n, 'state' FROM range n WHERE n <= 100",
    "INSERT INTO @.content SELECT 'sha256:' || n, 'text/plain', 'body' FROM range n",
    "INSERT INTO @.content_pieces SELECT 'sha256:' || n, 0, 'body' FROM range n",
)


def of_our_tables() -> dict[str, Statement]:
    return {
        name: each
        for module in (statements, content)
        for name, each in vars(module).items()
        if isinstance(each, Statement) and "@." in each.sql
    }


class Planner:
    """A session as the store has it, with all statements prepared."""

    def __init__(self, connection: "psycopg.Connection[Any]", schema: str) -> None:
        self._connection = connection
        self._schema = schema
        for name, value in _SETTINGS.items():
            connection.execute("SELECT set_config(%s, %s, false)", (name, value))
        self.prepare()

    def prepare(self) -> None:
        """Prepare all statements, anew where they were."""
        self.do("DEALLOCATE ALL")
        for name, statement in of_our_tables().items():
            self.do(f"PREPARE {name} AS {statement.sql}")

    def believe(self, in_tables: int, in_indexes: int, pages: str) -> None:
        """Have the server believe in so many rows, and plan anew; -1 is what it does not know."""
        for number, kind in ((in_tables, "r"), (in_indexes, "i")):
            self._connection.execute(
                f"UPDATE pg_class SET reltuples = %s, relpages = {pages} WHERE relkind = %s AND"
                " relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = %s)".encode(),
                (number, kind, self._schema),
            )
        self.prepare()

    def do(self, sql: str) -> None:
        self._connection.execute(sql.replace("@.", f'"{self._schema}".').encode())

    def fill(self, after: int, upto: int) -> None:
        """Fill all tables from one number to another."""
        given = f"WITH range AS (SELECT * FROM generate_series({after + 1}, {upto}) AS n)"
        for sql in FILL:
            into, select = sql.split("SELECT", 1)
            self.do(f"{into} {given} SELECT {select.replace('range n', 'range')}")

    def analyse(self) -> None:
        for table in ("pools", "records", "rows", "times", "checkpoints", "content"):
            self.do(f"ANALYZE @.{table}")

    def carried_out(self, name: str) -> "Plan":
        """Carry a statement out, and undo it, and give what it did."""
        given = ", ".join(map(str, GIVEN[name]))
        call = f"EXECUTE {name} ({given})" if given else f"EXECUTE {name}"
        with self._connection.transaction(force_rollback=True):
            self._connection.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {call}".encode())  # warm
        with self._connection.transaction(force_rollback=True):
            explain = f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) {call}"
            [(found,)] = self._connection.execute(explain.encode()).fetchall()
        return Plan(found[0]["Plan"])


class Plan:
    """What a statement did."""

    def __init__(self, root: dict[str, Any]) -> None:
        self.nodes = list(self._all(root))
        self.pages = root["Shared Hit Blocks"] + root["Shared Read Blocks"]

    def _all(self, node: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield node
        for each in node.get("Plans", ()):
            yield from self._all(each)

    @property
    def scanned(self) -> list[str]:
        """The tables that were scanned."""
        return [each["Relation Name"] for each in self.nodes if each["Node Type"] == "Seq Scan"]

    @property
    def sorted(self) -> int:
        """How many rows were sorted."""
        sorts = [each for each in self.nodes if "Sort" in each["Node Type"]]
        return sum(int(each["Actual Rows"] * each["Actual Loops"]) for each in sorts)

    @property
    def read(self) -> float:
        """How many rows of our tables were read, those included that were of no use."""
        rows: float = sum(
            each["Actual Loops"] * (each["Actual Rows"] + each.get("Rows Removed by Filter", 0))
            for each in self.nodes
            if "Relation Name" in each and "Scan" in each["Node Type"]
        )
        return rows


@pytest.fixture
async def planner(postgres_url: str, schema: str) -> Any:
    async with open_store(postgres_url, schema=schema):
        pass
    connection: psycopg.Connection[Any]
    with psycopg.connect(postgres_url, autocommit=True, prepare_threshold=None) as connection:
        yield Planner(connection, schema)


def test_all_statements_are_here() -> None:
    assert set(GIVEN) == set(of_our_tables())


def test_all_go_by_indexes_and_read_what_they_give(planner: Planner) -> None:
    """With the plans that were made while the tables were empty, and with later ones."""
    check(planner)
    planner.fill(0, LARGE)
    check(planner)
    planner.analyse()
    check(planner)


@pytest.mark.parametrize("pages", ["1", "pg_relation_size(oid) / 8192"])
@pytest.mark.parametrize("in_tables", [-1, 0, 2, 100, 1_000_000])
def test_they_do_whatever_is_believed_of_the_tables(
    planner: Planner, in_tables: int, pages: str
) -> None:
    """As when they were analysed while nearly all rows were deleted, or after a crash."""
    planner.fill(0, SMALL)
    for in_indexes in (0, 2, 100, 1_000_000):
        planner.believe(in_tables, in_indexes, pages)
        check(planner)


def check(planner: Planner) -> None:
    found = {name: planner.carried_out(name) for name in GIVEN}
    scanned = {name: plan.scanned for name, plan in found.items() if name not in LISTS_ALL}
    assert {name: tables for name, tables in scanned.items() if tables} == {}
    assert set(found["POOLS"].scanned) <= {"pools"}
    assert {name: plan.sorted for name, plan in found.items() if plan.sorted > ASKED} == {}
    bounded = {name: plan.read for name, plan in found.items() if name not in LISTS_ALL}
    assert {name: read for name, read in bounded.items() if read > MOST_READ} == {}


def test_a_call_costs_the_same_on_large_tables(planner: Planner) -> None:
    planner.fill(0, SMALL)
    small = {name: planner.carried_out(name).pages for name in GIVEN}
    planner.fill(SMALL, LARGE)
    large = {name: planner.carried_out(name).pages for name in GIVEN}
    grown = {name: (small[name], large[name]) for name in GIVEN}
    assert {name: each for name, each in grown.items() if each[1] > GROWTH * each[0]} == {}
