"""One write transaction: carry out a batch of commands one after another, append, commit.

Runs as one function on the worker thread. A refused command fails alone; an error of the engine
rolls all of the batch back and fails all of it.
"""

import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from agentpool.errors import AgentPoolError
from agentpool.rules.command import Command
from agentpool.rules.consequences import ConsequenceError, carry_out
from agentpool.stores.batch.states import StateCache
from agentpool.stores.batch.view import SqlView
from agentpool.stores.sqlite.connection import write_transaction
from agentpool.stores.sqlite.promises import Promises

__all__ = ("BatchCommitter", "Outcome", "Refusal", "Request")

Outcome: TypeAlias = Any  # a command's result, or its Refusal


class Refusal(NamedTuple):
    """Why a command changed nothing."""

    error: Exception


class Request(NamedTuple):
    """A command and the pool that it is for."""

    pool_id: str
    command: Command[Any]


class _MustWaitForDisk(Exception):  # noqa: N818  # not an error: the batch is carried out anew
    """Raised when a commit that does not wait for the disk would show too much."""


@dataclass
class BatchCommitter:
    """Commits batches on a connection.

    :ivar patience: seconds to wait for the write lock
    :ivar give_up: ends that waiting at once
    :ivar level: the ``synchronous`` of the connection; ``None``: not known
    """

    states: StateCache
    clock: Callable[[], int]
    patience: float
    give_up: threading.Event
    synchronous: str
    level: str | None = None
    promises: Promises = field(default_factory=Promises)

    def commit(
        self, connection: sqlite3.Connection, requests: Sequence[Request]
    ) -> tuple[list[Outcome], set[str]]:
        """Carry out requests in order, each seeing the effect of those before it.

        :return: an outcome for each request, and whether others are to be told
        """
        try:
            return self._commit_durably(connection, requests)
        except ConsequenceError as error:
            self._forget(requests)
            if len(requests) == 1:
                raise error.error from error
        except BaseException as error:
            self._forget(requests)
            if isinstance(error, AgentPoolError | sqlite3.Error) or len(requests) == 1:
                raise
        return self._one_by_one(connection, requests)

    def _commit_durably(
        self, connection: sqlite3.Connection, requests: Sequence[Request]
    ) -> tuple[list[Outcome], set[str]]:
        """Commit; without waiting for the disk where nothing has to survive a power cut.

        Where that would show too much, nothing was committed yet, and a commit that waits is next.
        """
        durable = any(request.command.must_survive_power_cut for request in requests)
        self.sync(connection, durable=durable)
        try:
            return self._commit(connection, requests)
        except _MustWaitForDisk:
            self._forget(requests)
        self._set_level(connection, "FULL")
        return self._commit(connection, requests)

    def _forget(self, requests: Sequence[Request]) -> None:
        """Forget the states that a transaction may have changed before it failed."""
        self.states.drop({request.pool_id for request in requests})

    def sync(self, connection: sqlite3.Connection, *, durable: bool) -> None:
        """Choose whether the next commits wait for the disk."""
        self._set_level(connection, self.synchronous if durable else "NORMAL")

    def _set_level(self, connection: sqlite3.Connection, level: str) -> None:
        """Tell SQLite, which wants it before the transaction, and again when telling it failed."""
        if level != self.level:
            self.level = None
            connection.execute(f"PRAGMA synchronous = {level}")
            self.level = level

    def _commit(
        self, connection: sqlite3.Connection, requests: Sequence[Request]
    ) -> tuple[list[Outcome], set[str]]:
        with write_transaction(connection, self.patience, self.give_up):
            outcomes, views = self._carry_out(connection, requests)
            self._promise(connection, views)
            for view in views:
                view.save()
            heads = {view.pool_id: view.head for view in views}
        for pool_id, head in heads.items():
            self.states.saw(pool_id, head)
        return outcomes, {view.pool_id for view in views if view.is_to_be_told}

    def _promise(self, connection: sqlite3.Connection, views: Sequence[SqlView]) -> None:
        """See to it that a power cut takes no record that was shown, or that it can be told.

        :raises _MustWaitForDisk: this commit does not, and would have to
        """
        if self.level == self.synchronous == "FULL":
            return
        bare = [each for each in views if each.appended and not self._covers(connection, each)]
        if bare and self.level != "FULL":
            raise _MustWaitForDisk
        for view in bare:
            self.promises.extend(connection, view.pool_id, view.head, view.appended)

    def _covers(self, connection: sqlite3.Connection, view: SqlView) -> bool:
        """Say whether a promise lets records be shown that are not on the disk."""
        return self.synchronous == "NORMAL" and self.promises.cover(
            connection, view.pool_id, view.head
        )

    def _one_by_one(
        self, connection: sqlite3.Connection, requests: Sequence[Request]
    ) -> tuple[list[Outcome], set[str]]:
        """Find out which command it is that breaks its batch, and let the others have theirs."""
        outcomes: list[Outcome] = []
        changed: set[str] = set()
        for request in requests:
            try:
                [outcome], told = self.commit(connection, [request])
            except Exception as error:  # noqa: BLE001  # its caller is told
                outcome, told = Refusal(error), set()
            outcomes.append(outcome)
            changed |= told
        return outcomes, changed

    def _carry_out(
        self, connection: sqlite3.Connection, requests: Sequence[Request]
    ) -> tuple[list[Outcome], list[SqlView]]:
        pool_ids = {request.pool_id for request in requests}
        views = {
            pool_id: SqlView(connection, self.states, pool_id, self.clock) for pool_id in pool_ids
        }
        if len(requests) > 1:
            for pool_id, view in views.items():
                view.prefetch([each.command for each in requests if each.pool_id == pool_id])
        outcomes: list[Outcome] = []
        for pool_id, command in requests:
            try:
                outcomes.append(carry_out(views[pool_id], command))
            except AgentPoolError as error:
                outcomes.append(Refusal(error))
        return outcomes, list(views.values())
