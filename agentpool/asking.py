"""Asking, as a member does it: for a quorum, for one answer, or for each as it comes."""

from collections.abc import AsyncGenerator, Sequence
from typing import Final, Literal, cast

from agentpool.errors import InvalidValueError, shown
from agentpool.rules.asking import Answers, Asking
from agentpool.rules.requirements import require_type
from agentpool.runtime.asking import Question, the_one
from agentpool.runtime.bodies import NO_BODY
from agentpool.runtime.drafts import Draft, compose
from agentpool.runtime.opened import OpenedPool
from agentpool.support.clock import millis
from agentpool.wire.records import MessageResponseContract, RunAddress, RunMessage
from agentpool.wire.refs import NO_CORRELATION, EventCorrelation, PolicyRef

__all__ = ("Asker",)

_MOST_EXPECTED: Final = 2**32 - 1


class Asker:
    """A run that asks; for `MemberHandle`, which says the rest."""

    def __init__(self, pool: OpenedPool, run_id: str) -> None:
        require_type(pool, OpenedPool, "pool")
        self._pool: Final = pool
        self.run_id: Final = run_id

    async def ask(
        self,
        to: RunAddress,
        body: object = NO_BODY,
        *,
        content_ref: str | None = None,
        expected: int | Literal["all"] = 1,
        timeout: float = 30.0,  # noqa: ASYNC109  # a durable deadline, not one of this call
        late: Literal["keep", "inbox"] = "keep",
        idempotency_key: str | None = None,
        message_id: str | None = None,
        correlation: EventCorrelation = NO_CORRELATION,
        policy_refs: Sequence[PolicyRef] = (),
    ) -> Answers:
        """Ask, and wait until it is certain what comes of it; see `AgentPool.ask`.

        When its time is up the question is handed out no more. Cancelled, a question without a
        key, or an id, of its own is withdrawn; one with it goes on, and can be asked again.

        :param expected: how many answers, of different runs; ``"all"``: of all that receive it
        :param timeout: seconds until fewer answers, or none, are what there is
        :param late: what becomes of answers that come too late, or beyond what was expected:
            ``"keep"``: asking again under its key gives them, as `Answers.late`; ``"inbox"``: they
            are ordinary messages
        """
        draft = Draft(
            to,
            body,
            content_ref,
            idempotency_key,
            message_id,
            correlation=correlation,
            policy_refs=policy_refs,
        )
        question = self._question(draft, expected, timeout, late)
        return await question.answers()

    async def ask_one(
        self,
        to: RunAddress,
        body: object = NO_BODY,
        *,
        content_ref: str | None = None,
        timeout: float = 30.0,  # noqa: ASYNC109  # a durable deadline, not one of this call
        late: Literal["keep", "inbox"] = "keep",
        idempotency_key: str | None = None,
        message_id: str | None = None,
        correlation: EventCorrelation = NO_CORRELATION,
        policy_refs: Sequence[PolicyRef] = (),
    ) -> RunMessage:
        """Ask as `ask` does, and give the one answer; one that came too late where it is there.

        :raises NoAnswerError: nobody was there, the time is up, or who received it has left; its
            ``outcome`` says which
        """
        answers = await self.ask(
            to,
            body,
            content_ref=content_ref,
            timeout=timeout,
            late=late,
            idempotency_key=idempotency_key,
            message_id=message_id,
            correlation=correlation,
            policy_refs=policy_refs,
        )
        return the_one(answers, self._pool.pool_id)

    def ask_each(
        self,
        to: RunAddress,
        body: object = NO_BODY,
        *,
        content_ref: str | None = None,
        expected: int | Literal["all"] = "all",
        timeout: float = 30.0,  # a durable deadline, not one of this call
        late: Literal["keep", "inbox"] = "keep",
        idempotency_key: str | None = None,
        message_id: str | None = None,
        correlation: EventCorrelation = NO_CORRELATION,
        policy_refs: Sequence[PolicyRef] = (),
    ) -> AsyncGenerator[RunMessage, None]:
        """Ask as `ask` does, and yield the answers as they come, until no more are expected.

        Left by ``break`` or by cancellation it is as if `ask` were cancelled; ``aclosing()`` has
        that done at once. Asked again under its key, it begins with the first answer.
        """
        draft = Draft(
            to,
            body,
            content_ref,
            idempotency_key,
            message_id,
            correlation=correlation,
            policy_refs=policy_refs,
        )
        return self._question(draft, expected, timeout, late).each_answer()

    def _question(
        self,
        draft: Draft,
        expected: int | Literal["all"],
        timeout: float,
        late: Literal["keep", "inbox"],
    ) -> Question:
        number, of_all = _checked_expected(expected)
        contract = MessageResponseContract(number, millis(timeout, "timeout"))
        composed = compose(self._pool, self.run_id, draft, contract)
        asking = Asking(of_all, expires=True, late_to_inbox=_goes_to_inbox(late))
        repeatable = draft.idempotency_key is not None or draft.message_id is not None
        return Question(self._pool, composed, asking, repeatable=repeatable)


def _checked_expected(expected: int | Literal["all"]) -> tuple[int, bool]:
    """Say how many answers are expected, and whether it is those of all who receive the question.

    :raises InvalidValueError: it is neither a number nor ``"all"``
    """
    if type(expected) is str and expected == "all":
        return 1, True
    type_ = type(expected)
    if issubclass(type_, int) and type_ is not bool:
        number = int.__pos__(cast("int", expected))
        if 0 <= number <= _MOST_EXPECTED:
            return number, False
    msg = (
        f"expected: expected an int from 0 to {_MOST_EXPECTED}, or 'all',"
        f" got {type_.__name__} {shown(expected)}"
    )
    raise InvalidValueError(msg)


def _goes_to_inbox(late: Literal["keep", "inbox"]) -> bool:
    if type(late) is not str or late not in {"keep", "inbox"}:
        msg = f"late: expected 'keep' or 'inbox', got {shown(late)}"
        raise InvalidValueError(msg)
    return late == "inbox"
