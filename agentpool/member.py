"""Being a member: the handle that makes an agent's code short."""

from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from hashlib import sha256
from typing import Any, Final

from msgspec.structs import replace

from agentpool.asking import Asker
from agentpool.errors import (
    AgentPoolError,
)
from agentpool.inbox import Inbox, checked_attempts
from agentpool.rules.claims import ClaimTerms
from agentpool.rules.host_events import Publish
from agentpool.rules.own_events import OWN_KIND, own_event
from agentpool.rules.queues import answering_run, queue_run
from agentpool.rules.requirements import (
    checked_cursor,
    checked_number,
    require_callable,
    require_type,
)
from agentpool.rules.waits import CancelWake, WakeOutcome, began_at
from agentpool.runtime.bodies import (
    NO_BODY,
    HasBody,
    KeptBody,
    MessageBody,
    keep_body,
    ref_and_content,
    to_keep_with,
)
from agentpool.runtime.drafts import (
    Draft,
    checked_drafts,
    fresh_id,
    reply_to,
    send_answer,
    send_drafts,
    send_to_somebody,
)
from agentpool.runtime.opened import OpenedPool
from agentpool.serving import Handler, Serving
from agentpool.support.clock import millis
from agentpool.wire.event_kinds import EventKind
from agentpool.wire.filters import EventFilter
from agentpool.wire.ids import check_identifier
from agentpool.wire.records import (
    AgentPoolMember,
    AgentPoolStoreCursor,
    MessageReceipt,
    ResumeInputPolicy,
    RunAddress,
    RunMessage,
    WakeCondition,
    WakeRegistrationStatus,
)
from agentpool.wire.refs import (
    NO_CORRELATION,
    EntityKind,
    EntityRef,
    EventCorrelation,
    PolicyRef,
)

__all__ = ("MemberHandle",)


