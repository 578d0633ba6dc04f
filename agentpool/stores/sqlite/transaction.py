"""One write transaction: decide a batch of commands one after another, append, commit.

Runs as one function on the worker thread. A refused command fails alone; an error of the engine
rolls all of the batch back and fails all of it.
"""

import sqlite3
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

from agentpool.rules import Command
from agentpool.stores.sqlite import log
from agentpool.stores.sqlite.connection import write_transaction
from agentpool.stores.sqlite.views import SqlView, StateCache

__all__ = ("Outcome", "Refusal", "Request", "commit_batch")

Outcome: TypeAlias = Any  # a command's result, or its Refusal


class Refusal(NamedTuple):
    """Why a command changed nothing."""

    error: Exception


class Request(NamedTuple):
    """A command and the pool that it is for."""

    pool_id: str
    command: Command[Any]


def commit_batch(
    connection: sqlite3.Connection,
    cache: StateCache,
    requests: Sequence[Request],
    *,
    patience: float,
    give_up: threading.Event,
) -> tuple[list[Outcome], bool]:
    """Carry out requests in order, each seeing the effect of those before it.

    :return: an outcome for each request, and whether anything changed
    """
    try:
        with write_transaction(connection, patience, give_up):
            return _decide(connection, cache, requests)
    except BaseException:
        cache.drop({request.pool_id for request in requests})
        raise


def _decide(
    connection: sqlite3.Connection, cache: StateCache, requests: Sequence[Request]
) -> tuple[list[Outcome], bool]:
    pool_ids = {request.pool_id for request in requests}
    views = {pool_id: SqlView(connection, cache, pool_id) for pool_id in pool_ids}
    _prefetch(views, requests)
    outcomes: list[Outcome] = []
    rows: list[tuple[str, int, str, str]] = []
    numbered: set[str] = set()
    for pool_id, command in requests:
        view = views[pool_id]
        try:
            decision = command.decide(view)
        except sqlite3.Error:
            raise
        except Exception as error:  # noqa: BLE001  # deciding is pure: only this command fails
            outcomes.append(Refusal(error))
            continue
        rows += [
            (pool_id, view.append(record), record.kind, record.payload_json)
            for record in decision.records
        ]
        if decision.event_sequence is not None:
            view.set_event_sequence(decision.event_sequence)
            numbered.add(pool_id)
        outcomes.append(decision.result)
    if rows:
        log.insert(connection, rows)
    for pool_id in {row[0] for row in rows} | numbered:
        views[pool_id].save()
    return outcomes, bool(rows or numbered)


def _prefetch(views: dict[str, SqlView], requests: Sequence[Request]) -> None:
    if len(requests) == 1:
        return
    commands: dict[str, list[Command[Any]]] = {pool_id: [] for pool_id in views}
    for pool_id, command in requests:
        commands[pool_id].append(command)
    for pool_id, view in views.items():
        view.prefetch(commands[pool_id])
