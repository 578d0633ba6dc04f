"""LangGraph: its asynchronous saver of checkpoints, on SQLite."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks.peers.contender import Contender, Handle, Message, expect_durable, polled
from benchmarks.peers.optional import load

__all__ = ("LangGraph",)

_THREAD: Final = {"configurable": {"thread_id": "pool", "checkpoint_ns": ""}}


class _Handle(Handle):
    def __init__(self, saver: Any) -> None:
        self._saver = saver

    async def append(self, message: Message) -> None:
        await self._saver.aput(_THREAD, _checkpoint(message), {}, {})

    async def fill(self, messages: Sequence[Message]) -> None:
        await self._saver.conn.execute("PRAGMA synchronous = OFF")
        await super().fill(messages)

    async def replay(self) -> list[Any]:
        return await self._after("")

    def follow(self) -> AsyncGenerator[Any, None]:
        last = ""

        async def take() -> list[Any]:
            nonlocal last
            found = await self._after(last)
            last = found[-1].checkpoint["id"] if found else last
            return found

        return polled(take)

    async def _after(self, last: str) -> list[Any]:
        # It lists the newest first, and has no filter for what is newer than another.
        found = []
        async with aclosing(self._saver.alist(_THREAD)) as newest_first:
            async for each in newest_first:
                if each.checkpoint["id"] <= last:
                    break
                found.append(each)
        return found[::-1]

    def text(self, item: Any) -> str:
        return str(item.checkpoint["channel_values"]["message"])


def _checkpoint(message: Message) -> dict[str, Any]:
    return {
        "v": 1,
        "id": message.key,  # checkpoints are in the order of their ids
        "ts": "2026-01-01T00:00:00+00:00",
        "channel_values": {"message": message.body},
        "channel_versions": {},
        "versions_seen": {},
        "updated_channels": None,
    }


class LangGraph(Contender):
    """One checkpoint per message, all in one thread."""

    name = "LangGraph AsyncSqliteSaver"
    distribution = "langgraph-checkpoint-sqlite"
    settings = (
        "WAL, synchronous=FULL, one checkpoint per message with the key as its id, so that"
        " a second one replaces the first; alist polled every 10 ms"
    )

    @asynccontextmanager
    async def open(self, place: str) -> AsyncIterator[Handle]:
        saver_class = load("langgraph.checkpoint.sqlite.aio").AsyncSqliteSaver
        async with saver_class.from_conn_string(str(Path(place) / "checkpoints.db")) as saver:
            await saver.setup()
            (mode,) = await (await saver.conn.execute("PRAGMA journal_mode")).fetchone()
            (level,) = await (await saver.conn.execute("PRAGMA synchronous")).fetchone()
            expect_durable(mode, level)
            yield _Handle(saver)
