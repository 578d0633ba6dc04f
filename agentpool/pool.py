"""`AgentPool`, the coordinator that users hold: one logical pool over any store.

Agents in different processes hold different `AgentPool` objects over the same store and see one
pool. It is no workflow engine: no graphs, barriers, schedules or retries of work.
"""

from collections.abc import AsyncGenerator, Sequence
from functools import partial
from types import TracebackType
from typing import Self

from msgspec.structs import replace

from agentpool.member import MemberHandle, Membership
from agentpool.operations import Operations
from agentpool.rules.command import PoolView
from agentpool.rules.consequences import CatchUp
from agentpool.rules.history import page_of_events
from agentpool.rules.host_events import Publish
from agentpool.rules.log import (
    LeaveMember,
    OpenPool,
    checked_cursor,
    checked_sequence,
    require_open,
    require_type,
)
from agentpool.rules.membership import JoinRun, carries_policies
from agentpool.rules.waits import (
    compile_for,
)
from agentpool.runtime.upkeep import Keeper
from agentpool.stores.base import AgentPoolStore
from agentpool.support.opening import Opening, Unopened
from agentpool.support.tasks import uninterrupted
from agentpool.wire.events import EventEnvelope
from agentpool.wire.filters import EventFilter, PayloadAccessMode
from agentpool.wire.ids import check_identifier
from agentpool.wire.records import (
    AgentPoolMember,
    AgentPoolMessagePolicy,
    AgentPoolStoreConfig,
    AgentPoolStoreCursor,
    AgentPoolStoreRecord,
    AgentPoolWakePolicy,
)
from agentpool.wire.refs import PolicyRef
from agentpool.wire.snapshot import AgentPoolSnapshot
from agentpool.wire.struct import Include

__all__ = ("AgentPool",)


