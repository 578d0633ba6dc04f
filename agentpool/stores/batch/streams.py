"""The items of a pool one after another, fetched in pages, and in what two pools differ."""

from collections import deque
from collections.abc import Sequence
from hashlib import sha256
from typing import Final, NamedTuple

import msgspec

from agentpool.stores.batch.raw import RECORDS, Item, Part, RawPool, size_of
from agentpool.stores.batch.store import BatchStore
from agentpool.wire.ids import I64_MAX

__all__ = ("Differences", "Stream", "Tally")

_PACKED: Final = msgspec.msgpack.Encoder().encode


class Tally(NamedTuple):
    """How much there is of a part of a pool, and a digest of it."""

    items: int = 0
    digest: bytes = b""

    def of(self, items: Sequence[Item]) -> "Tally":
        """Count items that follow; however they are cut into pages, it comes to the same."""
        digest = self.digest
        for item in items:
            digest = sha256(digest + _PACKED(item)).digest()
        return Tally(self.items + len(items), digest)


class Stream:
    """The items of a part of a pool, in order, without its mark.

    :ivar tally: of what was fetched so far
    """

    def __init__(self, store: BatchStore, pool_id: str, part: Part) -> None:
        self._store = store
        self._pool_id = pool_id
        self._part = part
        self._after = part.start
        self._items: deque[Item] = deque()
        self._has_ended = False
        self.tally: Tally = Tally()

    async def first(self) -> Item | None:
        """Give the first of those that are left, which stays; ``None``: none is."""
        return self._items[0] if self._items or await self._fetch() else None

    def drop(self) -> None:
        """Let go of the first."""
        self._items.popleft()

    async def to_the_end(self) -> Tally:
        """Read all that there is."""
        while await self._fetch():
            self._items.clear()
        return self.tally

    async def _fetch(self) -> bool:
        if self._has_ended:
            return False  # what came since was put there by whoever reads this
        items, self.tally = await self._store.look_at(self._pool_id, self._page)
        if items:
            self._after = items[-1][: self._part.width]
            self._items.extend(items)
        self._has_ended = not items
        return bool(items)

    def _page(self, pool: RawPool) -> tuple[list[Item], Tally]:
        items = pool.page(self._part, self._after)
        if self._part == RECORDS and items and items[-1][0] == I64_MAX:
            items.pop()
        return items, self.tally.of(items)


class Differences:
    """What makes a part of a pool the same as that of another.

    :param wanted: what it is to be
    :param there: what it is
    """

    def __init__(self, wanted: Stream, there: Stream, part: Part) -> None:
        self._wanted, self._there = wanted, there
        self._width = part.width

    async def some(self, count: int, size: int) -> tuple[list[Item], list[Item]]:
        """Give the next items that are to be put, and the keys of those that are to be deleted.

        :param count: so many, at most
        :param size: bytes after which there are no more of them
        :return: nothing of either, where there is no difference any more
        """
        puts: list[Item] = []
        gone: list[Item] = []
        while len(puts) + len(gone) < count and size > 0:
            wanted, there = await self._wanted.first(), await self._there.first()
            if wanted is not None and (there is None or self._key(wanted) <= self._key(there)):
                self._wanted.drop()
                if there is not None and self._key(wanted) == self._key(there):
                    self._there.drop()
                if wanted != there:
                    puts.append(wanted)
                    size -= size_of(wanted)
            elif there is not None:
                self._there.drop()
                gone.append(self._key(there))
            else:
                break
        return puts, gone

    def _key(self, item: Item) -> Item:
        return item[: self._width]
