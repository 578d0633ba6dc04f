"""The one border where errors of a server become ours.

Source: Appendix A, "PostgreSQL Error Codes", of its documentation. The whole code decides before
its class, which is its first two characters.
"""

import re
from typing import Final

import psycopg

from agentpool.errors import (
    AgentPoolError,
    IncompatibleStoreError,
    InvalidValueError,
    StoreBusyError,
    StoreError,
    StoreFullError,
)
from agentpool.stores.batch.engine_errors import Border
from agentpool.stores.postgres.pipeline import LostConnectionError, ServerError

__all__ = ("FOREIGN", "in_our_terms", "is_lock_timeout", "not_connected", "ours", "translated")

FOREIGN: Final = (ServerError, LostConnectionError, psycopg.Error)
"""What the engine raises."""

_AWAY: Final = "the server cannot be reached, or does not answer; try again"
_RIGHTS: Final = "this role may not do that; see the guide for the rights that it needs"
_GONE: Final = "the tables of the store are gone, or are others; restore a backup"

_MEANING: Final[dict[str, tuple[type[AgentPoolError], str]]] = {
    "55P03": (StoreBusyError, "another client held the lock for too long; try again"),
    "40P01": (StoreBusyError, "two clients waited for each other; try again"),
    "40001": (StoreBusyError, "another client was in the way; try again"),
    "57014": (StoreBusyError, "the server took too long, or somebody cancelled it; try again"),
    "25006": (StoreBusyError, "the server is a standby, or takes no writes for now; try again"),
    "53100": (StoreFullError, "the disk of the server is full; make room"),
    "53300": (StoreBusyError, "the server has too many connections; close some, or allow more"),
    "53": (StoreBusyError, "the server is short of resources; try again"),
    "42501": (IncompatibleStoreError, _RIGHTS),
    "42P01": (StoreError, _GONE),
    "42703": (StoreError, _GONE),
    "3F000": (StoreError, _GONE),
    "54": (InvalidValueError, "a value is larger than the server takes"),
    "22021": (InvalidValueError, "a value has characters that the database cannot hold"),
    "08": (StoreBusyError, _AWAY),
    "57": (StoreBusyError, _AWAY),
    "XX": (StoreError, "the server is damaged, or has a fault"),
}

_NEEDS_SOMEBODY: Final = (
    "authentication",
    "pg_hba.conf",
    "does not exist",
    "no password supplied",
    "invalid ",
    "bad value",
    "could not parse",
    "unrecognized configuration parameter",
    "definition of service",
    "certificate",
    "channel binding",
    "does not support SSL",
    "permission denied",
    "is not permitted to log in",
)
"""What an attempt to connect fails of that another attempt will not change, in libpq's words."""

_NAMES: Final = re.compile(r"\"[^\"]*\"|'[^']*'")
_ATTEMPT: Final = re.compile(
    r"^- host: (?P<host>.*?), port: (?P<port>.*?), hostaddr: .*?: (?P<said>.*?)(?=^- host: |\Z)",
    re.MULTILINE | re.DOTALL,
)
"""A line of what psycopg says where it has tried several addresses."""


def is_lock_timeout(error: Exception) -> bool:
    """Say whether an error means that another client has the lock."""
    return isinstance(error, ServerError) and error.state == "55P03"


def ours(error: Exception, where: str) -> AgentPoolError:
    """Say in our terms what the engine raised, naming the server."""
    if isinstance(error, ServerError):
        type_, meaning = (
            _MEANING.get(error.state)
            or _MEANING.get(error.state[:2])
            or (StoreError, "the server failed")
        )
        return type_(f"{where}: {meaning} ({error})")
    return StoreBusyError(f"{where}: {_AWAY} ({_in_one_line(error)})")


def not_connected(error: psycopg.Error, where: str, hosts: int) -> AgentPoolError:
    """Say in our terms why there is no connection to a server.

    :param hosts: how many it may be at
    """
    said = _in_one_line(error)
    if _is_refused(str(error), hosts):
        return IncompatibleStoreError(f"{where}: the server refuses the connection: {said}")
    return StoreBusyError(f"{where}: {_AWAY} ({said})")


def _is_refused(said: str, hosts: int) -> bool:
    """Say whether it helps nothing to try again, at any of the hosts.

    A host may have several addresses. One that answers by any of them is there. Of one whose name
    leads nowhere for now, psycopg says nothing.
    """
    attempts = [each.group("host", "port", "said") for each in _ATTEMPT.finditer(said)]
    by_host: dict[tuple[str, str], bool] = {}
    for host, port, why in attempts or [("", "", said)]:
        by_host[host, port] = by_host.get((host, port), False) or _needs_somebody(why)
    return len(by_host) >= hosts and all(by_host.values())


def _needs_somebody(said: str) -> bool:
    words = _NAMES.sub("", said)
    return any(each in words for each in _NEEDS_SOMEBODY)


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split())


_BORDER: Final = Border(FOREIGN, ours)
translated: Final = _BORDER.translated
in_our_terms: Final = _BORDER.outcome
