"""Every way to break a store on a server is found, and named for what it is."""

from collections.abc import Iterator

import pytest

from agentpool.cli import main
from agentpool.doctor import Level, examine

from .doctoring import NOW, POOL, Patient, copied, filled
from .server import Server

RECORD = "UPDATE @.records SET"
ROW = "UPDATE @.rows SET"
DELIVERED = (
    "(SELECT max(seq) FROM @.records WHERE payload LIKE '%\"message.1\"%'"
    " AND payload LIKE '%\"delivered\"%')"
)
OTHER = "INSERT INTO @.pools (pool_id, projected) VALUES ('pool.other', NULL)"
ITS_NUMBER = "(SELECT pool FROM @.pools WHERE pool_id = 'pool.other')"
LATER = NOW + 3_600_000


@pytest.fixture(scope="module")
def template(postgres: Server) -> Iterator[Patient]:
    with filled(postgres, "doctor_template") as patient:
        yield patient


@pytest.fixture(scope="module")
def copy(postgres: Server, template: Patient) -> Iterator[Patient]:
    with copied(postgres, "doctor_copy", template) as patient:
        yield patient


@pytest.fixture
def sound(copy: Patient, template: Patient) -> Patient:
    copy.restore(template)
    return copy


@pytest.fixture
def another(postgres: Server, template: Patient, schema: str) -> Iterator[Patient]:
    """Give one whose tables may be changed."""
    with copied(postgres, schema, template) as patient:
        yield patient


def test_a_sound_store_has_every_kind_of_row_and_no_finding(sound: Patient) -> None:
    before = sound.content()
    report = sound.examined()
    assert report.exit_code == 0, str(report)
    kinds = [kind for [kind] in sound.sql("SELECT DISTINCT kind FROM @.rows ORDER BY kind")]
    assert kinds == ["cause", "contract", "deadline", "event", "event_id", "inbox", "owing"]
    assert sound.sql("SELECT count(*) FROM @.checkpoints") == [(1,)]
    assert sound.content() == before


def test_the_command_takes_a_url(sound: Patient, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["doctor", sound.url, "--schema", sound.schema])
    lines = capsys.readouterr().out.splitlines()
    assert code == 1, lines  # by the clock of the server, all that it waits for is long overdue
    assert all(line.startswith(("ok ", "note ", "   ")) for line in lines[:-1])
    assert lines[-1].endswith(", 0 BROKEN")


BREAKS = {
    "text that is no JSON": ("records", [f"{RECORD} payload = '{{' WHERE seq = 3"]),
    "a gap": ("numbers", ["DELETE FROM @.records WHERE seq = 3"]),
    "a number below the first": ("numbers", [f"{RECORD} seq = -1 WHERE seq = 1"]),
    "a second config": (
        "configs",
        [
            (
                "INSERT INTO @.records SELECT pool, (SELECT max(seq) + 1 FROM @.records), kind,"
                " key, subject, replace(payload, '\"envelope_only\":true',"
                " '\"envelope_only\":false') FROM @.records WHERE kind = 'pool_opened'"
            )
        ],
    ),
    "another key beside a record": (
        "keys",
        [f"{RECORD} key = 'key.other' WHERE key = 'key.message.2'"],
    ),
    "records of a pool without a name": ("names", ["DELETE FROM @.pools"]),
    "rows of a pool without a name": ("pools", [f"{ROW} pool = 77 WHERE kind = 'cause'"]),
    "another state in a checkpoint": (
        "checkpoints",
        ["UPDATE @.checkpoints SET state = replace(state, 'run.b', 'run.x')"],
    ),
    "a checkpoint without records": (
        "checkpoints",
        [OTHER, f"UPDATE @.checkpoints SET pool = {ITS_NUMBER}"],
    ),
    "more worked in than there is": (
        "projection",
        ["UPDATE @.pools SET projected = projected + 1"],
    ),
    "an inbox with a message of another run": (
        "inboxes",
        [f"{ROW} name = 'run.a' WHERE kind = 'inbox' AND number = {DELIVERED}"],
    ),
    "rows without records": (
        "inboxes",
        [OTHER, f"{ROW} pool = {ITS_NUMBER} WHERE kind = 'cause'"],
    ),
    "a message without its contract": ("contracts", ["DELETE FROM @.rows WHERE kind = 'contract'"]),
    "a wake without its deadline": (
        "deadlines",
        ["DELETE FROM @.rows WHERE name = 'wake wake.2'"],
    ),
    "a lease without its member": (
        "leases",
        [f"{ROW} name = 'lease run.x' WHERE name LIKE 'lease %'"],
    ),
    "a cause without its wake": ("causes", [f"{ROW} name = 'wake.x' WHERE kind = 'cause'"]),
    "an event name without its event": ("events", ["DELETE FROM @.rows WHERE kind = 'event'"]),
    "an answer that is none": (
        "answers",
        [f"INSERT INTO @.rows SELECT pool, 'late', 'message.1', {DELIVERED}, 0, '' FROM @.pools"],
    ),
    "a time without its record": ("times", ["UPDATE @.times SET seq = seq + 1000"]),
    "a body that was changed": ("bodies", ["UPDATE @.content SET data = '\\x00'"]),
    "a piece of a body that was changed": (
        "bodies",
        ["UPDATE @.content_pieces SET data = '\\x01' WHERE number = 1"],
    ),
}


