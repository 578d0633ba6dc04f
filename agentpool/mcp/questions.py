"""Questions that outlive a call, and the server: messages, whose id is told to go on with."""

from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from functools import partial
from typing import Final

from agentpool import AgentPoolStoredMessage, Answers, AskOutcome, MessageStatus, RunMessage
from agentpool.errors import InvalidTransitionError, InvalidValueError, shown
from agentpool.faces.naming import address
from agentpool.mcp.answers import (
    Answer,
    Headed,
    fitting,
    listed,
    message_words,
    said,
    with_bodies,
)
from agentpool.mcp.arguments import Ask
from agentpool.mcp.seat import Seat
from agentpool.mcp.standing import Standing, going_on, kind_of, withdrawn_if_left
from agentpool.rules.asking import answers_to
from agentpool.rules.command import PoolView
from agentpool.rules.explaining.by_id import id_by_index
from agentpool.runtime.drafts import fresh_id
from agentpool.support.tasks import move_on_after

__all__ = ("Questions",)

_MAX_CHARS: Final = 20_000
_AROUND: Final = 160
"""Characters of an answer for how to read on."""

_LEAST_PATIENCE: Final = 0.05


class Questions:
    """The questions that the run of a seat asks."""

    def __init__(self, seat: Seat) -> None:
        self._seat: Final = seat
        self._pool: Final = seat.pool

    async def ask(self, given: Ask, patience: float) -> Answer:
        """Ask, and wait for the answers; or say how to go on."""
        me = await self._seat.joined()
        to = await address(self._pool, given.to, key=given.key, sender=me.run_id)
        own_id = fresh_id("ask", self._pool.store.clock)
        key = own_id if given.key is None else given.key
        async with self._left(own_id, given.key):
            while True:
                with move_on_after(patience):
                    answers = await me.ask(
                        to,
                        given.text,
                        expected=given.expect,
                        timeout=given.timeout,
                        late="inbox",  # where `take` finds it, whether or not it is waited for
                        message_id=own_id,
                        idempotency_key=key,
                    )
                    return await self._words(await self._wait_id(own_id, given.key), answers)
                wait_id = await self._wait_id(own_id, given.key)
                if await self._found(wait_id) is not None:
                    return going_on(wait_id)
                # Not even that was done in time: a busy store, or no patience at all.
                patience = 2 * max(patience, _LEAST_PATIENCE)

    def _left(self, wait_id: str, key: str | None) -> AbstractAsyncContextManager[None]:
        """Take back what a cancelled call has asked, unless it can be asked again under a key."""
        if key is not None:
            return nullcontext()
        return withdrawn_if_left(lambda: self.cancel(wait_id))

    async def _wait_id(self, own_id: str, key: str | None) -> str:
        """Say by which id a question goes on; under a key it may have been asked before.

        :raises InvalidValueError: its id is none that can be waited for
        """
        if key is None:
            return own_id
        pool, run_id = self._pool, self._seat.run_id
        known = await pool.store.query(pool.pool_id, lambda view: view.message_by_key(key))
        if known is None or known.stored.message.sender != run_id:
            return own_id
        message_id = known.stored.message.message_id
        if kind_of(message_id) is None:
            msg = (
                f"key: a program has asked under {shown(key)}, and given its question an id of its"
                " own; take another"
            )
            raise InvalidValueError(msg, pool_id=pool.pool_id)
        return message_id

    async def go_on(self, wait_id: str, patience: float, offset: int = 0) -> Answer:
        """Wait on for the answers to a question that was asked.

        :param offset: so many of the answers are left out: they have been read
        """
        stored = await self._known(wait_id)
        with move_on_after(patience):
            return await self._words(wait_id, await self._pool.ask(stored.message), offset)
        return (await self.standing(wait_id)).answer or going_on(wait_id)

    async def standing(self, wait_id: str) -> Standing:
        """Say how a question stands.

        :raises InvalidValueError: this run has asked none of this id
        """
        stored = await self._known(wait_id)
        key = stored.message.idempotency_key

        def look(view: PoolView) -> tuple[Answers | None, int | None]:
            known = view.message_by_key(key)
            return answers_to(view, key), None if known is None else view.time_of(known.seq)

        answers, at = await self._pool.store.query(self._pool.pool_id, look)
        if answers is None:
            return Standing("working", None, at)
        is_cancelled = stored.receipt.status is MessageStatus.CANCELLED
        words = await self._words(wait_id, answers)
        return Standing("cancelled" if is_cancelled else "completed", words, at)

    async def cancel(self, wait_id: str) -> None:
        """Hand a question out no more, and wait for no answers; one that has ended stays so."""
        stored = await self._known(wait_id)
        with suppress(InvalidTransitionError):
            await self._pool.record_message_status(
                stored.message, MessageStatus.CANCELLED, stored.receipt.delivered_to
            )

    async def _known(self, wait_id: str) -> AgentPoolStoredMessage:
        found = await self._found(wait_id)
        if found is None:
            msg = f"{self._seat.run_id!r} has asked nothing under the id {shown(wait_id)}"
            raise InvalidValueError(msg, pool_id=self._pool.pool_id)
        return found

    async def _found(self, wait_id: str) -> AgentPoolStoredMessage | None:
        question = partial(id_by_index, message_id=wait_id)
        known = await self._pool.store.query(self._pool.pool_id, question)
        if known is None or known.stored.message.response_contract is None:
            return None
        return known.stored if known.stored.message.sender == self._seat.run_id else None

    async def _words(self, wait_id: str, answers: Answers, offset: int = 0) -> Answer:
        headed = [_headed(each) for each in answers]
        headed += [_headed(each, is_late=True) for each in answers.late]
        is_complete = answers.outcome is AskOutcome.COMPLETE
        ended: Answer = {
            "outcome": None if is_complete else str(answers.outcome),
            "no_answer_of": listed(answers.missing),
        }
        room = _MAX_CHARS - _AROUND - len(said(ended))
        left = headed[offset:]
        rows = await with_bodies(self._pool, left[: fitting(left, room)], room)
        read = offset + len(rows)
        more = f"{len(headed) - read} more; wait(for={wait_id!r}, offset={read}) has them"
        return {"answers": rows, "more": more if read < len(headed) else None, **ended}


def _headed(answer: RunMessage, *, is_late: bool = False) -> Headed:
    words = {**message_words(answer), "reply_to": None, "late": True if is_late else None}
    return Headed(words, answer)
