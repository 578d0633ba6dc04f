"""The small states of pools: kept per connection, brought up to date, and short-cut in the store.

What is kept is of committed records only. A transaction that is about to change a state takes it
out, and brings it back once it is committed; so one that fails leaves nothing to be undone.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from agentpool.errors import AgentPoolError, StoreError
from agentpool.rules.replay import PoolState
from agentpool.stores.batch.raw import refuse_incomplete
from agentpool.stores.batch.source import Checkpoint, RawRecord, Source
from agentpool.wire.codec import decode, encode
from agentpool.wire.payload import open_each, open_payload
from agentpool.wire.records import (
    AgentPoolMember,
    AgentPoolStoreConfig,
    AgentPoolStoredWake,
)
from agentpool.wire.struct import Wire

__all__ = ("ColdStateError", "KeptState", "StateCache", "refuse_shorter", "state_at")

_CHECKPOINT_EVERY: Final = 32
_LARGEST_CHECKPOINT: Final = 1000
"""Members and open wakes; to write down more would take a transaction for too long."""
_POOLS_KEPT: Final = 1024
_NOTHING: Final = (0, 0)


class _CheckpointMember(Wire):
    joined_at: int
    member: AgentPoolMember


class _Checkpoint(Wire):
    """The small state of a pool, as it is kept in the store."""

    config: AgentPoolStoreConfig | None
    created_at: int | None
    members: tuple[_CheckpointMember, ...]
    open_wakes: tuple[AgentPoolStoredWake, ...]


class ColdStateError(Exception):
    """A transaction that writes would have to read too much of a pool to know its state."""

    def __init__(self, pool_id: str) -> None:
        super().__init__(pool_id)
        self.pool_id = pool_id


class KeptState:
    """The state of a pool, and how many records have changed it since its checkpoint.

    :ivar is_far_behind: whether more is new than is asked for in case somebody looks at it
    """

    __slots__ = ("is_far_behind", "state", "unsaved")

    def __init__(self, state: PoolState) -> None:
        self.state: Final = state
        self.unsaved: int = 0
        self.is_far_behind: bool = False

    def checkpoint(self, changes: int) -> Checkpoint | None:
        """Count changes, and make a checkpoint when there were enough to pay for it.

        The larger the state, the more have to come, so a record costs the same in a large pool.
        """
        self.unsaved += changes
        state = self.state
        size = len(state.members) + len(state.open_wakes)
        if self.unsaved < _CHECKPOINT_EVERY + size or size > _LARGEST_CHECKPOINT:
            return None
        self.unsaved = 0
        return Checkpoint(state.sequence, _encoded(state))


class StateCache:
    """The small states of the pools that a connection has met, each brought up to date on use."""

    def __init__(self) -> None:
        self._states: OrderedDict[str, KeptState] = OrderedDict()
        self._configs: dict[str, AgentPoolStoreConfig] = {}
        self._heads: dict[str, int] = {}
        self._marks: dict[str, tuple[int, int]] = {}
        self._lost: dict[str, int] = {}

    def head(self, source: Source) -> int:
        """Find the number of the last record of a pool, 0 for none.

        :raises StoreError: the log is shorter than this connection has seen it
        :raises PoolNotOpenError: the pool is not whole, since it is being copied
        """
        head, pool_id = source.head(), source.pool_id
        refuse_incomplete(source, head)
        # A backup that was restored, a power cut: what was decided on the lost records must not go
        # on.
        refuse_shorter(pool_id, head, self.seen(pool_id))
        self._heads[pool_id] = head
        return head

    def saw(self, pool_id: str, head: int) -> None:
        """Take note of how far a log was seen to come."""
        self._heads[pool_id] = max(head, self._heads.get(pool_id, 0))

    def seen(self, pool_id: str) -> int:
        """Say how far a log was seen to come."""
        return self._heads.get(pool_id, 0)

    def seen_before(self, pool_id: str) -> int:
        """Say how far a log was seen to come, also before it was replaced."""
        return max(self.seen(pool_id), self._lost.get(pool_id, 0))

    def all_seen(self) -> dict[str, int]:
        """Say of all logs how far they were seen to come, also before they were replaced.

        From any thread, while another one uses the rest.
        """
        seen, lost = self._heads.copy(), self._lost.copy()
        return {**seen, **{each: max(last, seen.get(each, 0)) for each, last in lost.items()}}

    def known(self, pool_id: str) -> int | None:
        """Say up to which record the state of a pool is known; ``None``: not, or far from all."""
        kept = self._states.get(pool_id)
        return None if kept is None or kept.is_far_behind else kept.state.sequence

    def fell_far_behind(self, pool_id: str) -> None:
        """Take note that too much is new to ask for it before somebody looks at the state."""
        if pool_id in self._states:
            self._states[pool_id].is_far_behind = True

    def read(self, source: Source, after: int, last: int | None) -> None:
        """Take note of the last record that was read, or that nothing was there after."""
        marked, _ = self._marks.get(source.pool_id, _NOTHING)
        last = after if last is None else last
        if last > marked and (raw := source.record_at(last)):
            self._marks[source.pool_id] = _mark(raw)

    # --- where logs do not only grow

    def forget(self) -> None:
        """Forget all states: what they were made of may have been changed."""
        self._states.clear()
        self._configs.clear()

    def replaced(self, source: Callable[[str], Source], *, may_be_shorter: bool) -> list[str]:
        """List the pools whose logs no longer have what was read of them.

        :param may_be_shorter: a backup was restored: what is there now is what there is; else a
            log that is shorter has lost its end, and is refused
        """
        pools = {**self._heads, **self._marks}
        replaced = [pool_id for pool_id in pools if not self._is_as_read(source(pool_id))]
        for pool_id in replaced:
            del self._marks[pool_id]
            if may_be_shorter:
                self._lost[pool_id] = self.seen_before(pool_id)
                self._heads.pop(pool_id, None)
        return replaced

    def _is_as_read(self, source: Source) -> bool:
        seq, _ = mark = self._marks.setdefault(source.pool_id, _NOTHING)
        if seq:
            raw = source.record_at(seq)
            if raw is None or _mark(raw) != mark:
                return False
        return source.head() >= self.seen(source.pool_id)

    def config(self, source: Source) -> AgentPoolStoreConfig | None:
        """Give the config of a pool that was opened with its first record, as most are."""
        pool_id = source.pool_id
        known = self._configs.get(pool_id)
        if known is None:
            first = source.first_pool_record()
            # A config never changes, so it is looked up once; where the log begins otherwise, the
            # state knows.
            if first is not None and first[1] == "pool_opened":
                known = self._configs[pool_id] = open_payload(pool_id, *first).config
        return known

    def current(self, source: Source, head: int, at_most: int | None = None) -> KeptState:
        """Give the state of a pool after its last record, whose number is ``head``.

        :param at_most: how many records may be new since it was looked at last
        :raises ColdStateError: there are more
        """
        pool_id = source.pool_id
        known = self._states[pool_id].state.sequence if pool_id in self._states else 0
        if at_most is not None and head - known > at_most:
            raise ColdStateError(pool_id)
        # Out while it is brought up to date: a record that cannot be read would leave it half so.
        kept = self._states.pop(pool_id, None)
        if kept is None:
            kept = KeptState(state_at(pool_id, source.checkpoint()))
            if kept.state.sequence > head:  # of a log that was longer
                kept = KeptState(PoolState(pool_id))
        state = kept.state
        if head > state.sequence:
            raw = source.pool_page(state.sequence, head)
            for (seq, kind, _), payload in zip(raw, open_each(pool_id, raw), strict=True):
                if not isinstance(payload, AgentPoolError):
                    state.apply(seq, payload)
                # Whoever reads it is told. What is decided without it goes on, unless all that is
                # decided needs it.
                elif kind == "pool_opened":
                    raise payload
            kept.unsaved += len(raw)
            state.sequence = head
        kept.is_far_behind = False
        self.keep(kept)
        return kept

    def take_out(self, pool_id: str) -> None:
        """Forget the state of a pool, for a transaction is going to change it."""
        self._states.pop(pool_id, None)

    def keep(self, kept: KeptState) -> None:
        """Keep a state of committed records, and forget the one that nobody asked for longest."""
        self._states[kept.state.pool_id] = kept
        if len(self._states) > _POOLS_KEPT:
            self._states.popitem(last=False)


def _mark(raw: RawRecord) -> tuple[int, int]:
    seq, kind, text = raw
    return seq, hash((kind, text))


def refuse_shorter(pool_id: str, head: int, seen: int) -> None:
    """Refuse a log that has lost its end.

    :raises StoreError: it ends before a record that was seen
    """
    if head < seen:
        msg = f"the log ends at record {head}, but record {seen} was seen"
        raise StoreError(msg, pool_id=pool_id, seq=seen)


def state_at(pool_id: str, checkpoint: Checkpoint | None) -> PoolState:
    """Give the state that a checkpoint holds; that of an empty log, if it holds none."""
    state = PoolState(pool_id)
    if checkpoint is None or type(checkpoint.seq) is not int:
        return state
    try:
        kept = decode(checkpoint.state_json, _Checkpoint)
    except AgentPoolError:
        return state  # it is only a short cut; the log has everything
    state.sequence, state.config, state.created_at = checkpoint.seq, kept.config, kept.created_at
    for each in kept.members:
        state.members[each.member.run_id] = each.member
        state.joined_at[each.member.run_id] = each.joined_at
    for wake in kept.open_wakes:
        state.open_wakes.add(wake)
    return state


def _encoded(state: PoolState) -> bytes:
    kept = _Checkpoint(
        config=state.config,
        created_at=state.created_at,
        members=tuple(
            _CheckpointMember(state.joined_at[run_id], member)
            for run_id, member in state.members.items()
        ),
        open_wakes=tuple(state.open_wakes),
    )
    return encode(kept)
