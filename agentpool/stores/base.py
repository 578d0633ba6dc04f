"""The contract of a store: what every store promises, and what a new one has to provide."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from agentpool.errors import InvalidValueError, PoolNotOpenError
from agentpool.rules.command import Command, PoolView
from agentpool.rules.log import (
    JoinMember,
    LeaveMember,
    NextEventSequence,
    OpenPool,
    RecordMessage,
    RecordPoolCreated,
    RecordWake,
    checked_cursor,
    require_open,
)
from agentpool.stores.tail import Signals
from agentpool.support.clock import Clock, checked_clock, wall_clock
from agentpool.support.loop import running_loop
from agentpool.wire.content import OCTETS
from agentpool.wire.filters import CompiledEventFilter
from agentpool.wire.ids import check_identifier
from agentpool.wire.records import (
    AgentPoolMember,
    AgentPoolStoreConfig,
    AgentPoolStoreCursor,
    AgentPoolStoredWake,
    AgentPoolStoreRecord,
    MessageReceipt,
    RunMessage,
    WakeCondition,
    WakeRegistration,
)
from agentpool.wire.snapshot import AgentPoolSnapshot

__all__ = ("AgentPoolStore",)

C = TypeVar("C")
R = TypeVar("R")


class AgentPoolStore(ABC):
    """An append-only log per pool, with what is derived from it.

    *Order.* The records of a pool are numbered 1, 2, 3, ... without gaps, in the order in which
    they were committed. Everybody reads them in that order.

    *Durability.* What a method has returned is in the log, and stays there. A call that raises one
    of our errors has appended nothing.

    *Atomicity.* A command is decided on the state that it is appended to. Of two that exclude each
    other, from whatever process, one wins and the other is told.

    *Cancellation.* A cancelled call has had its whole effect or none. Which one, the idempotency
    key tells (`message_receipt`, `wake_registration`); calling again is always safe. The handle
    stays usable.

    *Concurrency.* Any number of tasks of one event loop may use one handle.

    Every method raises `StoreClosedError` after `aclose()`, and `InvalidValueError` for a value
    that the wire format refuses. Methods about a pool raise `PoolNotOpenError` until it is opened.
    Stores on a file raise `StoreBusyError`, `StoreFullError` and `StoreError` for what happens to
    the file, and `CorruptRecordError` or `UnknownRecordError` when a record that they need cannot
    be read.

    A new store provides the abstract methods; it has to pass
    `agentpool.testing.StoreConformance`.
    """

    def __init__(self, clock: Clock = wall_clock) -> None:
        self.clock: Final = checked_clock(clock)
        self._companions: dict[Any, Any] = {}
        self._background: set[asyncio.Task[None]] = set()

    @abstractmethod
    def execute(self, pool_id: str, command: Command[R]) -> Awaitable[R]:
        """Decide a command on the current state of a pool and append what it decides, atomically.

        A store may take the command up when this is called, before it is awaited.

        :return: the command's result, once what it appended is durable
        """

    @abstractmethod
    async def query(self, pool_id: str, question: Callable[[PoolView], R]) -> R:
        """Answer a question about the current state of a pool. Changes nothing."""

    @abstractmethod
    async def snapshot(self, pool_id: str) -> AgentPoolSnapshot:
        """Show what the whole log of a pool means now.

        The first one replays the log and keeps every message in memory; later ones of the same
        handle replay what is new.
        """

    @abstractmethod
    async def read(
        self,
        pool_id: str,
        cursor: AgentPoolStoreCursor | None = None,
        *,
        limit: int | None = None,
        keep_unknown: bool = False,
    ) -> list[AgentPoolStoreRecord]:
        """Read the records after a cursor that are there now; none after the end of the log.

        :param limit: the most records to read
        :param keep_unknown: give records of unknown kinds as `UnknownRecord`, do not raise
        :raises StoreError: the log has lost its end, as for `watch`
        """

    @abstractmethod
    def watch(
        self,
        pool_id: str,
        cursor: AgentPoolStoreCursor | None = None,
        *,
        keep_unknown: bool = False,
    ) -> AsyncGenerator[AgentPoolStoreRecord, None]:
        """Yield every record after a cursor, once and in order, then wait for more, for ever.

        Sees the records of every process. A consumer may pause as long as it likes, and may leave
        with ``break``, by cancellation or with ``aclose()``. A cursor beyond the end waits for the
        record after it. Errors come at the first step, or at the record that they are about.

        :raises StoreError: the log has lost its end: it is shorter than this handle has seen it, or
            known to have been longer, at that cursor, before the machine was restarted
        """

    @abstractmethod
    def changes(self) -> Signals:
        """Listen for changes of any pool, for the length of a ``with`` block.

        Take the current signal first, then look at the state, then wait for that signal: then no
        change is missed. A signal may fire although nothing changed.
        """

    @abstractmethod
    async def put_content(self, data: bytes, *, media_type: str = OCTETS) -> str:
        """Keep a body, once however often it is put, and give the ref to put into messages.

        It waits for the disk as a message does. Cancelled, it may be kept or not; putting it again
        is safe.

        :param media_type: what the body is; that of the first to put it stays
        """

    @abstractmethod
    async def get_content(self, ref: str) -> bytes:
        """Give a body back.

        :raises ContentNotFoundError: this store keeps nothing under that ref
        """

    def companion(self, kind: Callable[["AgentPoolStore"], C]) -> C:
        """Give the one object of a kind that goes with this handle, made when first asked for."""
        if kind not in self._companions:
            self._companions[kind] = kind(self)
        companion: C = self._companions[kind]
        return companion

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Run something in the background for as long as the store is open at most."""
        task = asyncio.create_task(coroutine)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    async def _stop_background(self) -> None:
        tasks = list(self._background)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    @abstractmethod
    async def aclose(self) -> None:
        """Close the store: finish what is being written, refuse the rest, wake all waiters.

        Idempotent. A cancelled close closes all the same.
        """

    async def __aenter__(self) -> Self:
        running_loop()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def open_pool(
        self, pool_id: str, config: AgentPoolStoreConfig | None = None
    ) -> AgentPoolSnapshot:
        """Open a pool, and create it where it is new.

        Closed or cancelled before the snapshot was taken, the pool is open all the same.

        :param config: ``None`` for the default of a new pool, and whatever an existing one has
        :raises PoolConfigConflictError: the pool has another config
        """
        await self.execute(pool_id, OpenPool(config))
        return await self.snapshot(pool_id)

    async def record_pool_created(self, pool_id: str) -> AgentPoolStoreCursor:
        """Record that the pool came to life; once recorded, give the place of that record."""
        return await self.execute(pool_id, RecordPoolCreated())

    async def join_member(self, pool_id: str, member: AgentPoolMember) -> AgentPoolStoreCursor:
        """Let a run join, or replace what it joined with.

        :return: the place of the record that made it the member it is
        """
        return await self.execute(pool_id, JoinMember(member))

    async def leave_member(
        self, pool_id: str, run_id: str
    ) -> tuple[AgentPoolMember, AgentPoolStoreCursor]:
        """Let a member leave.

        :raises NotAMemberError: the run is not a member
        """
        return await self.execute(pool_id, LeaveMember(run_id))

    async def message_receipt(self, pool_id: str, idempotency_key: str) -> MessageReceipt | None:
        """Look up how far the message with this key has come; ``None`` when there is none."""
        check_identifier(idempotency_key, "idempotency_key")

        def find(view: PoolView) -> MessageReceipt | None:
            require_open(view)
            known = view.message_by_key(idempotency_key)
            return known.stored.receipt if known else None

        return await self.query(pool_id, find)

    async def record_message(
        self, pool_id: str, message: RunMessage, receipt: MessageReceipt
    ) -> AgentPoolStoreCursor:
        """Record a message with a status.

        The same again appends nothing, nor does the same sender, target and content under the
        same key with a new message id: both give the place of the record that is there.

        :raises IdempotencyConflictError: the key was used for another sender, target or content
        :raises InvalidTransitionError: the message is already past that status
        """
        return await self.execute(pool_id, RecordMessage(message, receipt))

    async def wake_registration(
        self, pool_id: str, idempotency_key: str
    ) -> WakeRegistration | None:
        """Look up the registration of the wake with this key; ``None`` when there is none."""
        check_identifier(idempotency_key, "idempotency_key")

        def find(view: PoolView) -> WakeRegistration | None:
            require_open(view)
            known = view.wake_by_key(idempotency_key)
            return known.stored.registration if known else None

        return await self.query(pool_id, find)

    async def wake(self, pool_id: str, condition_id: str) -> AgentPoolStoredWake | None:
        """Look up a wake by its condition; ``None`` when there is none."""
        check_identifier(condition_id, "condition_id")

        def find(view: PoolView) -> AgentPoolStoredWake | None:
            require_open(view)
            known = view.wake(condition_id)
            return known.stored if known else None

        return await self.query(pool_id, find)

    async def record_wake(
        self,
        pool_id: str,
        condition: WakeCondition,
        compiled_filter: CompiledEventFilter,
        registration: WakeRegistration,
    ) -> AgentPoolStoreCursor:
        """Record a wake with a status. The same again appends nothing.

        :raises IdempotencyConflictError: the key was used for another run or filter
        :raises InvalidTransitionError: the wake already has its final status
        """
        return await self.execute(pool_id, RecordWake(condition, compiled_filter, registration))

    async def next_event_sequence(self, pool_id: str) -> int:
        """Take the next event number of a pool: 1, 2, 3, ..., never given twice to anyone.

        Needs no opened pool. A cancelled call may leave a number unused.
        """
        return await self.execute(pool_id, NextEventSequence())


# The largest number that a store can look up; no log comes that far.
_LAST_PLACE: Final = 2**63 - 1


def checked_place(pool_id: str, cursor: AgentPoolStoreCursor | None) -> int:
    """Check the arguments that say where to read, and give the sequence number to read after."""
    check_identifier(pool_id, "pool_id")
    place = checked_cursor(cursor)
    return 0 if place is None else min(place.sequence, _LAST_PLACE)


def checked_limit(limit: int | None) -> int | None:
    """Check the most records to read."""
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 0):
        msg = f"limit: expected a number of records or None, got {limit!r}"
        raise InvalidValueError(msg)
    return limit


def not_open(pool_id: str) -> PoolNotOpenError:
    """Make the error for a pool without a record."""
    return PoolNotOpenError("nothing opened this pool; open_pool() does", pool_id=pool_id)
