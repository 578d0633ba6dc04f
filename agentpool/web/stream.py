"""What comes, as server-sent events: at most so much a second, however much comes."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from functools import partial
from typing import Final, TypeAlias, cast

import anyio
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from agentpool import AgentPool
from agentpool.errors import AgentPoolError
from agentpool.rules.rows import number_in
from agentpool.support.tasks import move_on_after
from agentpool.web.entries import Place, place_now, tail
from agentpool.web.inside import Inside, ask
from agentpool.web.log import ROWS, come, wanted
from agentpool.web.now import see, told, written

__all__ = ("Streams",)

_MOST_STREAMS: Final = 16
_CAUGHT_UP: Final = 500
_LOG_EVERY: Final = 1.0
_NOW_EVERY: Final = 2.0
_NOW_AT_LEAST_EVERY: Final = 10.0
_REST: Final = 12
"""So many times as long as it took to look at a pool, nobody looks again."""
_LOOK: Final = 0.06
_FIRST_LOOK: Final = 0.25
"""For how long members are looked at, each time; while not all were, for longer."""
_STILL_EVERY: Final = 20.0
_STILL: Final = ": still here\n\n"
_EVENTS: Final = "text/event-stream"
_RETRY: Final = "retry: 1000\n\n"

_Events: TypeAlias = AsyncGenerator[str, None]


class Streams:
    """The streams of one server, which end with it."""

    def __init__(self) -> None:
        self._ending = asyncio.Event()
        self._open = 0

    def end(self) -> None:
        """End all streams, and begin none any more."""
        self._ending.set()

    async def answer(self, inside: Inside, request: Request) -> Response:
        """Answer with a stream."""
        if self._ending.is_set() or self._open >= _MOST_STREAMS:
            raise HTTPException(503, "too many pages are open")
        pool = await inside.pool(request.query_params.get("pool", ""))
        if request.method == "HEAD":
            return Response(media_type=_EVENTS)
        is_log = request.query_params.get("view") == "log"
        events = self._log(pool, request) if is_log else self._now(inside, pool, request)
        return _Following(self._counted(events), media_type=_EVENTS)

    async def _counted(self, events: _Events) -> _Events:
        self._open += 1
        try:
            yield _RETRY
            async for each in events:
                yield each
        except AgentPoolError as error:
            yield _event("trouble", {"said": str(error)})
        finally:
            self._open -= 1
            await events.aclose()

    async def _log(self, pool: AgentPool, request: Request) -> _Events:
        filters = wanted(request.query_params).filters
        given = request.headers.get("last-event-id") or request.query_params.get("after", "")
        place = Place.read(given)
        if place is None:
            place = await ask(pool, place_now)
        said_at = anyio.current_time()
        most = _CAUGHT_UP  # what came while the connection was lost
        while True:
            seen = await ask(pool, partial(tail, after=place, limit=most, filters=filters))
            place, most = seen.place, ROWS
            if seen.came:
                rows, said = come(pool.pool_id, seen, filters)
                yield _event("rows", {"rows": rows, "said": said}, str(place))
                said_at = anyio.current_time()
            elif anyio.current_time() - said_at > _STILL_EVERY:
                yield _STILL  # which fails where nobody is at the other end
                said_at = anyio.current_time()
            if await self._rest(_LOG_EVERY):
                return

    async def _now(self, inside: Inside, pool: AgentPool, request: Request) -> _Events:
        page = number_in(request.query_params.get("page", "")) or 1
        known, shown_at = None, 0.0
        is_known = inside.survey(pool).looked_at is not None
        while True:
            begun = anyio.current_time()
            head = await ask(pool, place_now)
            if head != known or not is_known or begun - shown_at > _NOW_AT_LEAST_EVERY:
                seeing = await see(inside, pool, _LOOK if is_known else _FIRST_LOOK)
                is_known = seeing.looked is not None
                html = written(seeing, page)
                yield _event("now", {"html": html, "said": told(seeing)}, str(head))
                known, shown_at = head, begun
            took = anyio.current_time() - begun
            if await self._rest(max(_NOW_EVERY, took * _REST)):
                return

    async def _rest(self, seconds: float) -> bool:
        """Rest for so long, or until the server ends; say whether it does."""
        with move_on_after(seconds):
            await self._ending.wait()
        return self._ending.is_set()


class _Following(StreamingResponse):
    """Streams until it is over, or whoever reads it has gone."""

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        async with anyio.create_task_group() as group:

            async def leave() -> None:
                while (await receive())["type"] != "http.disconnect":
                    pass
                group.cancel_scope.cancel()

            group.start_soon(leave)
            async with aclosing(cast("_Events", self.body_iterator)):
                with suppress(OSError):  # it has gone
                    await self.stream_response(send)
            group.cancel_scope.cancel()


def _event(name: str, values: dict[str, str], id_: str | None = None) -> str:
    # JSON has no line in it that ends, which would end the event.
    place = f"id: {id_}\n" if id_ else ""
    return f"event: {name}\n{place}data: {json.dumps(values)}\n\n"
