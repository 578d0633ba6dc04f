"""The inbox of a member: look, take one message after another, acknowledge."""

from collections.abc import AsyncGenerator, Callable, Collection, Container, Iterable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Final, Self, TypeAlias, TypeGuard, TypeVar, cast, overload
from weakref import WeakSet

from agentpool.errors import (
    AgentPoolError,
    ClaimLostError,
    InvalidValueError,
    MembershipLostError,
    shown,
)
from agentpool.rules.claims import Acknowledge, Claim, ClaimId, ClaimTerms
from agentpool.rules.command import PoolView
from agentpool.rules.dead import DeadLetter, Discard, Retry, dead_page
from agentpool.rules.inboxes import ROWS_AT_ONCE, peek_page
from agentpool.rules.redelivery import ReturnMessage, Unclaim
from agentpool.rules.requirements import checked_number, checked_sequence, require_type
from agentpool.rules.tokens import claim_of, token_of
from agentpool.runtime import tracing
from agentpool.runtime.bodies import NO_BODY, MessageBody
from agentpool.runtime.drafts import reply_to, send_answer
from agentpool.runtime.opened import OpenedPool
from agentpool.runtime.taking import Taking
from agentpool.support.clock import millis, positive_millis
from agentpool.wire.ids import check_identifier
from agentpool.wire.records import MessageReceipt, RunMessage
from agentpool.wire.refs import PolicyRef

__all__ = ("Delivery", "Inbox", "checked_attempts", "claim_terms", "given_back")

T = TypeVar("T")

_Page: TypeAlias = Callable[[PoolView, str, int, int], tuple[list[T], int | None]]

_MOST: Final = 2**31


def claim_terms(
    lease: float, limit: float | None, max_attempts: int | None, *, lease_name: str = "claim_lease"
) -> ClaimTerms:
    """Turn what a caller says of claims, in seconds, into their terms.

    :raises InvalidValueError: one of them makes no sense
    """
    return ClaimTerms(
        positive_millis(lease, lease_name),
        None if limit is None else positive_millis(limit, "claim_limit"),
        checked_attempts(max_attempts),
    )


def checked_attempts(max_attempts: int | None) -> int | None:
    """Refuse what is no limit of attempts.

    :raises InvalidValueError: it is neither ``None`` nor a number from 1 on
    """
    if max_attempts is not None and (type(max_attempts) is not int or max_attempts < 1):
        msg = f"max_attempts: expected a number from 1 on, or None, got {shown(max_attempts)}"
        raise InvalidValueError(msg)
    return max_attempts


