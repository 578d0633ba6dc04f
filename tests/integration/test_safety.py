"""What is checked before a file is opened: the version of SQLite, and the mount."""

import logging
import sqlite3
from pathlib import Path

import anyio
import pytest

from agentpool import IncompatibleStoreError, SqliteAgentPoolStore
from agentpool.stores.sqlite import safety
from agentpool.stores.sqlite.safety import (
    UNSAFE_MOUNTS,
    check_mount,
    has_wal_reset_bug,
    mount_type,
)

from .helpers import POOL

VERSIONS = [
    ((3, 7, 0), True),
    ((3, 37, 2), True),
    ((3, 40, 1), True),
    ((3, 44, 5), True),
    ((3, 44, 6), False),
    ((3, 44, 7), False),
    ((3, 45, 1), True),
    ((3, 46, 1), True),
    ((3, 50, 6), True),
    ((3, 50, 7), False),
    ((3, 51, 0), True),
    ((3, 51, 2), True),
    ((3, 51, 3), False),
    ((3, 52, 0), False),
    ((4, 0, 0), False),
]


@pytest.mark.parametrize(("version", "has_bug"), VERSIONS)
def test_which_versions_have_the_wal_reset_bug(version: tuple[int, ...], has_bug: bool) -> None:
    assert has_wal_reset_bug(version) is has_bug


@pytest.mark.parametrize(("version", "told"), [((3, 45, 1), True), ((3, 51, 3), False)])
async def test_the_bug_is_told_to_who_debugs_and_to_nobody_else(
    version: tuple[int, ...],
    told: bool,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "agentpool")
    monkeypatch.setattr(sqlite3, "sqlite_version_info", version)
    async with SqliteAgentPoolStore.open(path):
        pass
    about = [record for record in caplog.records if "WAL-reset" in record.getMessage()]
    assert [record.levelno for record in about] == [logging.DEBUG] * told


@pytest.fixture
def mountinfo(tmp_path: Path) -> Path:
    """Name the file that stands for the kernel's list of mounts."""
    return tmp_path / "mountinfo"


def mounts(file: Path, *pairs: tuple[str, str]) -> Path:
    """Write a list of mounts, as the kernel does: mount point and type of each."""
    lines = [
        f"{number} 1 0:{number} / {where} rw,relatime shared:{number} - {kind} source rw"
        for number, (where, kind) in enumerate(pairs, start=20)
    ]
    file.write_bytes("\n".join([*lines, ""]).encode("utf-8", "surrogateescape"))
    return file


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/pool.db", "ext4"),
        ("/data/pool.db", "virtiofs"),
        ("/data/deep/down/pool.db", "virtiofs"),
        ("/data/inner/pool.db", "xfs"),
        ("/database/pool.db", "ext4"),
        ("/twice/pool.db", "nfs4"),
    ],
)
def test_the_innermost_and_latest_mount_counts(mountinfo: Path, path: str, kind: str) -> None:
    mounts(
        mountinfo,
        ("/", "ext4"),
        ("/data/inner", "xfs"),
        ("/data", "virtiofs"),
        ("/twice", "tmpfs"),
        ("/twice", "nfs4"),
    )
    assert mount_type(Path(path), mountinfo) == kind


@pytest.mark.parametrize(
    ("escaped", "path"),
    [
        (r"/with\040space", "/with space/pool.db"),
        (r"/back\134slash", "/back\\slash/pool.db"),
        ("/données", "/données/pool.db"),
        ("/\udcff", "/\udcff/pool.db"),
    ],
)
def test_mount_points_may_have_any_name(mountinfo: Path, escaped: str, path: str) -> None:
    mounts(mountinfo, ("/", "ext4"), (escaped, "nfs"))
    assert mount_type(Path(path), mountinfo) == "nfs"
    assert mount_type(Path("/pool.db"), mountinfo) == "ext4"


