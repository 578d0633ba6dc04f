"""NATS JetStream: a server beside us, on the loopback interface."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks.peers.contender import Contender, Handle, Message
from benchmarks.peers.optional import load
from benchmarks.peers.server import find_program, output_of, serving, wait_until

__all__ = ("JetStream",)

_STREAM: Final = "pool"
_OLDEST: Final = (2, 10)
_CONFIG: Final = """
    listen: "127.0.0.1:-1"
    ports_file_dir: "."
    jetstream {{ store_dir: {store}, sync_interval: always }}
"""


class _Handle(Handle):
    def __init__(self, context: Any) -> None:
        self._context = context

    async def append(self, message: Message) -> None:
        headers = {"Nats-Msg-Id": message.key}
        await self._context.publish(_STREAM, message.body.encode(), headers=headers)

    async def fill(self, messages: Sequence[Message]) -> None:
        for message in messages:
            headers = {"Nats-Msg-Id": message.key}
            await self._context.publish_async(_STREAM, message.body.encode(), headers=headers)
        await self._context.publish_async_completed()

    async def replay(self) -> list[Any]:
        info = await self._context.stream_info(_STREAM)
        found: list[Any] = []
        if info.state.messages:
            async with aclosing(self.follow()) as messages:
                async for message in messages:
                    found.append(message)
                    if len(found) == info.state.messages:
                        break
        return found

    async def follow(self) -> AsyncGenerator[Any, None]:
        # It asks for no page and checks no order, as an ordered consumer or one that pulls would;
        # it has the order too, as there is one connection, and nothing to be lost on the way.
        config = load("nats.js.api").ConsumerConfig(ack_policy="none")
        subscription = await self._context.subscribe(_STREAM, config=config)
        try:
            async for message in subscription.messages:
                yield message
        finally:
            await subscription.unsubscribe()

    def text(self, item: Any) -> str:
        return str(item.data, "utf-8")


class JetStream(Contender):
    """A stream on disk, every message synced."""

    name = "NATS JetStream"
    distribution = "nats-py"
    kind = "server"
    settings = (
        "a server, TCP on loopback, sync_interval: always; Nats-Msg-Id, which is remembered for"
        " two minutes; one connection for all tasks; a push consumer without acks"
    )

    def missing(self) -> str | None:
        if find_program("nats-server") is None:
            return "there is no nats-server"
        if _numbers(self.version()) < _OLDEST:
            return f"nats-server {self.version()} is older than 2.10: no sync_interval: always"
        return super().missing()

    def version(self) -> str:
        return output_of(find_program("nats-server") or "", "--version").split("v")[-1].strip()

    @contextmanager
    def running(self, folder: Path) -> Iterator[str]:
        config = folder / "nats.conf"
        config.write_text(_CONFIG.format(store=json.dumps(str(folder))), encoding="utf-8")
        for stale in folder.glob("*.ports"):
            stale.unlink()
        with serving([find_program("nats-server") or "", "-c", config.name], folder):
            yield wait_until(lambda: _address(folder), "nats-server")

    @asynccontextmanager
    async def open(self, place: str) -> AsyncIterator[Handle]:
        async with await load("nats").connect(place) as client:
            context = client.jetstream()
            await context.add_stream(name=_STREAM, subjects=[_STREAM])
            yield _Handle(context)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in version.split(".")[:2])


def _address(folder: Path) -> str | None:
    """Read where the server listens, once it has written that."""
    for file in folder.glob("*.ports"):
        try:
            return str(json.loads(file.read_text(encoding="utf-8"))["nats"][0])
        except ValueError:
            break  # half written
    return None
