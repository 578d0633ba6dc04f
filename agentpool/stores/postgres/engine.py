"""The transactions of one connection to a server: what is read and what is written.

A write transaction locks its pools first, and looks in later statements: in the statement that
waited for a lock, what it sees is as old as its wait. All that it looks up goes in one trip, all
that it writes in another, with the COMMIT. When the connection is lost, another is made. Whether a
COMMIT was carried out that nobody answered, the server says then, by the number of the transaction.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Final, TypeVar

from agentpool.errors import AgentPoolError, StoreBusyError, StoreClosedError, StoreError
from agentpool.stores.batch.states import StateCache
from agentpool.stores.postgres import content, statements
from agentpool.stores.postgres.bell import Ringer
from agentpool.stores.postgres.errors import is_lock_timeout
from agentpool.stores.postgres.outcome import is_written, was_committed
from agentpool.stores.postgres.pipeline import (
    Answer,
    LostConnectionError,
    Pipeline,
    ServerError,
    Statement,
)
from agentpool.stores.postgres.reconnecting import RETRY_SECONDS, Reconnecting
from agentpool.stores.postgres.session import Identity, Place, Session
from agentpool.stores.postgres.source import PostgresSource
from agentpool.stores.postgres.timelines import Timelines
from agentpool.support.clock import StoreClock
from agentpool.wire.content import Content

__all__ = ("PoolBusyError", "PostgresEngine")

R = TypeVar("R")

_OUTCOME_SECONDS: Final = 30.0
"""How long to ask what became of a COMMIT; as long as it is not known, nothing may be said."""


class PoolBusyError(StoreBusyError):
    """Raised when another client held a pool for too long.

    :ivar busy_pool: which
    """

    def __init__(self, message: str, *, busy_pool: str = "") -> None:
        super().__init__(message)
        self.busy_pool: Final = busy_pool


class PostgresEngine:
    """An `Engine`, and the reads of one connection. For one thread at a time.

    :ivar where: names the place
    :ivar identity: of the server, as it was met last
    :param lock_seconds: how long a pool is waited for that somebody else holds
    :param ringer: tells others of what is committed
    :param states: the pools that are remembered by whoever uses this connection
    :param replaced: told of the pools whose logs no longer have what was read of them
    :param give_up: ends any waiting for a server that is away
    :param timelines: told of a server that has another one
    :param seen_elsewhere: how far the other connections of the handle saw logs to come
    """

    errors: Final = (ServerError, LostConnectionError)

    def __init__(  # noqa: PLR0917  # for `Connections` only
        self,
        place: Place,
        session: Session,
        lock_seconds: float,
        clock: StoreClock,
        ringer: Ringer,
        states: StateCache,
        replaced: Callable[[list[str]], None],
        give_up: threading.Event,
        timelines: Timelines,
        seen_elsewhere: Callable[[], Mapping[str, int]],
    ) -> None:
        self.where: Final = str(place)
        self._place = place
        self._line = Reconnecting(place, session, lock_seconds, give_up, self._compare)
        self._clock = clock
        self._ringer = ringer
        self._states = states
        self._replaced = replaced
        self._give_up = give_up
        self._timelines = timelines
        self._seen_elsewhere = seen_elsewhere
        self._numbers: dict[str, int] = {}
        self.identity: Identity = session.identity
        self._sources: list[PostgresSource] = []
        self._locked: list[tuple[Answer, str]] = []
        self._asked_at = 0
        self._writes = False

    @property
    def pipeline(self) -> Pipeline:
        """The connection that is there now."""
        return self._line.session.pipeline

    # --- writing

    def transact(self, work: Callable[[], R], *, durable: bool) -> R:
        return self._line.persistently(lambda: self._transact(work, durable=durable))

    def _transact(self, work: Callable[[], R], *, durable: bool) -> R:
        """Work in a transaction.

        :raises LostConnectionError: the connection was lost, and nothing was committed
        """
        with self._writing():
            done = work()
            self._put(durable=durable)
        return done

    def rewrite(self, pool_id: str, work: Callable[[PostgresSource], R], *, durable: bool) -> R:
        """Work on a pool by statements of one's own, in a transaction, and commit.

        Where it is not known whether it was committed it is done again.
        """

        def rewrite() -> R:
            with self._writing():
                source = self.source(pool_id)
                done = work(source)
                self._commit_rewritten(source, durable=durable)
            return done

        return self._line.persistently(rewrite)

    def _commit_rewritten(self, source: PostgresSource, *, durable: bool) -> None:
        assert source.number is not None  # noqa: S101  # it was locked
        if source.changes is not None:
            source.put(source.changes, source.number)
        if not durable:
            self.pipeline.ask(statements.WITHOUT_DISK)
        self.pipeline.ask(statements.COMMIT)
        self.pipeline.flush()
        self._numbers[source.pool_id] = source.number

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Begin a transaction that writes; roll it back where the block raises."""
        self._begin(statements.BEGIN_WRITING, writes=True)
        try:
            yield
        except LostConnectionError:
            raise
        except ServerError as error:
            self._roll_back()
            if self._locked and is_lock_timeout(error):
                raise self._busy(self._held_up_at(error)) from error
            raise
        except BaseException:
            self._roll_back()
            raise

    def _busy(self, pool_id: str) -> PoolBusyError:
        msg = (
            f"{self.where}: another client held pool {pool_id!r} for {self._place.patience} s;"
            " try again, or give a longer busy_timeout"
        )
        return PoolBusyError(msg, busy_pool=pool_id)

    def _held_up_at(self, error: ServerError) -> str:
        """Say which pool was not to be had; where a row of no pool was not, the first of them."""
        waited = [pool_id for answer, pool_id in self._locked if answer is error.answer]
        return waited[0] if waited else self._locked[0][1]

    def _put(self, *, durable: bool) -> None:
        """Write what the sources were given, and commit; without any, nothing is committed."""
        changed = [each for each in self._sources if each.changes is not None]
        if not changed:
            self._roll_back()
            return
        _, xid = self._time_and_xid()
        self._put_bodies(changed)
        has_records = False
        for source in changed:
            assert source.changes is not None  # noqa: S101  # see above
            assert source.number is not None  # noqa: S101  # it was locked
            source.put(source.changes, source.number)
            has_records |= bool(source.changes.records)
        if not (durable or has_records):
            self.pipeline.ask(statements.WITHOUT_DISK)
        self.pipeline.ask(statements.COMMIT)
        self._commit(xid, changed)
        for source in changed:
            assert source.number is not None  # noqa: S101  # see above
            self._numbers[source.pool_id] = source.number

    def _commit(self, xid: str, changed: Sequence[PostgresSource]) -> None:
        """Commit, and tell others."""
        touched = {each.pool_id: each.changes.touched for each in changed if each.changes}
        try:
            self.pipeline.flush(after=self._ringer.calls(touched))
        except LostConnectionError:
            if not self._was_committed(xid, changed):
                raise
            for statement, parameters in self._ringer.calls(touched):
                self.pipeline.ask(statement, *parameters)
            with suppress(LostConnectionError):  # it is committed all the same
                self.pipeline.send()

    def _put_bodies(self, changed: Sequence[PostgresSource]) -> None:
        bodies: dict[str, Content] = {}
        for source in changed:
            assert source.changes is not None  # noqa: S101  # only such are given
            bodies.update((body.ref, body) for body in source.changes.bodies)
        if bodies:
            content.keep(self.pipeline, list(bodies.values()))

    def _roll_back(self) -> None:
        pipeline = self.pipeline
        pipeline.forget()
        pipeline.ask(statements.ROLLBACK)
        with suppress(LostConnectionError):  # the server does it then
            pipeline.send()

    def _begin(self, statement: Statement, *, writes: bool) -> None:
        self._sources, self._locked, self._writes = [], [], writes
        self.pipeline.forget()
        self.pipeline.ask(statement)
        self._line.session.guard()

    # --- reading

    def read(self, work: Callable[[], R]) -> R:
        """Work on one state of what is committed.

        :raises StoreBusyError: the server was away for too long
        """
        return self._line.persistently(lambda: self._read(work))

    def _read(self, work: Callable[[], R]) -> R:
        self._begin(statements.BEGIN_READING, writes=False)
        try:
            return work()
        finally:
            self._roll_back()

    def ask(self, work: Callable[[Pipeline], R]) -> R:
        """Ask something of the server, outside of any transaction that lasts.

        :raises StoreBusyError: the server was away for too long
        """
        until = time.monotonic() + self._place.patience

        def ask() -> R:
            while True:
                self.pipeline.forget()
                try:
                    return work(self.pipeline)
                except ServerError as error:
                    # Of a connection that waits only a moment for each pool, this is none.
                    if not is_lock_timeout(error) or time.monotonic() >= until:
                        raise

        return self._line.persistently(ask)

    # --- pools

    def source(self, pool_id: str) -> PostgresSource:
        number: int | None
        if self._writes:
            number = self._lock(pool_id)
        else:
            number = self._numbers.get(pool_id) or self._find(pool_id)
        source = PostgresSource(
            self.pipeline, pool_id, number, self._time, self._states, writes=self._writes
        )
        self._sources.append(source)
        return source

    def _lock(self, pool_id: str) -> int:
        number = self._numbers.get(pool_id)
        if number is None:
            made = self.pipeline.ask(statements.INSERT_POOL, pool_id)
            self._locked.append((made, pool_id))  # others may be making it
        answer = self.pipeline.ask(statements.LOCK, pool_id)
        self._locked.append((answer, pool_id))
        if number is None:
            [(found,)] = answer.rows
            number = int(found)
        self._asked_at = self._clock.elapsed()
        return number

    def _find(self, pool_id: str) -> int | None:
        row = self.pipeline.ask(statements.FIND_POOL, pool_id).row
        if row is None:
            return None
        number = self._numbers[pool_id] = int(row[0])
        return number

    def _time(self) -> int:
        """Tell the time of the server, or of the clock of a test."""
        if not (self._clock.is_shared and self._writes and self._sources):
            return self._clock()
        return self._time_and_xid()[0]

    def _time_and_xid(self) -> tuple[int, str]:
        """Tell the time of the server, which the clock follows, and the transaction's number."""
        found = self._sources[-1].numbers  # of the pool that was locked last
        self._clock.follow(found.now, self._asked_at)
        return found.now, found.xid

    # --- when the server is away

    def _compare(self) -> None:
        """Forget what is remembered, should the server have another past now, or other tables."""
        found = self._line.session.identity
        if found != self.identity:
            self._timelines.met(self.identity, found, self.where)
        elif not self._line.is_replaced:
            return
        self._numbers.clear()
        self._states.forget()
        for pool_id, head in self._seen_elsewhere().items():
            self._states.saw(pool_id, head)
        try:
            replaced = self._read(partial(self._states.replaced, self.source, may_be_shorter=True))
        except BaseException:
            self.pipeline.close()  # so that it is done once there is another connection
            raise
        self.identity = found
        if replaced:
            self._replaced(replaced)

    def _was_committed(self, xid: str, written: Sequence[PostgresSource]) -> bool:
        """Find out what became of a transaction whose end nobody answered.

        :raises StoreError: that cannot be told
        """
        former = self._line.session
        deadline = time.monotonic() + _OUTCOME_SECONDS
        while True:
            try:
                if self.pipeline.is_broken:
                    self._line.connect(deadline)
                found = self._outcome(former, xid, written)
            except (AgentPoolError, ServerError, LostConnectionError) as error:
                if isinstance(error, AgentPoolError) or time.monotonic() >= deadline:
                    raise self._unknown() from error
                found = None
            if found is not None:
                return found
            if self._give_up.is_set() or time.monotonic() >= deadline:
                raise self._unknown()
            self._give_up.wait(RETRY_SECONDS[0])

    def _outcome(self, former: Session, xid: str, written: Sequence[PostgresSource]) -> bool | None:
        if not self._line.session.is_with_same(former):
            return is_written(self.pipeline, xid, written)
        return was_committed(self.pipeline, former.started, xid, written)

    def _unknown(self) -> AgentPoolError:
        msg = (
            f"{self.where}: the connection was lost during a commit, and it is not known whether"
            " that was carried out; look before you do it again, or give it an idempotency key"
        )
        return (StoreClosedError if self._give_up.is_set() else StoreError)(msg)

    def close(self) -> None:
        """Let go of the connection."""
        self.pipeline.close()
