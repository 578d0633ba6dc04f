"""Connecting to a file so that nothing is changed and nothing is left behind.

A read-only connection to a file in WAL mode still needs its ``-shm`` file: it makes one, and a
``-wal`` too, and cannot remove them. So how to connect depends on what lies beside the file:

======================= =======================================================================
no ``-wal``             all is in the file: ``immutable``, which takes no locks and makes no
                        file. Whether it was changed meanwhile shows afterwards.
both, and in use        ``mode=ro``, as any reader; a reader marks its place in the ``-shm``.
both, nobody            ``readonly_shm`` too: what a crash left behind is read, not recovered.
``-wal`` without shm    nobody has it open, and a reader would have to make a ``-shm``: a copy.
======================= =======================================================================

None of this opens the file with a descriptor of ours where SQLite may have it open: closing that
would drop SQLite's locks. Sources: sqlite.org/uri.html, sqlite.org/wal.html, and os_unix.c for
``readonly_shm``.
"""

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from agentpool.doctor.processes import PROC, locks
from agentpool.stores.sqlite.place import beside

__all__ = ("Footprint", "Way", "footprint", "journal_mode", "length", "looking", "way_of")

Footprint: TypeAlias = tuple[tuple[int, int, int] | None, ...]

_PATIENCE: Final = 5.0
_IMMUTABLE: Final = "mode=ro&immutable=1"


@dataclass(frozen=True)
class Way:
    """How to read a file.

    :ivar query: the parameters of the connection
    :ivar copied: whether to read a copy
    :ivar isolated: whether what others write meanwhile cannot be seen
    """

    query: str
    copied: bool = False
    isolated: bool = False


def length(path: Path) -> int | None:
    """Give the length of a file; ``None`` where there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def footprint(path: Path) -> Footprint:
    """Describe the database and what lies beside it, so that a change shows."""
    return tuple(_described(beside(path, suffix)) for suffix in ("", "-wal", "-journal"))


def way_of(path: Path, proc: Path = PROC) -> Way:
    """Choose how to read a file."""
    wal, shm = length(beside(path, "-wal")), beside(path, "-shm")
    if wal is None:
        return Way(_IMMUTABLE)
    if not shm.exists():
        return Way("mode=ro", copied=True) if wal else Way(_IMMUTABLE)
    held = locks(shm, proc)
    if held is None or held:
        return Way("mode=ro", isolated=True)
    return Way("mode=ro&readonly_shm=1", isolated=True)


@contextmanager
def looking(path: Path, way: Way) -> Iterator[sqlite3.Connection]:
    """Connect to a file for reading.

    :raises sqlite3.Error: it cannot be read
    """
    with ExitStack() as stack:
        if way.copied:
            folder = tempfile.TemporaryDirectory(prefix="agentpool-doctor-")
            path = _copied(path, Path(stack.enter_context(folder)))
        yield stack.enter_context(closing(_connected(path, way.query)))


def journal_mode(connection: sqlite3.Connection, path: Path, way: Way) -> str:
    """Tell the journal mode of a file. An immutable file always says that it has none of ours.

    Without locks SQLite refuses a file in WAL mode, and makes no file beside it.
    """
    if way.query != _IMMUTABLE:
        [mode] = connection.execute("PRAGMA journal_mode").fetchone()
        return str(mode)
    with closing(_connected(path, "mode=ro&nolock=1")) as probe:
        try:
            [mode] = probe.execute("PRAGMA journal_mode").fetchone()
            probe.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_CANTOPEN:
                raise
            return "wal"
        return str(mode)


def _connected(path: Path, query: str) -> sqlite3.Connection:
    uri = f"{path.as_uri()}?{query}"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=_PATIENCE)
    # Of a damaged file text need not be UTF-8; surrogates keep its bytes.
    connection.text_factory = lambda raw: raw.decode(errors="surrogateescape")
    return connection


def _copied(path: Path, folder: Path) -> Path:
    for suffix in ("", "-wal"):
        shutil.copyfile(beside(path, suffix), folder / f"copy.db{suffix}")
    return folder / "copy.db"


def _described(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
