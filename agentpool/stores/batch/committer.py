"""One write transaction: carry out a batch of commands one after another, append, commit.

Runs as one function on the worker thread. A refused command fails alone; an error of the engine
rolls all of the batch back and fails all of it.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, Final, NamedTuple, TypeAlias

from agentpool.errors import AgentPoolError
from agentpool.rules.command import Command, LookUps
from agentpool.rules.consequences import PIECE, ConsequenceError, carry_out
from agentpool.rules.topics import AllTouched, merge
from agentpool.stores.batch.source import Engine
from agentpool.stores.batch.states import ColdStateError, StateCache
from agentpool.stores.batch.view import OverlayView

__all__ = ("BatchCommitter", "Outcome", "Refusal", "Request")

Outcome: TypeAlias = Any  # a command's result, or its Refusal

_MOST_WORK: Final = 1000
_MOST_NEW: Final = 500
_TIMES_TO_LOOK: Final = 3


class Refusal(NamedTuple):
    """Why a command changed nothing."""

    error: Exception


class Request(NamedTuple):
    """A command and the pool that it is for."""

    pool_id: str
    command: Command[Any]


class BatchCommitter:
    """Commits batches on one connection of an engine.

    :ivar states: the pools that it met, as it remembers them
    """

    def __init__(self, states: StateCache | None = None) -> None:
        self.states: Final = StateCache() if states is None else states

    def commit(
        self, engine: Engine, requests: Sequence[Request]
    ) -> tuple[list[Outcome], AllTouched]:
        """Carry out requests in order, each seeing the effect of those before it.

        Ends where the transaction would become long: then the rest are for the next one.

        :return: an outcome for each request that it came to, which is the first one at least, and
            what others are to be told of each pool
        """
        try:
            return self._commit(engine, requests)
        # Of a batch the transaction is undone for all, though one is at fault: alone, each shows
        # which.
        except ConsequenceError as error:
            if len(requests) == 1:
                raise error.error from error
        except Exception as error:
            # What the engine itself says, or a limit of the handle, is true of all of them. A bug
            # in a command is not, nor what is wrong with one of several pools: each is tried alone.
            if len(requests) == 1 or _is_of_all(error, requests, engine):
                raise
        return self._one_by_one(engine, requests)

    def _commit(
        self, engine: Engine, requests: Sequence[Request]
    ) -> tuple[list[Outcome], AllTouched]:
        for at_most in (*[_MOST_NEW] * _TIMES_TO_LOOK, None):
            try:
                return self._transact(engine, requests, at_most)
            except ColdStateError as cold:
                # What is to be read is read first, while others may write.
                engine.read(partial(self._look, engine, cold.pool_id))
        raise AssertionError  # the last time, it may be as much as there is

    def _look(self, engine: Engine, pool_id: str) -> None:
        source = engine.source(pool_id)
        source.load(LookUps())
        self.states.current(source, self.states.head(source))

    def _transact(
        self, engine: Engine, requests: Sequence[Request], at_most: int | None
    ) -> tuple[list[Outcome], AllTouched]:
        durable = any(request.command.must_survive_power_cut for request in requests)
        work = partial(self._carry_out, engine, requests, at_most)
        outcomes, views = engine.transact(work, durable=durable)
        for view in views:
            view.committed()
        return outcomes, {view.pool_id: touched for view in views if (touched := view.touched)}

    def _one_by_one(
        self, engine: Engine, requests: Sequence[Request]
    ) -> tuple[list[Outcome], AllTouched]:
        """Find out which command it is that breaks its batch, and let the others have theirs."""
        outcomes: list[Outcome] = []
        changed: AllTouched = {}
        for request in requests:
            try:
                [outcome], told = self.commit(engine, [request])
            except Exception as error:  # noqa: BLE001  # its caller is told
                outcome, told = Refusal(error), {}
            outcomes.append(outcome)
            for pool_id, touched in told.items():
                merge(changed.setdefault(pool_id, {}), touched)
        return outcomes, changed

    def _carry_out(
        self, engine: Engine, requests: Sequence[Request], at_most: int | None
    ) -> tuple[list[Outcome], list[OverlayView]]:
        """Do the work of a transaction; what this raises, and what it refuses, differ.

        A refusal has changed nothing, so the commands after it go on from the same views.
        """
        views = self._views(engine, requests, at_most)
        outcomes: list[Outcome] = []
        work = 0
        for pool_id, command in requests:
            if work >= _MOST_WORK:
                break
            view = views[pool_id]
            before = view.work
            try:
                outcomes.append(carry_out(view, command, max(PIECE - work, 0)))
            except AgentPoolError as error:
                outcomes.append(Refusal(error))
            work += view.work - before
        # All decided, then all written: an engine that is a trip away needs one for it.
        for view in views.values():
            view.save()
        return outcomes, list(views.values())

    def _views(
        self, engine: Engine, requests: Sequence[Request], at_most: int | None
    ) -> dict[str, OverlayView]:
        """Lock the pools in the order of their ids, load what is declared, then look."""
        wanted: dict[str, list[LookUps]] = {}
        for pool_id, command in requests:
            wanted.setdefault(pool_id, []).append(command.looks_up)
        sources = [engine.source(pool_id) for pool_id in sorted(wanted)]
        for source in sources:
            source.load(_together(wanted[source.pool_id]))
        return {each.pool_id: OverlayView(each, self.states, at_most) for each in sources}


def _together(declared: Sequence[LookUps]) -> LookUps:
    # What is due next is looked at before a command: after the last one, nobody does.
    return declared[0]._replace(deadlines=()) if len(declared) == 1 else LookUps.together(declared)


def _is_of_all(error: Exception, requests: Sequence[Request], engine: Engine) -> bool:
    if isinstance(error, AgentPoolError) and error.pool_id is None:
        return True
    is_one_pool = len({request.pool_id for request in requests}) == 1
    return is_one_pool and isinstance(error, (AgentPoolError, *engine.errors))
