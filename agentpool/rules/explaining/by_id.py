"""Messages by their id: most have it as their key too, and questions have an index by it."""

from contextlib import suppress

from agentpool.rules.command import Placed, PoolView
from agentpool.rules.explaining.inboxes import rows_of
from agentpool.rules.inboxes import UNREADABLE, message_at
from agentpool.rules.rows import Asked, Contract, asked_key, contract_key, load
from agentpool.wire.records import AgentPoolStoredMessage, RunMessageRecorded

__all__ = ("id_among_records", "id_by_index", "id_in_inbox")


def id_by_index(view: PoolView, message_id: str) -> Placed[AgentPoolStoredMessage] | None:
    """Find a message by its id where no search is needed for that."""
    for key in (_key_of_question(view, message_id), message_id):
        known = view.message_by_key(key)
        if known is not None and known.stored.message.message_id == message_id:
            return known
    return None


def _key_of_question(view: PoolView, message_id: str) -> str:
    """Find the key of a message that asks for answers, by its id."""
    contract = load(view, contract_key(message_id), Contract)
    if contract is not None:
        return contract.idempotency_key
    asked = load(view, asked_key(message_id), Asked)
    return message_id if asked is None else asked.key(message_id)


def id_in_inbox(
    view: PoolView, message_id: str, run_id: str
) -> Placed[AgentPoolStoredMessage] | None:
    """Find a message by its id among those in an inbox, as far as that is counted."""
    for row in rows_of(view, run_id):
        with suppress(*UNREADABLE):
            stored = message_at(view, row.key.number)
            if stored.message.message_id == message_id:
                return _latest(view, Placed(row.key.number, stored))
    return None


def id_among_records(
    view: PoolView, message_id: str, after: int, limit: int
) -> Placed[AgentPoolStoredMessage] | None:
    """Find a message by its id among some records, the last of them first."""
    for seq, payload in reversed(view.records(after, limit)):
        if isinstance(payload, RunMessageRecorded):
            stored = payload.stored
            if stored.message.message_id == message_id:
                return _latest(view, Placed(seq, stored))
    return None


def _latest(
    view: PoolView, placed: Placed[AgentPoolStoredMessage]
) -> Placed[AgentPoolStoredMessage]:
    return view.message_by_key(placed.stored.message.idempotency_key) or placed
