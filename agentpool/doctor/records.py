"""Checks of the log: every record of every pool is read once, in order.

Who wants to know more about the records than whether they can be read is an `Observer`, so that
a large store is read only once.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from agentpool.doctor.reader import Reader, is_unicode, pools
from agentpool.doctor.report import Finding, Places, broken, note, ok
from agentpool.errors import (
    AgentPoolError,
    CorruptRecordError,
    PoolConfigConflictError,
    UnknownRecordError,
)
from agentpool.rules.replay import PoolState
from agentpool.stores.batch.raw import INCOMING
from agentpool.stores.batch.source import RawRecord
from agentpool.wire.ids import I64_MAX
from agentpool.wire.payload import open_payload

__all__ = ("Observer", "check_records")


class Observer(Protocol):
    """Sees the records of one pool after another."""

    def begin(self, pool_id: str) -> None:
        """Get ready for a pool."""

    def record(self, seq: int, payload: Any, state: PoolState) -> None:
        """See a record, and the state of the pool after it."""

    def end(self, state: PoolState, *, intact: bool) -> None:
        """See the last state of the pool, and whether all records could be replayed."""


def check_records(reader: Reader, observers: Sequence[Observer] = ()) -> Iterator[Finding]:
    """Read all records."""
    reading = _Reading(reader, observers)
    for pool_id in pools(reader):
        reading.read(pool_id)
    yield from reading.findings()


class _Reading:
    def __init__(self, reader: Reader, observers: Sequence[Observer]) -> None:
        self._reader = reader
        self._observers = observers
        self._survived: tuple[type[Exception], ...] = (
            AgentPoolError,
            *reader.errors,
            ArithmeticError,
            TypeError,
            ValueError,
        )
        self._records = self._pools = 0
        self._unreadable, self._unknown, self._gaps = Places(), Places(), Places()
        self._conflicts, self._unopened = Places(), Places()
        self._beside, self._incoming = Places(), Places()

    def read(self, pool_id: str) -> None:
        """Read the records of a pool."""
        self._pools += 1
        state, before = PoolState(pool_id), self._faults()
        for observer in self._observers:
            self._observe(state, lambda: observer.begin(pool_id))  # noqa: B023  # called at once
        for row in self._in_order(pool_id):
            self._records += 1
            self._take(state, row)
        if state.config is None:
            self._unopened.add(repr(pool_id))
        intact = self._faults() == before
        for observer in self._observers:
            self._observe(state, lambda: observer.end(state, intact=intact))  # noqa: B023

    def _observe(self, state: PoolState, observe: Callable[[], None]) -> None:
        """Let an observer look; what it cannot read must not keep the records from being read."""
        try:
            observe()
        except self._survived as error:
            self._beside.add(f"pool {state.pool_id!r}: {error}")

    def _faults(self) -> int:
        faults = (self._unreadable, self._unknown, self._gaps, self._conflicts, self._incoming)
        return sum(map(len, faults))

    def _in_order(self, pool_id: str) -> Iterator[RawRecord]:
        expected = 1
        for row in self._reader.records(pool_id):
            if row[:2] == (I64_MAX, INCOMING):
                self._incoming.add(repr(pool_id))
                return
            if row[0] != expected:
                self._gaps.add(f"pool {pool_id!r} has {row[0]!r} where {expected} was due")
            if not isinstance(row[0], int):
                return
            expected = row[0] + 1
            yield row

    def _take(self, state: PoolState, row: RawRecord) -> None:
        seq, kind, raw = row
        if not isinstance(kind, str) or not is_unicode(kind):
            self._unreadable.add(f"pool {state.pool_id!r}, record {seq}: its kind is no text")
            return
        try:
            payload = open_payload(state.pool_id, seq, kind, raw)
            state.apply(seq, payload)
        except CorruptRecordError as error:
            self._unreadable.add(f"pool {state.pool_id!r}, record {seq}: {error.message}")
        except UnknownRecordError:
            self._unknown.add(f"pool {state.pool_id!r}, record {seq}: {kind!r}")
        except PoolConfigConflictError:
            self._conflicts.add(f"pool {state.pool_id!r}, record {seq}")
        else:
            for observer in self._observers:
                self._observe(state, lambda: observer.record(seq, payload, state))  # noqa: B023

    def findings(self) -> Iterator[Finding]:
        """Say what was found."""
        if self._unreadable:
            what = f"{len(self._unreadable)} cannot be read: {self._unreadable}"
            yield broken("records", what, "restore them from a backup; all others can be read")
        else:
            counted = f"{self._records} in {self._pools} pools"
            yield ok("records", f"{counted}; every one that is known here can be read")
        if self._gaps:
            yield broken("numbers", str(self._gaps), "restore the missing records from a backup")
        else:
            yield ok("numbers", "1, 2, 3, ... without gaps in every pool")
        if self._conflicts:
            what = f"opened again with another config: {self._conflicts}"
            yield broken("configs", what, "restore the first config; nothing can use these pools")
        elif self._unopened:
            yield note("configs", f"never opened: pool {self._unopened}", "open_pool() does")
        else:
            yield ok("configs", "every pool has one config")
        if self._beside:
            what = f"what stands beside the records cannot be read: {self._beside}"
            yield broken("rows", what, "restore a backup; the records themselves are well")
        if self._incoming:
            what = f"being copied to here, and not whole: pool {self._incoming}"
            yield note("copies", what, "run the copy again to its end; it goes on where it was")
        if self._unknown:
            what = f"of kinds that this version does not know: {self._unknown}"
            yield note("kinds", what, "use the version that wrote them, or a newer one")
        else:
            yield ok("kinds", "every kind of record is known")
