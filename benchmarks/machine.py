"""What a run was made on: figures without this mean nothing."""

import os
import platform
import sqlite3
import time
from importlib.metadata import version
from pathlib import Path
from statistics import median

import msgspec

from agentpool.stores.sqlite.safety import has_wal_reset_bug, mount_type

__all__ = ("Machine", "describe", "is_memory")

_PAGE = bytes(4096)
_SYNCS = 200


class Machine(msgspec.Struct, frozen=True):
    """Hardware, versions, and the time that the disk takes to make one page durable."""

    system: str
    processor: str
    cores: int
    load_at_start: float
    file_system: str
    fdatasync_us: float
    python: str
    sqlite: str
    sqlite_has_wal_reset_bug: bool
    packages: dict[str, str]


def describe(directory: Path) -> Machine:
    """Look around, for files in this directory."""
    return Machine(
        system=f"{platform.system()} {platform.release()}",
        processor=_processor(),
        cores=_cores(),
        load_at_start=os.getloadavg()[0],
        file_system=_file_system(directory),
        fdatasync_us=_fdatasync_us(directory / "fdatasync"),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        sqlite=sqlite3.sqlite_version,
        sqlite_has_wal_reset_bug=has_wal_reset_bug(sqlite3.sqlite_version_info),
        packages={
            name: version(name) for name in ("agentpool-store", "aiosqlite", "anyio", "msgspec")
        },
    )


def is_memory(machine: Machine) -> bool:
    """Say that the files are in memory, where nothing is durable and every figure is flattered."""
    return machine.file_system in {"tmpfs", "ramfs"}


def _file_system(directory: Path) -> str:
    return mount_type(directory, Path("/proc/self/mountinfo")) or "unknown"


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _fdatasync_us(path: Path) -> float:
    """Time the floor of every durable commit: one page written and synced."""
    sync = getattr(os, "fdatasync", os.fsync)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    try:
        os.pwrite(fd, _PAGE * _SYNCS, 0)
        sync(fd)
        times = []
        for page in range(_SYNCS):
            start = time.perf_counter()
            os.pwrite(fd, _PAGE, page * len(_PAGE))
            sync(fd)
            times.append(time.perf_counter() - start)
    finally:
        os.close(fd)
        path.unlink()
    return median(times) * 1e6