class AgentPool(Operations):
    """A pool, opened. ``await AgentPool.open(store, pool_id)``, or ``async with`` it.

    Every method raises what the store raises (`AgentPoolStore`), and `NotAMemberError` when it
    acts for a run that is not a member. Cancelled, a method has had its whole effect or none;
    the idempotency key of what was sent or registered tells which, and calling again is safe.
    While one is open anywhere, deadlines of the pool are carried out.
    """

    def __init__(self, store: AgentPoolStore, pool_id: str) -> None:
        """Take over an opened pool; for `open` only."""
        super().__init__(store, pool_id)
        self._closed = False

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

        Without a policy, an existing pool is opened with whatever policies it has.

        :param message_policy: what messages need, and whether a broadcast reaches its sender
        :param wake_policy: whether filters may see no more than envelopes
        :param policy_refs: what members have to carry for others to see their events
        :raises PoolConfigConflictError: the pool was opened before with other policies
        """
        if isinstance(store, Unopened):
            store.refuse()
        require_type(store, AgentPoolStore, "store")
        check_identifier(pool_id, "pool_id")
        refs = checked_sequence(policy_refs, "policy_refs")
        config: AgentPoolStoreConfig | None = None
        if message_policy is not None or wake_policy is not None or refs:
            config = AgentPoolStoreConfig(
                message_policy=message_policy or AgentPoolMessagePolicy(),
                wake_policy=wake_policy or AgentPoolWakePolicy(),
                policy_refs=refs,
            )
        return Opening(partial(_open, store, pool_id, config), cls.__name__, "pool")

    def __repr__(self) -> str:
        return f"<AgentPool {self.pool_id!r} {'closed' if self._closed else 'open'}>"

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
        """Let go of the pool; the store stays open. Idempotent.

        Whoever waits in the pool by this object gets `StoreClosedError`: nobody would carry out
        their deadlines. A cancelled close closes all the same.
        """
        if not self._closed:
            self._closed = True
            self._hub.close()
            await uninterrupted(self._let_go())

    async def _let_go(self) -> None:
        await self._hub.settle()
        await Keeper.of(self.store).remove_pool(self.pool_id)

    # --- members

    async def join_run(self, member: AgentPoolMember) -> None:
        """Let a run join without a lease; one that it had ends. The same member again: nothing."""
        await self.store.execute(self.pool_id, JoinRun(member))

    async def leave_run(self, run_id: str) -> AgentPoolMember:
        """Let a member leave: what it waits for fails, its unread messages stay for its return.

        :raises NotAMemberError: the run is not a member
        """
        member, _ = await self.store.execute(self.pool_id, LeaveMember(run_id))
        return member

    async def members(self) -> tuple[AgentPoolMember, ...]:
        """List the members in ascending order of their runs."""
        return await self.store.query(
            self.pool_id,
            lambda view: tuple(member for _, member in sorted(view.state.members.items())),
        )

    def member(
        self, member: AgentPoolMember, lease: float | None = 30.0, *, claim_lease: float = 30.0
    ) -> Membership:
        """Be a member for the length of an ``async with`` block: join, heartbeat, leave.

        One block at a time for a run: the end of any lets the run leave. For a run that outlives
        the block, see `join_run` and `acting_as`. A run whose lease ran out all the same, because
        its process was suspended, is no member any more: what it does is refused.

        :param lease: seconds after which a process that was killed is no member any more;
            ``None`` for a member that stays until it leaves
        :param claim_lease: seconds that a message taken from the inbox stays claimed, renewed
            while it is handled
        """
        return Membership(self, member, lease, claim_lease)

    def acting_as(self, member: AgentPoolMember, *, claim_lease: float = 30.0) -> MemberHandle:
        """Act for a run that has joined with `join_run` and outlives this block, or this process.

        :param claim_lease: see `member`
        """
        return MemberHandle(self, member, claim_lease=claim_lease)

    async def snapshot(self) -> AgentPoolSnapshot:
        """Show what the whole log of the pool means now; see `AgentPoolStore.snapshot`."""
        return await self.store.snapshot(self.pool_id)

    def watch_pool(
        self, cursor: AgentPoolStoreCursor | None = None
    ) -> AsyncGenerator[AgentPoolStoreRecord, None]:
        """Yield the pool's records, past and live; see `AgentPoolStore.watch`."""
        return self.store.watch(self.pool_id, cursor)

    # --- events

    async def publish(self, envelope: EventEnvelope) -> int:
        """Publish an event of the host, durably and for every process.

        It may end waits, in the same transaction. Cancelled, it is published or not; publishing it
        again is safe.

        :return: the number that it got as its ``event_seq``; the same event again keeps its number
        :raises IdempotencyConflictError: its event id was used for another event
        """
        return await self.store.execute(self.pool_id, Publish(envelope))

    async def subscribe(
        self,
        filter: EventFilter,  # noqa: A002  # the name that others rely on
        cursor: AgentPoolStoreCursor | None = None,
    ) -> AsyncGenerator[EventEnvelope, None]:
        """Yield the events after a cursor that match, past and live, within what the pool sees.

        That is: events of runs that are members and carry the pool's policies. To go on later where
        it ended, start at ``place = EventCursor(0, 0)``, keep ``place.past(pool.pool_id, event)``
        after each event, and give that.

        :param cursor: an `EventCursor`, or the place of a record; ``None``: from the start
        """
        require_type(filter, EventFilter, "filter")
        place = checked_cursor(cursor)
        config = await self.store.query(self.pool_id, require_open)
        wanted = compile_for(config, filter)
        with self.store.changes() as current:
            while True:
                changed = current()
                events, place, more = await self.store.query(
                    self.pool_id, partial(page_of_events, cursor=place)
                )
                for _, event in events:
                    if wanted.matches_envelope(event):
                        yield event
                if not more:
                    await changed.wait()

    async def scope_filter(self, filter: EventFilter) -> EventFilter:  # noqa: A002
        """Narrow a filter to what this pool may see at this moment. It can only shrink."""
        require_type(filter, EventFilter, "filter")
        return await self.store.query(self.pool_id, lambda view: _scoped(view, filter))


def _scoped(view: PoolView, wanted: EventFilter) -> EventFilter:
    config = require_open(view)
    runs = sorted(
        run_id for run_id, member in view.state.members.items() if carries_policies(config, member)
    )
    if isinstance(wanted.run_ids, Include):
        runs = [run_id for run_id in runs if run_id in wanted.run_ids.include]
    narrowed = replace(wanted, run_ids=Include(include=tuple(runs)))
    if config.wake_policy.envelope_only:
        narrowed = replace(narrowed, payload_access=PayloadAccessMode.ENVELOPE_ONLY)
    return narrowed


async def _catch_up(store: AgentPoolStore, pool_id: str) -> None:
    """Work in what others have appended, in pieces, so that other writers get their turns."""
    while not await store.execute(pool_id, CatchUp()):
        pass


async def _open(
    store: AgentPoolStore, pool_id: str, config: AgentPoolStoreConfig | None
) -> AgentPool:
    if await store.query(pool_id, lambda view: view.config is not None):
        await _catch_up(store, pool_id)  # `OpenPool` would do it in one piece
    await store.execute(pool_id, OpenPool(config))
    await _catch_up(store, pool_id)
    Keeper.of(store).add_pool(pool_id)
    return AgentPool(store, pool_id)
