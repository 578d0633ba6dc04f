"""Being a member: the handle that makes an agent's code short."""

import logging
from collections.abc import Callable, Coroutine, Generator, Sequence
from contextlib import suppress
from hashlib import sha256
from secrets import token_hex
from types import TracebackType
from typing import Any, Final

from msgspec.structs import replace

from agentpool.errors import (
    AgentPoolError,
    InvalidValueError,
    NotAMemberError,
    StoreBusyError,
    StoreClosedError,
)
from agentpool.inbox import Inbox
from agentpool.rules.claims import ClaimTerms
from agentpool.rules.holding import EndHolding, Holding
from agentpool.rules.host_events import Publish
from agentpool.rules.membership import HoldRun
from agentpool.rules.own_events import OWN_KIND, own_event
from agentpool.rules.requirements import checked_cursor, checked_sequence, require_type
from agentpool.rules.sending import Send
from agentpool.rules.waits import CancelWake, WakeOutcome
from agentpool.runtime.opened import OpenedPool
from agentpool.support.clock import Clock, millis, positive_millis
from agentpool.support.opening import Unopened
from agentpool.support.process import process_name
from agentpool.support.tasks import uninterrupted
from agentpool.wire.body import written_body
from agentpool.wire.event_kinds import EventKind
from agentpool.wire.filters import EventFilter
from agentpool.wire.ids import check_identifier
from agentpool.wire.records import (
    AgentPoolMember,
    AgentPoolStoreCursor,
    MessageReceipt,
    MessageResponseContract,
    ResumeInputPolicy,
    RunAddress,
    RunMessage,
    WakeCondition,
    WakeRegistration,
    WakeRegistrationStatus,
)
from agentpool.wire.refs import EntityKind, EntityRef, EventCorrelation, PolicyRef
from agentpool.wire.struct import trusted

__all__ = ("MemberHandle", "Membership", "fresh_id")

_LOG = logging.getLogger("agentpool")

_NO_CORRELATION: Final = EventCorrelation()


def fresh_id(prefix: str, clock: Clock) -> str:
    """Make an id that nobody has, in ascending order of time, which indexes like best."""
    return f"{prefix}.{clock():012x}{token_hex(8)}"


