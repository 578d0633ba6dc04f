"""Redis Streams: a server beside us, on a Unix socket."""

import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from benchmarks.peers.contender import Contender, Handle, Message
from benchmarks.peers.optional import load
from benchmarks.peers.server import find_program, output_of, serving, wait_until

__all__ = ("RedisStreams",)

_STREAM: Final = "pool"
_PAGE: Final = 1_000
_BLOCK_MILLIS: Final = 1_000
# One for each task, however many there are: none has to wait for another.
_CONNECTIONS: Final = 1_000
# The look-up and the append are one round trip, and one atomic step.
_APPEND: Final = """
    if redis.call('SET', KEYS[2], '', 'NX') then
        redis.call('XADD', KEYS[1], '*', 'body', ARGV[1])
    end
"""


class _Handle(Handle):
    def __init__(self, client: Any) -> None:
        self._client, self._append = client, client.register_script(_APPEND)

    async def append(self, message: Message) -> None:
        await self._append(keys=[_STREAM, message.key], args=[message.body])

    async def fill(self, messages: Sequence[Message]) -> None:
        pipeline = self._client.pipeline(transaction=False)
        for message in messages:
            await self._append(keys=[_STREAM, message.key], args=[message.body], client=pipeline)
        await pipeline.execute()

    async def replay(self) -> list[Any]:
        found: list[Any] = []
        start = "-"
        while page := await self._client.xrange(_STREAM, min=start, count=_PAGE):
            found += page
            start = f"({page[-1][0].decode()}"
        return found

    async def follow(self) -> AsyncGenerator[Any, None]:
        last = "0"
        while True:
            reply = await self._client.xread({_STREAM: last}, count=_PAGE, block=_BLOCK_MILLIS)
            for _, entries in reply or ():
                last = entries[-1][0]
                for entry in entries:
                    yield entry

    def text(self, item: Any) -> str:
        return str(item[1][b"body"], "utf-8")


class RedisStreams(Contender):
    """XADD, with SET NX for the keys, in one script."""

    name = "Redis Streams"
    distribution = "redis"
    kind = "server"
    settings = (
        "a server, Unix socket, appendonly yes, appendfsync always, no snapshots; SET NX and XADD"
        " in one script, a connection for each task; XREAD BLOCK; XRANGE by 1,000"
    )

    def missing(self) -> str | None:
        if find_program("redis-server") is None:
            return "there is no redis-server"
        return super().missing()

    def version(self) -> str:
        words = output_of(find_program("redis-server") or "", "--version").split()
        return next(word.removeprefix("v=") for word in words if word.startswith("v="))

    @contextmanager
    def running(self, folder: Path) -> Iterator[str]:
        # The path of a socket may not be long, so it does not lie in the folder.
        with tempfile.TemporaryDirectory(prefix="redis-") as short:
            socket = Path(short) / "socket"
            with serving(_command(socket), folder):
                wait_until(lambda: _answers(str(socket)), "redis-server")
                yield str(socket)

    @asynccontextmanager
    async def open(self, place: str) -> AsyncIterator[Handle]:
        redis = load("redis.asyncio")
        async with redis.Redis(unix_socket_path=place, max_connections=_CONNECTIONS) as client:
            yield _Handle(client)


def _command(socket: Path) -> list[str]:
    settings = {
        "port": "0",
        "unixsocket": str(socket),
        "dir": ".",
        "save": "",
        "appendonly": "yes",
        "appendfsync": "always",
        "auto-aof-rewrite-percentage": "0",
    }
    words = [word for name, value in settings.items() for word in (f"--{name}", value)]
    return [find_program("redis-server") or "", *words]


def _answers(socket: str) -> bool | None:
    """Say whether the server is up and has read its log."""
    redis = load("redis")
    with redis.Redis(unix_socket_path=socket) as client, suppress(redis.RedisError):
        return bool(client.ping())
    return None
