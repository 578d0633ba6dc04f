"""Where a store is, by a path or a URL: which of them it is, what of it may be shown.

All that opens or examines a store, or names one, goes by this, so that no URL is taken for a file.
"""

import re
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import unquote

__all__ = (
    "SERVERS",
    "Url",
    "file_of",
    "has_password",
    "said_without_secrets",
    "url_of",
    "without_secrets",
)

SERVERS: Final = frozenset({"postgresql", "postgres"})
"""The schemes of stores on a server."""

_SCHEMES: Final = {"sqlite", "memory", *SERVERS}
_URL: Final = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.-]*):(.*)", re.DOTALL)
_IN_TEXT: Final = re.compile(
    rf"(?:(?:{'|'.join(sorted(SERVERS))}):|[a-z][a-z0-9+.-]*://).*", re.IGNORECASE | re.DOTALL
)
_USER_AND_PASSWORD: Final = re.compile(r":/*([^?]*:[^?]*|[^/@]*:[^/@]*)@")
_SECRET: Final = re.compile(r"(password|secret)\s*=", re.IGNORECASE)
_HOST: Final = r"(?:\[[^]@]*\]|[^][:/?,@]*)(?::\d*)?"
_HOSTS_AND_DATABASE: Final = re.compile(rf"{_HOST}(?:,{_HOST})*(?:/[^/@]*)?")


class Url(NamedTuple):
    """A URL of a store, with its scheme in small letters."""

    scheme: str
    rest: str


def url_of(place: object) -> Url | None:
    """Take a URL apart; ``None``: it is a path, or none of both."""
    parts = _URL.fullmatch(place) if type(place) is str else None
    if parts is None or not (parts[1].lower() in _SCHEMES or parts[2].startswith("//")):
        return None
    return Url(parts[1].lower(), parts[2])


def file_of(place: str) -> Path | None:
    """Give the file that a path or URL names; ``None``: it is no file."""
    url = url_of(place)
    if url is None:
        return Path(place)
    names_file = url.scheme == "sqlite" and url.rest.startswith("///")
    return Path(url.rest.removeprefix("///")) if names_file else None


def has_password(url: str) -> bool:
    """Say whether there is one before the host, or among the parameters, as libpq reads them."""
    return _USER_AND_PASSWORD.search(url) is not None or _SECRET.search(unquote(url)) is not None


def without_secrets(place: str) -> str:
    """Name a place without whoever connects, and without parameters.

    Of a URL in which it is not certain what is which, only the scheme is left.
    """
    url = url_of(place)
    if url is None or not url.rest or file_of(place) is not None:
        return place
    slashes = "//" if url.rest.startswith("//") else ""
    server, _, parameters = url.rest.removeprefix("//").partition("?")
    named = server.rpartition("@")[2].partition("&")[0]
    is_certain = slashes and "@" not in parameters and _HOSTS_AND_DATABASE.fullmatch(named)
    return f"{url.scheme}:{slashes}{named if is_certain else '...'}"


def said_without_secrets(text: str) -> str:
    """Take out of a text what may be secret in a URL, with which it ends."""
    return _IN_TEXT.sub(lambda found: without_secrets(found[0]), text)
