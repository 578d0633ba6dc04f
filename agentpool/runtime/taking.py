"""Taking from the inbox of a run: claim what is there, or wait for it; cancelled, keep nothing."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Final, TypeAlias, TypeVar

import anyio

from agentpool.errors import AgentPoolError
from agentpool.rules.claiming import Claiming, ClaimMany, ClaimNext
from agentpool.rules.claims import Claim, ClaimTerms
from agentpool.rules.command import LookUps, Question
from agentpool.rules.inboxes import next_available
from agentpool.rules.redelivery import Unclaim
from agentpool.rules.topics import inbox_topic
from agentpool.runtime import tracing
from agentpool.runtime.opened import OpenedPool
from agentpool.support.clock import millis
from agentpool.support.process import process_name
from agentpool.support.tasks import joined, move_on_after
from agentpool.wire.records import RunMessage

__all__ = ("Taking",)

R = TypeVar("R")

_Make: TypeAlias = Callable[[], Claiming[R | None]]

_LOOK_FOR_SECONDS: Final = 1.0
"""How long the first look of a take may last, so that no timeout is too short to get anything."""


class Taking:
    """What one inbox takes from the messages of its run."""

    def __init__(self, pool: OpenedPool, run_id: str, terms: ClaimTerms) -> None:
        self._pool = pool
        self._run_id = run_id
        self._terms = terms
        self._flows = False  # whether the last message was there at once
        next_message = partial(next_available, run_id=run_id)
        self._when = Question(next_message, LookUps(inboxes=(run_id,)))

    async def one(self, seconds: float | None) -> Claim | None:
        """Claim the next message; ``None``: the time is up."""
        terms = self._terms
        taking = self._within(
            seconds,
            lambda: ClaimNext(self._run_id, process_name(), terms.lease, terms.max_attempts),
        )
        return await tracing.receiving(self._pool.pool_id, taking, _message)

    async def many(self, limit: int, seconds: float | None) -> tuple[Claim, ...]:
        """Claim the next messages, at least one; none of them: the time is up."""
        terms, name = self._terms, process_name()
        taking = self._within(
            seconds,
            lambda: ClaimMany(self._run_id, name, terms.lease, terms.max_attempts, limit=limit),
        )
        return await tracing.receiving(self._pool.pool_id, taking, _messages) or ()

    async def would_take(self, seconds: float | None) -> bool:
        """Wait until there is a message to claim, and claim none; say whether there is."""

        async def look() -> bool | None:
            return True if await self._pool.waiting.is_there(self._when) else None

        patience = None if seconds is None else millis(seconds, "timeout") / 1000
        self._pool.refuse_closed()
        if await look():
            return True
        with move_on_after(patience):
            topic = inbox_topic(self._run_id)
            return (await self._pool.until_taken(topic, self._when, look))[0]
        return False

    async def _within(self, seconds: float | None, make: _Make[R]) -> R | None:
        if seconds is None:
            return await self._until_claimed(make)
        seconds = millis(seconds, "timeout") / 1000
        end = anyio.current_time() + seconds
        with move_on_after(max(seconds, _LOOK_FOR_SECONDS)):
            claimed = await self._claimed_now(make)
            if claimed is not None:
                return claimed
        if anyio.current_time() < end:
            with move_on_after(end - anyio.current_time()):
                return await self._until_claimed(make)
        return None

    async def _until_claimed(self, make: _Make[R]) -> R:
        claimed, self._flows = await self._pool.until_taken(
            inbox_topic(self._run_id), self._when, lambda: self._claim(make()), hopeful=self._flows
        )
        return claimed

    async def _claimed_now(self, make: _Make[R]) -> R | None:
        claimed = await self._pool.taken_now(
            self._when, lambda: self._claim(make()), hopeful=self._flows
        )
        self._flows = claimed is not None
        return claimed

    async def _claim(self, command: Claiming[R | None]) -> R | None:
        """Claim what is first, and see to it that a cancelled take keeps nothing."""
        claiming = asyncio.ensure_future(self._pool.execute_once(command))
        try:
            return await joined(claiming)
        except asyncio.CancelledError:
            if command.withdraw():
                claiming.cancel()
            else:
                await self._pool.put_right(self._unclaim(command, claiming))
            raise

    async def _unclaim(
        self, command: Claiming[R | None], claiming: "asyncio.Future[R | None]"
    ) -> None:
        with suppress(AgentPoolError):  # then the lease gives it back
            claims = command.claims(await claiming)
            if claims:
                await self._pool.conclude(Unclaim(*claims))


def _message(claim: Claim | None) -> Iterator[RunMessage]:
    return _messages(() if claim is None else (claim,))


def _messages(claims: tuple[Claim, ...] | None) -> Iterator[RunMessage]:
    return (claim.message for claim in claims or ())
