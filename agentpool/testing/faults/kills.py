"""The kill matrix: workers are killed at random instants, and the file is looked at after each.

A scene is a store and all that ever worked on it: an empty one, or one that another implementation
made, so that the first workers migrate it, all at once. One to four workers then do everything
that can be done; each is killed at an instant of its own, while it opens the file or after it was
told a number of things, and while the others go on: everything acknowledged is there once, no
number is missing, nothing is half done, the file is intact and works.
"""

import argparse
import asyncio
import signal
import sqlite3
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

from agentpool import encode
from agentpool.testing.faults import journal, verdict
from agentpool.testing.faults.journal import LOG, Entry, Told
from agentpool.testing.faults.sight import integrity, look, works
from agentpool.testing.sites import Site, new_site
from agentpool.testing.values import a_message, a_receipt
from agentpool.wire.records import (
    AgentPoolStoreConfig,
    AgentPoolStoredMessage,
    AgentPoolStoreRecordPayload,
    MessageStatus,
    PoolCreated,
    PoolOpened,
    RunMessageRecorded,
)

__all__ = ("Scene", "Tally", "kill_matrix", "run", "write_foreign_file")

DEFAULT_ROUNDS: Final = 250
BOUND: Final = 300.0
"""Seconds after which a wait is a failure."""

_WORKERS_OF_A_SCENE: Final = 12
_MOST_LINES: Final = 300
"""Lines of its journal that a worker lives for, at most."""
_MOMENT: Final = 0.03
"""Seconds, at most, that it lives on after the last of them."""
_LOOK_SECONDS: Final = 0.002

_FOREIGN_TABLES: Final = """
    PRAGMA journal_mode = WAL;
    CREATE TABLE agent_pool_records (
        pool_id TEXT NOT NULL, seq INTEGER NOT NULL, kind TEXT NOT NULL,
        payload_json TEXT NOT NULL, PRIMARY KEY (pool_id, seq)
    );
    CREATE TABLE agent_pool_event_seq (pool_id TEXT PRIMARY KEY, seq INTEGER NOT NULL);
"""


@dataclass
class Tally:
    """What a run of the matrix has done and found."""

    kills: int = 0
    acknowledged: Counter[Told] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        told = ", ".join(f"{count} {told}" for told, count in sorted(self.acknowledged.items()))
        return f"{self.kills} kills, {len(self.faults)} faults; acknowledged: {told}"


def write_foreign_file(path: Path, messages: int) -> list[tuple[int, str, str]]:
    """Make a file as another implementation does, and give its records."""
    payloads: list[AgentPoolStoreRecordPayload] = [
        PoolOpened(AgentPoolStoreConfig()),
        PoolCreated(),
    ]
    for number in range(messages):
        message = a_message(f"foreign.{number}", idempotency_key=f"foreign.{number}")
        stored = AgentPoolStoredMessage(message, a_receipt(message, MessageStatus.DELIVERED))
        payloads.append(RunMessageRecorded(stored))
    rows = [(seq, *_kind_and_json(payload)) for seq, payload in enumerate(payloads, start=1)]
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(_FOREIGN_TABLES)
        connection.executemany(f"INSERT INTO agent_pool_records VALUES ('{LOG}', ?, ?, ?)", rows)
    return rows


def _kind_and_json(payload: AgentPoolStoreRecordPayload) -> tuple[str, str]:
    kinds = {PoolOpened: "pool_opened", PoolCreated: "pool_created"}
    return kinds.get(type(payload), "run_message"), encode(payload).decode()


