"""Asking: send, wait for what comes of it, and leave no question behind that nobody waits for."""

from collections.abc import AsyncGenerator
from contextlib import suppress
from operator import itemgetter
from typing import Final

from agentpool.errors import AgentPoolError, AskOutcome, NoAnswerError
from agentpool.rules.asking import Answers, Asking, Withdraw, answers_so_far, answers_to, too_few
from agentpool.rules.command import PoolView
from agentpool.rules.rows import RESPONSE, deadline_key
from agentpool.rules.sending import Send
from agentpool.rules.topics import answers_topic, message_topic
from agentpool.runtime import tracing
from agentpool.runtime.bodies import to_keep_with
from agentpool.runtime.drafts import Composed
from agentpool.runtime.opened import OpenedPool
from agentpool.runtime.overdue import Overdue
from agentpool.wire.records import MessageReceipt, RunMessage

__all__ = ("Question", "the_one")


class Question:
    """A question that is asked through a pool.

    :param composed: what is sent
    :param repeatable: whether it can be asked again; if not, it is withdrawn when nobody waits
    """

    def __init__(
        self, pool: OpenedPool, composed: Composed, asking: Asking, *, repeatable: bool
    ) -> None:
        self._pool: Final = pool
        self._composed: Final = composed
        self._asking: Final = asking
        self._key: Final = composed.message.idempotency_key
        self._repeatable: Final = repeatable

    async def answers(self) -> Answers:
        """Ask, and wait until it is certain what comes of it."""
        try:
            await self._ask()
            coming = self._until_certain(self._overdue())
            return await tracing.receiving(self._pool.pool_id, coming, iter)
        except BaseException as error:
            await self._left(error)
            raise

    async def _until_certain(self, overdue: Overdue) -> Answers:
        def question(view: PoolView) -> Answers | None:
            overdue.look_up(view)
            return answers_to(view, self._key)

        async def look(_touched: bool) -> Answers | None:
            return await self._pool.query(question)

        topic, lost = message_topic(self._key), self._pool.lost
        return await self._pool.waiting.until(topic, look, overdue=overdue, ending=lost)

    async def each_answer(self) -> AsyncGenerator[RunMessage, None]:
        """Ask, and yield the answers as they come, until it is certain that there are no more."""
        pool, seen = self._pool, 0

        def question(view: PoolView) -> tuple[tuple[RunMessage, ...], int, bool]:
            overdue.look_up(view)
            return answers_so_far(view, self._key, seen)

        try:
            asked = await self._ask()
            overdue = self._overdue()
            topics = message_topic(self._key), answers_topic(asked.message_id)
            with pool.waiting.turns(*topics, ending=pool.lost) as turns:
                async for _ in turns:
                    coming = pool.query(question)
                    found = await tracing.receiving(pool.pool_id, coming, itemgetter(0))
                    more, seen, ended = found
                    for answer in more:
                        yield answer
                        turns.refuse_closed()
                    if ended:
                        return
                    await overdue.see_to(turns)
        except BaseException as error:
            await self._left(error)
            raise

    def _overdue(self) -> Overdue:
        deadline = deadline_key(RESPONSE, self._key)
        return Overdue(self._pool.store, self._pool.pool_id, deadline)

    async def _ask(self) -> MessageReceipt:
        message, content = self._composed
        bodies = await to_keep_with(self._pool, content)
        return await self._pool.execute(Send(message, bodies, asking=self._asking))

    async def _left(self, error: BaseException) -> None:
        """Withdraw a question that nobody waits for any more, and cannot."""
        if not (self._repeatable or isinstance(error, AgentPoolError)):
            await self._pool.put_right(self._withdraw())

    async def _withdraw(self) -> None:
        with suppress(AgentPoolError):  # then its time ends it
            await self._pool.conclude(Withdraw(self._key))


def the_one(answers: Answers, pool_id: str) -> RunMessage:
    """Give the answer to a question that asks for one; late ones too, of those that can be read.

    :raises NoAnswerError: there is none
    """
    there_are = answers or answers.late
    if there_are:
        return there_are[0]
    if answers.unreadable:
        msg = f"the answer, record {answers.unreadable[0]}, cannot be read; {_AGAIN}"
        raise NoAnswerError(msg, outcome=answers.outcome, pool_id=pool_id)
    msg = _WHY[answers.outcome].format(missing=", ".join(answers.missing) or "nobody")
    if answers.outcome is AskOutcome.INCOMPLETE and (why := too_few(answers)):
        msg = f"it was asked for more answers than can come: {why}; {_AGAIN}"
    raise NoAnswerError(msg, outcome=answers.outcome, pool_id=pool_id)


_AGAIN: Final = "ask again, under another key if it had one"
_WHY: Final = {
    AskOutcome.COMPLETE: f"the question was said to be answered, without an answer; {_AGAIN}",
    AskOutcome.TIMED_OUT: f"no answer in time, {{missing}} received the question; {_AGAIN}",
    AskOutcome.NOBODY: (
        "nobody received the question: no member has this address and the policies of the"
        " message; see who is there with `members()`, wait for them to join, and ask again"
    ),
    AskOutcome.INCOMPLETE: (
        "no answer will come: who received the question has left, or it was cancelled"
        f" (without an answer: {{missing}}); {_AGAIN}"
    ),
}
