"""Who may see the page: whoever was told its URL, from a browser that went there by itself."""

import hmac
import secrets
from collections.abc import Mapping
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agentpool.rules.rows import number_in

__all__ = ("HEADERS", "LOOPBACK", "Gate", "Guarded")

LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "[::1]"})
"""Names of this machine that nobody else's name server can give."""

HEADERS: Final[Mapping[str, str]] = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
        " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
_TOKEN: Final = "token"  # noqa: S105  # the name of a parameter
_HTTP: Final = 80
_PORTS: Final = range(2**16)
_OWN_SITE: Final = frozenset({"same-origin", "none"})


class Gate:
    """The key of one page: a token that opens it once, and the cookie that it is exchanged for.

    :param hosts: the names in the header ``Host`` under which the page may be asked for, without
        ports; any port, for it may be forwarded
    :ivar token: what opens the page, once
    """

    def __init__(self, hosts: frozenset[str] = LOOPBACK) -> None:
        self._hosts: Final = hosts
        self._session: Final = secrets.token_urlsafe(32)
        self.token: Final = secrets.token_urlsafe(32)
        self._unused = True

    def refusal(self, request: HTTPConnection, method: str) -> Response | None:
        """Say why a request is refused; ``None``: it is not."""
        host = request.headers.get("host", "").lower()
        name, port = _parted(host)
        if name not in self._hosts or port is None:
            return _plain(421, "this page is not to be had under that name")
        if method not in {"GET", "HEAD"}:
            return _plain(405, "this page only shows", allow="GET, HEAD")
        if _is_of_another_site(request.headers, host):
            return _plain(403, "another site asked for this page; type its URL instead")
        return self._key_refusal(request, method, port)

    def _key_refusal(self, request: HTTPConnection, method: str, port: int) -> Response | None:
        # Cookies know no ports, and two pages may be open.
        name = f"agentpool_{port}"
        given = request.query_params.get(_TOKEN)
        if given is not None and self._takes(given, method, request.headers):
            return self._exchanged(request, name)
        if _same(request.cookies.get(name, ""), self._session):
            return None
        said = "open the URL that `agentpool web` printed; it opens once, in one browser"
        return _plain(401, said)

    def _takes(self, token: str, method: str, headers: Headers) -> bool:
        # What looks ahead of a person does not use the token up.
        is_person = method == "GET" and "sec-purpose" not in headers and "purpose" not in headers
        if not (is_person and self._unused and _same(token, self.token)):
            return False
        self._unused = False
        return True

    def _exchanged(self, request: HTTPConnection, name: str) -> Response:
        left = [each for each in request.query_params.multi_items() if each[0] != _TOKEN]
        there = request.url.replace_query_params(**dict(left)) if left else None
        query = f"?{there.query}" if there else ""
        response = RedirectResponse(f"{_path_of(request)}{query}", 303)
        response.set_cookie(name, self._session, path="/", httponly=True, samesite="strict")
        return response


def _parted(host: str) -> tuple[str, int | None]:
    """Part a host into its name and its port, which is ``None`` where it is none."""
    name, _, port = host.rpartition(":")
    if not name or host.endswith("]"):
        return host, _HTTP
    number = number_in(port)
    return name, number if number in _PORTS else None


def _path_of(request: HTTPConnection) -> str:
    return f"/{request.url.path.lstrip('/')}"  # which no browser takes for another host


def _is_of_another_site(headers: Headers, host: str) -> bool:
    if headers.get("sec-fetch-site", "none") not in _OWN_SITE:
        return True
    origin = headers.get("origin")
    return origin is not None and origin.lower() != f"http://{host}"


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), wanted.encode())


def _plain(status: int, text: str, **headers: str) -> Response:
    return PlainTextResponse(f"{text}\n", status, headers)


class Guarded:
    """An application behind a gate; every answer has `HEADERS`."""

    def __init__(self, app: ASGIApp, gate: Gate) -> None:
        self._app = app
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        answer: ASGIApp = self._app
        if scope["type"] == "http":
            answer = self._gate.refusal(HTTPConnection(scope), scope["method"]) or answer
        await answer(scope, receive, send_with_headers)