def test_where_a_link_leads_counts(mountinfo: Path, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "shared")
    mounts(mountinfo, ("/", "ext4"), (f"{tmp_path}/shared", "cifs"))
    assert mount_type(tmp_path / "link" / "pool.db", mountinfo) == "cifs"


def test_without_a_list_of_mounts_nothing_is_refused(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    assert mount_type(tmp_path, missing) is None
    check_mount(tmp_path, mountinfo=missing)


def test_a_local_disk_is_accepted(mountinfo: Path) -> None:
    mounts(mountinfo, ("/", "ext4"))
    check_mount(Path("/pool.db"), mountinfo=mountinfo)


FUSE = ("fuse", "fuse.sshfs", "fuse.gcsfuse", "fuse.rclone", "fuse.ceph-fuse", "fuse.anything")


@pytest.mark.parametrize("kind", [*sorted(UNSAFE_MOUNTS), *FUSE])
def test_an_unsafe_mount_is_refused_by_name(mountinfo: Path, kind: str) -> None:
    mounts(mountinfo, ("/", "ext4"), ("/mnt", kind))
    with pytest.raises(IncompatibleStoreError, match=f"on a {kind} mount"):
        check_mount(Path("/mnt/pool.db"), mountinfo=mountinfo)


def test_what_is_known_to_corrupt_is_on_the_list() -> None:
    assert {"virtiofs", "9p", "nfs", "nfs4", "cifs", "smb3", "ceph", "vboxsf"} <= UNSAFE_MOUNTS


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "zfs", "overlay", "tmpfs", "fuseblk"])
def test_where_the_kernel_keeps_the_locks_a_file_is_accepted(mountinfo: Path, kind: str) -> None:
    mounts(mountinfo, ("/", "nfs"), ("/mnt", kind))
    check_mount(Path("/mnt/pool.db"), mountinfo=mountinfo)


def test_a_file_that_is_mounted_alone_is_refused(mountinfo: Path) -> None:
    mounts(mountinfo, ("/", "ext4"), ("/data/pool.db", "ext4"))
    with pytest.raises(IncompatibleStoreError, match="mount its folder instead"):
        check_mount(Path("/data/pool.db"), mountinfo=mountinfo)
    check_mount(Path("/data/other.db"), mountinfo=mountinfo)


@pytest.mark.parametrize("line", ["", "7", "1 1 0:1 / /mnt", "1 1 0:1 / /mnt rw -", "- " * 4])
def test_a_line_that_tells_of_no_mount_is_passed_over(mountinfo: Path, line: str) -> None:
    mounts(mountinfo, ("/", "ext4"))
    mountinfo.write_text(f"{line}\n{mountinfo.read_text()}{line}\n")
    assert mount_type(Path("/mnt/pool.db"), mountinfo) == "ext4"


def test_a_mount_may_be_named_like_the_mark_before_its_kind(mountinfo: Path) -> None:
    mountinfo.write_text("1 1 0:1 - / rw - ext4 none rw\n")
    assert mount_type(Path("/pool.db"), mountinfo) == "ext4"


@pytest.mark.parametrize("name", ["a\rb", "a\x0bb", "a\x85b", "a\u2028b", "a\x1cb"])
def test_only_a_newline_ends_a_line(mountinfo: Path, name: str) -> None:
    mounts(mountinfo, ("/", "ext4"), (f"/{name}", "nfs"))
    assert mount_type(Path(f"/{name}/pool.db"), mountinfo) == "nfs"


async def test_opening_on_an_unsafe_mount_has_to_be_asked_for(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(safety, "mount_type", lambda *_: "virtiofs")
    with pytest.raises(IncompatibleStoreError, match="allow_unsafe_mount"):
        await SqliteAgentPoolStore.open(path)
    assert not await anyio.Path(path).exists()
    async with SqliteAgentPoolStore.open(path, allow_unsafe_mount=True) as store:
        await store.open_pool(POOL)
