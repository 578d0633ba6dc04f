"""What the tools do, each for the run of its seat."""

from collections.abc import Awaitable, Callable
from functools import partial
from hashlib import sha256
from typing import Any, Final, TypeAlias

from agentpool import Delivery, MessageReceipt
from agentpool.errors import InvalidValueError
from agentpool.faces.mail import CORRELATION_OF_URGENT, mail
from agentpool.faces.naming import address, claimed_message
from agentpool.mcp.answers import (
    Answer,
    Headed,
    body_within,
    fitting,
    header_of,
    listed,
    message_words,
    rows_within,
    with_bodies,
)
from agentpool.mcp.arguments import (
    MOST_CHARS,
    MOST_MESSAGES,
    Arguments,
    Ask,
    Content,
    Done,
    Inbox,
    Send,
    Take,
    Wait,
    Who,
)
from agentpool.mcp.seat import Seat
from agentpool.mcp.waits import Waits
from agentpool.mcp.who import who_is_there
from agentpool.stores.base import Bulk
from agentpool.wire.refs import NO_CORRELATION

__all__ = ("Tools",)

_Tool: TypeAlias = Callable[[Any, float], Awaitable[Answer]]

_AROUND: Final = 60
_AROUND_LIST: Final = 120
"""Characters of an answer that are in none of its messages, and of a list of them."""


class Tools:
    """The eight tools.

    :ivar seat: the run that they act for
    :ivar waits: what has to do with waiting
    """

    def __init__(self, seat: Seat) -> None:
        self.seat: Final = seat
        self.waits: Final = Waits(seat)
        self._by_arguments: Final[dict[type[Arguments], _Tool]] = {
            Who: self.who,
            Send: self.send,
            Ask: self.waits.ask,
            Inbox: self.inbox,
            Take: self.take,
            Done: self.done,
            Wait: self.waits.wait,
            Content: self.content,
        }

    async def call(self, arguments: Arguments, patience: float) -> Answer:
        """Call the tool whose arguments these are.

        :param patience: for how many seconds it may wait
        :raises AgentPoolError: in the words of the library
        """
        return await self._by_arguments[type(arguments)](arguments, patience)

    async def who(self, given: Who, _: float) -> Answer:
        """Say who acts here, and who is in the pool."""
        pool = self.seat.pool
        me = (await self.seat.me()).member
        you: Answer = {"run": me.run_id, "agent": me.agent_id}
        question = partial(who_is_there, agent=given.agent)
        return {
            "you": you,
            "pool": pool.pool_id,
            **await pool.store.query(pool.pool_id, Bulk(question)),
        }

    async def send(self, given: Send, _: float) -> Answer:
        """Send a message."""
        me = await self.seat.joined()
        receipt = await me.send(
            await address(self.seat.pool, given.to, key=given.key, sender=me.run_id),
            given.text,
            idempotency_key=given.key,
            reply_to=given.reply_to,
            correlation=CORRELATION_OF_URGENT if given.urgent else NO_CORRELATION,
        )
        return _receipt_words(receipt)

    async def inbox(self, given: Inbox, _: float) -> Answer:
        """List what is in the inbox, and leave it there."""
        pool = self.seat.pool
        found = await pool.store.query(
            pool.pool_id, Bulk(partial(mail, run_id=self.seat.run_id, most=given.limit))
        )
        room = given.max_chars - _AROUND_LIST
        rows = list(rows_within(map(header_of, found.letters), room))
        left, beyond = found.in_all - len(rows), "" if found.is_all else "+"
        is_cut = len(rows) < len(found.letters)
        more = f"{left}{beyond} more; {_how_to_see_more(given, is_cut=is_cut)}"
        return {
            "messages": rows,
            "count": f"{found.in_all}+" if beyond else found.in_all,
            "more": more if left > 0 or beyond else None,
        }

    async def take(self, given: Take, _: float) -> Answer:
        """Claim the next messages that there is room for, and read them as far as there is."""
        taken = await self.seat.take(given.limit)
        try:
            headed = [Headed(_taken_words(*each), each[1].message) for each in taken]
            room = given.max_chars - _AROUND
            fit = fitting(headed, room)
            await self.seat.give_back(taken[fit:])
            rows = await with_bodies(self.seat.pool, headed[:fit], room)
        except BaseException:
            await self.seat.give_back(taken)
            raise
        left = len(taken) - len(rows)
        more = f"{left} had no room; take again" if left else None
        return {"messages": rows, "count": None if rows else 0, "more": more}

    async def done(self, given: Done, _: float) -> Answer:
        """End a claim, and answer the message before that."""
        if given.reply is None:
            await self.seat.end(given.claim, ok=given.ok)
            return {"done": given.ok}
        if not given.ok:
            msg = (
                "reply: a message that is given back is not answered yet; give ok=true, or no reply"
            )
            raise InvalidValueError(msg)
        receipt = await self._reply(given.claim, given.reply)
        await self.seat.end(given.claim, ok=True)
        return {"done": True, "reply": _receipt_words(receipt)}

    async def _reply(self, claim: str, text: str) -> MessageReceipt:
        seat = self.seat
        # Before it is answered: whoever has the message by now answers it too.
        stored = await claimed_message(seat.pool, seat.token_of(claim), seat.run_id)
        if stored is None:
            msg = "claim: the message that it is of is not there any more"
            raise InvalidValueError(msg)
        # Called again, as after a lost answer, it is answered once.
        key = f"reply.{sha256(claim.encode()).hexdigest()}"
        me = await seat.joined()
        return await me.reply(stored.message, text, idempotency_key=key)

    async def content(self, given: Content, _: float) -> Answer:
        """Read a body, or keep one."""
        pool = self.seat.pool
        if (given.ref is None) == (given.text is None):
            msg = "give either ref, to read a body, or text, to keep one"
            raise InvalidValueError(msg)
        if given.text is not None:
            me = await self.seat.me()
            return {"ref": str(await me.write(given.text))}
        ref = str(given.ref)
        return await body_within(pool, ref, given.max_chars, given.offset)


def _how_to_see_more(given: Inbox, *, is_cut: bool) -> str:
    if is_cut and given.max_chars < MOST_CHARS:
        return "give a larger max_chars"
    if not is_cut and given.limit < MOST_MESSAGES:
        return "give a larger limit"
    return "take these and end them by done, to see what is behind"


def _taken_words(claim: str, delivery: Delivery) -> Answer:
    return {
        "claim": claim,
        **message_words(delivery.message),
        "attempt": delivery.attempt if delivery.attempt > 1 else None,
    }


def _receipt_words(receipt: MessageReceipt) -> Answer:
    return {
        "message": receipt.message_id,
        "status": str(receipt.status),
        "delivered_to": listed(receipt.delivered_to),
    }
