"""What lies in an inbox, and who has what of it."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from agentpool import RecipientState, RunMessage
from agentpool.faces.naming import claim_name
from agentpool.rules.claims import ClaimId
from agentpool.rules.command import INBOX, PoolView, Row
from agentpool.rules.explaining.inboxes import entry_of, rows_of, state_of
from agentpool.rules.inboxes import UNREADABLE, is_withdrawn, message_at
from agentpool.rules.tokens import token_of
from agentpool.wire.refs import CorrelationEntry, EventCorrelation

__all__ = ("CORRELATION_OF_URGENT", "Letter", "Mail", "is_urgent", "mail")

CORRELATION_OF_URGENT: Final = EventCorrelation((CorrelationEntry("urgent", "true"),))
"""What a message carries that is urgent."""

_THERE: Final = {RecipientState.WAITING, RecipientState.CLAIMED, RecipientState.BACKING_OFF}


class Letter(NamedTuple):
    """A message in an inbox.

    :ivar seq: the record that delivered it
    :ivar state: whether it can be taken, somebody has it, or it comes again later
    :ivar claim: the name of the claim under which somebody has it
    """

    seq: int
    message: RunMessage
    state: RecipientState
    claim: str | None


class Mail(NamedTuple):
    """The first messages in an inbox, and how many there are in all, as far as they are counted.

    :ivar is_all: whether there are no more than those that are counted
    """

    letters: tuple[Letter, ...]
    in_all: int
    is_all: bool


def mail(view: PoolView, run_id: str, most: int) -> Mail:
    """Look at what is handed out still, in order of the log; without what cannot be read.

    :param most: so many messages
    """
    counted = rows_of(view, run_id)
    rows = [row for row in counted if state_of(view, row, entry_of(row)) in _THERE]
    is_all = not (counted and view.rows(INBOX, run_id, after=counted[-1].key.number, limit=1))
    return Mail(tuple(_letters(view, rows, most)), len(rows), is_all)


def _letters(view: PoolView, rows: Sequence[Row], most: int) -> list[Letter]:
    found: list[Letter] = []
    for row in rows:
        if len(found) == most:
            break
        with suppress(*UNREADABLE):
            stored = message_at(view, row.key.number)
            if not is_withdrawn(view, stored):
                found.append(_letter(view, row, stored.message))
    return found


def _letter(view: PoolView, row: Row, message: RunMessage) -> Letter:
    entry = entry_of(row)
    state = state_of(view, row, entry)
    claim = None
    if entry is not None and state is RecipientState.CLAIMED:
        id_ = ClaimId(row.key.name, row.key.number, entry.attempt, entry.undone)
        claim = claim_name(token_of(view.pool_id, id_), row.key.name)
    return Letter(row.key.number, message, state, claim)


def is_urgent(message: RunMessage) -> bool:
    """Say whether its sender has called a message urgent."""
    return any(each in message.correlation.entries for each in CORRELATION_OF_URGENT.entries)
