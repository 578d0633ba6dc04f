"""Who commits: one connection for all pools, and others for those that somebody else holds.

A client that was suspended in the middle of a transaction keeps its pools locked until the server
ends its session. Whoever waits for them may not hold up the rest. So the main lane waits only a
moment; a pool that it cannot have goes apart, to a lane of its own, until it was free for a while.
"""

import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from typing import Any, Final, TypeAlias

import anyio

from agentpool.errors import StoreBusyError
from agentpool.rules.topics import AllTouched
from agentpool.stores.batch.committer import BatchCommitter, Outcome, Refusal, Request
from agentpool.stores.batch.group_commit import GroupCommit
from agentpool.stores.batch.states import StateCache
from agentpool.stores.postgres import statements
from agentpool.stores.postgres.engine import PoolBusyError, PostgresEngine
from agentpool.stores.postgres.errors import in_our_terms, is_lock_timeout
from agentpool.stores.postgres.pipeline import ServerError, Tuple
from agentpool.stores.postgres.values import texts
from agentpool.stores.postgres.worker import EngineWorker

__all__ = ("MOMENT", "Lanes", "Start")

MOMENT: Final = 0.05
"""Seconds that the main lane waits for a pool."""
_MOST_APART: Final = 4
_STAYS_SECONDS: Final = 5.0

_Committed: TypeAlias = tuple[list[Outcome], AllTouched]
Start: TypeAlias = Callable[[StateCache], Awaitable[EngineWorker]]
"""Connects one more engine, on a thread of its own."""


class _Apart(StoreBusyError):  # noqa: N818  # its caller goes on elsewhere
    """The pool is locked by somebody else."""


class _Spare:
    """A connection for whatever pool is apart."""

    def __init__(self, worker: EngineWorker, states: StateCache) -> None:
        self.worker: Final = worker
        self.committer: Final = BatchCommitter(states)


class _Lane:
    """The lane of a pool that is apart.

    :ivar until: by the monotonic clock, when it may be given up
    """

    def __init__(self, commits: GroupCommit) -> None:
        self.commits: Final = commits
        self.until = 0.0
        self.stay()

    def stay(self) -> None:
        """Stay for a while."""
        self.until = time.monotonic() + _STAYS_SECONDS


class Lanes:
    """Commits commands in batches; what `GroupCommit` is for one connection.

    :param main: the connection for all pools, which waits for none of them for long
    :param start: connects one that does
    :param changed: told of what commits have touched, after their callers
    """

    def __init__(
        self,
        main: EngineWorker,
        states: StateCache,
        start: Start,
        changed: Callable[[AllTouched], None],
    ) -> None:
        self._main = main
        self._committer = BatchCommitter(states)
        self._start = start
        self._changed = changed
        self._commits = GroupCommit(self._commit, changed)
        self._apart: dict[str, _Lane] = {}
        self._spares: list[_Spare] = []
        self._room = anyio.Semaphore(_MOST_APART)

    async def submit(self, request: Request) -> Any:
        """Have a command committed.

        Cancelled before its batch began, it has no effect; later, its whole effect or none.
        """
        lane = self._lane_of(request.pool_id)
        if lane is None:
            try:
                return await self._commits.submit(request)
            except _Apart:
                lane = self._put_apart(request.pool_id)
        return await lane.commits.submit(request)

    def _lane_of(self, pool_id: str) -> _Lane | None:
        lane = self._apart.get(pool_id)
        if lane is not None and lane.commits.is_idle and time.monotonic() >= lane.until:
            del self._apart[pool_id]
            return None
        return lane

    def _put_apart(self, pool_id: str) -> _Lane:
        lane = self._apart.get(pool_id)
        if lane is None:
            commits = GroupCommit(partial(self._commit_apart, pool_id), self._changed)
            lane = self._apart[pool_id] = _Lane(commits)
        return lane

    async def decided(self, pool_ids: Collection[str]) -> None:
        """Wait until it is decided what became of commands whose callers were cancelled.

        :param pool_ids: for which pools
        """
        await self._commits.decided(pool_ids)
        for lane in [lane for each in pool_ids if (lane := self._apart.get(each))]:
            await lane.commits.all_decided()

    async def all_decided(self) -> None:
        """Wait until that is decided for every pool."""
        await self._commits.all_decided()
        for lane in list(self._apart.values()):
            await lane.commits.all_decided()

    async def close(self) -> None:
        """Let what is being committed finish, and refuse what waits behind it."""
        await self._commits.close()
        for lane in self._apart.values():
            await lane.commits.close()
        for spare in self._spares:
            await spare.worker.close()

    # --- committing

    async def _commit(self, requests: list[Request]) -> _Committed:
        return await self._main.run(partial(self._in_main, requests))

    def _in_main(self, requests: Sequence[Request], engine: PostgresEngine) -> _Committed:
        """Commit what can be had at once; the rest is told to go apart."""
        held: set[str] = set()
        while True:
            wanted = [each for each in requests if each.pool_id not in held]
            try:
                outcomes, touched = self._in_batch(self._committer, wanted, engine)
            except PoolBusyError as busy:
                held.add(busy.busy_pool)
                held |= _held(engine, {each.pool_id for each in wanted} - held)
                continue
            return _in_order(requests, held, [_apart_if_busy(each) for each in outcomes]), touched

    def _in_batch(
        self, committer: BatchCommitter, requests: Sequence[Request], engine: PostgresEngine
    ) -> _Committed:
        if not requests:
            return [], {}
        outcomes, touched = committer.commit(engine, requests)
        return [in_our_terms(each, engine.where) for each in outcomes], touched

    async def _commit_apart(self, pool_id: str, requests: list[Request]) -> _Committed:
        async with self._room:
            spare = self._spares.pop() if self._spares else await self._new_spare()
            began = time.monotonic()
            try:
                return await spare.worker.run(partial(self._in_batch, spare.committer, requests))
            finally:
                if time.monotonic() - began > MOMENT:
                    self._apart[pool_id].stay()
                self._spares.append(spare)

    async def _new_spare(self) -> _Spare:
        states = StateCache()
        return _Spare(await self._start(states), states)


def _held(engine: PostgresEngine, pool_ids: Collection[str]) -> set[str]:
    """Find the pools that somebody else holds as well, so that none of them is waited for."""
    if not pool_ids:
        return set()
    try:
        rows = engine.transact(partial(_rows_of_held, engine, pool_ids), durable=False)
    except ServerError as error:
        if not is_lock_timeout(error):
            raise
        return set(pool_ids)  # somebody has locked the whole table
    return {pool_id.decode() for (pool_id,) in rows}


def _rows_of_held(engine: PostgresEngine, pool_ids: Collection[str]) -> list[Tuple]:
    return engine.pipeline.ask(statements.HELD, texts(pool_ids)).rows


def _apart() -> Refusal:
    return Refusal(_Apart("another client holds the pool"))


def _apart_if_busy(outcome: Outcome) -> Outcome:
    """Send apart what was tried alone, since its batch had failed, and found its pool held."""
    is_busy = isinstance(outcome, Refusal) and isinstance(outcome.error, PoolBusyError)
    return _apart() if is_busy else outcome


def _in_order(
    requests: Sequence[Request], held: set[str], outcomes: Sequence[Outcome]
) -> list[Outcome]:
    """Put outcomes in the order of the requests, as far as they go."""
    found: list[Outcome] = []
    given = 0
    for request in requests:
        if request.pool_id in held:
            found.append(_apart())
        elif given == len(outcomes):
            break
        else:
            found.append(outcomes[given])
            given += 1
    return found