class MemberHandle:
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
        require_type(pool, OpenedPool, "pool")
        require_type(terms, ClaimTerms, "terms")
        require_type(member, AgentPoolMember, "member")
        self._pool = pool
        self.member: Final = member
        self.run_id: Final = member.run_id
        self.inbox: Final = Inbox(pool, member.run_id, terms)
        self._end = self.inbox.let_go if end is None else end

    async def aclose(self) -> None:
        """End what `AgentPool.member` began, as the end of its block does; idempotent.

        What is claimed is returned. A run that is acted for by `AgentPool.acting_as` stays a
        member. A cancelled close closes all the same.
        """
        await self._end()

    def __repr__(self) -> str:
        return f"<MemberHandle {self.run_id!r} of pool {self._pool.pool_id!r}>"

    async def write(self, body: bytes | str) -> str:
        """Keep a body in the store, text as UTF-8, and give the ref to send.

        Cancelled, it may be kept or not; writing it again gives the same ref.

        :raises InvalidValueError: it is neither bytes nor text that UTF-8 can hold
        """
        if not isinstance(body, str | bytes | bytearray | memoryview):
            msg = f"body: expected text or bytes, got {type(body).__name__}"
            raise InvalidValueError(msg)
        try:
            data = str.encode(body) if isinstance(body, str) else body
        except UnicodeEncodeError as error:
            msg = "body: text is not valid UTF-8"
            raise InvalidValueError(msg) from error
        self._pool.refuse_closed()
        return await self._pool.store.put_content(data)

    async def read(self, message: RunMessage) -> str:
        """Give the body of a message back as text.

        :raises ContentNotFoundError: its ref is not one of this store
        :raises InvalidValueError: the body is no text; ``get_content()`` of the store gives it
        """
        require_type(message, RunMessage, "message")
        self._pool.refuse_closed()
        data = await self._pool.store.get_content(message.content_ref)
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            msg = f"the body of message {message.message_id!r} is no text"
            raise InvalidValueError(msg) from error

    async def send(
        self,
        to: RunAddress,
        content_ref: str,
        *,
        idempotency_key: str | None = None,
        message_id: str | None = None,
        reply_to: str | None = None,
        correlation: EventCorrelation = _NO_CORRELATION,
        expires_in: float | None = None,
        policy_refs: Sequence[PolicyRef] = (),
    ) -> MessageReceipt:
        """Send a message from this run; see `AgentPool.send`.

        :param expires_in: seconds after which the message is handed out no more
        :return: how far it has come: ``delivered``, ``failed`` or ``expired``
        """
        message = self._message(
            to,
            content_ref,
            idempotency_key=idempotency_key,
            message_id=message_id,
            reply_to=reply_to,
            correlation=correlation,
            expires_in=expires_in,
            policy_refs=policy_refs,
        )
        return await self._pool.execute(Send(message))

    async def ask(
        self,
        to: RunAddress,
        content_ref: str,
        *,
        expected: int = 1,
        timeout: float = 30.0,  # noqa: ASYNC109  # a durable deadline, not one of this call
        idempotency_key: str | None = None,
        message_id: str | None = None,
        correlation: EventCorrelation = _NO_CORRELATION,
        policy_refs: Sequence[PolicyRef] = (),
    ) -> tuple[RunMessage, ...]:
        """Ask, and wait for as many answers as expected; see `AgentPool.ask`.

        :param timeout: seconds until fewer answers, or none, are what there is
        :return: the answers that came in time, in the order they came
        """
        message = self._message(
            to,
            content_ref,
            idempotency_key=idempotency_key,
            message_id=message_id,
            correlation=correlation,
            policy_refs=policy_refs,
            contract=MessageResponseContract(expected, millis(timeout, "timeout")),
        )
        return await self._pool.ask(message)

    async def reply(
        self,
        message: RunMessage,
        content_ref: str,
        *,
        idempotency_key: str | None = None,
        policy_refs: Sequence[PolicyRef] | None = None,
    ) -> MessageReceipt:
        """Answer a message, to its sender and with its correlation; see `AgentPool.send`.

        A message that comes again after a crash is answered again, unless a key derived from it
        is given; to an asker only the first answer of a run counts.

        :param policy_refs: ``None``: those of the message
        """
        require_type(message, RunMessage, "message")
        return await self.send(
            RunAddress.run(message.sender),
            content_ref,
            idempotency_key=idempotency_key,
            reply_to=message.message_id,
            correlation=message.correlation,
            policy_refs=message.policy_refs if policy_refs is None else policy_refs,
        )

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

        ``EventFilter.named(name)`` finds it. A body is kept in the store, and the event has its ref
        as its `EventEnvelope.content_ref`: text as UTF-8, bytes as they are, anything else as JSON.
        Cancelled, it is published or not; with a key of your own, publishing it again is safe.

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
        if body is not None:
            data, media_type = written_body(body)
            ref = EntityRef(
                EntityKind.CONTENT, await store.put_content(data, media_type=media_type)
            )
            event = replace(event, related_refs=(*event.related_refs, ref))
        return await self._pool.execute(Publish(event))

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
        it, in this process or another; one without is cancelled.

        :param timeout: seconds until the wait ends as timed out
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
                    await uninterrupted(self._forget(condition.condition_id))
                raise
            if self._pool.holding is None or not _ended_meanwhile(registered, outcome):
                return outcome
            # It failed because the run left: its lease ran out. Back again, it waits for the rest
            # of its time, with what happened while it was away.
            await self._pool.confirm()
            condition = _again(condition, self._pool.store.clock() - began, timeout)

    async def _forget(self, condition_id: str) -> None:
        with suppress(AgentPoolError):  # it ended, was never registered, or the store is gone
            await self._pool.execute(CancelWake(condition_id))

    def _message(
        self,
        to: RunAddress,
        content_ref: str,
        *,
        idempotency_key: str | None,
        message_id: str | None,
        correlation: EventCorrelation,
        policy_refs: Sequence[PolicyRef],
        reply_to: str | None = None,
        expires_in: float | None = None,
        contract: MessageResponseContract | None = None,
    ) -> RunMessage:
        require_type(to, RunAddress, "to")
        require_type(correlation, EventCorrelation, "correlation")
        clock = self._pool.store.clock
        identity = fresh_id("message", clock) if message_id is None else message_id
        expires_at = None if expires_in is None else clock() + millis(expires_in, "expires_in")
        # Unchecked: `Send` writes it and reads it back, which checks all of it at once.
        message: RunMessage = trusted(
            RunMessage,
            message_id=identity,
            sender=self.run_id,
            to=to,
            content_ref=content_ref,
            correlation=correlation,
            reply_to=reply_to,
            response_contract=contract,
            expires_at_millis=expires_at,
            idempotency_key=identity if idempotency_key is None else idempotency_key,
            policy_refs=checked_sequence(policy_refs, "policy_refs", PolicyRef),
        )
        return message