@pytest.mark.parametrize("how", BREAKS)
def test_what_is_broken_is_found(sound: Patient, how: str) -> None:
    check, statements = BREAKS[how]
    sound.sql(*statements)
    report = sound.examined()
    assert report.of(check).level is Level.BROKEN, str(report)
    assert report.exit_code == 2


NOTES = {
    "a kind of record of the future": (
        "kinds",
        [
            (
                "INSERT INTO @.records SELECT pool, (SELECT max(seq) + 1 FROM @.records),"
                " 'future', NULL, NULL, '{\"type\":\"future\"}' FROM @.pools"
            )
        ],
    ),
    "a kind of row of the future": ("rows", [f"{ROW} kind = 'future' WHERE kind = 'cause'"]),
    "a schema of the future": ("schema", ["UPDATE @.meta SET version = 99"]),
    "a pool that nobody opened": (
        "configs",
        [
            OTHER,
            (
                f"INSERT INTO @.records SELECT {ITS_NUMBER}, 1, 'pool_created', NULL, NULL,"
                ' \'{"type":"pool_created"}\''
            ),
        ],
    ),
    "a checkpoint that cannot be read": ("checkpoints", ["UPDATE @.checkpoints SET state = '?'"]),
    "records that nobody has worked in": (
        "projection",
        ["UPDATE @.pools SET projected = projected - 1"],
    ),
    "pieces of a body that is not there": (
        "pieces",
        ["DELETE FROM @.content WHERE size IS NOT NULL"],
    ),
    "names that look alike": (
        "names",
        [
            f"INSERT INTO @.pools (pool_id) VALUES ('{POOL}\u200b')",
            (
                "INSERT INTO @.records SELECT pool, 1, 'pool_created', NULL, NULL,"
                ' \'{"type":"pool_created"}\' FROM @.pools ORDER BY pool DESC LIMIT 1'
            ),
        ],
    ),
    "a dead letter": (
        "dead letters",
        [f"{ROW} kind = 'dead' WHERE kind = 'inbox' AND name = 'run.b'"],
    ),
}


@pytest.mark.parametrize("how", NOTES)
def test_what_is_worth_knowing_is_said(sound: Patient, how: str) -> None:
    check, statements = NOTES[how]
    sound.sql(*statements)
    report = sound.examined()
    assert report.of(check).level is Level.NOTE, str(report)


def test_what_nobody_has_carried_out_is_said(sound: Patient) -> None:
    claim = '{"attempt":1,"claimed_by":"worker.1"}'
    sound.sql(f"{ROW} value = '{claim}', due_at = {NOW} WHERE kind = 'inbox' AND name = 'run.b'")
    report = sound.examined(LATER)
    for check in ("dead members", "overdue"):
        assert "59 min" in report.of(check).what
    assert "'run.b': 2, for 1 h" in report.of("claims").what
    assert report.exit_code == 1


