"""A PostgreSQL server of the tests' own, which is over when they are."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from random import SystemRandom
from shutil import rmtree
from typing import TYPE_CHECKING, Any, Final, Literal, Self
from urllib.parse import quote

from .programs import BOUND, PostgresError, Programs, find_programs, new_home, owner
from .watch import Watch, kill_family

if TYPE_CHECKING:
    import psycopg

__all__ = ("Server", "Setting")

Setting = str | int | float | bool

USER: Final = "agentpool"
HOST: Final = "127.0.0.1"

_SIGNALS: Final = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}
_PORTS: Final = range(20_000, 32_000)
"""Below those that Linux gives to clients, so that one stays free while its server is down."""
_DEFAULTS: Final[dict[str, Setting]] = {
    "shared_buffers": "32MB",
    "max_connections": 100,
    "wal_keep_size": "64MB",  # so that a standby that was stopped finds what it missed
}
_POLL_SECONDS: Final = 0.02


class Server:
    """A server on a unix socket and on loopback, whose data is gone when it is closed.

    Whoever connects is trusted. It is also stopped, and removed, when this process is killed.
    """

    def __init__(self, home: Path, programs: Programs, settings: dict[str, Setting]) -> None:
        self.home = home
        self.data = home / "data"
        self.log = home / "log"
        self.port = _free_port()
        self._programs = programs
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._watch: Watch | None = None
        self._ending = ExitStack()
        self._ending.callback(rmtree, home, ignore_errors=True)
        self._ending.callback(self.kill)
        self._ending.callback(self.stop, "immediate")

    @classmethod
    def start(cls, folder: Path | None = None, **settings: Setting) -> Self:
        """Make a server with these settings of ``postgresql.conf``, and wait until it answers.

        The folder must not be there yet; without one it gets one of its own.
        """
        programs = find_programs()
        home = new_home(folder)
        server = cls(home, programs, _DEFAULTS | settings)
        with server._closed_on_failure():
            server._programs = programs.reachable(home)
            server._run(
                "initdb", "--pgdata", server.data, "--username", USER, "--auth", "trust",
                "--encoding", "UTF8", "--locale", "C", "--no-sync",
            )  # fmt: skip
            server.start_again()
        return server

    @property
    def name(self) -> str:
        """What a standby is called by its primary."""
        return f"server_{self.port}"

    @property
    def version(self) -> int:
        """The major version."""
        return self._programs.version

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def url(self, database: str = "postgres", *, tcp: bool = False, port: int | None = None) -> str:
        """Say how to connect: by the unix socket, by TCP, or by another port on loopback."""
        if tcp or port:
            return f"postgresql://{USER}@{HOST}:{port or self.port}/{quote(database, safe='')}"
        place = quote(str(self.home), safe="")
        return f"postgresql://{USER}@{place}:{self.port}/{quote(database, safe='')}"

    def connect(self, database: str = "postgres") -> "psycopg.Connection[tuple[Any, ...]]":
        """Connect by the unix socket, each statement a transaction."""
        import psycopg  # noqa: PLC0415  # all other tests do without

        return psycopg.connect(self.url(database), autocommit=True, connect_timeout=int(BOUND))

    def sql(self, statement: str, *values: Any, database: str = "postgres") -> list[Any]:
        """Execute a statement on a connection of its own; give its rows, if it has any."""
        with self.connect(database) as connection:
            cursor = connection.execute(statement.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def create_database(self, name: str, *, encoding: str = "UTF8", collation: str = "C") -> str:
        """Create a database, from ``template0``, and say how to connect to it."""
        self.sql(
            f"""CREATE DATABASE "{name}" TEMPLATE template0 ENCODING '{encoding}'
            LC_COLLATE '{collation}' LC_CTYPE '{collation}'"""
        )
        return self.url(name)

    def start_again(self, **settings: Setting) -> None:
        """Start it after it was stopped or killed, on the same port; wait until it answers.

        It keeps its settings but for those given.
        """
        if self.running:
            msg = "the server is running"
            raise PostgresError(msg)
        self._over()
        self._settings |= settings
        who = owner()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs.folder / "postgres", *self._arguments()],
                cwd=self.home,
                env=self._programs.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # what ^C is meant for is the tests
                user=who.user,
                group=who.group,
                extra_groups=None if who.user is None else [],
            )
        self._watch = Watch(self._process.pid, self.home)
        self._until(self._answers, "the server to answer")

    def stop(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Stop it in order, or at once as after a crash; that of a stopped one does nothing."""
        if self._process is None:
            return
        self._process.send_signal(_SIGNALS[mode])
        try:
            self._process.wait(BOUND)
        except subprocess.TimeoutExpired:
            self.kill()
            msg = f"the server did not stop in {BOUND:.0f} s"
            raise PostgresError(msg) from None
        self._over()

    def kill(self) -> None:
        """Kill all of its processes, none of which can do anything about it."""
        if self._process is not None:
            if self.running:
                kill_family(self._process.pid)
            self._process.wait(BOUND)
            self._over()

    def crash(self) -> None:
        """Kill one of its processes, as when memory runs out; wait until it has recovered."""
        import psycopg  # noqa: PLC0415  # see above

        with self.connect() as killed, self.connect() as other:
            os.kill(killed.info.backend_pid, signal.SIGKILL)
            with suppress(psycopg.OperationalError):  # all sessions are ended then
                other.execute("SELECT pg_sleep(%s)", [BOUND])
                msg = "the server did not end the other sessions"
                raise PostgresError(msg)
        self._until(self._accepts, "the server to recover")

    def standby(
        self, folder: Path | None = None, *, synchronous: bool = False, **settings: Setting
    ) -> "Server":
        """Make a standby that streams from here; wait until it does.

        From then on a commit waits for a synchronous one, until that is closed.
        """
        standby = Server(new_home(folder), self._programs, self._settings | settings)
        self._ending.callback(standby.close)
        with standby._closed_on_failure():
            standby._run(
                "pg_basebackup", "--pgdata", standby.data, "--write-recovery-conf",
                "--wal-method", "stream", "--checkpoint", "fast", "--no-sync", "--no-password",
                "--host", self.home, "--port", self.port, "--username", USER,
            )  # fmt: skip
            standby.start_again()
            standby.wait_for_standby("")  # what was copied from here may name one
            if synchronous:
                standby._ending.callback(self._wait_for_none)
                self.wait_for_standby(standby.name)
            wanted = (standby.name, "sync" if synchronous else "async")
            self._until(lambda: wanted in self._streams(), "the standby to stream")
        return standby

    def wait_for_standby(self, name: str) -> None:
        """Let commits wait for the standby of this name; for none where it is empty."""
        quoted = f'"{name}"' if name else ""
        self.sql(f"ALTER SYSTEM SET synchronous_standby_names = '{quoted}'")
        self.sql("SELECT pg_reload_conf()")

    def promote(self) -> None:
        """Let a standby become a server of its own; wait until it accepts what is written."""
        if self.sql("SELECT pg_promote(true, %s::int)", int(BOUND)) != [(True,)]:
            msg = f"the standby was not promoted in {BOUND:.0f} s"
            raise PostgresError(msg)

    def close(self) -> None:
        """Stop it, and its standbys before, and remove all that it has written."""
        self._ending.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _arguments(self) -> list[str]:
        settings = self._settings | {
            "cluster_name": self.name,
            "listen_addresses": HOST,
            "port": self.port,
            "unix_socket_directories": str(self.home),
        }
        written = {True: "on", False: "off"}
        arguments = ["-D", str(self.data)]
        for name, value in settings.items():
            told = written[value] if isinstance(value, bool) else value
            arguments += ["-c", f"{name}={told}"]
        return arguments

    def _run(self, program: str, *arguments: object) -> None:
        self._programs.run(self.home, program, *arguments)

    def _answers(self) -> bool:
        """Read what the server itself writes down; what an earlier one wrote has another number."""
        assert self._process
        if not self.running:
            msg = f"the server has ended: {self.log.read_text()[-2000:]}"
            raise PostgresError(msg)
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return lines[:1] == [str(self._process.pid)] and lines[7:8] == ["ready   "]

    def _accepts(self) -> bool:
        import psycopg  # noqa: PLC0415  # see above

        try:
            return self.sql("SELECT 1") == [(1,)]
        except psycopg.OperationalError:
            return False

    def _streams(self) -> list[Any]:
        """List the standbys that follow, and whether commits wait for them."""
        return self.sql(
            """SELECT application_name, sync_state FROM pg_stat_replication
            WHERE state = 'streaming'"""
        )

    def _until(self, holds: Callable[[], bool], what: str) -> None:
        late = time.monotonic() + BOUND
        while not holds():
            if time.monotonic() > late:
                msg = f"waited {BOUND:.0f} s for {what}"
                raise PostgresError(msg)
            time.sleep(_POLL_SECONDS)

    def _over(self) -> None:
        if self._watch:
            self._watch.end()
        self._process = self._watch = None

    def _wait_for_none(self) -> None:
        if self.running:
            self.wait_for_standby("")

    @contextmanager
    def _closed_on_failure(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.close()
            raise


def _free_port() -> int:
    """Find a port that nobody has, by a chance that no seed makes the same in two processes."""
    for port in SystemRandom().sample(_PORTS, 100):
        with socket.socket() as tried:
            try:
                tried.bind((HOST, port))
            except OSError:
                continue
            return port
    msg = "no port is free"
    raise PostgresError(msg)