class Scene:
    """A store, and the journals of all who worked on it.

    :param folder: where the journals are, and the file
    :param foreign: whether the file is one of another implementation
    :param site: where the store is instead of in a file
    """

    def __init__(self, folder: Path, *, foreign: bool, site: Site | None = None) -> None:
        self.path: Path = folder / "pool.db"
        self.folder = folder
        self._site = site
        self._foreign = write_foreign_file(self.path, 300) if foreign else []
        self.workers: list[str] = []
        self._checks = 0

    @property
    def site(self) -> Site:
        """Where the store is."""
        return self._site or Site(str(self.path))

    def journals(self) -> list[Entry]:
        """Read what all workers so far have written down."""
        return journal.read(map(self.journal_of, self.workers))

    def journal_of(self, label: str) -> Path:
        """Name the file that a worker writes to."""
        return self.folder / f"{label}.journal"

    def new_label(self) -> str:
        """Name the next worker."""
        self.workers.append(f"w{len(self.workers)}")
        return self.workers[-1]

    @asynccontextmanager
    async def worker(
        self, label: str, seed: int, *options: str
    ) -> AsyncIterator[asyncio.subprocess.Process]:
        """Start a worker, up to the point where a line lets it begin."""
        command = (sys.executable, "-m", "agentpool.testing.faults.worker", str(self.site))
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *command,
            str(self.journal_of(label)),
            label,
            str(seed),
            *options,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()

    async def check(self) -> list[str]:
        """Say what is wrong with the file, whoever is working on it meanwhile."""
        if self._site is None and not self.path.exists():
            return []  # all were killed before they made one
        before = self.journals()
        refs = [entry.values[0] for entry in before if entry.told is Told.CONTENT]
        sight = await look(self.site, refs)
        after = self.journals()
        complaints = await asyncio.to_thread(integrity, self.site)
        found = [f"integrity check: {line}" for line in complaints]
        found += verdict.broken(sight)
        found += verdict.lost(sight, before, after)
        found += verdict.doubled(sight, before, after)
        if self._foreign:
            found += self._changed_foreign_records()
        self._checks += 1
        await works(self.site, f"check.{self._checks}")
        return found

    def _changed_foreign_records(self) -> list[str]:
        with closing(sqlite3.connect(self.path, timeout=BOUND)) as connection:
            rows = connection.execute(
                "SELECT seq, kind, payload_json FROM agent_pool_records"
                " WHERE pool_id = ? ORDER BY seq LIMIT ?",
                (LOG, len(self._foreign)),
            ).fetchall()
        return [] if rows == self._foreign else ["the records of the foreign file have changed"]


async def kill_matrix(kills: int, random: Random, url: str | None = None) -> Tally:
    """Kill so many workers, in one scene after another.

    :param url: of a server, where each scene has a schema of its own; else they are files
    """
    tally = Tally()
    while tally.kills < kills and not tally.faults:
        is_foreign = random.random() < 0.6 and url is None
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            site = None if url is None else stack.enter_context(new_site(folder, url))
            scene = Scene(folder, foreign=is_foreign, site=site)
            end = min(kills, tally.kills + _WORKERS_OF_A_SCENE)
            while tally.kills < end:
                await _kill_some(scene, random, min(random.randint(1, 4), end - tally.kills), tally)
            tally.acknowledged.update(entry.told for entry in scene.journals())
    return tally


@dataclass
class _Round:
    """Workers that begin together, and are killed one after another."""

    scene: Scene
    tally: Tally
    barrier: asyncio.Barrier
    checking: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def kill_one(self, random: Random) -> None:
        label, lines = self.scene.new_label(), _life(random)
        moment = random.uniform(0, _MOMENT)
        async with self.scene.worker(label, random.getrandbits(32)) as process:
            assert process.stdin
            assert process.stdout
            await process.stdout.readline()
            await self.barrier.wait()
            process.stdin.write(b"\n")
            await _until_written(self.scene.journal_of(label), lines, process)
            await asyncio.sleep(moment)
            if process.returncode is None:
                process.kill()
            _, errors = await process.communicate()
        if process.returncode != -signal.SIGKILL:
            self.tally.faults.append(f"a worker ended by itself: {errors.decode()[-3000:]}")
        async with self.checking:
            self.tally.faults += await self.scene.check()
        self.tally.kills += 1


async def _kill_some(scene: Scene, random: Random, count: int, tally: Tally) -> None:
    round_ = _Round(scene, tally, asyncio.Barrier(count))
    async with asyncio.timeout(BOUND), asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(round_.kill_one(Random(random.getrandbits(32))))  # noqa: S311


def _life(random: Random) -> int:
    """Choose after how many lines to kill: as often none, to hit the opening and the migration."""
    return 0 if random.random() < 0.5 else round(_MOST_LINES ** random.random())


async def _until_written(path: Path, lines: int, process: asyncio.subprocess.Process) -> None:
    """Wait until a worker has written so many lines to its journal, or has ended."""
    while process.returncode is None and _lines_of(path) < lines:  # noqa: ASYNC110  # in a file
        await asyncio.sleep(_LOOK_SECONDS)


def _lines_of(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def run(args: argparse.Namespace) -> int:
    """Run the matrix as the command line says; the exit code is 1 when something was found."""
    kills = DEFAULT_ROUNDS if args.rounds is None else args.rounds
    random = Random(args.seed)  # noqa: S311  # no secret
    tally = asyncio.run(kill_matrix(kills, random, args.url))
    sys.stdout.write(f"{tally}\n")
    sys.stdout.writelines(f"  {fault}\n" for fault in tally.faults)
    return 1 if tally.faults else 0