def test_an_empty_schema_is_no_fault(postgres: Server, schema: str) -> None:
    for _ in range(2):
        report = examine(postgres.url(), schema=schema)
        assert report.of("schema").level is Level.NOTE
        assert report.exit_code == 1, str(report)
        postgres.sql(f"CREATE SCHEMA IF NOT EXISTS {schema}")


LOST_INDEXES = {
    "the index records_by_key": "DROP INDEX @.records_by_key",
    "the index inboxes, which is not valid": (
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = '@.inboxes'::regclass"
    ),
}


def test_lost_indexes_are_named_and_so_are_the_statements_that_need_them(another: Patient) -> None:
    another.sql(*LOST_INDEXES.values())
    report = another.examined()
    schema, plans = report.of("schema"), report.of("plans")
    assert (schema.level, plans.level) == (Level.BROKEN, Level.NOTE), str(report)
    assert [name for name in LOST_INDEXES if name not in schema.what] == []
    assert "MESSAGES_BY_KEY: sorts by r.key" in plans.what
    assert report.of("records").level is Level.OK
    another.sql("ALTER TABLE @.rows DROP CONSTRAINT rows_pkey")
    report = another.examined()
    assert "the index rows_pkey" in report.of("schema").what
    assert report.of("plans").level is Level.BROKEN
    assert "PUT: " in report.of("plans").what


def test_where_tables_and_columns_are_lost_the_records_are_examined(another: Patient) -> None:
    another.sql("DROP TABLE @.times", "ALTER TABLE @.checkpoints DROP COLUMN state")
    report = another.examined()
    assert report.of("schema").level is Level.BROKEN
    for name in ("times", "checkpoints.state"):
        assert name in report.of("schema").what
    assert report.of("records").level is Level.OK
    another.sql("ALTER TABLE @.records DROP COLUMN payload")
    assert another.examined().of("records").level is Level.BROKEN


IN_THE_WAY = {
    "a view in place of times": (
        "ALTER TABLE @.times RENAME TO hidden; CREATE VIEW @.times AS TABLE @.hidden"
    ),
    "trigger swallow of records": (
        "CREATE TRIGGER swallow BEFORE UPDATE ON @.records FOR EACH ROW"
        " EXECUTE FUNCTION suppress_redundant_updates_trigger()"
    ),
    "rule away of records": "CREATE RULE away AS ON INSERT TO @.records DO INSTEAD NOTHING",
    "row security of pools": "ALTER TABLE @.pools ENABLE ROW LEVEL SECURITY",
    "content is unlogged": "ALTER TABLE @.content SET UNLOGGED",
    "column content.more, which takes no null": (
        "TRUNCATE @.content; ALTER TABLE @.content ADD COLUMN more int NOT NULL"
    ),
    "the collation of rows.name": (
        "ALTER TABLE @.rows ALTER COLUMN name TYPE text COLLATE pg_catalog.default"
    ),
}


def test_what_is_in_the_way_is_named(another: Patient) -> None:
    another.sql(*IN_THE_WAY.values())
    found = another.examined().of("schema")
    assert found.level is Level.BROKEN
    assert [name for name in IN_THE_WAY if name not in found.what] == []


def test_what_is_beside_the_store_is_said(another: Patient) -> None:
    another.sql(
        "CREATE TABLE @.songs (title text)",
        "CREATE INDEX more ON @.records (kind)",
        "ALTER TABLE @.rows SET (autovacuum_enabled = false)",
    )
    report = another.examined()
    assert "more, songs" in report.of("others").what
    assert "autovacuum is off for rows" in report.of("bloat").what
    assert report.exit_code == 1


def test_a_version_that_cannot_be_read_is_broken(another: Patient) -> None:
    another.sql("ALTER TABLE @.meta RENAME COLUMN version TO number")
    assert another.examined().of("schema").level is Level.BROKEN
    another.sql("DROP TABLE @.meta")
    assert "no store" in another.examined().of("schema").what
