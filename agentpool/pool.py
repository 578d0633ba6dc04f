"""`AgentPool`, the coordinator that users hold: one logical pool over any store.

Agents in different processes hold different `AgentPool` objects over the same store and see one
pool. It is no workflow engine: no graphs, barriers, schedules or retries of work.
"""

from collections.abc import AsyncGenerator, Sequence
from functools import partial
from types import TracebackType
from typing import Final, Self, cast

from msgspec.structs import replace

from agentpool.errors import InvalidValueError
from agentpool.inbox import Inbox, claim_terms
from agentpool.member import MemberHandle
from agentpool.membership import Membership
from agentpool.rules.asking import Answers, Asking
from agentpool.rules.awaited_members import wanted_members
from agentpool.rules.explaining.explanations import Explanation, NothingFound
from agentpool.rules.explaining.finding import Explainable, explain, what_is_meant
from agentpool.rules.explaining.words import in_words
from agentpool.rules.host_events import Publish
from agentpool.rules.membership import JoinRun, LeaveMember
from agentpool.rules.messages import RecordStatus
from agentpool.rules.pool_opening import OpenPool, config_of
from agentpool.rules.queues import MakeQueue, Queue
from agentpool.rules.requirements import (
    checked_cursor,
    checked_sequence,
    require_type,
)
from agentpool.rules.scoping import scoped
from agentpool.rules.sending import Send
from agentpool.rules.waits import CancelWake, PollWake, WakeOutcome
from agentpool.runtime.asking import Question
from agentpool.runtime.bodies import HasBody, MessageBody
from agentpool.runtime.drafts import Composed
from agentpool.runtime.events import events_after
from agentpool.runtime.finding import look_back
from agentpool.runtime.opened import OpenedPool
from agentpool.runtime.upkeep import Upkeep
from agentpool.stores.base import AgentPoolStore, Bulk, checked_place
from agentpool.stores.tail import follow
from agentpool.support.clock import millis
from agentpool.support.opening import Opening, Unopened
from agentpool.support.tasks import move_on_after, uninterrupted
from agentpool.wire.events import EventEnvelope
from agentpool.wire.filters import CompiledEventFilter, EventFilter
from agentpool.wire.ids import check_identifier
from agentpool.wire.records import (
    AgentPoolMember,
    AgentPoolMessagePolicy,
    AgentPoolStoreConfig,
    AgentPoolStoreCursor,
    AgentPoolStoreRecord,
    AgentPoolWakePolicy,
    MessageReceipt,
    MessageStatus,
    RunMessage,
    WakeCondition,
    WakeRegistration,
)
from agentpool.wire.refs import PolicyRef
from agentpool.wire.snapshot import AgentPoolSnapshot

__all__ = ("AgentPool", "opened")


