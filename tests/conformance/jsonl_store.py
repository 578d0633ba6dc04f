"""A store over one file of JSON lines, written from the documentation of `agentpool.stores`.

A line is a transaction: the changes of one pool, or a body. Before it stands its checksum, so that
a line that a crash left torn shows; it can only be the last one. Any number of handles and
processes may have the file open: whoever writes holds a lock on it, whoever looks reads first what
others have added. Everything is kept in memory too, so this is no store for long logs.
"""

import asyncio
import errno
import fcntl
import os
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeVar
from zlib import crc32

import msgspec

from agentpool.stores import (
    OCTETS,
    AgentPoolError,
    AgentPoolStore,
    Clock,
    Command,
    ConsequenceError,
    Decision,
    IncompatibleStoreError,
    MemoryPool,
    Page,
    PoolView,
    Row,
    RowKey,
    SealedPayload,
    StoreBusyError,
    StoreError,
    StoreFullError,
    carry_out,
    check_identifier,
    checked_content,
    content_ref,
    no_content,
    not_open,
    open_payload,
    wall_clock,
)

__all__ = ("JsonLinesStore",)

R = TypeVar("R")

_PATIENCE: Final = 5.0
_LOOK_EVERY: Final = 0.02
_NO_ROOM: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Change(msgspec.Struct, omit_defaults=True):
    """What was applied to a pool, or how far its records have been worked in."""

    projected: int | None = None
    records: tuple[tuple[str, str], ...] = ()
    event_sequence: int | None = None
    puts: tuple[Row, ...] = ()
    deletes: tuple[RowKey, ...] = ()
    announce: bool = False


class Line(msgspec.Struct, omit_defaults=True):
    """A transaction: the changes of a pool, or a body."""

    pool_id: str = ""
    at: int = 0
    changes: list[Change] = []
    ref: str = ""
    media_type: str = ""
    body: bytes = b""


class LoggedPool(MemoryPool):
    """A pool in memory that knows which of its changes stand in no line yet."""

    def __init__(self, pool_id: str, clock: Clock) -> None:
        super().__init__(pool_id, clock)
        self.unsaved: list[Change] = []

    def apply(self, decision: Decision[Any]) -> None:
        records = tuple((each.kind, each.payload_json) for each in decision.records)
        self.unsaved.append(Change(None, records, *decision[2:]))
        super().apply(decision)

    def set_projected(self, seq: int) -> None:
        self.unsaved.append(Change(seq))
        super().set_projected(seq)

    def take_in(self, change: Change) -> None:
        """Make a change that stands in a line."""
        if change.projected is not None:
            super().set_projected(change.projected)
            return
        records = tuple(
            SealedPayload(open_payload(self.pool_id, seq, kind, text.encode()), kind, text)
            for seq, (kind, text) in enumerate(change.records, start=self.head + 1)
        )
        rest = (change.event_sequence, change.puts, change.deletes, change.announce)
        super().apply(Decision(None, records, *rest))


class JsonLinesStore(AgentPoolStore):
    """A handle on a file; ``async with`` it. Blocking work is done by a thread, one job at a time.

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
        self._told: set[str] = set()
        self._forget()

    def _forget(self) -> None:
        """Forget everything, to read it again from the file."""
        self._end = 0
        self._now = 0
        self._pools: dict[str, LoggedPool] = {}
        self._content: dict[str, bytes] = {}

    async def execute(self, pool_id: str, command: Command[R]) -> R:
        check_identifier(pool_id, "pool_id")
        return await self._run(lambda: self._carry_out(pool_id, command), fcntl.LOCK_EX)

    async def query(self, pool_id: str, question: Callable[[PoolView], R]) -> R:
        check_identifier(pool_id, "pool_id")
        return await self._run(lambda: question(self._pool(pool_id)))

    async def read_page(self, pool_id: str, after: int, limit: int) -> Page:
        check_identifier(pool_id, "pool_id")

        def read() -> Page:
            pool = self._pool(pool_id)
            if not pool.log:
                raise not_open(pool_id)
            return Page(pool.log[after : after + limit])

        return await self._run(read)

    async def put_content(self, data: bytes, *, media_type: str = OCTETS) -> str:
        body = checked_content(data, media_type)
        ref = content_ref(body)

        def put() -> None:
            if ref not in self._content:
                self._append(Line(ref=ref, media_type=media_type, body=body))
                self._content[ref] = body

        await self._run(put, fcntl.LOCK_EX)
        return ref

    async def get_content(self, ref: str) -> bytes:
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

    # --- in the thread

    async def _run(self, work: Callable[[], R], lock: int = fcntl.LOCK_SH) -> R:
        """Do something in the thread, on the newest state, while nobody else writes."""
        self.refuse_closed()
        loop = asyncio.get_running_loop()

        def job() -> R:
            try:
                with self._locked(lock):
                    self._read_new_lines()
                    self._now = self.clock()
                    return work()
            finally:
                told, self._told = self._told, set()
                if told:
                    loop.call_soon_threadsafe(self.notify, told)

        return await asyncio.wrap_future(self._worker.submit(job))

    @contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        give_up_at = time.monotonic() + _PATIENCE
        while True:
            self.refuse_closed()
            try:
                fcntl.flock(self._file, how | fcntl.LOCK_NB)
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
                line = Line(pool_id, self._now, pool.unsaved)
                self._append(line)
                self._tell(line)
                self._pools[pool_id], pool.unsaved = pool, []
        except ConsequenceError as error:
            raise error.error from error
        finally:
            if pool.unsaved:
                self._forget()
        return result

    def _tell(self, line: Line) -> None:
        if any(each.records or each.announce for each in line.changes):
            self._told.add(line.pool_id)

    def _append(self, line: Line) -> None:
        text = msgspec.json.encode(line)
        data, done = b"%08x %s\n" % (crc32(text), text), 0
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

    def _read_new_lines(self) -> None:
        size = os.fstat(self._file).st_size
        if size < self._end:
            msg = "the file has lost its end"
            raise StoreError(msg)
        if size == self._end:
            return
        os.fsync(self._file)  # whoever wrote it may have been killed before doing so
        try:
            for line, body in _whole_lines(os.pread(self._file, size - self._end, self._end)):
                self._take_in(msgspec.json.decode(body, type=Line))
                self._end += len(line)
        except BaseException:
            self._forget()
            raise

    def _take_in(self, line: Line) -> None:
        if line.ref:
            self._content[line.ref] = line.body
            return
        self._now = line.at
        pool = self._pools.setdefault(line.pool_id, self._pool(line.pool_id))
        for change in line.changes:
            pool.take_in(change)
        self._tell(line)


def _whole_lines(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Give each line with what stands behind its checksum, but for a torn one at the end."""
    lines = data.splitlines(keepends=True)
    for line in lines:
        body = line[9:-1]
        if line == b"%08x %s\n" % (crc32(body), body):
            yield line, body
        elif line is not lines[-1]:
            msg = "the file is damaged"
            raise StoreError(msg)
