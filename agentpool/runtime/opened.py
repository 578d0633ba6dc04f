"""An opened pool of a store handle: what `AgentPool`, its members and their inboxes share."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, Final, TypeAlias, TypeVar

from agentpool.errors import MembershipLostError
from agentpool.rules.awaited_members import WantedMembers
from agentpool.rules.command import Command, PoolView
from agentpool.rules.holding import AsHolder, Holding
from agentpool.rules.requirements import require_open, require_type
from agentpool.rules.rows import WAKE, deadline_key
from agentpool.rules.topics import MEMBERS, wake_topic
from agentpool.rules.waits import (
    SuspendUntil,
    WakeOutcome,
    compile_for,
    find_cause,
    find_in_page,
    lacks_cause,
    outcome,
    refuse_hopeless,
)
from agentpool.runtime import tracing
from agentpool.runtime.overdue import Overdue
from agentpool.runtime.telling import told
from agentpool.runtime.upkeep import Upkeep
from agentpool.runtime.waiting import Take, Waiting, When
from agentpool.stores.base import AgentPoolStore, Bulk
from agentpool.stores.turns import Ending
from agentpool.support.tasks import uninterrupted
from agentpool.wire.events import EventEnvelope
from agentpool.wire.filters import EventFilter
from agentpool.wire.ids import check_identifier
from agentpool.wire.records import (
    AgentPoolMember,
    AgentPoolStoreCursor,
    WakeCondition,
    WakeRegistration,
    WakeRegistrationStatus,
)

__all__ = ("OpenedPool",)

R = TypeVar("R")

_End: TypeAlias = Callable[[], Coroutine[Any, Any, None]]

_PUT_RIGHT_SECONDS: Final = 1.0


class OpenedPool:
    """A pool from its opening to its closing, after which it refuses everything.

    :ivar ending: the closing, for whoever waits in the pool
    :ivar entered: what ends the memberships that have no block to end them
    :ivar lost: the end of the holding, for whoever waits for the run that is held
    :param holding: the run for which everything is done, as long as its block holds it
    :param of: the pool in which that is
    """

    def __init__(
        self,
        store: AgentPoolStore,
        pool_id: str,
        *,
        holding: Holding | None = None,
        of: "OpenedPool | None" = None,
    ) -> None:
        self.store: Final = store
        self.pool_id: Final = pool_id
        self.holding: Final = holding
        self.lost: Final = Ending("the run is not held any more", pool_id)
        self.ending: Final[Ending] = of.ending if of else Ending("the pool is closed", pool_id)
        self.waiting: Final[Waiting] = of.waiting if of else Waiting(store, pool_id, self.ending)
        self.heartbeats: Final = Upkeep.of(store).heartbeats
        self.entered: Final[set[_End]] = of.entered if of else set()

    def held_by(self, holding: Holding) -> "OpenedPool":
        """Give this pool to the block that holds a run."""
        return OpenedPool(self.store, self.pool_id, holding=holding, of=self)

    def refuse_closed(self) -> None:
        """Refuse to begin anything when the pool is closed, or the run is held no more.

        :raises StoreClosedError: the pool is closed
        :raises MembershipLostError: the run is lost
        """
        self.ending.refuse_closed()
        self.lost.refuse_closed()

    async def aclose(self) -> None:
        """Let go of the pool, once, after its ending was closed."""
        ended = await asyncio.gather(*(end() for end in self.entered), return_exceptions=True)
        await Upkeep.of(self.store).remove_pool(self.pool_id)
        for error in ended:
            if error is not None:
                raise error

    def execute(self, command: Command[R]) -> Awaitable[R]:
        """Carry out a command, unless the pool is closed or the run is held no more."""
        self.refuse_closed()
        return tracing.executing(self.pool_id, command, self._execute)

    def _execute(self, command: Command[R]) -> Awaitable[R]:
        if self.holding is None:
            return self.execute_once(command)
        return self._held(lambda: self.execute_once(command))

    def execute_once(self, command: Command[R]) -> Awaitable[R]:
        """Carry out a command for who holds the run, closed or not, away or not.

        :raises MembershipLostError: the run is not held, if only because its lease ran out
        """
        whole = command if self.holding is None else AsHolder(command, self.holding)
        return told(self.store, self.pool_id, command, whole)

    async def _held(self, step: Callable[[], Awaitable[R]]) -> R:
        """Do something as the holder of a run, which joins again where its lease ran out."""
        while True:
            try:
                return await step()
            except MembershipLostError:
                await self.confirm()  # raises it again, unless the run has joined again

    async def confirm(self) -> None:
        """See whether the run is still held, and let it join again where its lease ran out.

        :raises MembershipLostError: it is not
        """
        if self.holding is not None:
            await self.heartbeats.renew(self.pool_id, self.holding)
            self.lost.refuse_closed()

    async def until_taken(
        self,
        topic: str,
        when: When,
        take: Take[R],
        *,
        hopeful: bool = False,
    ) -> tuple[R, bool]:
        """Take what is there, or wait for it; see `Waiting.until_taken`."""
        self.lost.refuse_closed()
        return await self._held(
            lambda: self.waiting.until_taken(topic, when, take, hopeful=hopeful, ending=self.lost)
        )

    async def taken_now(
        self,
        when: When,
        take: Take[R],
        *,
        hopeful: bool,
    ) -> R | None:
        """Take what is there; see `Waiting.taken_now`."""
        self.refuse_closed()
        return await self._held(lambda: self.waiting.taken_now(when, take, hopeful=hopeful))

    def conclude(self, command: Command[R]) -> Awaitable[R]:
        """Carry out a command that ends something, whether the pool is closed or not."""
        return tracing.executing(self.pool_id, command, self._conclude)

    def _conclude(self, command: Command[R]) -> Awaitable[R]:
        return told(self.store, self.pool_id, command)

    async def put_right(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Carry out what follows from a failure or a cancellation, to its end.

        Where that takes long, because the file is busy, it goes on in the background: nobody's
        cancellation is held up for longer.
        """
        task = self.store.spawn(coroutine)
        await uninterrupted(asyncio.wait([task], timeout=_PUT_RIGHT_SECONDS))

    async def query(self, question: Callable[[PoolView], R]) -> R:
        """Answer a question, unless the pool is closed or the run is lost."""
        self.refuse_closed()
        return await self.store.query(self.pool_id, question)

    async def gathered(self, wanted: WantedMembers) -> tuple[AgentPoolMember, ...]:
        """Wait until members are there; see `AgentPool.wait_for_members`."""

        async def look(_touched: bool) -> tuple[AgentPoolMember, ...] | None:
            return await self.query(wanted.enough_among)

        return await self.waiting.until(MEMBERS, look)

    async def suspend_until(
        self, condition: WakeCondition, since: AgentPoolStoreCursor | None
    ) -> WakeRegistration:
        """Register a wait; see `AgentPool.suspend_until`."""
        return (await self.register(condition, since))[0]

    async def register(
        self, condition: WakeCondition, since: AgentPoolStoreCursor | None
    ) -> tuple[WakeRegistration, AgentPoolStoreCursor | None]:
        """Register a wait, and say up to where the past was searched before."""
        require_type(condition, WakeCondition, "condition")
        require_type(condition.filter, EventFilter, "condition.filter")
        refuse_hopeless(condition.filter)
        self.refuse_closed()

        async def search_and_register() -> tuple[WakeRegistration, AgentPoolStoreCursor | None]:
            match, looked_until = await self._search(condition, since)
            command = SuspendUntil(condition, looked_until, match)
            return await self.execute_once(command), looked_until

        if self.holding is None:
            return await search_and_register()
        # Together, since for a run that is away there was nothing to search yet.
        return await self._held(search_and_register)

    async def _search(
        self, condition: WakeCondition, since: AgentPoolStoreCursor | None
    ) -> tuple[EventEnvelope | None, AgentPoolStoreCursor | None]:
        """Go through the long past, a page at a time, so that neither writers nor readers wait."""
        place = since

        def search(
            view: PoolView,
        ) -> tuple[EventEnvelope | None, AgentPoolStoreCursor | None, bool]:
            known = view.wake_by_key(condition.idempotency_key)
            if known is not None or condition.run_id not in view.state.members:
                return None, place, False  # there is nothing to look for, or nobody
            return find_in_page(view, compile_for(require_open(view), condition.filter), place)

        match, place, more = await self.query(search)
        while more and match is None:
            match, place, more = await self.query(Bulk(search))
        return match, place

    async def _found_cause(self, condition_id: str) -> WakeOutcome | None:
        """Find the event of a wait in the log, where another implementation ended it."""
        place: AgentPoolStoreCursor | None = None
        found, more = None, True
        while more and found is None:
            question = partial(find_cause, condition_id=condition_id, since=place)
            found, place, more = await self.query(Bulk(question))
        return found

    async def wait(self, condition_id: str) -> WakeOutcome:
        """Wait until a wake has its final status; see `AgentPool.wait`."""
        check_identifier(condition_id, "condition_id")

        overdue = Overdue(self.store, self.pool_id, deadline_key(WAKE, condition_id))

        def question(view: PoolView) -> tuple[WakeOutcome, bool]:
            overdue.look_up(view)
            found = outcome(view, condition_id)
            return found, found.triggered and lacks_cause(view, condition_id)

        async def look(_touched: bool) -> WakeOutcome | None:
            found, lacking = await self.query(question)
            if found.registration.status is WakeRegistrationStatus.REGISTERED:
                return None
            return (await self._found_cause(condition_id) or found) if lacking else found

        self.lost.refuse_closed()
        topic = wake_topic(condition_id)
        return await self.waiting.until(topic, look, overdue=overdue, ending=self.lost)
