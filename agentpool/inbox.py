"""The inbox of a member: look, take one message after another, acknowledge."""

from collections.abc import AsyncGenerator
from contextlib import suppress
from types import TracebackType
from typing import Final, Self
from weakref import WeakSet

from agentpool.errors import AgentPoolError, ClaimLostError
from agentpool.rules.claims import (
    Acknowledge,
    Claim,
    ClaimNext,
    ReturnMessage,
    next_available,
    peek,
)
from agentpool.runtime.opened import OpenedPool
from agentpool.runtime.waiting import inbox_topic
from agentpool.stores.base import checked_limit
from agentpool.support.clock import millis
from agentpool.support.process import process_name
from agentpool.support.tasks import uninterrupted
from agentpool.wire.records import RunMessage

__all__ = ("Delivery", "Inbox")

_MOST: Final = 2**31


class Delivery:
    """A message under a claim, which is renewed for as long as somebody holds this object.

    ``async with delivery:`` acknowledges at the end of the block, and returns the message to the
    inbox when the block raises.

    :ivar message: the message
    :ivar attempt: 1 for the first time that this message was claimed, more after it came back
    """

    def __init__(self, inbox: "Inbox", claim: Claim) -> None:
        self._inbox = inbox
        self.claim: Final = claim
        self.message: Final[RunMessage] = claim.message
        self.attempt: Final = claim.attempt
        self.lease: Final = inbox.lease
        self._ended = False

    def __repr__(self) -> str:
        return f"<Delivery of {self.message.message_id!r}, attempt {self.attempt}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Acknowledge at the end of the block, return the message when it raised.

        Nothing of both where the block did one itself.
        """
        if self._ended:
            return
        if exc_type is None:
            await self.ack()
        else:
            with suppress(AgentPoolError):  # then the lease gives it back
                await uninterrupted(self.nack())

    async def ack(self) -> None:
        """End the claim for good: the message is done and will not come again.

        Cancelled, the message is done or not; acknowledging again tells, by `ClaimLostError`.

        :raises ClaimLostError: the claim had run out or was ended; nothing has changed
        """
        await self._end(Acknowledge(self.claim))

    async def nack(self, delay: float = 0) -> None:
        """End the claim by giving the message back; it comes again, with the next attempt.

        :param delay: seconds before it can be taken again
        :raises ClaimLostError: the claim had run out or was ended; nothing has changed
        """
        await self._end(ReturnMessage(self.claim, millis(delay, "delay")))

    async def give_back(self) -> None:
        """End the claim as `nack` does, even when the pool is closed: its member leaves."""
        self._inbox.forget(self)
        await self._inbox.pool.conclude(ReturnMessage(self.claim, 0))
        self._ended = True

    async def _end(self, command: Acknowledge | ReturnMessage) -> None:
        self._inbox.forget(self)
        await self._inbox.pool.execute(command)
        self._ended = True


class Inbox:
    """The unacknowledged messages of one run, in order of the log.

    ``async for delivery in inbox`` claims the next message and waits where there is none. Going on
    to the next without `Delivery.ack` or `Delivery.nack` lets the claim run out: the message comes
    again, at the end of its lease. Several consumers, in any tasks and processes, may share a
    run's inbox; each message is with one of them at a time.
    """

    def __init__(self, pool: OpenedPool, run_id: str, *, lease: int) -> None:
        self.pool: Final = pool
        self._run_id = run_id
        self._held: WeakSet[Delivery] = WeakSet()
        self._flows = False  # whether the last message was there at once
        self.lease: Final = lease

    async def __aiter__(self) -> AsyncGenerator[Delivery, None]:
        while True:
            delivery = await self.take()
            try:
                yield delivery
            finally:
                self.pool.heartbeats.remove_delivery(self.pool.pool_id, delivery)

    async def peek(self, limit: int = 100) -> tuple[RunMessage, ...]:
        """Look at the first unacknowledged messages. Changes nothing."""
        limit = min(checked_limit(limit) or 0, _MOST)
        return await self.pool.query(lambda view: peek(view, self._run_id, limit))

    async def take(self) -> Delivery:
        """Claim the next message, and wait for one where there is none.

        Cancelled, a message may have been claimed; it comes back when its lease runs out.

        :raises StoreClosedError: the pool, or its store, was closed
        """
        claim, self._flows = await self.pool.until_taken(
            inbox_topic(self._run_id),
            lambda view: next_available(view, self._run_id),
            ClaimNext(self._run_id, process_name(), self.lease),
            hopeful=self._flows,
        )
        delivery = Delivery(self, claim)
        self._held.add(delivery)
        self.pool.heartbeats.add_delivery(self.pool.pool_id, delivery)
        return delivery

    async def let_go(self) -> None:
        """Return the messages that are claimed, to be taken again at once."""
        for delivery in list(self._held):
            with suppress(ClaimLostError):
                await delivery.give_back()

    def forget(self, delivery: Delivery) -> None:
        """Renew the claim of a delivery no longer: it is about to end."""
        self.pool.heartbeats.remove_delivery(self.pool.pool_id, delivery)
        self._held.discard(delivery)
