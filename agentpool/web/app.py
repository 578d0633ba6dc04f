"""The application: which page stands where."""

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from agentpool.errors import AgentPoolError, InvalidValueError
from agentpool.web import pages
from agentpool.web.gate import Gate, Guarded
from agentpool.web.html import el
from agentpool.web.inside import Inside
from agentpool.web.parts import frame
from agentpool.web.stream import Streams

__all__ = ("application",)

_STATIC: Final = Path(__file__).parent / "static"
_View: TypeAlias = Callable[[Inside, Request], Awaitable[str]]
_VIEWS: Final[dict[str, _View]] = {
    "/": pages.pools,
    "/now": pages.now,
    "/log": pages.log,
    "/message": pages.message,
    "/explain": pages.explain,
    "/health": pages.health,
}


def application(inside: Inside, gate: Gate, streams: Streams) -> ASGIApp:
    """Make the application that shows a store, for who has the key."""
    views = [Route(path, _page(inside, view)) for path, view in _VIEWS.items()]
    events = Route("/events", partial(streams.answer, inside))
    static = Mount("/static", StaticFiles(directory=_STATIC))
    app = Starlette(
        routes=[*views, events, static],
        exception_handlers={HTTPException: _told, AgentPoolError: _told},
    )
    return Guarded(app, gate)


def _page(inside: Inside, view: _View) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        return HTMLResponse(await view(inside, request))

    return answer


async def _told(request: Request, error: Exception) -> Response:
    """Say on a page why there is none; of a pool that is there, the other views may be."""
    if isinstance(error, HTTPException):
        status, said, pool_id = error.status_code, error.detail, ""
    else:
        status = 400 if isinstance(error, InvalidValueError) else 503
        said, pool_id = str(error), request.query_params.get("pool", "")
    content = el("p", said, class_="bad")
    return HTMLResponse(frame("Not to be shown", content, pool_id=pool_id), status)
