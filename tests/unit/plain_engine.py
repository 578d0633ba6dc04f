"""An engine in plain Python, so that what stands on engines is tested without any.

It holds those who use it to the rules: sources in the order of pools, nothing looked up before the
loading or after the writing.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, TypeVar

from agentpool.rules.command import DEADLINE, INBOX, LookUps, Row, RowKey
from agentpool.stores.batch.source import Changes, Checkpoint, Open, RawRecord, Stretch
from agentpool.wire.payload import open_payload

P = TypeVar("P")
R = TypeVar("R")

_opened = lru_cache(100_000)(open_payload)


@dataclass
class PlainPool:
    """What is stored of a pool."""

    log: list[RawRecord] = field(default_factory=list)
    rows: dict[RowKey, Row] = field(default_factory=dict)
    times: dict[int, int] = field(default_factory=dict)
    event_sequence: int = 0
    projected: int | None = None
    checkpoint: Checkpoint | None = None


class PlainSource:
    """One pool in a transaction. Counts what was asked of it, and written into it."""

    def __init__(self, pool_id: str, pool: PlainPool, now: int = 0) -> None:
        self.pool_id = pool_id
        self.asked: Counter[str] = Counter()
        self._pool = pool
        self._now = now
        self._loaded = self._written = False
        self.written: int = 0

    def _ask(self, what: str) -> PlainPool:
        assert self._loaded
        assert not self._written
        self.asked[what] += 1
        return self._pool

    def load(self, wanted: LookUps) -> None:
        assert not self._loaded
        self._loaded, self.wanted = True, wanted

    def now(self) -> int:
        self._ask("now")
        return self._now

    def head(self) -> int:
        return len(self._ask("head").log)

    def event_sequence(self) -> int:
        return self._ask("event_sequence").event_sequence

    def projected(self) -> int | None:
        return self._ask("projected").projected

    def message_by_key(self, key: str) -> RawRecord | None:
        self._ask("message_by_key")
        return self._last("run_message", lambda p: p.stored.message.idempotency_key == key)

    def records_of_message(self, key: str, limit: int) -> list[RawRecord]:
        found = [
            raw
            for raw in self._ask("records_of_message").log
            if raw[1] == "run_message"
            and _opened(self.pool_id, *raw).stored.message.idempotency_key == key
        ]
        return found[:limit]

    def wake_by_key(self, key: str) -> RawRecord | None:
        self._ask("wake_by_key")
        return self._last("wake", lambda p: p.stored.condition.idempotency_key == key)

    def wake(self, condition_id: str) -> RawRecord | None:
        self._ask("wake")
        return self._last("wake", lambda p: _is_of_wake(p, condition_id))

    def first_of_wake(self, condition_id: str) -> RawRecord | None:
        self._ask("first_of_wake")
        for raw in self._pool.log:
            if raw[1] == "wake" and _is_of_wake(_opened(self.pool_id, *raw), condition_id):
                return raw
        return None

    def stretches(self, after: int, limit: int, open_: Open[P]) -> Iterator[Stretch[P]]:
        rows = self._ask("stretches").log[after : after + limit]
        yield [seq for seq, _, _ in rows], open_(self.pool_id, rows)

    def record_at(self, seq: int) -> RawRecord | None:
        return next(iter(self._ask("record_at").log[seq - 1 : seq]), None)

    def pool_page(self, after: int, upto: int) -> list[RawRecord]:
        return [raw for raw in self._ask("pool_page").log[after:upto] if raw[1] != "run_message"]

    def first_pool_record(self) -> RawRecord | None:
        log = self._ask("first_pool_record").log
        return next((raw for raw in log if raw[1] != "run_message"), None)

    def member_before(self, run_id: str, seq: int) -> RawRecord | None:
        self._ask("member_before")
        return self._last("member_joined", lambda p: p.member.run_id == run_id, before=seq)

    def _last(
        self, kind: str, is_it: Callable[[Any], bool], before: int = sys.maxsize
    ) -> RawRecord | None:
        for raw in reversed(self._pool.log):
            if raw[0] < before and raw[1] == kind and is_it(_opened(self.pool_id, *raw)):
                return raw
        return None

    def refuse_lost(self, after: int, head: int) -> None:
        assert after > head
        self._ask("refuse_lost")

    def time_of(self, seq: int) -> int | None:
        times = self._ask("time_of").times
        return times[max(noted for noted in times if noted <= seq)] if times else None

    def row(self, key: RowKey) -> Row | None:
        return self._ask("row").rows.get(key)

    def rows(self, kind: str, name: str, *, after: int, limit: int) -> list[Row]:
        self._ask("rows")
        found = [row for row in self._of(kind) if row.key.name == name and row.key.number > after]
        return sorted(found, key=lambda row: row.key.number)[:limit]

    def due(self, name: str, *, after: int, due_by: int, limit: int) -> list[Row]:
        self._ask("due")
        found = [row for row in self._of(INBOX) if row.key.name == name]
        due = [row for row in found if after < row.due_at <= due_by]
        return sorted(due, key=lambda row: (row.due_at, row.key))[:limit]

    def next_due(self, name: str) -> int | None:
        self._ask("next_due")
        return min((row.due_at for row in self._of(INBOX) if row.key.name == name), default=None)

    def deadlines(self, due_by: int, limit: int) -> list[Row]:
        self._ask("deadlines")
        due = [row for row in self._of(DEADLINE) if row.due_at <= due_by]
        return sorted(due, key=lambda row: (row.due_at, row.key))[:limit]

    def next_deadline(self) -> int | None:
        self._ask("next_deadline")
        return min((row.due_at for row in self._of(DEADLINE)), default=None)

    def _of(self, kind: str) -> list[Row]:
        return [row for row in self._pool.rows.values() if row.key.kind == kind]

    def checkpoint(self) -> Checkpoint | None:
        return self._ask("checkpoint").checkpoint

    def write(self, changes: Changes) -> None:
        pool = self._ask("write")
        self._written = True
        assert changes.first == len(pool.log) + 1
        self.written = len(changes.records) + len(changes.rows)
        for seq, (_, kind, text) in enumerate(changes.records, changes.first):
            pool.log.append((seq, kind, text.encode()))
        if changes.millis is not None:
            pool.times[changes.first] = changes.millis
        for key, row in changes.rows.items():
            if row is None:
                pool.rows.pop(key, None)
            else:
                pool.rows[key] = row
        if changes.event_sequence is not None:
            pool.event_sequence = changes.event_sequence
        if changes.projected is not None:
            pool.projected = changes.projected
        pool.checkpoint = changes.checkpoint or pool.checkpoint


class PlainError(Exception):
    """What this engine raises."""


class PlainEngine:
    """Pools that share their transactions.

    :ivar fails: how many of the next commits fail
    :ivar again: how many times more each transaction does its work
    :ivar reads: how often it was read without a transaction that writes
    :ivar durable: of each transaction, whether it had to be
    :ivar sources: those of the last transaction
    """

    errors = (PlainError,)

    def __init__(self) -> None:
        self.pools: dict[str, PlainPool] = {}
        self.now = 0
        self.fails = self.again = self.reads = 0
        self.durable: list[bool] = []
        self.sources: list[PlainSource] = []

    def transact(self, work: Callable[[], R], *, durable: bool) -> R:
        self.durable.append(durable)
        before = _copied(self.pools)
        try:
            for _ in range(self.again + 1):
                self.pools, self.sources = _copied(before), []
                result = work()
            self._commit()
        except BaseException:
            self.pools = before
            raise
        return result

    def read(self, work: Callable[[], None]) -> None:
        self.sources = []
        self.reads += 1
        work()

    def _commit(self) -> None:
        if self.fails:
            self.fails -= 1
            raise PlainError

    def source(self, pool_id: str) -> PlainSource:
        assert all(each.pool_id < pool_id and not each.asked for each in self.sources)
        pool = self.pools.setdefault(pool_id, PlainPool())
        self.sources.append(PlainSource(pool_id, pool, self.now))
        return self.sources[-1]

    def look(self, pool_id: str) -> PlainSource:
        """Give a pool to look at, outside any transaction."""
        source = PlainSource(pool_id, self.pools.get(pool_id, PlainPool()), self.now)
        source.load(LookUps())
        return source


def _copied(pools: dict[str, PlainPool]) -> dict[str, PlainPool]:
    """Copy pools, as far as they change."""
    return {
        pool_id: replace(pool, log=[*pool.log], rows={**pool.rows}, times={**pool.times})
        for pool_id, pool in pools.items()
    }


def _is_of_wake(payload: Any, condition_id: str) -> bool:
    return bool(payload.stored.condition.condition_id == condition_id)
