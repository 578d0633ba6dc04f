"""Every way to break a file is found, and named for what it is."""

import os
import sqlite3
from pathlib import Path

import pytest

from agentpool.doctor import Level
from agentpool.support.process import boot_id

from .doctoring import MENDED, NOW, add_row, broken_by, examined, sound_file
from .helpers import POOL, foreign_file, sql

RECORD = "UPDATE agent_pool_records SET"
ROW = "UPDATE agentpool_rows SET"
DELIVERED = (
    "(SELECT max(seq) FROM agent_pool_records WHERE payload_json LIKE '%\"message.1\"%'"
    " AND payload_json LIKE '%\"delivered\"%')"
)
LATER = NOW + 3_600_000


def counting(expected: int, answered: int) -> str:
    """Write the SQL that changes what a contract counts."""
    changed = f"json_set(value, '$.expected', {expected}, '$.answered', {answered})"
    return f"{ROW} value = {changed} WHERE kind = 'contract'"


@pytest.fixture(autouse=True)
def no_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", MENDED)


@pytest.fixture
async def sound(path: Path) -> Path:
    return await sound_file(path)


def test_a_sound_file_has_every_kind_of_row_and_no_finding(sound: Path) -> None:
    report = examined(sound)
    assert report.exit_code == 0, str(report)
    with sql(sound) as connection:
        kinds = connection.execute("SELECT DISTINCT kind FROM agentpool_rows ORDER BY kind")
        assert [kind for [kind] in kinds] == [
            "cause",
            "contract",
            "deadline",
            "event",
            "event_id",
            "inbox",
            "owing",
        ]
        assert connection.execute("SELECT count(*) FROM agentpool_checkpoints").fetchone() == (1,)