def _wake_id(key: str) -> str:
    return f"wake.{sha256(key.encode()).hexdigest()}"


def _ended_meanwhile(registered: WakeRegistration, outcome: WakeOutcome) -> bool:
    """Say whether a wait that was still open has failed since."""
    was_open = registered.status is WakeRegistrationStatus.REGISTERED
    return was_open and outcome.registration.status is WakeRegistrationStatus.FAILED


def _again(condition: WakeCondition, waited: int, timeout: float | None) -> WakeCondition:
    """Make the wait that goes on where one failed, under a key that follows from its own."""
    left = None if timeout is None else max(millis(timeout, "timeout") - waited, 0)
    key = _wake_id(condition.idempotency_key)
    return replace(condition, condition_id=_wake_id(key), idempotency_key=key, timeout_millis=left)


class Membership(Unopened):
    """A run that is a member for the length of an ``async with`` block.

    Or from ``me = await pool.member(...)`` to ``await me.aclose()``, or to the closing of the pool.
    """

    remedy: str = "write `async with pool.member(...) as me:`, or `me = await pool.member(...)`"

    def __init__(
        self,
        pool: OpenedPool,
        member: AgentPoolMember,
        lease: float | None,
        terms: ClaimTerms,
        *,
        rejoin: bool,
    ) -> None:
        require_type(member, AgentPoolMember, "member")
        require_type(rejoin, bool, "rejoin")
        self._pool = pool
        self._member = member
        self._lease = None if lease is None else positive_millis(lease, "lease")
        self._terms = terms
        self._rejoin = rejoin

    def __await__(self) -> Generator[Any, None, MemberHandle]:
        return self._enter().__await__()

    async def _enter(self) -> MemberHandle:
        handle = await self.__aenter__()
        self._pool.entered.add(self._end)
        return handle

    async def __aenter__(self) -> MemberHandle:
        self._ended = False
        self._holding = Holding(
            self._member, token_hex(8), process_name(), self._lease, self._rejoin
        )
        self._held = self._pool.held_by(self._holding)
        self._handle = MemberHandle(self._held, self._member, self._terms, self._end)
        try:
            await self._pool.execute(HoldRun(self._holding))
        except BaseException as error:
            await self._leave(error)  # cancelled, it may have joined
            raise
        self._pool.heartbeats.add_holding(self._pool.pool_id, self._holding, self._held.lost)
        return self._handle

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._end(exc_value)

    async def _end(self, ended_by: BaseException | None = None) -> None:
        if self._ended:
            return
        self._ended = True
        self._pool.entered.discard(self._end)
        self._pool.heartbeats.remove_holding(self._pool.pool_id, self._holding)
        await self._leave(ended_by)
        if not self._held.lost.closed:
            msg = f"run {self._member.run_id!r} is not a member: its block has ended"
            self._held.lost.close(NotAMemberError(msg, pool_id=self._pool.pool_id))

    async def _leave(self, ended_by: BaseException | None) -> None:
        """Leave, whatever ended the block: that is worth more than an error in leaving."""
        try:
            await uninterrupted(self._let_go())
        except AgentPoolError as error:
            if ended_by is None and self._lease is None:
                raise  # nothing else would ever let the run leave
            _LOG.warning(
                "run %r did not leave, its lease runs out: %s",
                self._member.run_id,
                error,
                extra={"action": "leaving_failed"},
            )

    async def _let_go(self) -> None:
        try:
            await self._handle.inbox.let_go()
        except StoreBusyError:
            raise  # leaving would wait for the same, as long
        except AgentPoolError:
            pass  # then its claims run out
        with suppress(StoreClosedError):  # its lease will run out
            await self._pool.conclude(EndHolding(self._holding))