class Delivery(MessageBody):
    """A message under a claim, which is renewed for as long as somebody holds this object.

    In whatever task that is, until the claim is ended or its limit has passed.

    ``async with delivery:`` acknowledges at the end of the block, and returns the message to the
    inbox when the block raises. The body of the message is read by `text`, `json` and `bytes`.

    :ivar message: the message
    :ivar attempt: 1 for the first time that this message was claimed, more after it came back
    :ivar claim: what fences off others; for the handle that renews it
    :ivar lease: for how many milliseconds each renewal is
    """

    def __init__(self, inbox: "Inbox", claim: Claim) -> None:
        require_type(inbox, Inbox, "inbox")
        require_type(claim, Claim, "claim")
        super().__init__(inbox.pool, claim.message)
        self._inbox = inbox
        self.message: Final = claim.message
        self.claim: Final = claim
        self.attempt: Final = claim.attempt
        self.lease: Final = inbox.terms.lease
        limit = inbox.terms.limit
        self.limit: Final = None if limit is None else inbox.pool.store.clock() + limit
        self._ended = False
        self._processing = tracing.UNTRACED

    def __repr__(self) -> str:
        return f"<Delivery of {self.message.message_id!r}, attempt {self.attempt}>"

    @property
    def token(self) -> str:
        """A name for the claim, with which `Inbox.ack` ends it, in another process too."""
        return token_of(self._inbox.pool.pool_id, self.claim)

    async def __aenter__(self) -> Self:
        self._processing = tracing.processing(self._inbox.pool.pool_id, self.claim)
        self._processing.__enter__()
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
        processing, self._processing = self._processing, tracing.UNTRACED
        try:
            if self._ended:
                return
            if exc_type is None:
                await self.ack()
            else:
                await self._inbox.pool.put_right(self._fail())
        finally:
            processing.__exit__(exc_type, exc_value, traceback)

    async def _fail(self) -> None:
        with suppress(AgentPoolError):  # then the lease gives it back
            await self.nack()

    async def reply(
        self,
        body: object = NO_BODY,
        *,
        content_ref: str | None = None,
        idempotency_key: str | None = None,
        policy_refs: Sequence[PolicyRef] | None = None,
    ) -> MessageReceipt:
        """Answer the message, in the name of the run whose inbox it is; see `MemberHandle.reply`.

        Cancelled, the answer was sent or not; with a key of your own, replying again is safe.

        :raises NotAMemberError: that run is no member
        """
        draft = reply_to(self.message, body, content_ref, idempotency_key, policy_refs)
        return await send_answer(self._inbox.pool, self.claim.run_id, self.message, draft)

    async def ack(self) -> None:
        """End the claim for good: the message is done and will not come again.

        Cancelled, the message is done or not; acknowledging again tells, by `ClaimLostError`.

        :raises ClaimLostError: the claim had run out or was ended; nothing has changed
        :raises MembershipLostError: the run was lost; the message is there again for who has it
        """
        await self._end(Acknowledge(self.claim))

    async def nack(self, delay: float | None = None) -> None:
        """End the claim by giving the message back; it comes again, with the next attempt.

        What waits behind it is handed out meanwhile. After the last attempt that the inbox allows
        it is put aside instead, see `Inbox.dead`. Cancelled, it was given back or not; if not, it
        comes when the claim runs out.

        :param delay: seconds before it can be taken again; ``None``: 1 after the first attempt,
            then 2, 4, ..., at most 300
        :raises ClaimLostError: the claim had run out or was ended; nothing has changed
        :raises MembershipLostError: the run was lost; the message is there again, without a delay
        """
        after = None if delay is None else millis(delay, "delay")
        await self._end(ReturnMessage(self.claim, after, self._inbox.terms.max_attempts))

    async def give_back(self) -> None:
        """End the claim, even when the pool is closed: its member leaves.

        The message is there again at once, at the same attempt. Cancelled, it was given back or
        not; if not, it comes when the claim runs out.
        """
        self._inbox.forget(self)
        await self._inbox.pool.conclude(Unclaim(self.claim))
        self._ended = True

    async def _end(self, command: Acknowledge | ReturnMessage) -> None:
        try:
            await self._inbox.pool.execute(command)
        except ClaimLostError:
            self._inbox.forget(self)
            raise
        except MembershipLostError:
            # Nothing ends it by this handle any more, and whoever has the run is not to wait.
            await self._inbox.pool.put_right(given_back(self))
            raise
        # Not before: where it fails, or is cancelled, the claim goes on.
        self.note_end()

    def note_end(self) -> None:
        """Note that the claim was ended: it is renewed no more, and its block leaves it at that."""
        self._inbox.forget(self)
        self._ended = True


async def given_back(delivery: Delivery) -> None:
    """Give a message back if that can be done; if not, its claim runs out."""
    with suppress(AgentPoolError):
        await delivery.give_back()


def _is_delivery(value: object) -> TypeGuard[Delivery]:
    """Say whether something is a delivery, and does not only claim to be one."""
    return issubclass(type(value), Delivery)


