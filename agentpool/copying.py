"""Moving pools: whole pools from one store into another, byte for byte, and checked.

Everything that a store keeps of a pool goes over: its records, also of unknown kinds and such as
cannot be read, what is made of them, the number of its last event, the times, and the bodies that
its messages name. It goes in pieces, each a short transaction, while others use other pools of both
stores. What was interrupted goes on where it was. Until the pool is whole in the target it is no
pool there, for nobody.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Final, NamedTuple
from uuid import uuid4

from agentpool.errors import (
    AgentPoolError,
    ContentNotFoundError,
    IdempotencyConflictError,
    InvalidValueError,
    StoreBusyError,
    StoreError,
)
from agentpool.rules.command import DEADLINE, Row, RowKey
from agentpool.rules.holding import lease_end, lease_of
from agentpool.rules.replay import not_open
from agentpool.rules.requirements import checked_sequence, require_flag, require_type
from agentpool.rules.rows import LEASE
from agentpool.stores.base import AgentPoolStore
from agentpool.stores.batch.raw import (
    BYTES_AT_ONCE,
    ITEMS_AT_ONCE,
    PARTS,
    RECORDS,
    ROWS,
    Item,
    Part,
    RawPool,
    mark,
    mark_of,
    refuse_incomplete,
)
from agentpool.stores.batch.source import Changes
from agentpool.stores.batch.store import BatchStore
from agentpool.stores.batch.streams import Differences, Stream, Tally
from agentpool.wire.ids import I64_MAX, check_identifier

__all__ = ("CopiedPool", "copy_pools")

_TIMES_TO_TRY: Final = 5
_REFS_REMEMBERED: Final = 10_000
_REF: Final = re.compile(rb"sha256:[0-9a-f]{64}(?![0-9a-f])")


class CopiedPool(NamedTuple):
    """A pool that is in the target now as it is in the source.

    :ivar records: how many records its log has
    :ivar rows: how many rows stand beside it: unread messages, claims, deadlines, host events
    :ivar was_there: whether it was whole in the target before, and nothing was done
    """

    pool_id: str
    records: int
    rows: int
    was_there: bool


async def copy_pools(
    source: AgentPoolStore,
    target: AgentPoolStore,
    pool_ids: Sequence[str] | None = None,
    *,
    force: bool = False,
) -> list[CopiedPool]:
    """Copy pools from one store into another: files and servers, in any direction.

    A pool is whole in the target when this has returned, and the same there to the byte, which was
    checked; until then nobody finds it there. The source is not changed: whoever used the pool
    there has to use it in the target from now on. Killed, cancelled or refused, what was copied so
    far stays, hidden; calling it again goes on from there, and does nothing for pools that are
    whole. Times and leases stay what they were, so deadlines that pass meanwhile are carried out
    when the pool is opened next.

    :param pool_ids: which; ``None``: all that the source has
    :param force: also while members hold runs of a pool at the source; what they do there after it
        was copied is not in the target
    :return: the pools in the order in which they were copied: as given, or by their ids
    :raises InvalidValueError: an argument is none of these, or a body is larger than the
        ``max_body`` of the target
    :raises PoolNotOpenError: the source has no such pool, or not all of it
    :raises StoreBusyError: somebody has a pool open at the source, or changes it all the time, or
        another copy of the same pool has begun meanwhile
    :raises IdempotencyConflictError: the target has another pool of that id, or the same, which has
        gone on since there or at the source
    :raises CorruptRecordError: something that is to be copied is damaged so that the target cannot
        keep it, or a body is; the doctor says what it is
    :raises StoreError: what is in the target is not what was written
    """
    for name, store in (("source", source), ("target", target)):
        require_type(store, AgentPoolStore, name)
    require_flag(force, "force")
    chosen = sorted(await source.pool_ids()) if pool_ids is None else pool_ids
    ids = dict.fromkeys(checked_sequence(chosen, "pool_ids", str))
    for pool_id in ids:
        check_identifier(pool_id, "pool_ids")
    copied: list[CopiedPool] = []
    for pool_id in ids:
        ends = await _engine(source, pool_id, "source"), await _engine(target, pool_id, "target")
        copied.append(await _Copy(*ends, pool_id, force=force).carry_out())
    return copied


async def _engine(store: AgentPoolStore, pool_id: str, name: str) -> BatchStore:
    """Find where a pool is, or is to be."""
    found = await store.store_of(pool_id)
    if not isinstance(found, BatchStore):
        msg = f"{name}: pools are copied between files and servers, not {type(found).__name__}"
        raise InvalidValueError(msg)
    return found


class _State(NamedTuple):
    """All that has to be the same of a pool.

    :ivar parts: of each of `PARTS`
    """

    event_sequence: int
    projected: int | None
    parts: tuple[Tally, ...]


class _Copy:
    """The copy of one pool."""

    def __init__(
        self, source: BatchStore, target: BatchStore, pool_id: str, *, force: bool
    ) -> None:
        self._source = source
        self._target = target
        self._pool_id = pool_id
        self._force = force
        self._mark = mark(uuid4().hex)
        self._kept: set[str] = set()

    async def carry_out(self) -> CopiedPool:
        """Make the pool whole in the target."""
        await self._source.look_at(self._pool_id, self._refuse_source)
        if await self._target.rewrite(self._pool_id, self._begin, durable=False):
            state = await self._state(self._source)
            if await self._state(self._target) != state:
                raise self._another()
            return self._copied(state, was_there=True)
        for _ in range(_TIMES_TO_TRY):
            state = await self._synced()
            # What was the same twice was so all at once, at the time in between.
            if await self._state(self._source) == state:
                await self._source.look_at(self._pool_id, self._refuse_source)
                await self._end(state)
                return self._copied(state, was_there=False)
        msg = (
            "it was changed at the source all the time; stop those who use it there, and try again"
        )
        raise StoreBusyError(msg, pool_id=self._pool_id)

    def _copied(self, state: _State, *, was_there: bool) -> CopiedPool:
        records, _, rows = state.parts
        return CopiedPool(self._pool_id, records.items, rows.items, was_there)

    def _another(self) -> IdempotencyConflictError:
        msg = (
            "the target has another pool of this id, or this one, and one of the two has gone on"
            " since; copy it into another store"
        )
        return IdempotencyConflictError(msg, pool_id=self._pool_id)

    # --- the source

    def _refuse_source(self, pool: RawPool) -> None:
        """Refuse what cannot be copied, or not now."""
        head = pool.source.head()
        refuse_incomplete(pool.source, head)
        if head == 0:
            raise not_open(self._pool_id)
        if head == I64_MAX:
            msg = f"its last record has number {I64_MAX}, which stands for a pool that is not whole"
            raise StoreError(msg, pool_id=self._pool_id)
        if not self._force:
            self._refuse_held(pool)

    def _refuse_held(self, pool: RawPool) -> None:
        """Refuse a pool with a member whose lease has not run out."""
        now = pool.source.now()
        for row in _leases(pool):
            end = lease_end(row)
            if end is None or end > now:
                left = "never ends" if end is None else f"has {(end - now) / 1000:.1f} s left"
                msg = (
                    f"run {row.key.name.partition(' ')[2]!r} is held at the source, by process"
                    f" {lease_of(row).process!r}, and its lease {left}; stop who uses the pool"
                    " there, or pass force=True to copy it as it is at one moment"
                )
                raise StoreBusyError(msg, pool_id=self._pool_id)

    async def _state(self, store: BatchStore) -> _State:
        event_sequence, projected = await store.look_at(self._pool_id, _numbers)
        parts = [await Stream(store, self._pool_id, part).to_the_end() for part in PARTS]
        return _State(event_sequence, projected, tuple(parts))

    # --- the target

    def _begin(self, pool: RawPool) -> bool:
        """Mark the pool in the target as ours to bring; say whether it is there instead."""
        if mark_of(pool.source) is None and (pool.source.head() or any(_numbers(pool))):
            return True
        pool.put(RECORDS, [self._mark])
        return False

    async def _synced(self) -> _State:
        """Make the target what the source is, and say what that was."""
        event_sequence, projected = await self._source.look_at(self._pool_id, _numbers)
        parts = [await self._sync(part) for part in PARTS]
        return _State(event_sequence, projected, tuple(parts))

    async def _sync(self, part: Part) -> Tally:
        wanted, there = (Stream(each, self._pool_id, part) for each in (self._source, self._target))
        differences = Differences(wanted, there, part)
        while any(piece := await differences.some(ITEMS_AT_ONCE, BYTES_AT_ONCE)):
            puts, gone = piece
            for ref in _refs(puts):
                await self._keep(ref)
            if not await self._write(partial(_change, part, puts, gone), durable=False):
                raise self._overtaken()
        return wanted.tally

    async def _keep(self, ref: str) -> None:
        """Have the target keep a body that a message names, before it has the message."""
        if ref in self._kept:
            return
        try:
            body = await self._source.get_content(ref)
            media_type = await self._source.content_type(ref)
        except ContentNotFoundError:
            return  # it is of somebody else, or was gone before
        except AgentPoolError as error:
            error.in_pool(self._pool_id)
            raise
        await self._target.put_content(body, media_type=media_type)
        if len(self._kept) >= _REFS_REMEMBERED:
            self._kept.clear()
        self._kept.add(ref)

    async def _write(self, change: Callable[[RawPool], None], *, durable: bool) -> bool:
        """Change the pool in the target, unless it is no longer ours to bring."""

        def write(pool: RawPool) -> bool:
            if mark_of(pool.source) != self._mark:
                return False
            change(pool)
            return True

        return await self._target.rewrite(self._pool_id, write, durable=durable)

    def _overtaken(self) -> StoreBusyError:
        msg = "another copy of it into the same store has begun meanwhile; leave it to that"
        return StoreBusyError(msg, pool_id=self._pool_id)

    async def _end(self, state: _State) -> None:
        """Make sure that the target has it all, and let it be a pool from now on."""
        found = await self._state(self._target)
        if found.parts != state.parts:
            msg = (
                "what the target has is not what was written to it: a trigger or another program"
                " stands in the way"
            )
            raise StoreError(msg, pool_id=self._pool_id)

        def end(pool: RawPool) -> None:
            numbers = Changes(
                first=1,
                records=(),
                millis=None,
                rows={},
                event_sequence=state.event_sequence or None,
                projected=state.projected,
                checkpoint=None,
            )
            pool.source.write(numbers)
            pool.delete(RECORDS, [self._mark[: RECORDS.width]])

        if not await self._write(end, durable=True):
            await self._refuse_unlike(state)

    async def _refuse_unlike(self, state: _State) -> None:
        """Refuse what is in the target without our mark, unless it is whole and as it is to be.

        So it is when the end was carried out and its connection lost, and it was tried once more.
        """
        if await self._target.look_at(self._pool_id, lambda pool: mark_of(pool.source)) is not None:
            raise self._overtaken()
        if await self._state(self._target) != state:
            raise self._another()


def _numbers(pool: RawPool) -> tuple[int, int | None]:
    return pool.source.event_sequence(), pool.source.projected()


def _change(part: Part, puts: list[Item], gone: list[Item], pool: RawPool) -> None:
    pool.put(part, puts)
    pool.delete(part, gone)


def _leases(pool: RawPool) -> Iterator[Row]:
    after: Item = (DEADLINE, f"{LEASE} ", -1)
    while page := pool.page(ROWS, after):
        for kind, name, number, due_at, value in page:
            if kind != DEADLINE or not name.startswith(f"{LEASE} "):
                return
            yield Row(RowKey(kind, name, number), value, due_at)
        after = page[-1][: ROWS.width]


def _refs(items: Iterable[Item]) -> list[str]:
    """List what may name a body in some items, each once."""
    texts = (field for item in items for field in item if isinstance(field, (bytes, str)))
    raw = (text.encode() if isinstance(text, str) else text for text in texts)
    return list(dict.fromkeys(ref.decode() for each in raw for ref in _REF.findall(each)))
