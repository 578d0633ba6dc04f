"""A store over one file of JSON lines, written from what `agentpool.stores` says.

Any number of handles and processes may have the file open: a handle holds a lock on it while it
works, and first reads what others have added. Everything is kept in memory too, so this is no store
for long logs.
"""

import asyncio
import errno
import fcntl
import os
import random
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeVar

from jsonl_lines import Change, Entry, LoggedPool, from_lines, to_line

from agentpool.stores import (
    OCTETS,
    AgentPoolError,
    AgentPoolStore,
    Clock,
    Command,
    ConsequenceError,
    Content,
    IncompatibleStoreError,
    Page,
    PoolView,
    StoreBusyError,
    StoreClosedError,
    StoreError,
    StoreFullError,
    carry_out,
    check_identifier,
    checked_content,
    content_ref,
    no_content,
    not_open,
    wall_clock,
)

__all__ = ("JsonLinesStore",)

R = TypeVar("R")

_PATIENCE: Final = 5.0
_LOOK_EVERY: Final = 0.02
_NO_ROOM: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class JsonLinesStore(AgentPoolStore):
    """A handle on a file; ``async with`` it. A thread works off what waits, together.

    :param path: the file, which is created where it is missing
    :raises IncompatibleStoreError: it cannot be opened
    """

    def __init__(self, path: str, *, clock: Clock = wall_clock) -> None:
        super().__init__(clock)
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except (OSError, ValueError, TypeError) as error:
            msg = f"cannot open {path!r}: {error}"
            raise IncompatibleStoreError(msg) from error
        self._worker = ThreadPoolExecutor(1, thread_name_prefix=f"json-lines-{path}")
        self._waiting: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._told: set[str] = set()
        self._forget()

    def _forget(self) -> None:
        """Forget everything, to read it again from the file."""
        self._end, self._now = 0, 0
        self._unwritten: list[Entry] = []
        self._pools: dict[str, LoggedPool] = {}
        self._content: dict[str, Content] = {}

    async def execute(self, pool_id: str, command: Command[R]) -> R:
        check_identifier(pool_id, "pool_id")
        return await self._run(lambda: self._carry_out(pool_id, command))

    async def query(self, pool_id: str, question: Callable[[PoolView], R]) -> R:
        check_identifier(pool_id, "pool_id")

        def ask() -> R:
            try:
                return question(self._pool(pool_id))
            except AgentPoolError as error:
                error.in_pool(pool_id)
                raise

        return await self._run(ask)

    async def read_page(self, pool_id: str, after: int, limit: int) -> Page:
        check_identifier(pool_id, "pool_id")

        def read() -> Page:
            log = self._pool(pool_id).log
            if not log:
                raise not_open(pool_id)
            return Page(log[after : after + limit])

        return await self._run(read)

    async def pool_ids(self) -> list[str]:
        return await self._run(lambda: [each for each, pool in self._pools.items() if pool.log])

    async def put_content(self, data: bytes, *, media_type: str = OCTETS) -> str:
        data = checked_content(data, media_type)
        body = Content(content_ref(data), media_type, data)

        def put() -> None:
            if body.ref not in self._content:
                self._unwritten.append(Entry(changes=[Change(bodies=(body,))]))
                self._keep(self._unwritten[-1])

        await self._run(put)
        return body.ref

    async def get_content(self, ref: str) -> bytes:
        return (await self._kept(ref)).data

    async def content_type(self, ref: str) -> str:
        return (await self._kept(ref)).media_type

    async def _kept(self, ref: str) -> Content:
        check_identifier(ref, "ref")
        body = await self._run(lambda: self._content.get(ref))
        if body is None:
            raise no_content(ref)
        return body

    def listen(self) -> None:
        self._looking = self.spawn(self._look())

    def stop_listening(self) -> None:
        self._looking.cancel()

    async def _look(self) -> None:
        while True:
            if os.fstat(self._file).st_size != self._end:
                with suppress(AgentPoolError):  # whoever follows finds it when they read
                    await self._run(lambda: None)
            await asyncio.sleep(_LOOK_EVERY)

    async def finish(self) -> None:
        await asyncio.wrap_future(self._worker.submit(os.close, self._file))
        self._worker.shutdown()

    async def _run(self, work: Callable[[], R]) -> R:
        """Do something in the thread, on the newest state, while nobody else writes."""
        self.refuse_closed()
        future: Future[R] = Future()
        self._waiting.append((work, future))
        self._worker.submit(self._work_off, asyncio.get_running_loop())
        return await asyncio.wrap_future(future)

    # --- in the thread

    def _work_off(self, loop: asyncio.AbstractEventLoop) -> None:
        jobs = []
        while self._waiting:
            job = self._waiting.popleft()
            if job[1].set_running_or_notify_cancel():
                jobs.append(job)
        try:
            with self._locked():
                self._read_new_lines()
                self._now = self.clock()
                outcomes = [_outcome_of(work) for work, _ in jobs]
                self._flush()
        except (AgentPoolError, OSError) as error:
            self._forget()
            ours = error if isinstance(error, AgentPoolError) else StoreError(str(error))
            outcomes = [(None, ours.copy()) for _ in jobs]
        told, self._told = self._told, set()
        loop.call_soon_threadsafe(self.notify, told)
        for (_, future), (result, failure) in zip(jobs, outcomes, strict=True):
            future.set_exception(failure) if failure else future.set_result(result)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        give_up_at = time.monotonic() + _PATIENCE
        while True:
            if self.is_closed:
                msg = "the store was closed before it came to this"
                raise StoreClosedError(msg)
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > give_up_at:
                    msg = "another process writes, and does not come to an end"
                    raise StoreBusyError(msg) from error
                time.sleep(random.uniform(0.0001, 0.001))
        try:
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def _pool(self, pool_id: str) -> LoggedPool:
        return self._pools.get(pool_id) or LoggedPool(pool_id, lambda: self._now)

    def _carry_out(self, pool_id: str, command: Command[R]) -> R:
        pool = self._pool(pool_id)
        try:
            result = carry_out(pool, command)
            if pool.unsaved:
                self._unwritten.append(Entry(pool_id, self._now, pool.unsaved))
                self._tell(self._unwritten[-1])
                self._keep(self._unwritten[-1])
                self._pools[pool_id], pool.unsaved = pool, []
        except ConsequenceError as error:
            raise error.error from error
        finally:
            if pool.unsaved:
                self._roll_back()
        return result

    def _roll_back(self) -> None:
        """Go back to what was there before a command that failed when something was done."""
        self._flush()
        self._forget()
        self._read_new_lines()
        self._now = self.clock()

    def _tell(self, entry: Entry) -> None:
        if any(each.records or each.announce for each in entry.changes):
            self._told.add(entry.pool_id)

    def _keep(self, entry: Entry) -> None:
        for change in entry.changes:
            for body in change.bodies:
                self._content.setdefault(body.ref, body)

    def _flush(self) -> None:
        """Write what was done, and wait for the disk."""
        if not self._unwritten:
            return
        data, done = to_line(self._unwritten), 0
        try:
            os.ftruncate(self._file, self._end)  # off with what a crash left torn
            while done < len(data):
                done += os.pwrite(self._file, data[done:], self._end + done)
            os.fsync(self._file)
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._file, self._end)
            raise (StoreFullError if error.errno in _NO_ROOM else StoreError)(str(error)) from error
        self._end += len(data)
        self._unwritten = []

    def _read_new_lines(self) -> None:
        size = os.fstat(self._file).st_size
        if size == self._end:
            return
        os.fsync(self._file)  # whoever wrote it may have been killed before doing so
        for length, entries in from_lines(os.pread(self._file, size - self._end, self._end)):
            for entry in entries:
                self._take_in(entry)
            self._end += length

    def _take_in(self, entry: Entry) -> None:
        self._keep(entry)
        if not entry.pool_id:
            return
        self._now = entry.at
        pool = self._pools.setdefault(entry.pool_id, self._pool(entry.pool_id))
        for change in entry.changes:
            pool.take_in(change)
        self._tell(entry)


def _outcome_of(work: Callable[[], Any]) -> tuple[Any, Exception | None]:
    try:
        return work(), None
    except Exception as error:  # noqa: BLE001  # it is the caller's
        return None, error
