"""What an engine provides: one pool of it, as a transaction finds it, and transactions themselves.

Everything here is synchronous and runs on the thread of a connection. Values are plain: a record is
its number, its kind and its bytes, so what they mean is for those who ask.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar

from agentpool.errors import StoreError
from agentpool.rules.command import LookUps, Placed, Row, RowKey
from agentpool.wire.content import Content
from agentpool.wire.ids import I64_MAX
from agentpool.wire.payload import SealedPayload, open_payload
from agentpool.wire.records import AgentPoolStoreRecordPayload

__all__ = (
    "Changes",
    "Checkpoint",
    "Engine",
    "Open",
    "RawRecord",
    "Source",
    "Stretch",
    "placed",
)

P = TypeVar("P")
R = TypeVar("R")

RawRecord: TypeAlias = tuple[int, str, bytes | None]
"""A record's number, its kind and its payload; ``None`` where what is stored is not even text, or
longer than any that is read."""

Open: TypeAlias = Callable[[str, Sequence[RawRecord]], Iterable[P]]
"""Opens records of a pool, as `open_payloads` or `open_each` does."""

Stretch: TypeAlias = tuple[Sequence[int], Iterable[AgentPoolStoreRecordPayload | P]]
"""The numbers of some records, in order, and what they were opened as."""


class Checkpoint(NamedTuple):
    """The small state of a pool after the record with a number, encoded."""

    seq: int
    state_json: bytes


class Changes(NamedTuple):
    """What a transaction changes in a pool.

    :ivar first: the number of the first of the records
    :ivar millis: the time to note for the records; ``None``: none
    :ivar rows: rows to insert or replace; where there is ``None``, the row is deleted, if there
    :ivar event_sequence: ``None`` for this and the next two: as it was
    :ivar bodies: kept where they are not there yet, or are damaged
    :ivar touched: what others are to be told of; there may be nothing else to it
    """

    first: int
    records: Sequence[SealedPayload]
    millis: int | None
    rows: Mapping[RowKey, Row | None]
    event_sequence: int | None
    projected: int | None
    checkpoint: Checkpoint | None
    bodies: Sequence[Content] = ()
    touched: Mapping[str, int] = MappingProxyType({})

    @property
    def are_any(self) -> bool:
        """Whether anything changes."""
        numbers = self.event_sequence, self.projected, self.checkpoint
        return bool(self.records or self.rows or self.bodies or self.touched) or any(
            each is not None for each in numbers
        )

    def refuse_beyond(self, pool_id: str) -> None:
        """Refuse numbers that no store can keep.

        :raises StoreError: there is one
        """
        last = self.first + len(self.records) - 1 if self.records else 0
        for what, number in (("event", self.event_sequence or 0), ("record", last)):
            if number > I64_MAX:
                msg = f"the last {what} has number {I64_MAX}, and there is none above it"
                raise StoreError(msg, pool_id=pool_id)


class Source(Protocol):
    """One pool inside the current transaction, as it was when that began.

    So every answer holds until the transaction ends, and may be kept that long. `write` comes
    last, once at most; nothing is looked up after it.
    """

    @property
    def pool_id(self) -> str:
        """Which pool this is."""

    def load(self, wanted: LookUps) -> None:
        """Fetch at once what a whole batch has declared to look up.

        Comes once, before the first look-up, and for all pools of the batch before the first
        look-up in any. What is not loaded is fetched when it is asked for, so an engine may load
        more, or nothing.
        """

    def now(self) -> int:
        """Give the time, in milliseconds of the Unix epoch: not before this pool was locked."""

    def head(self) -> int:
        """Find the number of the last record, 0 for none."""

    def event_sequence(self) -> int:
        """Find the last number that was given to an event, 0 for none."""

    def projected(self) -> int | None:
        """Find the last record that was worked into the rows; ``None``: none ever will be."""

    def message_by_key(self, key: str) -> RawRecord | None:
        """Find the latest record of the message with an idempotency key."""

    def records_of_message(self, key: str, limit: int) -> list[RawRecord]:
        """List the first records of the message with an idempotency key, in order."""

    def wake_by_key(self, key: str) -> RawRecord | None:
        """Find the latest record of the wake with an idempotency key."""

    def wake(self, condition_id: str) -> RawRecord | None:
        """Find the latest record of the wake of a condition."""

    def first_of_wake(self, condition_id: str) -> RawRecord | None:
        """Find the first record of the wake of a condition."""

    def stretches(self, after: int, limit: int, open_: Open[P]) -> Iterator[Stretch[P]]:
        """Read records after a number, in order, in as many stretches as the engine likes.

        :param open_: opens those that the engine itself does not, one of them that cannot be read
            at least; what it raises ends the reading, after the records before
        """

    def record_at(self, seq: int) -> RawRecord | None:
        """Read one record as it stands."""

    def pool_page(self, after: int, upto: int) -> list[RawRecord]:
        """Read the records between two numbers that are no messages, in order."""

    def first_pool_record(self) -> RawRecord | None:
        """Read the first record that is no message."""

    def member_before(self, run_id: str, seq: int) -> RawRecord | None:
        """Find the record by which a run last joined before a number."""

    def refuse_lost(self, after: int, head: int) -> None:
        """Refuse a cursor beyond the end of the log, if its record is known to be lost.

        :raises StoreError: it is
        """

    def time_of(self, seq: int) -> int | None:
        """Find the time that was noted for a record, in milliseconds; ``None``: none was."""

    def row(self, key: RowKey) -> Row | None:
        """Look up a row."""

    def rows(self, kind: str, name: str, *, after: int, limit: int) -> list[Row]:
        """List rows of one name, as `PoolView.rows` does."""

    def due(self, name: str, *, after: int, due_by: int, limit: int) -> list[Row]:
        """List rows of one inbox, as `PoolView.due` does."""

    def next_due(self, name: str) -> int | None:
        """Find the earliest ``due_at`` of the rows of kind `INBOX` and one name."""

    def deadlines(self, due_by: int, limit: int) -> list[Row]:
        """List the rows of kind `DEADLINE` that are due, by ``due_at``, then by name."""

    def next_deadline(self) -> int | None:
        """Find the earliest ``due_at`` of the rows of kind `DEADLINE`."""

    def checkpoint(self) -> Checkpoint | None:
        """Read the state that was kept last."""

    def write(self, changes: Changes) -> None:
        """Write everything that the transaction changes in this pool.

        An engine may put it off until it commits.
        """


class Engine(Protocol):
    """Transactions that write, on one connection."""

    @property
    def errors(self) -> tuple[type[BaseException], ...]:
        """What the engine itself raises: a batch that meets it fails as a whole."""

    def transact(self, work: Callable[[], R], *, durable: bool) -> R:
        """Work in a transaction, and commit; roll back when that raises, and raise the same.

        An engine may work several times, each time from the start and with nothing of the last
        time left; what the last time gave is what was committed.

        :param durable: whether what is changed has to survive a power cut. Where it need not, and
            records are appended all the same, whoever saw them must be able to tell their loss
        :raises StoreBusyError: others were in the way for too long
        """

    def read(self, work: Callable[[], None]) -> None:
        """Work on one state of what is committed, as in a transaction, and lock nobody out."""

    def source(self, pool_id: str) -> Source:
        """Give a pool inside the transaction; in one that writes, locked against other writers.

        Asked for once for each pool, in the order of their ids, so that locks taken in that order
        lock nobody out.
        """


def placed(pool_id: str, raw: RawRecord) -> Placed[Any]:
    """Open the record of a message or of a wake.

    :raises CorruptRecordError: it cannot be read
    """
    seq, kind, text = raw
    return Placed(seq, open_payload(pool_id, seq, kind, text).stored)
