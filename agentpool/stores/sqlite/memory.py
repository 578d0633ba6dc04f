"""What a connection remembers of a file, for as long as that is what the file says.

A log only grows, so a state that is kept needs only what came after it. That ends when records are
changed or deleted, which triggers count, or when a backup is restored, which gives the schema
another number, as ``VACUUM`` does too. Then what is kept is forgotten, and whoever follows a log
that no longer has what was read of it is told. Sources: sqlite.org/pragma.html, ``data_version``
and ``schema_version``; sqlite3_backup_step in backup.c.
"""

import sqlite3
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

from agentpool.stores.batch.states import StateCache
from agentpool.stores.sqlite.source import SqliteSource

__all__ = ("Memory",)

_REWRITTEN: Final = "SELECT max(times) FROM agentpool_rewritten"


class _Past(NamedTuple):
    """What stays the same while logs only grow."""

    schema: int
    rewritten: int | None


class Memory:
    """Keeps what a connection remembers true. For the thread of that connection.

    :param states: what is remembered of pools
    :param forget: lets go of whatever else is remembered
    :param replaced: told of the pools whose logs no longer have what was read of them
    """

    def __init__(
        self,
        states: StateCache,
        forget: Callable[[], None],
        replaced: Callable[[list[str]], None] = lambda _: None,
    ) -> None:
        self.states: Final = states
        self._forget = forget
        self._replaced = replaced
        self._version: int | None = None
        self._past: _Past | None = None

    def refresh(self, connection: sqlite3.Connection) -> None:
        """Forget what the file no longer says; to be called first in each transaction.

        Where no other connection has committed, this is one look at a number.
        """
        [version] = connection.execute("PRAGMA data_version").fetchone()
        if version == self._version:
            return
        [schema] = connection.execute("PRAGMA schema_version").fetchone()
        [rewritten] = connection.execute(_REWRITTEN).fetchone()
        former, self._past = self._past, _Past(schema, rewritten)
        self._version = version
        if former not in (None, self._past):
            self.states.forget()
            self._forget()
            source = partial(SqliteSource, connection)
            restored = former is not None and former.schema != schema
            replaced = self.states.replaced(source, may_be_shorter=restored)
            if replaced:
                self._replaced(replaced)