class MemberHandle(Asker):
    """A run that is a member, and what it can do; its run id goes with every call.

    Keys and ids are made up where none are given. Give an ``idempotency_key`` of your own,
    derived from what the message is about, to be able to repeat a call after a crash.

    Every method raises what that of `AgentPool` does which it is short for, so `NotAMemberError`
    once the run is no member any more and `StoreClosedError` once the pool or its store is closed.
    Cancelled, a method has had its whole effect or none; with a key of your own, calling again is
    safe.

    :ivar member: what the run joined with
    :ivar run_id: the run
    :ivar inbox: its messages
    """

    def __init__(
        self,
        pool: OpenedPool,
        member: AgentPoolMember,
        terms: ClaimTerms,
        end: Callable[[], Coroutine[Any, Any, None]] | None = None,
    ) -> None:
        require_type(terms, ClaimTerms, "terms")
        require_type(member, AgentPoolMember, "member")
        super().__init__(pool, member.run_id)
        self.member: Final = member
        self.inbox: Final = Inbox(pool, member.run_id, terms)
        self._terms = terms
        self._queues: dict[tuple[str, ClaimTerms], Inbox] = {}
        self._end = self.let_go if end is None else end

    async def aclose(self) -> None:
        """End what `AgentPool.member` began, as the end of its block does; idempotent.

        What is claimed is returned. A run that is acted for by `AgentPool.acting_as` stays a
        member. A cancelled close closes all the same.

        :raises StoreClosedError: the store belongs to another event loop, which may still run;
            nothing has ended
        """
        await self._end()

    def __repr__(self) -> str:
        return f"<MemberHandle {self.run_id!r} of pool {self._pool.pool_id!r}>"

    def queue(self, name: str, *, max_attempts: int | None = None) -> Inbox:
        """Give the inbox of a queue, to take from; see `AgentPool.queue`, which makes the queue.

        Claims last as those of this member's own inbox, and are given back when it leaves. Where
        there is no such queue yet, a take waits for it.

        :param max_attempts: after so many a message is put aside, see `Inbox.dead`; ``None``: as
            in this member's own inbox
        :raises InvalidValueError: the name makes no id, or the number no sense
        """
        run_id = queue_run(name)
        terms = self._terms
        if max_attempts is not None:
            terms = terms._replace(max_attempts=checked_attempts(max_attempts))
        return self._queues.setdefault((run_id, terms), Inbox(self._pool, run_id, terms))

    async def serve(
        self,
        handler: Handler,
        *,
        inbox: Inbox | None = None,
        concurrency: int = 8,
        grace: float = 10.0,
    ) -> None:
        """Have a handler work on what comes to the inbox, on several messages at once.

        Each is acknowledged when its handler has ended, and given back as one that failed when
        that raises. What the handler returns is sent as the answer, once, where the message asks
        for one; ``None`` sends none. An error worth a retry, such as a busy file, is told of in the
        log and tried again.

        Cancelled, it takes nothing more, gives the handlers at work ``grace`` seconds, cancels
        those that are left, and gives their messages back at once, at the same attempt.

        :param inbox: which to serve, as ``queue(...)``; ``None``: this member's own
        :param concurrency: on how many messages at once
        :param grace: seconds that handlers have to end
        :raises MembershipLostError: the run is not held any more; ended in the same order
        """
        require_callable(handler, "handler")
        if inbox is not None:
            require_type(inbox, Inbox, "inbox")
        most = checked_number(concurrency, "concurrency", "messages, at least 1", least=1)
        seconds = millis(grace, "grace") / 1000
        await Serving(inbox or self.inbox, handler, most, seconds).run()

    async def let_go(self) -> None:
        """Return what was taken from the inbox, and from queues; see `Inbox.let_go`."""
        self._pool.store.refuse_elsewhere()
        for inbox in (self.inbox, *self._queues.values()):
            await inbox.let_go()

    async def write(self, body: object) -> KeptBody:
        """Keep a body in the store ahead, and give what is then sent in its place.

        For what is sent more than once; see `send` for what a body is. Cancelled, it may be kept or
        not; writing it again gives the same.

        :raises InvalidValueError: it is no body, or has more bytes than one may have
        """
        return await keep_body(self._pool, body)

    def body(self, of: HasBody) -> MessageBody:
        """Give the body of a message, of an event or of the one that ended a wait, to be read.

        :raises InvalidValueError: it has none: its ``content_ref`` is ``None``
        """
        return MessageBody(self._pool, of)

    async def read(self, of: HasBody) -> str:
        """Read a body as text: short for ``body(of).text()``."""
        return await self.body(of).text()

    async def send(
        self,
        to: RunAddress,
        body: object = NO_BODY,
        *,
        content_ref: str | None = None,
        idempotency_key: str | None = None,
        message_id: str | None = None,
        reply_to: str | None = None,
        correlation: EventCorrelation = NO_CORRELATION,
        expires_in: float | None = None,
        policy_refs: Sequence[PolicyRef] = (),
        deliver_in: float = 0.0,
    ) -> MessageReceipt:
        """Send a message from this run, with its body, in one transaction; see `AgentPool.send`.

        Text is sent as UTF-8, bytes as they are, anything else as the JSON that msgspec makes of
        it. Only a body of more than 256 KiB is kept first: cancelled, it may be kept for nothing.

        :param content_ref: instead of a body, a ref of your own; the store keeps nothing for it
        :param expires_in: seconds after which the message is handed out no more
        :param deliver_in: seconds until the message is in the inboxes, of those who receive it now
        :return: how far it has come: ``delivered`` or ``expired``; also ``failed``, when it is to a
            topic or a pool where nobody receives it
        :raises NoRecipientError: a run, or an agent, that it is to does not receive it; that is
            recorded, and the same key may be sent again
        :raises InvalidValueError: there is no body and no ref, or it is none
        """
        draft = Draft(
            to,
            body,
            content_ref,
            idempotency_key,
            message_id,
            reply_to,
            correlation,
            expires_in,
            policy_refs,
            deliver_in,
        )
        return await send_to_somebody(self._pool, self.run_id, draft)

    async def send_many(
        self, messages: Sequence[Draft | tuple[RunAddress, object]]
    ) -> tuple[MessageReceipt, ...]:
        """Send messages from this run, in their order, in one transaction: all of them or none.

        One that reaches nobody is no error: its receipt says so. The others are sent.

        :param messages: each as a pair of an address and a body, or as a `Draft`, which has all
            that `send` takes
        :return: a receipt for each
        :raises IdempotencyConflictError: a key stands for something else; nothing was sent
        :raises InvalidValueError: one of them is none; nothing was sent
        """
        return await send_drafts(self._pool, self.run_id, checked_drafts(messages))

    async def reply(
        self,
        message: RunMessage,
        body: object = NO_BODY,
        *,
        content_ref: str | None = None,
        idempotency_key: str | None = None,
        policy_refs: Sequence[PolicyRef] | None = None,
    ) -> MessageReceipt:
        """Answer a message, to its sender and with its correlation; see `send`.

        One that was sent to a queue is answered in the name of the queue.

        A message that comes again after a crash is answered again, unless a key derived from it
        is given; to an asker only the first answer of a run counts. That the asker is gone is no
        error: the receipt says so.

        :param policy_refs: ``None``: those of the message
        """
        require_type(message, RunMessage, "message")
        queues = [queue for queue, _ in self._queues]
        draft = reply_to(message, body, content_ref, idempotency_key, policy_refs)
        sender = answering_run(message, self.run_id, queues)
        return await send_answer(self._pool, sender, message, draft)

    async def publish(
        self,
        name: str,
        body: object = None,
        *,
        kind: EventKind = OWN_KIND,
        tags: Sequence[str] = (),
        related: Sequence[EntityRef] = (),
        summary: str | None = None,
        idempotency_key: str | None = None,
    ) -> int:
        """Publish an event of this run under a name of your own, for every process to see.

        ``EventFilter.named(name)`` finds it. A body is kept in the same transaction, as `send`
        keeps it; the event has its ref as its `EventEnvelope.content_ref`, and `body` reads it.
        Cancelled, it is published with its body or not; with a key of your own, publishing it again
        is safe.

        :param name: the first tag of the event
        :param kind: what kind of event it is, for those who ask for kinds
        :param tags: more of them
        :param related: what it is about, beside the run
        :param summary: a line that anybody may read; without one, the name
        :return: the number that it got as its ``event_seq``
        :raises InvalidValueError: an argument is not what it has to be, or the body cannot be
            written
        :raises IdempotencyConflictError: the key was used for another event of this run
        """
        self._pool.refuse_closed()
        store, identity = self._pool.store, idempotency_key
        if identity is None:
            identity = fresh_id("event", store.clock)
        check_identifier(identity, "idempotency_key")
        event = own_event(
            self._pool.pool_id,
            self.member,
            name,
            identity,
            store.clock(),
            kind=kind,
            tags=tags,
            related=related,
            summary=summary,
        )
        if body is None:
            return await self._pool.execute(Publish(event, key=identity))
        ref, content = ref_and_content(body, store.max_body)
        about = (*event.related_refs, EntityRef(EntityKind.CONTENT, ref))
        bodies = await to_keep_with(self._pool, content)
        event = replace(event, related_refs=about)
        return await self._pool.execute(Publish(event, bodies, key=identity))

    async def wait_until(
        self,
        filter: EventFilter,  # noqa: A002
        *,
        timeout: float | None = None,  # noqa: ASYNC109  # a durable deadline, not of this call
        since: AgentPoolStoreCursor | None = None,
        resume_with: ResumeInputPolicy = ResumeInputPolicy.MATCHING_EVENT_REFS,
        idempotency_key: str | None = None,
    ) -> WakeOutcome:
        """Wait for an event, past or future; see `AgentPool.suspend_until` and `AgentPool.wait`.

        Cancelled, a wait with an ``idempotency_key`` stays registered, to be taken up again with
        it, in this process or another; one without is cancelled. One that failed because its run
        left is taken up again too, once the run is a member again: with what happened meanwhile,
        and for the rest of its time.

        :param timeout: seconds until the wait ends as timed out, from when it was first registered
        :param since: where to begin to look; ``None`` for the start of the pool
        """
        key = idempotency_key
        if key is None:
            key = fresh_id("wait", self._pool.store.clock)
        check_identifier(key, "idempotency_key")
        require_type(filter, EventFilter, "filter")
        condition = WakeCondition(
            condition_id=_wake_id(key),
            run_id=self.run_id,
            filter=filter,
            timeout_millis=None if timeout is None else millis(timeout, "timeout"),
            resume_with=resume_with,
            idempotency_key=key,
        )
        began, place = self._pool.store.clock(), checked_cursor(since, "since")
        while True:
            try:
                registered, place = await self._pool.register(condition, place)
                outcome = await self._pool.wait(condition.condition_id)
            except BaseException:
                if idempotency_key is None:
                    await self._pool.put_right(self._forget(condition.condition_id))
                raise
            if outcome.registration.status is not WakeRegistrationStatus.FAILED:
                return outcome
            # It failed because the run left. Back again, it waits for the rest of its time, with
            # what happened while it was away.
            if registered.status is WakeRegistrationStatus.FAILED:
                began = min(began, await self._pool.query(partial(began_at, condition)))
            elif self._pool.holding is None:
                return outcome
            else:
                await self._pool.confirm()
            condition = _again(condition, self._pool.store.clock() - began, timeout)

    async def _forget(self, condition_id: str) -> None:
        with suppress(AgentPoolError):  # it ended, was never registered, or the store is gone
            await self._pool.conclude(CancelWake(condition_id))


def _wake_id(key: str) -> str:
    return f"wake.{sha256(key.encode()).hexdigest()}"


def _again(condition: WakeCondition, waited: int, timeout: float | None) -> WakeCondition:
    """Make the wait that goes on where one failed, under a key that follows from its own."""
    left = None if timeout is None else max(millis(timeout, "timeout") - waited, 0)
    key = _wake_id(condition.idempotency_key)
    return replace(condition, condition_id=_wake_id(key), idempotency_key=key, timeout_millis=left)
