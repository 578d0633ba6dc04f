"""A PostgreSQL server: one that is there, or one of our own, and a database on it for each run."""

import os
import pwd
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import run
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

from benchmarks.peers.optional import load, version_of
from benchmarks.peers.server import find_program, serving, wait_until

__all__ = ("connect", "fresh_database", "missing_server", "server")

VARIABLE: Final = "AGENTPOOL_BENCH_POSTGRES"
_NOBODY: Final = "nobody"
_NOT_ALLOWED: Final = 0
_HOST: Final = "127.0.0.1"


def missing_server() -> str | None:
    """Say why there is no server to measure with."""
    if version_of("psycopg") is None:
        return "psycopg is not installed"
    if VARIABLE not in os.environ and _program("postgres") is None:
        return f"there is no PostgreSQL; name one by its URL in {VARIABLE}"
    return None


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """Give the URL of a server, which runs for that long if it is our own; durable as it comes."""
    if VARIABLE in os.environ:
        yield os.environ[VARIABLE]
        return
    with tempfile.TemporaryDirectory(prefix="postgres-", dir=folder) as home:
        data, user = Path(home) / "data", _user()
        if user is not None:
            for each in (folder, Path(home)):
                each.chmod(0o755)
            shutil.chown(home, user)
        run(
            [_program("initdb") or "", "-D", data, "-U", "bench", "-A", "trust", "-E", "UTF8"],
            user=user, check=True, capture_output=True, cwd=home,
        )  # fmt: skip
        port = _free_port()
        places = ("-k", home, "-h", _HOST, "-p", str(port))
        command = [_program("postgres") or "", "-D", str(data), *places]
        with serving(command, Path(home), user=user):
            url = f"postgresql://bench@{_HOST}:{port}/postgres"
            wait_until(lambda: _answers(url), "postgres")
            yield url


@contextmanager
def fresh_database(url: str) -> Iterator[str]:
    """Make an empty database on a server, and drop it with all that is in it."""
    name = f"bench_{uuid4().hex}"
    with connect(url) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")
        try:
            yield urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def connect(url: str) -> Any:
    """Connect, each statement a transaction."""
    return load("psycopg").connect(url, autocommit=True)


def _program(name: str) -> str | None:
    known = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(known[-1]) if known else find_program(name)


def _free_port() -> int:
    with socket.socket() as tried:
        tried.bind((_HOST, 0))
        return int(tried.getsockname()[1])


def _user() -> str | None:
    """Name who runs the server: it refuses to be root's."""
    return pwd.getpwnam(_NOBODY).pw_name if os.geteuid() == _NOT_ALLOWED else None


def _answers(url: str) -> bool | None:
    with suppress(load("psycopg").OperationalError), connect(url):
        return True
    return None
