"""A pool on a server as a transaction finds it, and what is written to it."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final, TypeVar

from agentpool.rules.command import LookUps, Row, RowKey
from agentpool.stores.batch.source import Changes, Checkpoint, Open, RawRecord, Stretch
from agentpool.stores.batch.states import StateCache, refuse_shorter
from agentpool.stores.postgres import statements
from agentpool.stores.postgres.listings import row_of
from agentpool.stores.postgres.look_ups import Loaded, Numbers, columns_of, record_of
from agentpool.stores.postgres.pipeline import Pipeline, Statement, Tuple
from agentpool.stores.postgres.values import Parameter, bigints, texts
from agentpool.support.clock import Clock
from agentpool.wire.ids import I64_MAX
from agentpool.wire.payload import SealedPayload
from agentpool.wire.records import (
    AgentPoolStoreRecordPayload,
    MemberJoined,
    RunMessageRecorded,
    WakeRecorded,
)

__all__ = ("PostgresSource", "looked_up_by")

P = TypeVar("P")


class PostgresSource:
    """A `Source` on a connection, inside of a transaction.

    :param number: what stands for the pool in the tables; ``None``: there is no such pool yet
    :param clock: tells the time of this transaction
    :param writes: whether it is one that writes, which has locked the pool
    """

    __slots__ = ("_clock", "_loaded", "_pipeline", "_states", "changes", "number", "pool_id")

    def __init__(
        self,
        pipeline: Pipeline,
        pool_id: str,
        number: int | None,
        clock: Clock,
        states: StateCache,
        *,
        writes: bool,
    ) -> None:
        self._pipeline = pipeline
        self.pool_id: Final = pool_id
        self.number: Final = number
        self._clock = clock
        self._states = states
        fell_behind = partial(states.fell_far_behind, pool_id)
        self._loaded = Loaded(pipeline, pool_id, number, fell_behind, writes=writes)
        self.changes: Changes | None = None

    def load(self, wanted: LookUps) -> None:
        self._loaded.ask(wanted, self._states.known(self.pool_id))

    @property
    def numbers(self) -> Numbers:
        """What every look at a pool needs."""
        if not self._loaded.was_asked:
            self.load(LookUps())
        return self._loaded.numbers

    def now(self) -> int:
        return self._clock()

    def head(self) -> int:
        return self.numbers.head

    def event_sequence(self) -> int:
        return self.numbers.event_sequence

    def projected(self) -> int | None:
        return self.numbers.projected

    # --- records

    def message_by_key(self, key: str) -> RawRecord | None:
        return self._latest(statements.MESSAGES_BY_KEY, key)

    def wake_by_key(self, key: str) -> RawRecord | None:
        return self._latest(statements.WAKES_BY_KEY, key)

    def wake(self, condition_id: str) -> RawRecord | None:
        return self._latest(statements.WAKES_BY_CONDITION, condition_id)

    def _latest(self, statement: Statement, value: str) -> RawRecord | None:
        found = self._loaded.latest(statement)
        if value not in found:
            rows = self._rows(statement, texts([value]))
            found[value] = record_of(rows[0][1:]) if rows else None
        return found[value]

    def records_of_message(self, key: str, limit: int) -> list[RawRecord]:
        return self._records(statements.RECORDS_OF_MESSAGE, key, limit)

    def first_of_wake(self, condition_id: str) -> RawRecord | None:
        return _first(self._records(statements.FIRST_OF_WAKE, condition_id))

    def stretches(self, after: int, limit: int, open_: Open[P]) -> Iterator[Stretch[P]]:
        rows = self.page(after, limit)
        if rows:
            yield [seq for seq, _, _ in rows], open_(self.pool_id, rows)

    def page(self, after: int, limit: int) -> list[RawRecord]:
        """Read records after a number, in order."""
        known = self._loaded.page(after, limit)
        if known is not None:
            return known
        rows = self._records(statements.PAGE, min(after, I64_MAX), limit)
        if rows:
            self._loaded.records[rows[-1][0]] = rows[-1]
        return rows

    def record_at(self, seq: int) -> RawRecord | None:
        return _first(self.page(seq - 1, 1))

    def pool_page(self, after: int, upto: int) -> list[RawRecord]:
        loaded = self._loaded.new_pool_records(after)
        if loaded is not None:
            return loaded
        return self._records(statements.POOL_PAGE, after, upto, I64_MAX)

    def first_pool_record(self) -> RawRecord | None:
        return _first(self._records(statements.FIRST_POOL_RECORD))

    def member_before(self, run_id: str, seq: int) -> RawRecord | None:
        return _first(self._records(statements.MEMBER_BEFORE, run_id, min(seq, I64_MAX)))

    def refuse_lost(self, after: int, head: int) -> None:
        refuse_shorter(self.pool_id, head, min(after, self._states.seen_before(self.pool_id)))

    def time_of(self, seq: int) -> int | None:
        rows = self._rows(statements.TIME, seq)
        return int(rows[0][0]) if rows else None

    def checkpoint(self) -> Checkpoint | None:
        rows = self._rows(statements.CHECKPOINT)
        return Checkpoint(int(rows[0][0]), rows[0][1]) if rows else None

    def _records(self, statement: Statement, *parameters: Parameter) -> list[RawRecord]:
        return [record_of(row) for row in self._rows(statement, *parameters)]

    def _rows(self, statement: Statement, *parameters: Parameter) -> list[Tuple]:
        if self.number is None:
            return []
        return self._pipeline.ask(statement, self.number, *parameters).rows

    # --- rows

    def row(self, key: RowKey) -> Row | None:
        known = self._loaded.row(key)
        if known is not None:
            return known[0]
        rows = self._rows(statements.ROWS_BY_KEY, *columns_of([key]))
        found = self._loaded.rows[key] = row_of(rows[0]) if rows else None
        return found

    def rows(self, kind: str, name: str, *, after: int, limit: int) -> list[Row]:
        loaded = self._loaded.listed(kind, name, after, limit)
        if loaded is not None:
            return loaded
        rows = self._rows(statements.ROWS, kind, name, min(after, I64_MAX), limit)
        return [row_of(each) for each in rows]

    def due(self, name: str, *, after: int, due_by: int, limit: int) -> list[Row]:
        loaded = self._loaded.due(name, after, due_by, limit)
        if loaded is not None:
            return loaded
        rows = self._rows(statements.DUE, name, after, min(due_by, I64_MAX), limit)
        return [row_of(each) for each in rows]

    def next_due(self, name: str) -> int | None:
        loaded = self._loaded.next_due(name)
        if loaded is not None:
            return loaded[0]
        rows = self._rows(statements.NEXT_DUE, name)
        return int(rows[0][0]) if rows else None

    def deadlines(self, due_by: int, limit: int) -> list[Row]:
        loaded = self._loaded.deadlines(due_by, limit)
        if loaded is not None:
            return loaded
        rows = self._rows(statements.DEADLINES, min(due_by, I64_MAX), limit)
        return [row_of(each) for each in rows]

    def next_deadline(self) -> int | None:
        return self.numbers.next_deadline

    # --- writing

    def write(self, changes: Changes) -> None:
        """Keep what is to be written, until the engine has it all."""
        changes.refuse_beyond(self.pool_id)
        if changes.are_any:
            self.changes = changes

    def put(self, changes: Changes, number: int) -> None:
        """Ask for all of it to be written, but for the bodies.

        :param number: what stands for the pool
        """
        deletes = [key for key, row in changes.rows.items() if not row]
        if deletes:
            self._pipeline.ask(statements.DELETE_ROWS, number, *columns_of(deletes))
        pool = number, changes.event_sequence, changes.projected
        rows = _columns([row for row in changes.rows.values() if row])
        if changes.records:
            records = changes.first, changes.millis, *_sealed(changes.records)
            self._pipeline.ask(statements.APPEND, *pool, *rows, *records)
        else:
            self._pipeline.ask(statements.PUT, *pool, *rows)
        if changes.checkpoint is not None:
            seq, state_json = changes.checkpoint
            self._pipeline.ask(statements.PUT_CHECKPOINT, number, seq, state_json.decode())


def _first(records: Sequence[RawRecord]) -> RawRecord | None:
    return records[0] if records else None


def _columns(rows: Sequence[Row]) -> tuple[Parameter, ...]:
    """Make the parameters that are rows."""
    keys = columns_of([row.key for row in rows])
    return (*keys, bigints(row.due_at for row in rows), texts(row.value for row in rows))


def _sealed(records: Sequence[SealedPayload]) -> tuple[Parameter, ...]:
    """Make the parameters that are records, with what each is looked up by."""
    keys, subjects = zip(*(looked_up_by(each.payload) for each in records), strict=True)
    return (
        texts(each.kind for each in records),
        texts(keys),
        texts(subjects),
        texts(each.payload_json for each in records),
    )


def looked_up_by(payload: AgentPoolStoreRecordPayload) -> tuple[str | None, str | None]:
    """Give the key and the subject of a record."""
    match payload:
        case RunMessageRecorded(stored):
            return stored.message.idempotency_key, None
        case WakeRecorded(stored_wake):
            condition = stored_wake.condition
            return condition.idempotency_key, condition.condition_id
        case MemberJoined(member):
            return None, member.run_id
        case _:
            return None, None