BREAKS = {
    "text that is no JSON": ("records", [f"{RECORD} payload_json = '{{' WHERE seq = 3"]),
    "a payload that is too long": (
        "records",
        [f"{RECORD} payload_json = hex(zeroblob(8400000)) WHERE seq = 3"],
    ),
    "a payload that is no text": ("records", [f"{RECORD} payload_json = x'00' WHERE seq = 3"]),
    "a kind that is not the type": (
        "records",
        [f"{RECORD} kind = 'member_left' WHERE seq = 3"],
    ),
    "a gap": ("numbers", ["DELETE FROM agent_pool_records WHERE seq = 3"]),
    "a number that is not the first": (
        "numbers",
        ["UPDATE agent_pool_records SET seq = seq + 1000"],
    ),
    "a number below the first": ("numbers", [f"{RECORD} seq = -1 WHERE seq = 1"]),
    "a number that is text": ("numbers", [f"{RECORD} seq = 'x' WHERE seq = 3"]),
    "a second config": (
        "configs",
        [
            (
                "INSERT INTO agent_pool_records SELECT pool_id, (SELECT max(seq) + 1 FROM"
                " agent_pool_records), kind, replace(payload_json, '\"envelope_only\":true',"
                " '\"envelope_only\":false') FROM agent_pool_records WHERE kind = 'pool_opened'"
            )
        ],
    ),
    "another state in a checkpoint": (
        "checkpoints",
        ["UPDATE agentpool_checkpoints SET state_json = replace(state_json, 'run.b', 'run.x')"],
    ),
    "a checkpoint after the last record": (
        "checkpoints",
        ["UPDATE agentpool_checkpoints SET seq = seq + 1000"],
    ),
    "a checkpoint without a pool": (
        "checkpoints",
        ["UPDATE agentpool_checkpoints SET pool_id = 'pool.other'"],
    ),
    "more worked in than there is": (
        "projection",
        ["UPDATE agentpool_pools SET projected = projected + 1"],
    ),
    "worked in without records": (
        "projection",
        ["INSERT INTO agentpool_pools VALUES ('pool.other', 7)"],
    ),
    "an inbox with a record that is no message": (
        "inboxes",
        [f"{ROW} number = 1 WHERE kind = 'inbox' AND number = {DELIVERED}"],
    ),
    "an inbox with a message of another run": (
        "inboxes",
        [f"{ROW} name = 'run.a' WHERE kind = 'inbox' AND number = {DELIVERED}"],
    ),
    "an inbox with a value that cannot be read": (
        "inboxes",
        [f"{ROW} value = '' WHERE kind = 'inbox'"],
    ),
    "rows without records": ("inboxes", [f"{ROW} pool_id = 'pool.other' WHERE kind = 'cause'"]),
    "a message without its contract": (
        "contracts",
        ["DELETE FROM agentpool_rows WHERE kind = 'contract'"],
    ),
    "a contract without its message": (
        "contracts",
        [f"{ROW} value = replace(value, 'key.message.1', 'key.other') WHERE kind = 'contract'"],
    ),
    "a contract that is fulfilled": ("contracts", [counting(1, 1)]),
    "a contract with more answers than there can be": ("contracts", [counting(9, 8)]),
    "a wake without its deadline": (
        "deadlines",
        ["DELETE FROM agentpool_rows WHERE name = 'wake wake.2'"],
    ),
    "a message without its timeout": (
        "deadlines",
        ["DELETE FROM agentpool_rows WHERE name = 'response key.message.1'"],
    ),
    "a message without its expiry": (
        "deadlines",
        ["DELETE FROM agentpool_rows WHERE name = 'expiry key.message.1'"],
    ),
    "a deadline without its wake": (
        "deadlines",
        [f"{ROW} name = 'wake wake.1' WHERE name = 'wake wake.2'"],
    ),
    "a deadline without its message": (
        "deadlines",
        [f"{ROW} name = 'response key.x' WHERE name = 'response key.message.1'"],
    ),
    "answers that are held for nobody": (
        "deadlines",
        [f"{ROW} name = 'held message.1' WHERE name = 'response key.message.1'"],
    ),
    "a lease without its member": (
        "leases",
        [f"{ROW} name = 'lease run.x' WHERE name LIKE 'lease %'"],
    ),
    "a cause without its wake": ("causes", [f"{ROW} name = 'wake.x' WHERE kind = 'cause'"]),
    "a cause of a wake that waits": ("causes", [f"{ROW} name = 'wake.2' WHERE kind = 'cause'"]),
    "an event with another number": ("events", [f"{ROW} number = 2 WHERE kind = 'event'"]),
    "an event without its name": ("events", ["DELETE FROM agentpool_rows WHERE kind = 'event_id'"]),
    "an event name without its event": (
        "events",
        ["DELETE FROM agentpool_rows WHERE kind = 'event'"],
    ),
    "an event name that is no number": ("events", [f"{ROW} value = 'x' WHERE kind = 'event_id'"]),
    "an event number that was not given out": (
        "events",
        ["UPDATE agent_pool_event_seq SET seq = 0"],
    ),
    "an event of a later time": (
        "events",
        [f"{ROW} value = json_set(value, '$.after', 999) WHERE kind = 'event'"],
    ),
    "a time without its record": ("times", ["UPDATE agentpool_times SET seq = seq + 1000"]),
    "a body that was changed": ("bodies", ["UPDATE agentpool_content SET data = x'00'"]),
    "a piece of a body that was changed": (
        "bodies",
        ["UPDATE agentpool_content_pieces SET data = x'01' WHERE number = 1"],
    ),
    "a body that lacks a piece": ("bodies", ["DELETE FROM agentpool_content_pieces"]),
    "a body that is text": ("bodies", ["UPDATE agentpool_content SET data = 'a body'"]),
    "a lost index": ("schema", ["DROP INDEX agentpool_wake_by_id"]),
    "a lost table": ("schema", ["DROP TABLE agentpool_times"]),
    "a lost table of a later version": ("schema", ["DROP TABLE agentpool_promises"]),
    "tables of ours without a version": ("schema", ["PRAGMA user_version = 0"]),
    "an index with a hole": (
        "indexes",
        [
            "PRAGMA writable_schema = ON",
            (
                "UPDATE sqlite_master SET sql = replace(sql, '''member_joined''', '''wake''')"
                " WHERE name = 'agentpool_joins_by_run'"
            ),
        ],
    ),
}


@pytest.mark.parametrize("how", BREAKS)
def test_what_is_broken_is_found(sound: Path, how: str) -> None:
    check, statements = BREAKS[how]
    broken_by(sound, *statements)
    report = examined(sound)
    assert report.of(check).level is Level.BROKEN, str(report)
    assert report.exit_code == 2


