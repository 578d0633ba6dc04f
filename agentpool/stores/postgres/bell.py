"""Telling others what a commit has touched, by NOTIFY, and hearing it from them, by LISTEN.

It goes with the COMMIT, and is a transaction of its own after it: a NOTIFY inside of one makes all
commits of the server wait for each other. A handle listens in a session of its own.

It is a hint. Who was killed before it told anybody, and who had no connection, is covered by a look
at the versions of the pools that somebody follows; without LISTEN that is the only way. Source:
"NOTIFY" in PostgreSQL's documentation.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from hashlib import sha256
from typing import Final, TypeAlias

import anyio
import msgspec
import psycopg

from agentpool.errors import AgentPoolError, IncompatibleStoreError
from agentpool.rules.topics import ANY, is_inbox
from agentpool.stores.postgres.errors import FOREIGN
from agentpool.stores.postgres.pipeline import Call, Pipeline, Statement
from agentpool.stores.postgres.session import Identity, Place, Session, connect
from agentpool.stores.tail import Tail
from agentpool.support.tasks import cancel, ended, move_on_after, start, uninterrupted

__all__ = ("Ear", "Ringer", "channel_of")

_LOG = logging.getLogger("agentpool")

NET_SECONDS: Final = 5.0
POLL_SECONDS: Final = 0.1
_RETRY_SECONDS: Final = (0.1, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0)
_WORTH_A_WARNING: Final = 3
"""Failures in a row: by then it is no server that is just being started."""
_MOST_BYTES: Final = 7900
"""Of a payload, which has to have less than 8,000."""
_SOME: Final = 0

# It changes nothing that has to survive, so it does not wait for the disk.
_NOTIFY: Final = Statement(
    "SELECT set_config('synchronous_commit', 'off', true), pg_notify($1::text, $2::text)"
)
_READ: Final = msgspec.json.Decoder(tuple[str, dict[str, dict[str, int]]]).decode

_AllTouched: TypeAlias = Mapping[str, Mapping[str, int]]
Versions: TypeAlias = Callable[[list[str]], Awaitable[dict[str, int]]]
"""Looks up how often each of some pools was changed."""


def channel_of(schema: str) -> str:
    """Name the channel of a schema, whose own name may be longer than a channel's."""
    return f"agentpool_{sha256(schema.encode()).hexdigest()[:16]}"


class Ringer:
    """The telling side of one handle.

    :ivar name: tells this handle from all others
    """

    def __init__(self, channel: str, name: str) -> None:
        self.channel: Final = channel
        self.name: Final = name

    def calls(self, touched: _AllTouched) -> Iterator[Call]:
        """Give what the server is asked to tell others what a commit has touched."""
        for payload in self._payloads(touched):
            yield _NOTIFY, (self.channel, payload)

    def _payloads(self, touched: _AllTouched) -> Iterator[str]:
        together: dict[str, Mapping[str, int]] = {}
        for pool_id, topics in touched.items():
            if not topics:
                continue
            alone: _AllTouched = {pool_id: topics}
            if len(self._written(alone)) > _MOST_BYTES:
                alone = {pool_id: {ANY: 1}}
            if together and len(self._written({**together, **alone})) > _MOST_BYTES:
                yield self._written(together).decode()
                together = {}
            together.update(alone)
        if together:
            yield self._written(together).decode()

    def _written(self, touched: _AllTouched) -> bytes:
        return msgspec.json.encode((self.name, touched))


