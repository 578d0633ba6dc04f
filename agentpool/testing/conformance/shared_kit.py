"""What the tests of shared stores have in common: a place, handles on it, another process there."""

import asyncio
import os
import pkgutil
import sys
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, ClassVar, TypeVar

import msgspec

from agentpool.pool import AgentPool
from agentpool.stores.base import AgentPoolStore
from agentpool.testing.conformance.kit import PATIENCE, POOL
from agentpool.testing.conformance.pool_wakes import a_wait
from agentpool.testing.values import a_member
from agentpool.wire.records import WakeRegistrationStatus

__all__ = ("OtherProcess", "SharedKit", "begun", "waiting_for_more")

R = TypeVar("R")


async def begun(store: AgentPoolStore, waiting: Coroutine[Any, Any, R]) -> "asyncio.Task[R]":
    """Begin to wait for something in a task, and go on when it has looked and found nothing."""
    task = asyncio.ensure_future(waiting)
    for _ in range(5):
        await store.query(POOL, lambda view: view.head)
    return task


async def waiting_for_more(pool: AgentPool, condition_id: str, **fields: Any) -> None:
    """Register a wait for what is not in the log yet."""
    since = (await pool.snapshot()).cursor
    registration = await pool.suspend_until("run.a", a_wait(condition_id, **fields), since=since)
    assert registration.status is WakeRegistrationStatus.REGISTERED


class OtherProcess:
    """A process that uses the store too, and does what it is told, one thing after another."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process, self._stdin, self._stdout = process, process.stdin, process.stdout

    def tell(self, verb: str, *arguments: Any) -> None:
        """Tell it what to do: the name of a method of `other_process.Verbs`, and its arguments."""
        self._stdin.write(msgspec.json.encode([verb, *arguments]) + b"\n")

    async def answer(self) -> Any:
        """Wait for its next answer: what came of it, or the name of the error that refused it."""
        line = await self._stdout.readline()
        assert line, "the process has died"
        return msgspec.json.decode(line)

    async def ask(self, verb: str, *arguments: Any) -> Any:
        """Tell it what to do, and wait until it has done it."""
        self.tell(verb, *arguments)
        return await self.answer()

    async def kill(self) -> list[Any]:
        """Kill it, wherever it is, and give the answers that it still gave."""
        self._process.kill()
        lines = (await self._stdout.read()).split(b"\n")
        return [msgspec.json.decode(line) for line in lines[:-1]]


class SharedKit(ABC):
    """The store under test. Every part of the suite is a mixin over this class.

    :cvar factory: ``"package.module:function"``, a function that is given a place and makes what
        ``async with`` opens the store there by, in this process and in others
    """

    factory: ClassVar[str]

    @abstractmethod
    def new_place(self) -> str:
        """Name a place where no store is yet: a path, a URL, whatever `factory` understands."""

    def open_store(self, place: str) -> AbstractAsyncContextManager[AgentPoolStore]:
        """Make what opens a handle on the store at a place, and creates it where there is none."""
        opening: AbstractAsyncContextManager[AgentPoolStore]
        opening = pkgutil.resolve_name(self.factory)(place)
        return opening

    @asynccontextmanager
    async def opened(self, place: str) -> AsyncIterator[AgentPoolStore]:
        """Open a handle and, in it, the pool of the suite, for a limited time."""
        async with asyncio.timeout(PATIENCE), self.open_store(place) as store:
            await store.open_pool(POOL)
            yield store

    @asynccontextmanager
    async def handles(self) -> AsyncIterator[tuple[AgentPoolStore, AgentPoolStore]]:
        """Open two handles on a new store, for a limited time."""
        place = self.new_place()
        async with self.opened(place) as one, self.opened(place) as other:
            yield one, other

    @asynccontextmanager
    async def pool(self, place: str) -> AsyncIterator[AgentPool]:
        """Open a handle and, in it, a pool with two members, for a limited time."""
        async with self.opened(place) as store, AgentPool.open(store, POOL) as pool:
            await pool.join_run(a_member("run.a"))
            await pool.join_run(a_member("run.b"))
            yield pool

    @asynccontextmanager
    async def pools(self) -> AsyncIterator[tuple[AgentPool, AgentPool]]:
        """Open one pool in two handles on a new store, for a limited time."""
        place = self.new_place()
        async with self.pool(place) as one, self.pool(place) as other:
            yield one, other

    @asynccontextmanager
    async def process(self, place: str) -> AsyncIterator[OtherProcess]:
        """Let another process open the store and the pool; it does not outlive the block."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "agentpool.testing.conformance.other_process"),
            *(self.factory, place),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(each or "." for each in sys.path)},
        )
        try:
            other = OtherProcess(process)
            assert await other.answer() == "ready"
            yield other
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()