ANSWERS = {
    "an answer that is none": ("late", "message.1", ""),
    "a question that is not there": ("asked", "message.x", '{"idempotency_key":"key.x"}'),
    "a question of another id": ("asked", "message.x", '{"idempotency_key":"key.message.1"}'),
    "an answer in time that is none": (
        "asked",
        "message.1",
        '{"idempotency_key":"key.message.1","answers":[1]}',
    ),
}


@pytest.mark.parametrize("how", ANSWERS)
def test_what_is_wrong_about_waiting_for_answers_is_found(sound: Path, how: str) -> None:
    kind, name, value = ANSWERS[how]
    [seq] = query(sound, f"SELECT {DELIVERED}")
    add_row(sound, kind, name, int(seq), value=value)
    assert examined(sound).of("answers").level is Level.BROKEN


def query(path: Path, statement: str) -> tuple[int, ...]:
    with sql(path) as connection:
        row: tuple[int, ...] = connection.execute(statement).fetchone()
        return row


NOTES = {
    "a kind of record of the future": (
        "kinds",
        [
            (
                f"INSERT INTO agent_pool_records VALUES ('{POOL}', (SELECT max(seq) + 1"
                " FROM agent_pool_records), 'future', '{\"type\":\"future\"}')"
            )
        ],
    ),
    "a kind of row of the future": ("rows", [f"{ROW} kind = 'future' WHERE kind = 'cause'"]),
    "a kind of deadline of the future": (
        "rows",
        [f"{ROW} name = 'future x' WHERE name LIKE 'lease %'"],
    ),
    "a schema of the future": ("schema", ["PRAGMA user_version = 99"]),
    "a pool that nobody opened": (
        "configs",
        [
            (
                "INSERT INTO agent_pool_records VALUES"
                " ('pool.other', 1, 'pool_created', '{\"type\":\"pool_created\"}')"
            )
        ],
    ),
    "a checkpoint that cannot be read": (
        "checkpoints",
        ["UPDATE agentpool_checkpoints SET state_json = '?'"],
    ),
    "records that nobody has worked in": (
        "projection",
        ["UPDATE agentpool_pools SET projected = projected - 1"],
    ),
    "a promise of an earlier boot that the log has not come to": (
        "promises",
        [f"INSERT INTO agentpool_promises VALUES ('{POOL}', 'earlier', 1000, 0)"],
    ),
    "pieces of a body that is not there": (
        "pieces",
        ["DELETE FROM agentpool_content WHERE size IS NOT NULL"],
    ),
    "a file of an earlier version": (
        "schema",
        ["DROP TABLE agentpool_promises", "PRAGMA user_version = 1"],
    ),
    "another journal mode": ("journal", ["PRAGMA journal_mode = DELETE"]),
}


LOST_VERSIONS: list[tuple[list[str], str]] = [
    ([], "user_version = 4"),
    (["DROP TABLE agentpool_content_pieces"], "user_version = 3"),
    (["DROP TABLE agentpool_clock"], "user_version = 2"),
    (["DROP TABLE agentpool_clock", "DROP TABLE agentpool_promises"], "user_version = 1"),
    (["DROP TABLE agentpool_times"], "restore a backup"),
]


@pytest.mark.parametrize("how", NOTES)
def test_what_is_worth_knowing_is_said(sound: Path, how: str) -> None:
    check, statements = NOTES[how]
    broken_by(sound, *statements)
    report = examined(sound)
    assert report.of(check).level is Level.NOTE, str(report)
    assert report.exit_code == 1


def test_a_promise_of_this_boot_or_one_that_the_log_has_come_to_is_no_news(sound: Path) -> None:
    rows = f"('{POOL}', '{boot_id()}', 1000, 7), ('pool.other', 'earlier', 0, 0)"
    broken_by(sound, f"INSERT INTO agentpool_promises VALUES {rows}")
    assert examined(sound).exit_code == 0


def test_a_file_of_an_earlier_version_is_examined_like_any_other(sound: Path) -> None:
    made_since = ("TABLE agentpool_promises", "INDEX agentpool_long_records")
    broken_by(sound, *(f"DROP {what}" for what in made_since), "PRAGMA user_version = 1")
    report = examined(sound)
    assert "version 1" in report.of("schema").what
    assert report.of("checkpoints").level is Level.OK
    assert all(each.level is Level.OK for each in report.findings if each.check != "schema")


