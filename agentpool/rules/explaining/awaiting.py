"""Who waits for whom: questions that are not answered, and wakes for the events of a run."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from agentpool.rules.answers import owed
from agentpool.rules.command import PoolView
from agentpool.rules.explaining.explanations import MOST_LISTED
from agentpool.rules.explaining.names import MOST_LOOKED_AT, members_of
from agentpool.rules.explaining.parts import AnswerOwed, Awaited
from agentpool.rules.inboxes import UNREADABLE
from agentpool.rules.rows import (
    NEVER,
    OWING,
    OWING_LEFT,
    RESPONSE,
    WAKE,
    Contract,
    contract_key,
    deadline_key,
    load,
)
from agentpool.wire.records import AgentPoolStoredWake
from agentpool.wire.struct import Include

__all__ = ("OpenQuestions", "awaited_by_wake", "due_of", "owed_by")


_MOST_OWED: Final = 5000
"""The most answers that are owed that are looked at; one question may be owed very many."""


def due_of(view: PoolView, what: str, subject: str) -> int | None:
    """Say when something becomes due; ``None``: never."""
    row = view.row(deadline_key(what, subject))
    return None if row is None or row.due_at == NEVER else row.due_at


class OpenQuestions:
    """The questions of a pool that wait for answers, by who has asked.

    Found by who owes the answers, since no index tells who waits for them: each question that
    waits is owed an answer by a member.

    :ivar is_all: whether all of them were found; there may be too many
    """

    def __init__(self, view: PoolView) -> None:
        self._view = view
        self._by_asker: dict[str | None, list[tuple[str, Contract]]] = {}
        self._seen: set[str] = set()
        self.is_all: bool = False
        left = _MOST_OWED
        for each in members_of(view):
            owing = view.rows(OWING, each.run_id, limit=left)
            for row in owing:
                self._add(row.value)
            left -= len(owing)
            if left == 0 or len(self._seen) == MOST_LOOKED_AT:
                break
        else:
            self.is_all = len(view.state.members) <= MOST_LOOKED_AT

    def _add(self, message_id: str) -> None:
        if message_id in self._seen or len(self._seen) == MOST_LOOKED_AT:
            return
        self._seen.add(message_id)
        with suppress(*UNREADABLE):
            contract = load(self._view, contract_key(message_id), Contract)
            if contract is not None:
                asked = self._by_asker.setdefault(_asker_of(self._view, contract), [])
                asked.append((message_id, contract))

    def awaited_by(self, run_id: str) -> Iterator[Awaited]:
        """Go through the runs whose answers a run waits for, one for each question.

        No more are looked at than is said; then not all were found.
        """
        left = MOST_LOOKED_AT
        for message_id, contract in self._by_asker.get(run_id, ()):
            until = due_of(self._view, RESPONSE, contract.idempotency_key)
            known = self._view.message_by_key(contract.idempotency_key)
            for each in known.stored.receipt.delivered_to if known else ():
                if left == 0:
                    self.is_all = False
                    return
                left -= 1
                if owed(self._view, contract, each) is not None:
                    is_there = each in self._view.state.members
                    yield Awaited(
                        run_id=each, message_id=message_id, is_member=is_there, until=until
                    )


def _asker_of(view: PoolView, contract: Contract) -> str | None:
    """Say who waits for answers; ``None``: that is not there to be read."""
    if contract.asker is not None:
        return contract.asker
    known = view.message_by_key(contract.idempotency_key)
    return None if known is None else known.stored.message.sender


def awaited_by_wake(view: PoolView, stored: AgentPoolStoredWake) -> Iterator[Awaited]:
    """Go through the runs whose events a wake names."""
    condition = stored.condition
    if isinstance(condition.filter.run_ids, Include):
        until = due_of(view, WAKE, condition.condition_id)
        for each in condition.filter.run_ids.include:
            yield Awaited(
                run_id=each,
                condition_id=condition.condition_id,
                is_member=each in view.state.members,
                until=until,
            )


def owed_by(view: PoolView, run_id: str) -> tuple[tuple[AnswerOwed, ...], int]:
    """List the answers that others wait for from a run, and say how many those are."""
    kinds = (OWING, OWING_LEFT)
    rows = [row for kind in kinds for row in view.rows(kind, run_id, limit=MOST_LOOKED_AT)]
    owed = (_owed(view, row.value) for row in rows[:MOST_LISTED])
    return tuple(each for each in owed if each is not None), len(rows)


def _owed(view: PoolView, message_id: str) -> AnswerOwed | None:
    with suppress(*UNREADABLE):
        contract = load(view, contract_key(message_id), Contract)
        if contract is not None:
            until = due_of(view, RESPONSE, contract.idempotency_key)
            return AnswerOwed(message_id=message_id, asker=_asker_of(view, contract), until=until)
    return None