class AgentPool:
    """A pool, opened. ``await AgentPool.open(store, pool_id)``, or ``async with`` it.

    Every method raises what the store raises (`AgentPoolStore`), and `NotAMemberError` when it
    acts for a run that is not a member. Cancelled, a method has had its whole effect or none;
    the idempotency key of what was sent or registered tells which, and calling again is safe.
    While one is open anywhere, deadlines of the pool are carried out.
    """

    def __init__(
        self, store: AgentPoolStore, pool_id: str, *, closes: AgentPoolStore | None = None
    ) -> None:
        """Take over an opened pool; for `open`, `open_pool`, and those who look without upkeep.

        :param closes: a store that is closed together with the pool
        """
        require_type(store, AgentPoolStore, "store")
        check_identifier(pool_id, "pool_id")
        if closes is not None:
            require_type(closes, AgentPoolStore, "closes")
        self.store: Final = store
        self.pool_id: Final = pool_id
        self._closes = closes
        self._opened = OpenedPool(store, pool_id)

    @classmethod
    def open(
        cls,
        store: AgentPoolStore,
        pool_id: str,
        *,
        message_policy: AgentPoolMessagePolicy | None = None,
        wake_policy: AgentPoolWakePolicy | None = None,
        policy_refs: Sequence[PolicyRef] = (),
    ) -> "Opening[AgentPool]":
        """Open a pool, and create it where it is new.

        Without a policy, an existing pool is opened with whatever policies it has. What has become
        due, and what others have appended, is carried out first where that is soon done; else it
        goes on in the background. In a store of several, ``pool.store`` is the one that has it.

        :param message_policy: what messages need, and whether a broadcast reaches its sender
        :param wake_policy: whether filters may see no more than envelopes
        :param policy_refs: what members have to carry for others to see their events
        :raises PoolConfigConflictError: the pool was opened before with other policies
        """
        if issubclass(type(store), Unopened):
            cast("Unopened", store).refuse()
        require_type(store, AgentPoolStore, "store")
        check_identifier(pool_id, "pool_id")
        config = config_of(message_policy, wake_policy, policy_refs)
        return Opening(partial(opened, store, pool_id, config), f"{cls.__name__}.open", "pool")

    def __repr__(self) -> str:
        return f"<AgentPool {self.pool_id!r} {'closed' if self._opened.ending.closed else 'open'}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Let go of the pool; the store stays open, unless `open_pool` opened both. Idempotent.

        Runs that were entered by ``await pool.member(...)`` leave, as at the end of a block.
        Everything refuses from then on, with `StoreClosedError`, and whoever waits, watches or
        subscribes by this object gets it at once. A cancelled close closes all the same.

        :raises StoreClosedError: the store belongs to another event loop, which may still run
        """
        if not self._opened.ending.closed:
            self.store.refuse_elsewhere()
            self._opened.ending.close()
            await uninterrupted(self._let_go())

    async def _let_go(self) -> None:
        try:
            await self._opened.aclose()
        finally:
            if self._closes is not None:
                await self._closes.aclose()

    # --- members

    async def join_run(self, member: AgentPoolMember) -> None:
        """Let a run join without a lease; one that it had ends. The same member again: nothing."""
        await self._opened.execute(JoinRun(member))

    async def leave_run(self, run_id: str) -> AgentPoolMember:
        """Let a member leave: what it waits for fails, its unread messages stay for its return.

        :raises NotAMemberError: the run is not a member
        """
        member, _ = await self._opened.execute(LeaveMember(run_id))
        return member

    async def members(self) -> tuple[AgentPoolMember, ...]:
        """List the members, queues too, in ascending order of their runs, as they are now."""
        return await self._opened.query(
            lambda view: tuple(member for _, member in sorted(view.state.members.items()))
        )

    async def wait_for_members(
        self,
        *,
        agent: str | None = None,
        topic: str | None = None,
        run_ids: Sequence[str] | None = None,
        count: int | None = None,
        timeout: float | None = None,  # noqa: ASYNC109  # it looks once, however short that is
    ) -> tuple[AgentPoolMember, ...]:
        """Wait until members have joined, in whatever process: to start together.

        Cancelled, it leaves nothing behind.

        :param agent: count members of this agent only
        :param topic: count members with this topic only
        :param run_ids: count these runs only
        :param count: how many there have to be; without one all of ``run_ids``, or one
        :param timeout: seconds to wait; ``None``: for ever
        :return: all members that count, in ascending order of their runs, as they were then
        :raises NotEnoughMembersError: the time is up; also a `TimeoutError`
        :raises InvalidValueError: there can never be so many
        """
        wanted = wanted_members(agent, topic, run_ids, count)
        if timeout is None:
            return await self._opened.gathered(wanted)
        patience = millis(timeout, "timeout")
        with move_on_after(patience / 1000):
            return await self._opened.gathered(wanted)
        found = await self._opened.query(wanted.among)
        if len(found) < wanted.count:
            raise wanted.too_few(found, self.pool_id, patience)
        return found

    def member(
        self,
        member: AgentPoolMember,
        lease: float | None = 30.0,
        *,
        claim_lease: float = 30.0,
        claim_limit: float | None = None,
        max_attempts: int | None = None,
        rejoin: bool = True,
        stays: bool = False,
    ) -> Membership:
        """Be a member for the length of an ``async with`` block: join, heartbeat, leave.

        One block at a time holds a run: a second one, in any process, takes it over, and whatever
        the first does or waits for raises `MembershipLostError`; its end lets nobody leave. So it
        is when the run is let go.

        Leaving hides nothing that ended the block, and waits for a busy file no longer than the
        store does; where that fails, the lease lets the run leave.

        :param lease: seconds after which a process that was killed is no member any more;
            ``None`` for a member that stays until it leaves
        :param claim_lease: seconds that a message taken from the inbox stays claimed, renewed
            while somebody holds it
        :param claim_limit: seconds after which a claim is renewed no more; ``None``: never
        :param max_attempts: after so many attempts a message is put aside, see `Inbox.dead`;
            ``None``: never
        :param rejoin: whether a run whose lease ran out, because its process was suspended, joins
            again by itself when that goes on; else it has lost its membership
        :param stays: whether the run stays a member when its block ends: its inbox collects, and a
            later block for it, in any process, goes on. One that is killed leaves with its lease,
            so for an agent that is restarted also after a crash give ``lease=None`` too
        :raises InvalidValueError: a lease, or a limit, is not above zero
        """
        terms = claim_terms(claim_lease, claim_limit, max_attempts)
        return Membership(self._opened, member, lease, terms, rejoin=rejoin, stays=stays)

    def acting_as(
        self,
        member: AgentPoolMember,
        *,
        claim_lease: float = 30.0,
        claim_limit: float | None = None,
        max_attempts: int | None = None,
    ) -> MemberHandle:
        """Act for a run that has joined with `join_run` and outlives this block, or this process.

        Its parameters are those of `member`.

        :raises InvalidValueError: see `member`
        """
        terms = claim_terms(claim_lease, claim_limit, max_attempts)
        return MemberHandle(self._opened, member, terms)

    async def queue(self, name: str) -> Queue:
        """Make a queue, or find it: each message to it goes to one of those who take from it.

        It is a member without a lease, and waits for work until it leaves; broadcasts to the pool
        pass it by. It carries the policies of the pool; for others let a member join by `join_run`
        that has the run id and agent id ``queue.NAME`` and the topic ``agentpool.queue``. Members
        take by `MemberHandle.queue`. Cancelled, it is made or not; calling again finds it.

        :raises IdempotencyConflictError: a member has its run id that is no queue
        """
        return await self._opened.execute(MakeQueue(name))

    async def snapshot(self) -> AgentPoolSnapshot:
        """Show what the whole log of the pool means now; see `AgentPoolStore.snapshot`."""
        self._opened.ending.refuse_closed()
        return await self.store.snapshot(self.pool_id)

    def watch_pool(
        self, cursor: AgentPoolStoreCursor | None = None
    ) -> AsyncGenerator[AgentPoolStoreRecord, None]:
        """Yield the records, past and live: of a message one for each status in its receipt."""
        after = checked_place(self.pool_id, cursor)
        ending = self._opened.ending
        ending.refuse_closed()
        self.store.refuse_closed()
        return follow(self.store, self.pool_id, after, keep_unknown=False, ending=ending)

    # --- messages

    def inbox(
        self,
        run_id: str,
        *,
        lease: float = 30.0,
        claim_limit: float | None = None,
        max_attempts: int | None = None,
    ) -> Inbox:
        """Give the inbox of a run; it can be looked at, and taken from, whoever is a member.

        :param lease: seconds that a message stays claimed, renewed while somebody holds it
        :param claim_limit: see `member`
        :param max_attempts: see `member`
        :raises InvalidValueError: see `member`
        """
        check_identifier(run_id, "run_id")
        terms = claim_terms(lease, claim_limit, max_attempts, lease_name="lease")
        return Inbox(self._opened, run_id, terms)

    def body(self, of: HasBody) -> MessageBody:
        """Give the body of a message, of an event or of the one that ended a wait, to be read.

        :raises InvalidValueError: it has none: its ``content_ref`` is ``None``
        """
        return MessageBody(self._opened, of)

    async def send(self, message: RunMessage) -> MessageReceipt:
        """Send a message: its recipients are fixed, and it is recorded, in one transaction.

        ``delivered`` means recorded for these recipients; ``failed`` that there was none;
        ``expired`` that it came too late. They are final for its key: sending again gives the
        receipt that is there; but where there was no recipient, it is resolved anew.

        :raises IdempotencyConflictError: the key was used for another sender, target or content
        :raises NotAMemberError: the sender is not a member; nothing was recorded
        """
        return await self._opened.execute(Send(message))

    async def record_message_status(
        self,
        message: RunMessage,
        status: MessageStatus,
        delivered_to: Sequence[str] | str = (),
    ) -> MessageReceipt:
        """Record what became of a message.

        A status that the message has already changes nothing.

        :param delivered_to: runs; one that stands for itself is the only one
        :raises InvalidTransitionError: it is already past that status
        :raises IdempotencyConflictError: its key was used for another sender, target or content
        :raises NotAMemberError: it is new, and its sender is not a member
        """
        runs = (delivered_to,) if type(delivered_to) is str else delivered_to
        recipients = checked_sequence(runs, "delivered_to", str)
        return await self._opened.execute(RecordStatus(message, status, recipients))

    async def ask(self, message: RunMessage) -> Answers:
        """Send a message with a response contract and wait until it is certain what comes of it.

        That is: as many runs as expected have answered; its time is up; nobody received it; all
        who did have answered or left, and they are too few, as they are at once where it expects
        more answers than it has recipients. Only the first answer of each run counts. A run has
        left that is no member any more, be it that its lease ran out; one that ``stays`` has not.

        The answers are kept with the question, out of the inbox, also those that come while the
        run that asked is away: asked again under the same key, in any process, they are the same,
        also after a crash. What comes later is kept too, as `Answers.late`.

        :raises InvalidValueError: the message has no response contract
        :raises IdempotencyConflictError: the key was used for another sender, target or content
        :raises NotAMemberError: the sender is not a member; nothing was recorded
        """
        require_type(message, RunMessage, "message")
        if message.response_contract is None:
            msg = "message.response_contract: needed to ask"
            raise InvalidValueError(msg)
        composed = Composed(message, None)
        return await Question(self._opened, composed, Asking(), repeatable=True).answers()

    # --- why things are as they are

    async def explain(self, what: Explainable) -> Explanation:
        """Say why a run, queue, agent, message or wake is as it is: as data, and in words by `str`.

        It looks up what has that name, in this order, and only reads. What no index finds, message
        ids that are not the key of their message and the events near a wake, it looks for among
        newer records, for such an id among the newest 20,000; the explanation says how far.

        :param what: a run id, the name or run id of a queue, a condition id, the idempotency key or
            id of a message, an agent id; or a message, receipt, registration, member or queue
        :return: a `NothingFound` where nothing has that name, with what has one that is near
        :raises InvalidValueError: it is nothing that could be a name, or have one
        :raises CorruptRecordError: what it is about cannot be read
        """
        meant, pool = what_is_meant(what), self._opened
        found = await pool.query(Bulk(partial(explain, meant=meant)))
        if not isinstance(found, NothingFound) or not meant.may_be_message_id:
            return found
        before, after = await look_back(pool.store, pool.pool_id, meant.name, found.searched_after)
        if before is None:
            return in_words(replace(found, searched_after=after))
        meant = what_is_meant(before.stored.message)
        return await pool.query(Bulk(partial(explain, meant=meant)))

    # --- waits

    async def suspend_until(
        self, run_id: str, condition: WakeCondition, *, since: AgentPoolStoreCursor | None = None
    ) -> WakeRegistration:
        """Register a wait, unless an event after ``since`` has ended it already.

        Checking the history and registering are one transaction: no event is missed. From then
        on the first of these decides: an event that matches, of any process; ``timeout_millis``
        from now; `cancel_wake`; the run's leaving. A wait ends, it never cancels a run.

        :param since: where to begin to look; ``None`` for the start of the pool, which reads the
            whole log, a page at a time
        :raises IdempotencyConflictError: the key was used for another run or filter
        :raises NotAMemberError: the run is not a member
        """
        check_identifier(run_id, "run_id")
        require_type(condition, WakeCondition, "condition")
        since = checked_cursor(since, "since")
        if condition.run_id != run_id:
            msg = f"the condition is for run {condition.run_id!r}, not for {run_id!r}"
            raise InvalidValueError(msg)
        return await self._opened.suspend_until(condition, since)

    async def poll_wake(self, condition_id: str) -> WakeRegistration:
        """Say how a wake stands, after carrying out its deadline if that has passed.

        :raises InvalidValueError: there is no such wake
        """
        return await self._opened.execute(PollWake(condition_id))

    async def cancel_wake(self, condition_id: str) -> WakeRegistration:
        """Cancel a wait.

        :raises InvalidTransitionError: it has ended otherwise
        :raises InvalidValueError: there is no such wake
        """
        return await self._opened.execute(CancelWake(condition_id))

    async def wait(self, condition_id: str) -> WakeOutcome:
        """Wait until a wake has its final status, whoever gives it, and say how it ended.

        Cancelled, the wake stays as it is; waiting again is safe.

        :raises InvalidValueError: there is no such wake
        """
        return await self._opened.wait(condition_id)

    # --- events

    async def publish(self, envelope: EventEnvelope) -> int:
        """Publish an event of the host, durably and for every process; see `MemberHandle.publish`.

        It may end waits, in the same transaction. Cancelled, it is published or not; publishing it
        again is safe.

        :return: the number that it got as its ``event_seq``; the same event again, if only at
            another time, keeps its number
        :raises IdempotencyConflictError: its event id was used for another event
        :raises NotAMemberError: its run is not a member, and it was not published before
        """
        return await self._opened.execute(Publish(envelope))

    def subscribe(
        self,
        filter: EventFilter,  # noqa: A002  # the name that others rely on
        cursor: AgentPoolStoreCursor | None = None,
    ) -> AsyncGenerator[EventEnvelope, None]:
        """Yield the events after a cursor that match, past and live, within what the pool sees.

        That is: events of runs that are members and carry the pool's policies. To go on later where
        it ended, start at ``place = EventCursor(0, 0)``, keep ``place.past(pool.pool_id, event)``
        after each event, and give that. Left by ``break``, by cancellation or with ``aclose()``, it
        leaves nothing behind.

        :param filter: which; ``EventFilter()``: all
        :param cursor: an `EventCursor`, or the place of a record; ``None``: from the start
        :raises StoreError: events that were seen are lost: their numbers are not there any more
        :raises StoreClosedError: the pool, or its store, was closed; at the next step, or at once
            where it waits
        """
        return events_after(self._opened, filter, cursor)

    async def scope_filter(self, filter: EventFilter) -> EventFilter:  # noqa: A002
        """Narrow a filter to what this pool may see at this moment. It can only shrink."""
        require_type(filter, EventFilter, "filter")
        return await self._opened.query(lambda view: scoped(view, filter))

    async def compile_scoped_filter(
        self,
        filter: EventFilter,  # noqa: A002
    ) -> CompiledEventFilter:
        """Compile a filter as `scope_filter` narrows it: what is stored with a wake."""
        return (await self.scope_filter(filter)).compile()


async def opened(
    store: AgentPoolStore,
    pool_id: str,
    config: AgentPoolStoreConfig | None,
    *,
    closes: AgentPoolStore | None = None,
) -> AgentPool:
    """Open a pool in a store, and look after it from then on.

    :param closes: a store that is closed together with the pool
    """
    home = await store.store_of(pool_id)
    await home.execute(pool_id, OpenPool(config))
    upkeep = Upkeep.of(home)
    await upkeep.catch_up_at_opening(pool_id)
    upkeep.add_pool(pool_id)
    return AgentPool(home, pool_id, closes=closes)
