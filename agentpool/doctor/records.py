"""Checks of the log: every record of every pool is read once, in order.

Who wants to know more about the records than whether they can be read is an `Observer`, so that
a large file is read only once. Pages keep the memory bounded.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Protocol

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
from agentpool.stores.sqlite.statements import PAGE, without_index
from agentpool.wire.ids import I64_MAX, I64_MIN
from agentpool.wire.payload import open_payload

__all__ = ("Observer", "check_records", "head", "is_unicode", "pool_ids", "pools")

_AT_ONCE: Final = 500
_PAGE: Final = without_index(PAGE)  # which an earlier version has not made
_HEAD: Final = f"""
    SELECT max(seq) FROM agent_pool_records
    WHERE pool_id = ? AND seq <= {I64_MAX} AND typeof(seq) = 'integer'
"""


class Observer(Protocol):
    """Sees the records of one pool after another."""

    def begin(self, pool_id: str) -> None:
        """Get ready for a pool."""

    def record(self, seq: int, payload: Any, state: PoolState) -> None:
        """See a record, and the state of the pool after it."""

    def end(self, state: PoolState, *, intact: bool) -> None:
        """See the last state of the pool, and whether all records could be replayed."""


def pools(connection: sqlite3.Connection, table: str = "agent_pool_records") -> Iterator[str]:
    """List the pools that a table has rows of; those whose ids are no text can never be opened."""
    for pool_id in pool_ids(connection, table):
        if isinstance(pool_id, str) and is_unicode(pool_id):
            yield pool_id


def pool_ids(connection: sqlite3.Connection, table: str) -> Iterator[object]:
    """List whatever stands for a pool in a table, looking up one after another."""
    [pool_id] = connection.execute(f"SELECT min(pool_id) FROM {table}").fetchone()
    while pool_id is not None:
        yield pool_id
        is_text = isinstance(pool_id, str)
        # As bytes: text that is no UTF-8 could not be given back as text.
        after = pool_id.encode(errors="surrogateescape") if is_text else pool_id
        given = "CAST(? AS TEXT)" if is_text else "?"
        [pool_id] = connection.execute(
            f"SELECT min(pool_id) FROM {table} WHERE pool_id > {given}", (after,)
        ).fetchone()


def is_unicode(text: str) -> bool:
    """Say whether a text was UTF-8; what was not is read with surrogates in place of its bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def head(connection: sqlite3.Connection, pool_id: str) -> int:
    """Find the number of the last record of a pool, 0 for none; what is no number is passed by."""
    [seq] = connection.execute(_HEAD, (pool_id,)).fetchone()
    return int(seq or 0)


def check_records(
    connection: sqlite3.Connection, observers: Sequence[Observer] = ()
) -> Iterator[Finding]:
    """Read all records."""
    reading = _Reading(connection, observers)
    for pool_id in pools(connection):
        reading.read(pool_id)
    yield from reading.findings()


class _Reading:
    def __init__(self, connection: sqlite3.Connection, observers: Sequence[Observer]) -> None:
        self._connection = connection
        self._observers = observers
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
        except (AgentPoolError, sqlite3.Error, ArithmeticError, TypeError, ValueError) as error:
            self._beside.add(f"pool {state.pool_id!r}: {error}")

    def _faults(self) -> int:
        faults = (self._unreadable, self._unknown, self._gaps, self._conflicts, self._incoming)
        return sum(map(len, faults))

    def _in_order(self, pool_id: str) -> Iterator[RawRecord]:
        # Not by way of a source, which refuses a page with numbers that are none: here all before
        # them is to be read.
        expected, after = 1, I64_MIN
        while rows := self._connection.execute(_PAGE, (pool_id, after, _AT_ONCE)).fetchall():
            for row in rows:
                if row[:2] == (I64_MAX, INCOMING):
                    self._incoming.add(repr(pool_id))
                    return
                if row[0] != expected:
                    self._gaps.add(f"pool {pool_id!r} has {row[0]!r} where {expected} was due")
                if not isinstance(row[0], int):
                    return
                after, expected = row[0], row[0] + 1
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
            what = f"being copied into this file, and not whole: pool {self._incoming}"
            yield note("copies", what, "run the copy again to its end; it goes on where it was")
        if self._unknown:
            what = f"of kinds that this version does not know: {self._unknown}"
            yield note("kinds", what, "use the version that wrote them, or a newer one")
        else:
            yield ok("kinds", "every kind of record is known")