class Ear:
    """The hearing side of one handle, from its making, on the event loop, until it is closed.

    As long as nothing is heard, versions are looked at often instead.

    :param place: where to listen; ``None``: nowhere
    :param identity: says where the store is
    :param ringer: of this handle, which knows what it has done
    :param warned: whether it was warned that nothing is heard: something, where it was
    """

    def __init__(
        self,
        place: Place | None,
        identity: Callable[[], Identity],
        ringer: Ringer,
        tail: Tail,
        versions: Versions,
        *,
        warned: set[str],
    ) -> None:
        self._warned = warned
        self._identity = identity
        self._channel = ringer.channel
        self._name = ringer.name
        self._tail = tail
        self._versions = versions
        self._seen: dict[str, int] = {}
        self._deaf = anyio.Event()  # set: nothing is heard now
        self._deaf.set()
        self._tasks = [start(self._look_now_and_then())]
        if place is not None:
            self._tasks.append(start(self._listen(place)))

    def close(self) -> None:
        """Hear no more."""
        cancel(self._tasks)

    @property
    def has_ended(self) -> bool:
        """Whether nothing is left of it."""
        return all(task.done() for task in self._tasks)

    async def ended(self) -> None:
        """Wait until nothing is left of it, once it was closed."""
        await ended(self._tasks)

    async def _listen(self, place: Place) -> None:
        """Listen, and connect again whenever the connection was lost."""
        failures = 0
        while True:
            try:
                async with _listening(place, self._channel, self._identity) as pipeline:
                    failures = 0
                    self._warned.clear()
                    self._deaf = anyio.Event()
                    self._tail.notify()  # what was told before that was not heard
                    await self._hear_all(pipeline.pgconn)
            except (*FOREIGN, AgentPoolError, OSError) as error:
                failures += 1
                is_news = failures == _WORTH_A_WARNING and not self._warned
                if is_news:
                    self._warned.add(str(error))
                _LOG.log(
                    logging.WARNING if is_news else logging.INFO,
                    "not listening to the server, so it is looked at every %s s: %s",
                    POLL_SECONDS,
                    error,
                    extra={"action": "not_listening"},
                )
            finally:
                self._deaf.set()
            await asyncio.sleep(_RETRY_SECONDS[min(failures, len(_RETRY_SECONDS) - 1)])

    async def _hear_all(self, pgconn: "psycopg.pq.abc.PGconn") -> None:
        """Hear what comes, until the connection is lost.

        :raises psycopg.Error: that it is
        """
        loop, lost, socket = asyncio.get_running_loop(), anyio.Event(), pgconn.socket

        def take() -> None:
            try:
                pgconn.consume_input()
            except psycopg.Error:
                loop.remove_reader(socket)
                lost.set()
            while (notice := pgconn.notifies()) is not None:
                self._hear(notice.extra)

        loop.add_reader(socket, take)
        try:
            take()
            await lost.wait()
        finally:
            loop.remove_reader(socket)
        pgconn.consume_input()  # says what is wrong

    def _hear(self, payload: bytes) -> None:
        try:
            name, heard = _READ(payload)
        except msgspec.MsgspecError:
            self._tail.notify()  # of another version, or of somebody else
            return
        if name != self._name:
            self._tail.touch({pool_id: _of_others(topics) for pool_id, topics in heard.items()})

    async def _look_now_and_then(self) -> None:
        """Look now and then whether there was a change that nobody told of."""
        while True:
            if self._deaf.is_set():
                await asyncio.sleep(POLL_SECONDS)
            else:
                with move_on_after(NET_SECONDS):
                    await self._deaf.wait()
            with suppress(AgentPoolError):  # the followers find out what is wrong when they look
                found = await self._versions(list(self._tail.pool_ids))
                # What is not known yet may have changed since somebody follows it, by one who was
                # killed before he told of it.
                changed = [each for each in found if self._seen.get(each) != found[each]]
                self._seen = found
                self._tail.notify(changed)


@asynccontextmanager
async def _listening(
    place: Place, channel: str, identity: Callable[[], Identity]
) -> AsyncIterator[Pipeline]:
    """Listen to a channel for the length of the block.

    Not to be cancelled before it has begun, or a session would be left. On a thread: psycopg's own
    connections for asyncio leave tasks behind when they are cancelled, in most of its versions.
    """
    pipelines: list[Pipeline] = []

    async def begin() -> None:
        executor = ThreadPoolExecutor(1, "agentpool-listens")
        try:
            beginning = executor.submit(_begin_to_listen, place, channel, identity)
            pipelines.append(await asyncio.wrap_future(beginning))
        finally:
            executor.shutdown(wait=False)

    try:
        await uninterrupted(begin())
        yield pipelines[0]
    finally:
        for each in pipelines:
            each.close()


def _begin_to_listen(place: Place, channel: str, identity: Callable[[], Identity]) -> Pipeline:
    """Listen, where that is any use.

    :raises AgentPoolError: the server is away, or nothing of the store would be heard there
    """
    session = connect(place, place.patience, place.patience)
    try:
        _refuse_deaf(session, place, identity())
        session.pipeline.ask(Statement(f'LISTEN "{channel}"'))
        session.pipeline.flush()
        session.pipeline.pgconn.exit_pipeline_mode()
    except BaseException:
        session.pipeline.close()
        raise
    return session.pipeline


def _refuse_deaf(session: Session, place: Place, identity: Identity) -> None:
    if session.is_pooled:
        msg = f"{place}: a pooler passes nothing on; give a listen_url that leads to the server"
        raise IncompatibleStoreError(msg)
    if not session.identity.is_same_database(identity):
        msg = f"{place}: this is not the database of the store, of which nothing is heard here"
        raise IncompatibleStoreError(msg)


def _of_others(topics: dict[str, int]) -> dict[str, int]:
    """Of what came into an inbox, others may have taken any."""
    return {topic: _SOME if is_inbox(topic) else number for topic, number in topics.items()}