class Inbox:
    """The unacknowledged messages of one run, in order of the log.

    ``async for delivery in inbox`` claims the next message and waits where there is none. Each
    delivery may be handled in a task of its own; one that is neither acknowledged nor returned
    comes again when nobody holds it any more, at the end of its lease. Several consumers, in any
    tasks and processes, may share a run's inbox; each message is with one of them at a time.

    Every method raises what the store raises (`AgentPoolStore`), `StoreClosedError` once the pool
    or its store is closed, and `MembershipLostError` once the member that it belongs to has lost
    its run. One that changes nothing leaves nothing behind when it is cancelled.

    :ivar run_id: the run, or the queue, whose messages they are
    """

    def __init__(self, pool: OpenedPool, run_id: str, terms: ClaimTerms) -> None:
        require_type(pool, OpenedPool, "pool")
        check_identifier(run_id, "run_id")
        require_type(terms, ClaimTerms, "terms")
        self.pool: Final = pool
        self.terms: Final = terms
        self.run_id: Final = run_id
        self._held: WeakSet[Delivery] = WeakSet()
        self._taking = Taking(pool, run_id, terms)

    async def __aiter__(self) -> AsyncGenerator[Delivery, None]:
        while True:
            yield await self.take()

    async def peek(self, limit: int = 100) -> tuple[RunMessage, ...]:
        """Look at the first unacknowledged messages, claimed ones too. Changes nothing.

        Many are read bit by bit; what comes and goes meanwhile may be seen or not.
        """
        return await self._listed(peek_page, limit)

    # --- taking

    @overload
    async def take(self, timeout: None = None) -> Delivery: ...  # noqa: ASYNC109  # see below

    @overload
    async def take(self, timeout: float) -> Delivery | None: ...  # noqa: ASYNC109  # see below

    # With a timeout of its own, as it has to look once however short that is.
    async def take(self, timeout: float | None = None) -> Delivery | None:  # noqa: ASYNC109
        """Claim the next message, and wait for one where there is none.

        Cancelled or timed out, it leaves no claim behind: what it may have claimed is there again
        at once, with the same attempt.

        :param timeout: seconds after which it gives ``None``; however few, it looks once
        :raises StoreClosedError: the pool, or its store, was closed
        """
        claim = await self._taking.one(timeout)
        return None if claim is None else self._delivery(claim)

    async def take_many(
        self,
        limit: int,
        timeout: float | None = None,  # noqa: ASYNC109  # as of `take`
    ) -> tuple[Delivery, ...]:
        """Claim the next messages in one transaction, and wait where there is none.

        As many of them as are there, at least one, and never more than 100. Cancelled or
        timed out, it leaves no claim behind; see `take`.

        :param limit: the most messages to claim
        :param timeout: seconds after which it gives an empty tuple; however few, it looks once
        :raises StoreClosedError: the pool, or its store, was closed
        """
        most = checked_number(limit, "limit", "messages, at least 1", least=1)
        claims = await self._taking.many(most, timeout)
        return tuple(self._delivery(claim) for claim in claims)

    async def wait(self, timeout: float | None = None) -> bool:  # noqa: ASYNC109  # as of `take`
        """Wait until a message can be taken, and take none: whoever does may come first.

        Cancelled, it has changed nothing.

        :param timeout: seconds after which it gives ``False``; however few, it looks once
        :raises InvalidValueError: the timeout is no number of seconds
        :raises StoreClosedError: the pool, or its store, was closed
        """
        return await self._taking.would_take(timeout)

    def _delivery(self, claim: Claim) -> Delivery:
        delivery = Delivery(self, claim)
        self._held.add(delivery)
        self.pool.heartbeats.add_delivery(self.pool.pool_id, delivery)
        return delivery

    async def let_go(self) -> None:
        """Return the messages that are claimed, to be taken again at once.

        Cancelled, some were returned; the others come when their claims run out.
        """
        held = list(self._held)
        for start in range(0, len(held), ROWS_AT_ONCE):
            some = held[start : start + ROWS_AT_ONCE]
            for delivery in some:
                self.forget(delivery)
            await self.pool.conclude(Unclaim(*(delivery.claim for delivery in some)))
            for delivery in some:
                delivery.note_end()

    def forget(self, delivery: Delivery) -> None:
        """Renew the claim of a delivery no longer: it has ended, or is about to."""
        require_type(delivery, Delivery, "delivery")
        self.pool.heartbeats.remove_delivery(self.pool.pool_id, delivery)
        self._held.discard(delivery)

    # --- acknowledging

    async def ack(self, token: str) -> None:
        """End the claim that a `Delivery.token` names, whichever process made it.

        Cancelled, the message is done or not; acknowledging again tells, by `ClaimLostError`.

        :raises ClaimLostError: the claim had run out or was ended; nothing has changed
        :raises InvalidValueError: it is no token, or one from another inbox
        """
        await self._acknowledge([self._claim_of(token, "token")])

    async def nack(self, token: str, delay: float | None = None) -> None:
        """Give back the message of the claim that a `Delivery.token` names, whoever made it.

        Cancelled, it was given back or not; giving it back again tells, by `ClaimLostError`.

        :param delay: seconds before it can be taken again; ``None``: see `Delivery.nack`
        :raises ClaimLostError: the claim had run out or was ended; nothing has changed
        :raises InvalidValueError: it is no token, or one from another inbox
        """
        after = None if delay is None else millis(delay, "delay")
        claim = self._claim_of(token, "token")
        await self.pool.execute(ReturnMessage(claim, after, self.terms.max_attempts))
        self._note_end([claim])

    async def ack_many(self, deliveries: Sequence[Delivery | str]) -> None:
        """End several claims for good in one transaction, all or none.

        Cancelled, all messages are done or none; acknowledging one again tells.

        :param deliveries: deliveries from this inbox, or tokens of such
        :raises ClaimLostError: one of the claims had run out or was ended; nothing has changed
        :raises InvalidValueError: something else is among them, or from another inbox
        """
        checked = checked_sequence(deliveries, "deliveries", object)
        given = cast("tuple[Delivery | str, ...]", checked)
        if given:
            await self._acknowledge([self._claim_of(each, "deliveries") for each in given])
        for each in given:
            if _is_delivery(each):
                each.note_end()  # it may be held by another `Inbox` of this run

    def _claim_of(self, given: Delivery | str, name: str) -> ClaimId:
        # By its token: what was taken elsewhere has none of this inbox.
        token = given.token if _is_delivery(given) else cast("str", given)
        return claim_of(self.pool.pool_id, self.run_id, token, name)

    async def _acknowledge(self, claims: Iterable[ClaimId]) -> None:
        ended = dict.fromkeys(claims)
        try:
            await self.pool.execute(Acknowledge(*ended))
        except MembershipLostError:
            # Nothing ends them by this handle any more, and whoever has the run is not to wait.
            await self.pool.put_right(self._give_back(ended))
            raise
        self._note_end(ended)

    def _note_end(self, ended: Container[ClaimId]) -> None:
        for delivery in list(self._held):
            if delivery.claim.id in ended:
                delivery.note_end()

    async def _give_back(self, claims: Collection[ClaimId]) -> None:
        """Give messages back if that can be done; if not, their claims run out."""
        self._note_end(claims)
        with suppress(AgentPoolError):
            await self.pool.conclude(Unclaim(*claims))

    # --- dead letters

    async def dead(self, limit: int = 100) -> tuple[DeadLetter, ...]:
        """List the first messages that were put aside after too many attempts. Changes nothing.

        A message whose last attempt ended with its process is put aside by the next take of the
        inbox that comes upon it, and is in `peek` until then.
        """
        return await self._listed(dead_page, limit)

    async def retry(self, letter: DeadLetter) -> None:
        """Put a dead letter back into the inbox, in its place, to be handed out at once.

        It has all of its ``max_attempts`` again, and the delay after a failure starts anew. The
        number of the attempt, `Delivery.attempt`, goes on from where it was.

        Cancelled, it is back or not; trying again tells, by `InvalidTransitionError`.

        :raises InvalidTransitionError: it is dead no more, has expired or was cancelled
        """
        require_type(letter, DeadLetter, "letter")
        key = letter.message.idempotency_key
        await self.pool.execute(Retry(self.run_id, letter.seq, key))

    async def discard(self, letter: DeadLetter) -> None:
        """Throw a dead letter away, as if it had been acknowledged.

        Cancelled, it is gone or not; trying again tells, by `InvalidTransitionError`.

        :raises InvalidTransitionError: it is dead no more
        """
        require_type(letter, DeadLetter, "letter")
        await self.pool.execute(Discard(self.run_id, letter.seq))

    async def _listed(self, page: _Page[T], limit: int) -> tuple[T, ...]:
        most = min(checked_number(limit, "limit", "messages"), _MOST)
        found: list[T] = []
        after: int | None = 0
        while after is not None:
            place, left = after, most - len(found)
            more, after = await self.pool.query(
                lambda view: page(view, self.run_id, place, left)  # noqa: B023  # asked at once
            )
            found += more
        return tuple(found)
