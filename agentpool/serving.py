"""Serving an inbox: a handler at work on several messages at once, and an end in order."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from hashlib import sha256
from typing import Final, TypeAlias

from agentpool.errors import AgentPoolError, IdempotencyConflictError, RetryClassification
from agentpool.inbox import Delivery, Inbox, given_back
from agentpool.support.tasks import cancel, ended, uninterrupted

__all__ = ("Handler", "Serving")

_LOG = logging.getLogger("agentpool")

_AGAIN_SECONDS: Final = 1.0

Handler: TypeAlias = Callable[[Delivery], Awaitable[object]]
"""Works on a message. What it gives is the answer; ``None``: it gives none."""


class Serving:
    """Serves one inbox, once; see `MemberHandle.serve`.

    :param grace: seconds that handlers are given to end
    """

    def __init__(self, inbox: Inbox, handler: Handler, concurrency: int, grace: float) -> None:
        self._inbox, self._handler = inbox, handler
        self._grace = grace
        self._free = asyncio.Semaphore(concurrency)
        self._handlers: set[asyncio.Task[None]] = set()
        self._is_over = False

    async def run(self) -> None:
        """Serve until this is cancelled, or the inbox gives no more."""
        try:
            while True:
                # No message is taken for which nobody is free: others may be.
                await self._free.acquire()
                handling = asyncio.create_task(self._handle(await self._take()))
                self._handlers.add(handling)
                handling.add_done_callback(self._done)
        finally:
            await uninterrupted(self._end())

    def _done(self, handling: "asyncio.Task[None]") -> None:
        self._handlers.discard(handling)
        self._free.release()

    async def _end(self) -> None:
        if self._handlers:
            await asyncio.wait(self._handlers, timeout=self._grace)
        self._is_over = True
        left = list(self._handlers)
        cancel(left)
        await ended(left)

    async def _take(self) -> Delivery:
        while True:
            try:
                return await self._inbox.take()
            except AgentPoolError as error:
                if error.retry is not RetryClassification.RETRYABLE:
                    raise
                self._tell("cannot take", error)
                await asyncio.sleep(_AGAIN_SECONDS)  # as a full disk refuses at once

    async def _handle(self, delivery: Delivery) -> None:
        try:
            async with delivery:
                await self._work_on(delivery)
        except Exception as error:  # noqa: BLE001  # the message comes again, others go on
            self._tell(f"{delivery!r} was not done", error)

    async def _work_on(self, delivery: Delivery) -> None:
        try:
            body = await self._handler(delivery)
        except asyncio.CancelledError:
            if self._is_over:  # it is nobody's failure
                await self._inbox.pool.put_right(given_back(delivery))
            raise
        if body is not None and delivery.message.response_contract is not None:
            await self._answer(delivery, body)

    async def _answer(self, delivery: Delivery, body: object) -> None:
        whole = f"{self._inbox.run_id}\0{delivery.message.idempotency_key}"
        key = f"answer.{sha256(whole.encode()).hexdigest()}"
        # An earlier attempt may have answered otherwise, and not lived to acknowledge: that stands.
        with suppress(IdempotencyConflictError):
            await delivery.reply(body, idempotency_key=key)

    def _tell(self, what: str, error: Exception) -> None:
        run_id, pool_id = self._inbox.run_id, self._inbox.pool.pool_id
        _LOG.warning(
            "run %r: %s: %s",
            run_id,
            what,
            type(error).__name__,
            exc_info=error,
            extra={"action": "serving_failed", "pool_id": pool_id, "run_id": run_id},
        )
