"""Where a store is, by a path or a URL: which file that is, what of it may be shown."""

import re
from pathlib import Path
from typing import Final
from urllib.parse import unquote

__all__ = ("file_of", "has_password", "without_secrets")

_NO_FILES: Final = {"memory", "postgres", "postgresql"}
_USER_AND_PASSWORD: Final = re.compile(r"://([^?]*:[^?]*|[^/@]*:[^/@]*)@")
_SECRETS: Final = {"password", "sslpassword"}
_NAMED: Final = re.compile(r"(://)(?:[^?]*@|[^/@?]*:[^/@]*@)?([^?&]*).*", re.DOTALL)


def file_of(place: str) -> Path | None:
    """Give the file that a path or URL names; ``None``: it is no file."""
    scheme, _, rest = place.partition(":")
    if scheme.lower() == "sqlite" and rest.startswith("///"):
        return Path(rest.removeprefix("///"))
    return None if rest.startswith("//") or scheme.lower() in _NO_FILES else Path(place)


def has_password(url: str) -> bool:
    """Say whether there is one before the host, or among the parameters, as libpq reads them."""
    names = {unquote(each.partition("=")[0]) for each in re.split("[?&]", url)[1:]}
    return _USER_AND_PASSWORD.search(url) is not None or not _SECRETS.isdisjoint(names)


def without_secrets(place: str) -> str:
    """Name a place without whoever connects, and without parameters."""
    return _NAMED.sub(r"\1\2", place)
