"""The terms that commands are written in: what one looks at, and what it decides.

Beside the log a pool has *rows*: what is not a fact but a state of affairs (an unread message, a
claim, a deadline, a host event). A row is found by its kind, name and number, and its value is
JSON. Rows are written in the transaction of the records that they belong to; what they mean is
said in `agentpool.rules`, so a store need not know.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeAlias, TypeVar

from agentpool.errors import CorruptRecordError, UnknownRecordError
from agentpool.rules.replay import PoolState
from agentpool.wire.content import Content
from agentpool.wire.payload import SealedPayload
from agentpool.wire.records import (
    AgentPoolMember,
    AgentPoolStoreConfig,
    AgentPoolStoreCursor,
    AgentPoolStoredMessage,
    AgentPoolStoredWake,
    AgentPoolStoreRecordPayload,
)
from agentpool.wire.struct import Wire, trusted

__all__ = (
    "DEADLINE",
    "INBOX",
    "CarriedOut",
    "Command",
    "Decision",
    "LookUps",
    "Placed",
    "PoolTransaction",
    "PoolView",
    "Question",
    "Read",
    "Row",
    "RowKey",
    "cursor_at",
)

R = TypeVar("R")
T = TypeVar("T", bound=Wire)

DEADLINE: Final = "deadline"
"""The kind of the rows that `PoolView.deadlines` lists by the time they are due at."""

INBOX: Final = "inbox"
"""The kind of the rows that `PoolView.due` lists by the time they are due at."""

Read: TypeAlias = AgentPoolStoreRecordPayload | CorruptRecordError | UnknownRecordError
"""What a record holds; where it cannot be read, the error that says so."""

_RECORD_WORK: Final = 5
_BYTES_OF_WORK: Final = 1024


class Placed(NamedTuple, Generic[T]):
    """A stored value and the sequence number of the record that it stands in."""

    seq: int
    stored: T


def cursor_at(seq: int) -> AgentPoolStoreCursor:
    """Make the cursor of a record."""
    cursor: AgentPoolStoreCursor = trusted(AgentPoolStoreCursor, seq)
    return cursor


class RowKey(NamedTuple):
    """Which row of a pool."""

    kind: str
    name: str
    number: int = 0


class Row(NamedTuple):
    """One row of a pool; ``due_at`` is a time in milliseconds of the Unix epoch."""

    key: RowKey
    value: str = ""
    due_at: int = 0


class LookUps(NamedTuple):
    """What a command is going to look up, so that a store can fetch it for a whole batch at once.

    A declaration is a hint: what is declared and not looked up costs little, what is looked up
    and was not declared costs a trip of its own. It holds what the command looks up by key and
    what its records are sure to need when they are worked in; not what only shows in passing, as
    the message that an answer belongs to.

    :ivar message_keys: idempotency keys of messages
    :ivar wake_keys: idempotency keys of wakes
    :ivar condition_ids: conditions of wakes
    :ivar rows: rows by their keys
    :ivar inboxes: runs of whom the first message that can be taken is looked up; as often as
        messages may be taken
    :ivar likely_keys: idempotency keys of messages that are looked up if what is found first names
        them, as most of it does
    :ivar listings: kinds and names of which the first rows after a number are listed; as often as
        another one of them is looked at
    :ivar read_after: numbers of records after which all are read
    :ivar deadlines: deadlines that are set or taken away, so that another one may come next
    """

    message_keys: tuple[str, ...] = ()
    wake_keys: tuple[str, ...] = ()
    condition_ids: tuple[str, ...] = ()
    rows: tuple[RowKey, ...] = ()
    inboxes: tuple[str, ...] = ()
    likely_keys: tuple[str, ...] = ()
    listings: tuple[RowKey, ...] = ()
    read_after: tuple[int, ...] = ()
    deadlines: tuple[RowKey, ...] = ()

    @classmethod
    def together(cls, declared: Sequence["LookUps"]) -> "LookUps":
        """Put the look-ups of several commands together, each once but for those that count."""
        if len(declared) <= 1:
            return declared[0] if declared else cls()
        every: list[Any] = [tuple(chain(*each)) for each in zip(*declared, strict=True)]
        once = cls(*(tuple(dict.fromkeys(each)) for each in every))
        found = cls(*every)
        return once._replace(inboxes=found.inboxes, listings=found.listings)


class PoolView(Protocol):
    """The state of one pool as it is in the current transaction."""

    @property
    def pool_id(self) -> str:
        """Which pool this is."""

    @property
    def head(self) -> int:
        """The number of the last record, 0 for none."""

    @property
    def config(self) -> AgentPoolStoreConfig | None:
        """The config of the pool; ``None``: nothing opened it."""

    @property
    def state(self) -> PoolState:
        """Members and open wakes. A command that can do without them is cheaper."""

    @property
    def event_sequence(self) -> int:
        """The last number that was given to an event of this pool, 0 for none."""

    @property
    def now(self) -> int:
        """The time of the store's clock, in milliseconds of the Unix epoch."""

    @property
    def projected(self) -> int | None:
        """The last record that was worked into the rows; ``None``: this pool is not coordinated.

        Records after it were appended by another implementation, which knows no rows, or while no
        pool was open: what follows from them is still to come.
        """

    def member_at(self, run_id: str, seq: int) -> Placed[AgentPoolMember] | None:
        """Look up what a run had last joined with before a record; ``None``: it never had."""

    def time_of(self, seq: int) -> int | None:
        """Say when a record was appended, in milliseconds, where that is known."""

    def message_by_key(self, key: str) -> Placed[AgentPoolStoredMessage] | None:
        """Look up the latest record of the message that was sent with this idempotency key."""

    def records_of_message(self, key: str, limit: int) -> Sequence[Placed[AgentPoolStoredMessage]]:
        """List the first records of the message that was sent with this idempotency key."""

    def wake_by_key(self, key: str) -> Placed[AgentPoolStoredWake] | None:
        """Look up the latest record of the wake that was registered with this idempotency key."""

    def wake(self, condition_id: str) -> Placed[AgentPoolStoredWake] | None:
        """Look up the latest record of a wake."""

    def first_of_wake(self, condition_id: str) -> Placed[AgentPoolStoredWake] | None:
        """Look up the first committed record of a wake."""

    def records(self, after: int, limit: int) -> Sequence[tuple[int, Read]]:
        """Read records after a sequence number, in order."""

    def row(self, key: RowKey) -> Row | None:
        """Look up a row."""

    def rows(self, kind: str, name: str, *, after: int = 0, limit: int) -> Sequence[Row]:
        """List rows of one name with numbers above ``after``, in order of their numbers."""

    def due(self, name: str, *, after: int = -1, due_by: int, limit: int) -> Sequence[Row]:
        """List rows of kind `INBOX` and one name by ``due_at``, then by number.

        :param after: only those whose ``due_at`` is later
        :param due_by: only those whose ``due_at`` is not later
        """

    def next_due(self, name: str) -> int | None:
        """Find the earliest ``due_at`` of the rows of kind `INBOX` and one name."""

    def deadlines(self, due_by: int, limit: int) -> Sequence[Row]:
        """List the rows of kind `DEADLINE` that are due, the earliest first."""

    def next_deadline(self) -> int | None:
        """Find the earliest ``due_at`` of the rows of kind `DEADLINE`."""


