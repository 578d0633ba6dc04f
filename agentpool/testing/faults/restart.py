"""A restart of the machine, without one, and what becomes of the cursors that were saved before."""

from collections.abc import Iterable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch
from uuid import uuid4

from agentpool import (
    AgentPoolStoreCursor,
    MessageStatus,
    SqliteAgentPoolStore,
    StoreError,
)
from agentpool.support import process
from agentpool.testing.faults.journal import LOG, WORK, Entry, Told
from agentpool.testing.faults.sight import Sight
from agentpool.testing.values import a_message, a_receipt

__all__ = ("Cursors", "another_boot", "last_seen")


@contextmanager
def another_boot() -> Iterator[None]:
    """Let the machine seem restarted to stores that are opened in the block, and closed in it."""
    name = uuid4().hex
    with patch.object(process, "boot_id", lambda: name):
        yield


def last_seen(journal: Iterable[Entry]) -> dict[str, int]:
    """Find the last record of each log that somebody was told of, or was shown."""
    last: dict[str, int] = {}
    for told, values in journal:
        match told:
            case Told.APPENDED:
                pool_id, seq = LOG, values[1]
            case Told.CLAIMED:
                pool_id, seq = WORK, values[1]
            case Told.SHOWN:
                pool_id, seq = values
            case _:
                continue
        last[pool_id] = max(seq, last.get(pool_id, 0))
    return last


@dataclass
class Cursors:
    """What became of cursors.

    :ivar ahead: those behind the end of their log
    :ivar refused: those that a store refused, each in reading and in watching
    :ivar went_on: those that it went on from, each in reading and in watching
    """

    ahead: int = 0
    refused: int = 0
    went_on: int = 0

    async def go_on(self, path: Path, sight: Sight, last: dict[str, int]) -> list[str]:
        """Go on from the last record that was seen of each log; say what is wrong about that."""
        faults: list[str] = []
        async with SqliteAgentPoolStore.open(path) as store:
            for pool_id, seen in last.items():
                end = len(sight.logs.get(pool_id, ()))
                refused = await _is_refused(store, pool_id, seen)
                self.ahead += seen > end
                self.refused += refused
                self.went_on += not refused
                if refused != (seen > end):
                    how = "was refused" if refused else "was taken"
                    faults.append(f"{pool_id}: a cursor at {seen} of {end} records {how}")
                elif not await _watches_alike(store, pool_id, seen, refused=refused):
                    faults.append(f"{pool_id}: a watcher at {seen} of {end} records went wrong")
        return faults


async def _is_refused(store: SqliteAgentPoolStore, pool_id: str, seen: int) -> bool:
    try:
        await store.read(pool_id, AgentPoolStoreCursor(seen), limit=1)
    except StoreError as error:
        return _tells(error, pool_id, seen)
    return False


def _tells(error: StoreError, pool_id: str, seen: int) -> bool:
    return (error.pool_id, error.seq) == (pool_id, seen)


async def _watches_alike(
    store: SqliteAgentPoolStore, pool_id: str, seen: int, *, refused: bool
) -> bool:
    """Say whether a watcher is refused too, or gets the record after the one that was seen."""
    if not refused:
        message = a_message(f"after.{seen}")
        await store.record_message(pool_id, message, a_receipt(message, MessageStatus.DELIVERED))
    async with aclosing(store.watch(pool_id, AgentPoolStoreCursor(seen))) as watcher:
        try:
            return (await anext(watcher)).cursor.sequence == seen + 1
        except StoreError as error:
            return refused and _tells(error, pool_id, seen)
