"""The contract of a store: what every store promises, and what a new one has to provide."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Final, Generic, NamedTuple, TypeVar

from agentpool.rules.command import Command, LookUps, PoolView, Question
from agentpool.rules.host_events import NextEventSequence
from agentpool.rules.membership import JoinMember, LeaveMember
from agentpool.rules.messages import RecordMessage, RecordMessages
from agentpool.rules.pool_opening import OpenPool, RecordPoolCreated
from agentpool.rules.requirements import (
    checked_cursor,
    checked_number,
    checked_sequence,
    require_flag,
    require_open,
)
from agentpool.rules.summary import PoolSummary, summary_of
from agentpool.rules.wakes import RecordWake
from agentpool.stores.handle import StoreHandle
from agentpool.stores.snapshots import Snapshots
from agentpool.stores.tail import PAGE_SIZE, Page, follow, refuse_any_unknown
from agentpool.support.clock import Clock, StoreClock, wall_clock
from agentpool.wire.content import MAX_BODY, OCTETS, PIECE
from agentpool.wire.filters import CompiledEventFilter
from agentpool.wire.ids import I64_MAX, check_identifier
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

__all__ = ("AgentPoolStore", "Bulk", "Due", "checked_page", "checked_place", "due_in")

R = TypeVar("R")


class Due(NamedTuple):
    """What upkeep a pool needs.

    :ivar behind: there are records, of others or many at once, that are not worked in yet
    :ivar next_deadline: when something is due, in milliseconds of the store's clock
    :ivar head: the number of the last record
    """

    behind: bool
    next_deadline: int | None
    head: int


class Bulk(Generic[R]):
    """A question that reads much of the past, one piece of many: others may be answered first.

    A store that answers one question at a time lets those go first that somebody waits for, but
    lets one of these through between two turns of the others.
    """

    def __init__(self, question: Callable[[PoolView], R]) -> None:
        self._question = question

    def __call__(self, view: PoolView) -> R:
        return self._question(view)


def due_in(view: PoolView) -> Due:
    """Say what upkeep a pool needs."""
    return Due((view.projected or 0) < view.head, view.next_deadline(), view.head)


class AgentPoolStore(StoreHandle, ABC):
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
    Stores on a file or a server raise `StoreBusyError`, `StoreFullError` and `StoreError` for what
    happens to it, and `CorruptRecordError` or `UnknownRecordError` when a record that they need
    cannot be read.

    *For authors of stores.* A new store provides the abstract methods, `finish`, and `listen` and
    `stop_listening` where others may write to what it keeps; everything else comes with this class.
    How each of them has to behave stands in `agentpool.stores`, which also exports all that is
    needed. Override `due` and `pools` where they can be had cheaper, `open_content` where a body
    need not be in memory, and nothing else.
    """

    def __init__(self, clock: Clock | StoreClock = wall_clock, max_body: int = MAX_BODY) -> None:
        super().__init__(clock)
        self.max_body: Final = max_body
        self._snapshots = Snapshots()

    # --- what a new store provides

    @abstractmethod
    def execute(self, pool_id: str, command: Command[R]) -> Awaitable[R]:
        """Decide a command on the current state of a pool and append what it decides, atomically.

        It may be taken up when this is called, before it is awaited. Cancelled, it has had its
        whole effect or none.

        :return: the command's result, once what it appended is durable
        :raises AgentPoolError: the command was refused, or the store failed; nothing was appended
        """

    @abstractmethod
    async def query(self, pool_id: str, question: Callable[[PoolView], R]) -> R:
        """Answer a question about the current state of a pool. Changes nothing.

        Questions of one handle are answered one after another, each on one state, which holds all
        that any process has committed; `Bulk` ones may have to wait for others. A question may run
        in another thread; that of a caller that was cancelled may never run.

        :return: what the question returns; what it raises comes through
        """

    @abstractmethod
    async def read_page(self, pool_id: str, after: int, limit: int) -> Page:
        """Read the records after a sequence number that are there now, at most ``limit``.

        Those of unknown kinds as `UnknownRecord`; at the first that cannot be read the page ends,
        with the error that says so. Beyond the end of the log it is empty.

        :raises PoolNotOpenError: the pool has no record
        :raises StoreError: the log has lost its end, as for `watch`
        """

    @abstractmethod
    async def pool_ids(self) -> list[str]:
        """List the pools that have a record, in any order."""

    @abstractmethod
    async def put_content(self, data: bytes, *, media_type: str = OCTETS) -> str:
        """Keep a body, once however often it is put, and give the ref to put into messages.

        It waits for the disk as a message does. Nobody else waits long for it, however large it is.
        Cancelled, it may be kept or not; putting it again is safe, and mends what was damaged.

        :param media_type: what the body is; that of the first to put it stays
        :raises InvalidValueError: it has more bytes than a body may have, 16 MiB by default
        """

    @abstractmethod
    async def get_content(self, ref: str) -> bytes:
        """Give a body back.

        :raises ContentNotFoundError: this store keeps nothing under that ref
        :raises CorruptRecordError: what it keeps is not what was put
        """

    @abstractmethod
    async def content_type(self, ref: str) -> str:
        """Give the media type of a body, with which it was put first.

        :raises ContentNotFoundError: this store keeps nothing under that ref
        """

    # --- what comes with it

    def open_content(self, ref: str) -> AsyncGenerator[bytes, None]:
        """Give a body back in pieces, of at most 256 KiB: for what is too large for the memory.

        An empty body has none. The last one comes only if all of them together are what was put; so
        who came to the end has it whole, and what came before an error is not to be relied on. A
        consumer may pause as long as it likes, and may leave with ``break`` or by cancellation.

        :raises ContentNotFoundError: before the first piece: this store keeps nothing under that
            ref
        :raises CorruptRecordError: before the last piece: what it keeps is not what was put
        """
        check_identifier(ref, "ref")
        self.refuse_closed()
        return self._pieces_of(ref)

    async def _pieces_of(self, ref: str) -> AsyncGenerator[bytes, None]:
        body = await self.get_content(ref)
        for at in range(0, len(body), PIECE):
            self.refuse_closed()
            yield body[at : at + PIECE]

    async def snapshot(self, pool_id: str) -> AgentPoolSnapshot:
        """Show what the whole log of a pool means now.

        The first one replays the log and keeps every message in memory; later ones of the same
        handle replay what is new, of the pools that were asked for last.
        """
        question: Callable[[PoolView], AgentPoolSnapshot | None] = self._snapshots.replay_page
        while True:
            # One page at a time, so that others get their answers in between; the state is touched
            # only inside of questions, so a cancelled or a second caller finds it whole.
            snapshot = await self.query(pool_id, question)
            if snapshot is not None:
                return snapshot
            question = Bulk(self._snapshots.replay_page)

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
        after, limit = checked_place(pool_id, cursor), checked_limit(limit)
        require_flag(keep_unknown, "keep_unknown")
        records: list[AgentPoolStoreRecord] = []
        while True:
            size = PAGE_SIZE if limit is None else min(PAGE_SIZE, limit - len(records))
            page, error = await self.read_page(pool_id, after, size)
            if not keep_unknown:
                refuse_any_unknown(page)
            if error is not None:
                raise error
            records += page
            if len(page) < PAGE_SIZE or len(records) == limit:
                return records
            after = page[-1].cursor.sequence

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
            known to have been longer, at that cursor, before the machine was restarted. Or it no
            longer has what was read of it, since a backup was restored; begin again then
        """
        after = checked_place(pool_id, cursor)
        require_flag(keep_unknown, "keep_unknown")
        self.refuse_closed()
        return follow(self, pool_id, after, keep_unknown=keep_unknown)

    async def pools(self) -> list[PoolSummary]:
        """List the pools in ascending order of their ids, each as it is when it is looked at.

        It costs as much as a look at each; nothing that somebody waits for waits for all of it.
        """
        return [await self.query(each, Bulk(summary_of)) for each in sorted(await self.pool_ids())]

    async def store_of(self, pool_id: str) -> "AgentPoolStore":
        """Give the store that a pool is in: this one, unless it is one of several.

        What is kept by that one is kept where the pool is.

        :raises StoreBusyError: it is away
        """
        check_identifier(pool_id, "pool_id")
        self.refuse_closed()
        return self

    async def due(self, pool_ids: Sequence[str]) -> dict[str, Due]:
        """Say of several pools what upkeep there is to do, and when."""
        checked = checked_sequence(pool_ids, "pool_ids", str)
        return {pool_id: await self.query(pool_id, due_in) for pool_id in checked}

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

        looks_up = LookUps(message_keys=(idempotency_key,))
        return await self.query(pool_id, Question(find, looks_up))

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

    async def record_messages(
        self, pool_id: str, messages: Sequence[tuple[RunMessage, MessageReceipt]]
    ) -> list[AgentPoolStoreCursor]:
        """Record messages with their statuses, in their order, in one transaction: all or none.

        Each is what `record_message` would have made of it after those before it, so one message
        may come several times, with status after status. Of none, nothing is recorded.

        :return: the place of each
        :raises IdempotencyConflictError: of one of them; nothing was recorded
        :raises InvalidTransitionError: of one of them; nothing was recorded
        """
        return await self.execute(pool_id, RecordMessages(messages))

    async def wake_registration(
        self, pool_id: str, idempotency_key: str
    ) -> WakeRegistration | None:
        """Look up the registration of the wake with this key; ``None`` when there is none."""
        check_identifier(idempotency_key, "idempotency_key")

        def find(view: PoolView) -> WakeRegistration | None:
            require_open(view)
            known = view.wake_by_key(idempotency_key)
            return known.stored.registration if known else None

        looks_up = LookUps(wake_keys=(idempotency_key,))
        return await self.query(pool_id, Question(find, looks_up))

    async def wake(self, pool_id: str, condition_id: str) -> AgentPoolStoredWake | None:
        """Look up a wake by its condition; ``None`` when there is none."""
        check_identifier(condition_id, "condition_id")

        def find(view: PoolView) -> AgentPoolStoredWake | None:
            require_open(view)
            known = view.wake(condition_id)
            return known.stored if known else None

        looks_up = LookUps(condition_ids=(condition_id,))
        return await self.query(pool_id, Question(find, looks_up))

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


def checked_place(pool_id: str, cursor: AgentPoolStoreCursor | None) -> int:
    """Check the arguments that say where to read, and give the sequence number to read after."""
    check_identifier(pool_id, "pool_id")
    place = checked_cursor(cursor)
    return 0 if place is None else min(place.sequence, I64_MAX)


def checked_limit(limit: int | None) -> int | None:
    """Check the most records to read."""
    return None if limit is None else checked_number(limit, "limit", "records")


def checked_page(after: int, limit: int) -> tuple[int, int]:
    """Check the arguments of a page, and bring them to what a store can look up."""
    after = checked_number(after, "after", "a record")
    return min(after, I64_MAX), min(checked_number(limit, "limit", "records"), I64_MAX)
