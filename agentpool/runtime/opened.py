"""An opened pool of a store handle: what `AgentPool`, its members and their inboxes share."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar

from agentpool.errors import InvalidValueError
from agentpool.rules.answers import TakeAnswers, is_answered
from agentpool.rules.command import Command, PoolView
from agentpool.rules.requirements import require_open
from agentpool.rules.sending import Send
from agentpool.rules.waits import (
    SuspendUntil,
    WakeOutcome,
    compile_for,
    find_in_page,
    outcome,
)
from agentpool.runtime.upkeep import Upkeep
from agentpool.runtime.waiting import Waiting, message_topic, wake_topic
from agentpool.stores.base import AgentPoolStore, Bulk
from agentpool.stores.tail import Ending
from agentpool.support.tasks import uninterrupted
from agentpool.wire.events import EventEnvelope
from agentpool.wire.ids import check_identifier
from agentpool.wire.records import (
    AgentPoolStoreCursor,
    RunMessage,
    WakeCondition,
    WakeRegistration,
    WakeRegistrationStatus,
)

__all__ = ("OpenedPool",)

R = TypeVar("R")

_PUT_RIGHT_SECONDS: Final = 1.0


class OpenedPool:
    """A pool from its opening to its closing, after which it refuses everything.

    :ivar ending: the closing, for whoever waits in the pool
    """

    def __init__(self, store: AgentPoolStore, pool_id: str) -> None:
        self.store: Final = store
        self.pool_id: Final = pool_id
        self.ending: Final = Ending("the pool is closed", pool_id)
        self.waiting: Final = Waiting(store, pool_id, self.ending)
        self.heartbeats: Final = Upkeep.of(store).heartbeats

    async def aclose(self) -> None:
        """Let go of the pool, once, after its ending was closed."""
        await Upkeep.of(self.store).remove_pool(self.pool_id)

    def execute(self, command: Command[R]) -> Awaitable[R]:
        """Carry out a command, unless the pool is closed."""
        self.ending.refuse_closed()
        return self.store.execute(self.pool_id, command)

    def conclude(self, command: Command[R]) -> Awaitable[R]:
        """Carry out a command that ends something, whether the pool is closed or not."""
        return self.store.execute(self.pool_id, command)

    async def put_right(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Carry out what follows from a failure or a cancellation, to its end.

        Where that takes long, because the file is busy, it goes on in the background: nobody's
        cancellation is held up for longer.
        """
        task = self.store.spawn(coroutine)
        await uninterrupted(asyncio.wait([task], timeout=_PUT_RIGHT_SECONDS))

    async def query(self, question: Callable[[PoolView], R]) -> R:
        """Answer a question, unless the pool is closed."""
        self.ending.refuse_closed()
        return await self.store.query(self.pool_id, question)

    async def ask(self, message: RunMessage) -> tuple[RunMessage, ...]:
        """Send a question and wait for what comes of it; see `AgentPool.ask`."""
        command = Send(message, hold_answers=True)
        if message.response_contract is None:
            msg = "message.response_contract: needed to ask"
            raise InvalidValueError(msg)
        receipt = await self.execute(command)
        asked, key = receipt.message_id, message.idempotency_key
        # Held for as long as somebody waits here; of an asker that is gone the answers go to its
        # inbox, when the hold has run out.
        self.heartbeats.add_hold(self.pool_id, asked)
        try:
            answers, _ = await self.waiting.until_taken(
                message_topic(key),
                lambda view: view.now if is_answered(view, key) else None,
                lambda: self.store.execute(self.pool_id, TakeAnswers(key)),
            )
            return answers
        finally:
            self.heartbeats.remove_hold(self.pool_id, asked)

    async def suspend_until(
        self, condition: WakeCondition, since: AgentPoolStoreCursor | None
    ) -> WakeRegistration:
        """Register a wait; see `AgentPool.suspend_until`."""
        match, looked_until = await self._search(condition, since)
        return await self.execute(SuspendUntil(condition, looked_until, match))

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

    async def wait(self, condition_id: str) -> WakeOutcome:
        """Wait until a wake has its final status; see `AgentPool.wait`."""
        check_identifier(condition_id, "condition_id")

        async def look(_touched: bool) -> WakeOutcome | None:
            found = await self.query(lambda view: outcome(view, condition_id))
            waits = found.registration.status is WakeRegistrationStatus.REGISTERED
            return None if waits else found

        return await self.waiting.until(wake_topic(condition_id), look)
