"""Checks of what a file depends on, on made-up systems."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from agentpool.doctor import Finding, Level, Report
from agentpool.doctor.environment import check_mount, check_processes, check_synchronous
from agentpool.doctor.processes import locks, name_of, readers
from agentpool.doctor.report import Places, in_bytes


@pytest.mark.parametrize(
    ("kind", "level"), [("ext4", Level.OK), ("9p", Level.NOTE), ("fuse.gcsfuse", Level.NOTE)]
)
def test_a_mount_is_noted_where_a_log_can_corrupt(tmp_path: Path, kind: str, level: Level) -> None:
    mountinfo = tmp_path / "self" / "mountinfo"
    mountinfo.parent.mkdir()
    mountinfo.write_text(f"1 1 0:1 / / rw - {kind} none rw\n")
    [found] = check_mount(Path("/somewhere/pool.db"), tmp_path)
    assert found.level is level
    assert kind in found.what


def test_a_file_that_is_mounted_alone_is_found(tmp_path: Path) -> None:
    mountinfo = tmp_path / "self" / "mountinfo"
    mountinfo.parent.mkdir()
    mountinfo.write_text(
        "1 1 0:1 / / rw - ext4 none rw\n2 1 0:1 / /data/pool.db rw - ext4 none rw\n"
    )
    [found] = check_mount(Path("/data/pool.db"), tmp_path)
    assert found.level is Level.BROKEN
    assert "mount its folder" in found.advice


def test_a_system_without_proc_can_be_asked_nothing(tmp_path: Path) -> None:
    [mount] = check_mount(tmp_path / "pool.db", tmp_path)
    [processes] = check_processes(tmp_path / "pool.db", tmp_path)
    assert (mount.level, processes.level) == (Level.OK, Level.OK)
    assert "unknown" in mount.what
    assert "cannot be told" in processes.what
    assert locks(tmp_path, tmp_path) is None
    assert name_of(7, tmp_path) == "process 7"


def test_a_reader_is_told_from_other_locks_and_from_those_that_wait(tmp_path: Path) -> None:
    shm = tmp_path / "pool.db-shm"
    shm.touch()
    inode = shm.stat().st_ino
    lines = [
        f"1: POSIX  ADVISORY  READ 11 fe:00:{inode} 124 124",
        f"2: POSIX  ADVISORY  READ 12 fe:00:{inode} 128 128",
        f"3: POSIX  ADVISORY  WRITE 13 fe:00:{inode} 120 120",
        f"4: -> POSIX  ADVISORY  READ 14 fe:00:{inode} 124 124",
        f"5: POSIX  ADVISORY  READ 15 fe:00:{inode + 1} 124 124",
        f"6: FLOCK  ADVISORY  WRITE 16 fe:00:{inode} 0 EOF",
    ]
    (tmp_path / "locks").write_text("\n".join(lines))
    assert readers(shm, tmp_path) == [11]


def test_a_library_that_does_not_wait_for_the_disk_is_noted() -> None:
    class Ignoring(sqlite3.Connection):
        def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
            return super().execute(
                sql.replace("synchronous = FULL", "synchronous = OFF"), parameters
            )

    for factory, level in ((Ignoring, Level.NOTE), (sqlite3.Connection, Level.OK)):
        with closing(sqlite3.connect(":memory:", factory=factory)) as connection:
            [found] = check_synchronous(connection)
        assert found.level is level


@pytest.mark.parametrize(
    ("levels", "code"), [("", 0), ("ok", 0), ("ok note", 1), ("note BROKEN ok", 2)]
)
def test_the_worst_finding_makes_the_exit_code(levels: str, code: int) -> None:
    findings = tuple(Finding(Level(level), "check", "what") for level in levels.split())
    assert Report(Path("pool.db"), findings).exit_code == code


def test_the_worst_finding_of_a_check_stands_for_it() -> None:
    findings = tuple(Finding(level, "check", str(level)) for level in (Level.OK, Level.NOTE))
    report = Report(Path("pool.db"), findings)
    assert report.of("check").level is Level.NOTE
    with pytest.raises(LookupError):
        report.of("another")


def test_places_are_counted_and_the_first_named() -> None:
    places = Places()
    assert not places
    for number in range(5):
        places.add(f"place {number}")
    assert len(places) == 5
    assert str(places) == "place 0; place 1; place 2; and 2 more"


def test_bytes_are_written_for_people() -> None:
    assert [in_bytes(1000 * 1024**n) for n in range(4)] == [
        "1000 bytes",
        "1000 KiB",
        "1000 MiB",
        "1000 GiB",
    ]
