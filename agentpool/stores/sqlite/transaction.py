"""One write transaction: carry out a batch of commands one after another, append, commit.

Runs as one function on the worker thread. A refused command fails alone; an error of the engine
rolls all of the batch back and fails all of it.
"""

import logging
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from agentpool.command import Command
from agentpool.coordination.projection import carry_out
from agentpool.errors import AgentPoolError
from agentpool.stores.sqlite.connection import write_transaction
from agentpool.stores.sqlite.state_cache import StateCache
from agentpool.stores.sqlite.views import SqlView

_LOG = logging.getLogger("agentpool")

__all__ = ("BatchCommitter", "Outcome", "Refusal", "Request")

Outcome: TypeAlias = Any  # a command's result, or its Refusal


class Refusal(NamedTuple):
    """Why a command changed nothing."""

    error: Exception


class Request(NamedTuple):
    """A command and the pool that it is for."""

    pool_id: str
    command: Command[Any]


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

    def commit(
        self, connection: sqlite3.Connection, requests: Sequence[Request]
    ) -> tuple[list[Outcome], bool]:
        """Carry out requests in order, each seeing the effect of those before it.

        :return: an outcome for each request, and whether others are to be told
        """
        try:
            return self._commit_durably(connection, requests)
        except BaseException as error:
            self.states.drop({request.pool_id for request in requests})
            if isinstance(error, AgentPoolError | sqlite3.Error) or len(requests) == 1:
                raise
        return self._one_by_one(connection, requests)

    def _commit_durably(
        self, connection: sqlite3.Connection, requests: Sequence[Request]
    ) -> tuple[list[Outcome], bool]:
        """Commit; without waiting for the disk where nothing has to survive a power cut.

        If that appended records after all (what had become due, say), another commit brings both
        to the disk.
        """
        durable = any(request.command.must_survive_power_cut for request in requests)
        self.sync(connection, durable=durable)
        outcomes, told, appended = self._commit(connection, requests)
        if appended and not durable and self.synchronous == "FULL":
            self._bring_to_disk(connection, requests[0].pool_id)
        return outcomes, told

    def sync(self, connection: sqlite3.Connection, *, durable: bool) -> None:
        """Choose whether the next commits wait for the disk.

        SQLite wants to be told before the transaction, and again when telling it has failed.
        """
        level = self.synchronous if durable else "NORMAL"
        if level != self.level:
            self.level = None
            connection.execute(f"PRAGMA synchronous = {level}")
            self.level = level

    def _bring_to_disk(self, connection: sqlite3.Connection, pool_id: str) -> None:
        """Commit once more, which brings what was committed before to the disk too."""
        try:
            self.sync(connection, durable=True)
            with write_transaction(connection, self.patience, self.give_up):
                connection.execute(
                    "UPDATE agentpool_pools SET projected = projected WHERE pool_id = ?",
                    (pool_id,),
                )
        except (AgentPoolError, sqlite3.Error) as error:
            # Committed it is, and the next commit of anybody brings it to the disk.
            _LOG.warning("%s", error, extra={"action": "late_sync"})

    def _commit(
        self, connection: sqlite3.Connection, requests: Sequence[Request]
    ) -> tuple[list[Outcome], bool, bool]:
        with write_transaction(connection, self.patience, self.give_up):
            outcomes, views = self._carry_out(connection, requests)
            for view in views:
                view.save()
        for view in views:
            self.states.saw(view.pool_id, view.head)
        told = any(view.is_to_be_told for view in views)
        return outcomes, told, any(view.has_appended for view in views)

    def _one_by_one(
        self, connection: sqlite3.Connection, requests: Sequence[Request]
    ) -> tuple[list[Outcome], bool]:
        """Find out which command it is that breaks its batch, and let the others have theirs."""
        outcomes: list[Outcome] = []
        changed = False
        for request in requests:
            try:
                [outcome], told = self.commit(connection, [request])
            except Exception as error:  # noqa: BLE001  # its caller is told
                outcome, told = Refusal(error), False
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
