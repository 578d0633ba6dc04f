"""Which timelines of a server a handle has met.

A standby that was promoted goes on from what it had received, on a timeline of its own; so does a
server that was restored. What it had not received is gone.
"""

import logging
import threading

from agentpool.stores.postgres.session import Identity

__all__ = ("Timelines",)

_LOG = logging.getLogger("agentpool")


class Timelines:
    """Tells the log, once, that a server has another past; from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._told: set[Identity] = set()

    def met(self, former: Identity, found: Identity, where: str) -> None:
        """Take note of a server that is not the one from before."""
        with self._lock:
            is_news = found not in self._told
            self._told.add(found)
        if is_news:
            _LOG.warning(
                "%s: the server has another past: %s, before %s; what the former one had not passed"
                " on is lost",
                where,
                found,
                former,
                extra={"action": "another_past"},
            )