@pytest.mark.parametrize(("statements", "advice"), LOST_VERSIONS)
def test_the_version_that_a_file_has_lost_is_told_by_its_tables(
    sound: Path, statements: list[str], advice: str
) -> None:
    broken_by(sound, "PRAGMA user_version = 0", *statements)
    assert advice in examined(sound).of("schema").advice


@pytest.mark.parametrize("check", ["dead members", "overdue"])
def test_what_nobody_has_carried_out_is_said(sound: Path, check: str) -> None:
    report = examined(sound, LATER)
    assert report.of(check).level is Level.NOTE
    assert "59 min" in report.of(check).what
    assert report.exit_code == 1


def test_a_claim_that_nobody_took_over_is_said(sound: Path) -> None:
    claim = '{"attempt":1,"claimed_by":"worker.1"}'
    broken_by(
        sound, f"{ROW} value = '{claim}', due_at = {NOW} WHERE kind = 'inbox' AND name = 'run.b'"
    )
    assert examined(sound).of("claims").level is Level.OK
    found = examined(sound, LATER).of("claims")
    assert found.level is Level.NOTE
    assert "'run.b': 2, for 1 h" in found.what


def test_a_second_name_is_found(sound: Path) -> None:
    assert examined(sound).of("links").level is Level.OK
    os.link(sound, sound.with_name("second.db"))
    found = examined(sound).of("links")
    assert found.level is Level.BROKEN
    assert "2 names" in found.what
    assert "-samefile" in found.advice


def test_a_dead_letter_is_said(sound: Path) -> None:
    broken_by(sound, f"{ROW} kind = 'dead' WHERE kind = 'inbox' AND name = 'run.b'")
    report = examined(sound)
    assert report.of("dead letters").level is Level.NOTE
    assert "'run.b': 2" in report.of("dead letters").what
    assert report.of("inboxes").level is Level.OK


def test_a_dead_letter_that_nobody_sent_is_broken(sound: Path) -> None:
    changed = "kind = 'dead', number = -number"
    broken_by(sound, f"{ROW} {changed} WHERE kind = 'inbox' AND name = 'run.b'")
    assert examined(sound).of("inboxes").level is Level.BROKEN


def test_a_damaged_page_is_found_and_the_rest_examined(sound: Path) -> None:
    content = bytearray(sound.read_bytes())
    content[2 * 4096 : 3 * 4096] = b"\xff" * 4096
    sound.write_bytes(content)
    report = examined(sound)
    assert report.of("pages").level is Level.BROKEN
    assert report.exit_code == 2


def test_a_file_of_something_else_is_broken(path: Path) -> None:
    path.write_bytes(b"no database at all" * 100)
    report = examined(path)
    assert report.exit_code == 2
    assert "not a database" in str(report)


def test_a_database_of_something_else_is_no_store(path: Path) -> None:
    broken_by(path, "CREATE TABLE songs (title)")
    assert "no store" in examined(path).of("schema").what
    assert examined(path).exit_code == 2


def test_an_empty_file_has_nothing_stored(path: Path) -> None:
    path.touch()
    assert examined(path).of("schema").level is Level.NOTE
    assert examined(path).exit_code == 1


def test_no_file_is_no_store(path: Path) -> None:
    assert examined(path).exit_code == 2
    assert not path.exists()


def test_a_file_of_another_implementation_is_noted(path: Path) -> None:
    report = examined(foreign_file(path))
    assert "another implementation" in report.of("schema").what
    assert report.exit_code == 1
    with pytest.raises(LookupError):
        report.of("checkpoints")


def test_a_rollback_journal_is_not_touched(sound: Path) -> None:
    journal = sound.with_name("pool.db-journal")
    journal.write_bytes(b"pages of before")
    assert examined(sound).exit_code == 2
    assert journal.read_bytes() == b"pages of before"


def test_the_mean_characters_of_a_damaged_file_are_not_printed(sound: Path) -> None:
    broken_by(sound, f"{RECORD} kind = 'member_joined' || char(27) || '[2J' WHERE seq = 3")
    assert "\x1b" not in str(examined(sound))


def test_many_faults_make_one_line(sound: Path) -> None:
    broken_by(sound, f"{RECORD} payload_json = '{{'")
    found = examined(sound).of("records")
    [count] = query(sound, "SELECT count(*) FROM agent_pool_records")
    assert f"{count} cannot be read" in found.what
    assert f"and {count - 3} more" in found.what
