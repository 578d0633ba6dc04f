"""The doctor says why what lies under a name, or beside it, is no store, and touches none of it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from agentpool.doctor import Level

from .doctoring import examined, sound_file, traces

STRANGE: dict[str, Callable[[Path], None]] = {
    "a directory": Path.mkdir,
    "no regular file": os.mkfifo,
    "Too many levels": lambda path: path.symlink_to(path),
    "no such file": lambda path: path.symlink_to("nothing"),
}


@pytest.mark.parametrize("what", STRANGE)
def test_what_is_no_file_is_told(path: Path, what: str) -> None:
    STRANGE[what](path)
    report = examined(path)
    assert what in report.of("file").what
    assert report.exit_code == 2


HINDERING: dict[str, Callable[[Path], None]] = {
    "a pipe": os.mkfifo,
    "a directory": Path.mkdir,
    "a link": lambda path: path.symlink_to("nothing"),
    "a hard link": lambda path: os.link(path.parent / "victim", path),
}


@pytest.mark.parametrize("how", HINDERING)
@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal"])
async def test_what_hinders_opening_is_found_and_not_touched(
    path: Path, suffix: str, how: str
) -> None:
    sound = await sound_file(path)
    sound.with_name("victim").write_bytes(b"as it was")
    HINDERING[how](sound.with_name(f"pool.db{suffix}"))
    before = traces(sound.parent)
    found = examined(sound).of("file")
    assert found.level is Level.BROKEN
    assert f"pool.db{suffix} lies beside it" in found.what
    assert traces(sound.parent) == before
