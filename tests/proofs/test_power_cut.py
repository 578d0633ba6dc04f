"""A power cut takes nothing that was acknowledged with FULL, and breaks nothing with NORMAL."""

import dataclasses
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest

from agentpool.stores.sqlite import promises
from agentpool.testing.faults.disk import Disk
from agentpool.testing.faults.power_cut import Recording, Tally, cut_power, record
from agentpool.testing.faults.syscalls import Call, parse, strace_or_reason

from .helpers import SEED

pytestmark = pytest.mark.slow

STRACE, REASON = strace_or_reason()
ACTIONS, CUTS, ATTEMPTS = 150, 15, 20


@pytest.fixture(scope="module")
def recordings() -> Iterator[Callable[[str], Recording]]:
    """Record a writer under strace, once for each way to synchronize."""
    if not STRACE:
        pytest.skip(REASON)
    with TemporaryDirectory() as folder:
        path = Path(folder).resolve()

        @cache
        def of(synchronous: str) -> Recording:
            place = path / synchronous
            place.mkdir()
            return record(STRACE, place, synchronous, Random(SEED), ACTIONS)

        yield of


@pytest.fixture(params=["FULL", "NORMAL"])
def recorded(
    request: pytest.FixtureRequest, recordings: Callable[[str], Recording]
) -> tuple[str, Recording]:
    return request.param, recordings(request.param)


async def cut_often_enough(recording: Recording, tally: Tally) -> None:
    """Cut the power, with NORMAL until a cursor is ahead of what is left of its log."""
    random = Random(SEED)
    for _ in range(ATTEMPTS):
        await cut_power(recording, CUTS, random, tally)
        if tally.synchronous == "FULL" or tally.cursors.ahead:
            break


async def test_a_power_cut_breaks_nothing_and_full_loses_nothing(
    recorded: tuple[str, Recording],
) -> None:
    synchronous, recording = recorded
    tally = Tally(synchronous)
    await cut_often_enough(recording, tally)
    assert tally.faults == []
    assert len(tally.lost) >= CUTS
    assert tally.acknowledged > 0
    assert synchronous == "NORMAL" or not any(tally.lost)
    assert synchronous == "FULL" or tally.cursors.ahead > 0
    assert tally.cursors.refused == tally.cursors.ahead
    assert tally.cursors.went_on > 0


async def test_cuts_find_it_when_nothing_is_synced(recorded: tuple[str, Recording]) -> None:
    synchronous, recording = recorded
    calls = [call for call in recording.calls if call.name not in {"fsync", "fdatasync"}]
    tally = Tally(synchronous)
    await cut_power(dataclasses.replace(recording, calls=calls), CUTS, Random(SEED), tally)
    assert tally.faults


async def test_cuts_find_it_when_no_promise_was_made(
    recordings: Callable[[str], Recording], monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = recordings("NORMAL")
    monkeypatch.setattr(promises, "lost_upto", lambda *_: 0)
    tally = Tally("NORMAL")
    await cut_often_enough(recording, tally)
    assert tally.cursors.ahead > 0
    assert tally.cursors.refused == 0
    assert len(tally.faults) == tally.cursors.ahead
    assert "was taken" in tally.faults[0]


def disk_after(*calls: tuple[str, tuple[bytes | str, ...], int]) -> Disk:
    """Make a disk whose folder is synced, with one file, and go on."""
    disk = Disk(Path("/d"), lambda name: name == "f")
    for call in (
        ("openat", ("AT_FDCWD", b"/d", "O_RDONLY"), 3),
        ("openat", ("AT_FDCWD", b"/d/f", "O_RDWR|O_CREAT"), 4),
        ("fsync", ("3",), 0),
        *calls,
    ):
        disk.take(Call(*call))
    return disk


def left(disk: Disk, folder: Path) -> set[bytes | None]:
    """List what can be left of the file."""
    found: set[bytes | None] = set()
    for seed in range(200):
        (folder / "f").unlink(missing_ok=True)
        disk.write_after_cut(folder, Random(seed))
        found.add((folder / "f").read_bytes() if (folder / "f").exists() else None)
    return found


def test_what_was_synced_is_left(tmp_path: Path) -> None:
    disk = disk_after(("pwrite64", ("4", b"ab", "2", "0"), 2), ("fdatasync", ("4",), 0))
    assert left(disk, tmp_path) == {b"ab"}


def test_sectors_that_were_not_synced_are_lost_or_left_each_by_itself(tmp_path: Path) -> None:
    one, two = b"1" * 512, b"2" * 512
    disk = disk_after(("pwrite64", ("4", one + two, "1024", "0"), 1024))
    assert {b"", one, one + two, bytes(512) + two} <= left(disk, tmp_path)


def test_a_torn_sector_is_new_up_to_a_point(tmp_path: Path) -> None:
    disk = disk_after(
        ("pwrite64", ("4", b"a" * 512, "512", "0"), 512),
        ("fsync", ("4",), 0),
        ("pwrite64", ("4", b"b" * 512, "512", "0"), 512),
    )
    torn = left(disk, tmp_path) - {b"a" * 512, b"b" * 512}
    assert torn
    assert all(each == (each.rstrip(b"a")).ljust(512, b"a") for each in torn if each)


def test_a_deletion_that_was_not_synced_may_be_undone(tmp_path: Path) -> None:
    disk = disk_after(("unlink", (b"/d/f",), 0))
    assert left(disk, tmp_path) == {None, b""}


def test_a_truncation_that_was_not_synced_may_be_undone(tmp_path: Path) -> None:
    disk = disk_after(
        ("pwrite64", ("4", b"ab", "2", "0"), 2),
        ("fsync", ("4",), 0),
        ("ftruncate", ("4", "1"), 0),
    )
    assert left(disk, tmp_path) == {b"a", b"ab"}


def test_a_call_counts_from_its_end_and_only_when_it_succeeded() -> None:
    lines = [
        '10 openat(AT_FDCWD, "\\x2f\\x64", O_RDWR|O_CREAT, 0644) = 4',
        "10 fdatasync(4 <unfinished ...>",
        '11 write(1, "\\x61", 1) = 1',
        "10 <... fdatasync resumed>) = 0",
        '11 unlink("\\x2f\\x64") = -1 ENOENT (No such file or directory)',
        "11 +++ exited with 0 +++",
    ]
    assert list(parse(lines)) == [
        Call("openat", ("AT_FDCWD", b"/d", "O_RDWR|O_CREAT", "0644"), 4),
        Call("write", ("1", b"a", "1"), 1),
        Call("fdatasync", ("4",), 0),
    ]