class Question(Generic[R]):
    """A question that declares what it looks up, so that a store can fetch it with the rest."""

    def __init__(self, ask: Callable[[PoolView], R], looks_up: LookUps) -> None:
        self._ask = ask
        self.looks_up: Final = looks_up

    def __call__(self, view: PoolView) -> R:
        return self._ask(view)


class Decision(NamedTuple, Generic[R]):
    """What a command appends, and what its caller is told once that is durable.

    ``announce`` wakes those who wait, in every process, although no record was appended.
    ``bodies`` are kept as `AgentPoolStore.put_content` keeps them.
    """

    result: R
    records: tuple[SealedPayload, ...] = ()
    event_sequence: int | None = None
    puts: tuple[Row, ...] = ()
    deletes: tuple[RowKey, ...] = ()
    announce: bool = False
    bodies: tuple[Content, ...] = ()

    @property
    def work(self) -> int:
        """How much there is to write: a row counts one, others as much as they cost more."""
        work = len(self.records) * _RECORD_WORK + len(self.puts) + len(self.deletes)
        for body in self.bodies:
            work += 1 + len(body.data) // _BYTES_OF_WORK
        return work


class CarriedOut(NamedTuple):
    """Something that was decided in the transaction of a command.

    :ivar deadline: the deadline that it follows from; ``None``: from the command
    """

    decision: Decision[Any]
    deadline: str | None = None


class Command(ABC, Generic[R]):
    """Something that may change a pool. Values are checked when it is made, state when decided.

    A lease need not survive a power cut: whoever held it does not either. What needs no log goes on
    where that has lost its end.
    """

    looks_up: LookUps = LookUps()
    must_survive_power_cut: bool = True
    needs_log: bool = True
    carried_out: Sequence[CarriedOut] = ()
    """What came of it, and of deadlines before it, when it was carried out; for who tells of it."""

    def touches(self, view: PoolView) -> Iterable[RowKey]:  # noqa: ARG002  # of those that touch
        """List the deadlines that, where they have passed, come before this command.

        Whoever carries out what is due may be far behind; so a command names what it would
        otherwise find still open.
        """
        return ()

    @abstractmethod
    def decide(self, view: PoolView) -> Decision[R]:
        """Say what to append to a pool in this state.

        :raises AgentPoolError: the state of the pool refuses the command
        """


class PoolTransaction(PoolView, Protocol):
    """A pool that can be changed: what a store gives to `consequences.carry_out`."""

    def apply(self, decision: Decision[Any]) -> None:
        """Append records and write rows, so that later look-ups of this transaction see them."""

    def set_projected(self, seq: int) -> None:
        """Note how far the records have been worked into the rows."""
