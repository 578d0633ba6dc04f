"""Messages by what names them, and whom an address means."""

import re
from collections.abc import Callable
from typing import Final

from agentpool import (
    AgentPool,
    AgentPoolError,
    AgentPoolStoredMessage,
    InvalidValueError,
    RunAddress,
    RunMessage,
    RunMessageRecorded,
)
from agentpool.errors import shown
from agentpool.rules.claims import require_current
from agentpool.rules.command import PoolView
from agentpool.rules.queues import queue_run
from agentpool.rules.tokens import claim_of
from agentpool.runtime.finding import LOOK_BACK, message_by_id
from agentpool.wire.ids import check_identifier
from agentpool.wire.records import AgentTarget, RunTarget, TopicTarget

__all__ = (
    "address",
    "claim_name",
    "claim_named",
    "claimed_message",
    "message_named",
    "message_with_id",
    "messages_before",
    "not_found",
    "recorded_message",
)

_CLAIM: Final = re.compile(r"((\d{1,19})\.\d+\.\d+\.[0-9a-f]{16})@(.+)", re.DOTALL)
_KINDS: Final[dict[str, Callable[[str], RunAddress]]] = {
    "run": RunAddress.run,
    "agent": RunAddress.agent,
    "topic": RunAddress.topic,
    "pool": RunAddress.pool,
    "queue": lambda name: RunAddress.run(queue_run(name)),
}


async def address(
    pool: AgentPool, text: str, *, key: str | None = None, sender: str = ""
) -> RunAddress:
    """Find out whom an address means.

    It says what it is of, as ``agent:agent.coder``, is ``pool`` for all of this pool, or a bare id:
    of whom it meant before under the same key, else of a run, an agent or a topic that is there, in
    this order.

    :param key: the idempotency key under which the sender sends to it
    :raises InvalidValueError: it is of a kind that there is not, and the id of nobody there
    """
    kind, _, id_ = text.partition(":")
    if id_ and kind in _KINDS:
        return _KINDS[kind](id_)
    if text == "pool":
        return RunAddress.pool(pool.pool_id)
    if key is not None:
        check_identifier(key, "idempotency_key")
    return await pool.store.query(
        pool.pool_id, lambda view: _meant_before(view, text, key, sender) or _meant(view, text)
    )


def _meant_before(view: PoolView, id_: str, key: str | None, sender: str) -> RunAddress | None:
    known = None if key is None else view.message_by_key(key)
    if known is None or known.stored.message.sender != sender:
        return None
    to = known.stored.message.to
    match to.target:
        case RunTarget(name) | AgentTarget(name) | TopicTarget(name) if name == id_:
            return to
    return None


def _meant(view: PoolView, id_: str) -> RunAddress:
    members = view.state.members
    if id_ not in members:
        if any(each.agent_id == id_ for each in members.values()):
            return RunAddress.agent(id_)
        if any(id_ in each.topics for each in members.values()):
            return RunAddress.topic(id_)
        _refuse_kind(id_)
    return RunAddress.run(id_)  # where there is none, sending to it says what is near


def _refuse_kind(text: str) -> None:
    if ":" in text:
        msg = (
            f"{shown(text)} is no address, nor the id of anybody there; give run:ID, agent:ID,"
            " topic:ID, queue:NAME or pool"
        )
        raise InvalidValueError(msg)


def claim_name(token: str, run_id: str) -> str:
    """Name a claim in such a way that the inbox in which it is need not be said."""
    return f"{token}@{run_id}"


def claim_named(text: str) -> tuple[str, str] | None:
    """Take apart what `claim_name` gave: the claim, and the run in whose inbox it is."""
    found = _CLAIM.fullmatch(text)
    return None if found is None else (found[1], found[3])


async def claimed_message(
    pool: AgentPool, token: str, run_id: str
) -> AgentPoolStoredMessage | None:
    """Read the message that somebody has under a claim; ``None``: it is not there any more.

    :param run_id: the run in whose inbox it is
    :raises ClaimLostError: the claim had run out or was ended: somebody else may have the message
    :raises InvalidValueError: it is no claim, or one of another inbox
    """
    claim = claim_of(pool.pool_id, run_id, token, "claim")
    await pool.store.query(pool.pool_id, lambda view: require_current(view, claim))
    return await recorded_message(pool, claim.seq)


async def message_named(
    pool: AgentPool, name: str, run_id: str | None = None
) -> AgentPoolStoredMessage | None:
    """Find a message by its id, else by its key, or by the token under which it was taken.

    :param run_id: the run that acts, in whose inbox an id is looked for too
    :raises InvalidValueError: it can be no name, or is the id of one message and the key of another
    """
    claim = _CLAIM.fullmatch(name)
    if claim is not None:
        return await recorded_message(pool, int(claim[2]))
    check_identifier(name, "message")
    # Whoever likes can take the id of a message for the key of another.
    by_id = await message_with_id(pool, name, run_id)
    known = await pool.store.query(pool.pool_id, lambda view: view.message_by_key(name))
    by_key = None if known is None else known.stored
    if by_id is None or by_key is None:
        return by_id or by_key
    _refuse_others(name, by_id.message, by_key.message)
    return by_id


async def message_with_id(
    pool: AgentPool, message_id: str, run_id: str | None = None, *, most: int = LOOK_BACK
) -> AgentPoolStoredMessage | None:
    """Find a message by its id alone; ``None``: it is not there, or too long ago.

    :param run_id: the run in whose inbox it is looked for too
    :param most: so many of the newest records are gone through where no index has it
    """
    return await message_by_id(pool.store, pool.pool_id, message_id, run_id=run_id, most=most)


async def messages_before(
    pool: AgentPool,
    stored: AgentPoolStoredMessage,
    limit: int | None = None,
    *,
    most: int = LOOK_BACK,
) -> list[AgentPoolStoredMessage]:
    """Go back from an answer to what it answers, and on from that; the first comes first.

    :param limit: so many at most; ``None``: as far as it goes
    :param most: see `message_with_id`
    """
    found, seen = list[AgentPoolStoredMessage](), {stored.message.message_id}
    while len(found) != limit and (name := stored.message.reply_to) and name not in seen:
        before = await message_with_id(pool, name, most=most)
        if before is None:
            break
        seen.add(name)
        stored = before
        found.insert(0, before)
    return found


def _refuse_others(name: str, by_id: RunMessage, by_key: RunMessage) -> None:
    if by_id.idempotency_key == by_key.idempotency_key:
        return
    msg = (
        f"{shown(name)} is the id of a message from {by_id.sender!r}, whose key is"
        f" {shown(by_id.idempotency_key)}, and the key of another from {by_key.sender!r}, whose id"
        f" is {shown(by_key.message_id)}; give one of these"
    )
    raise InvalidValueError(msg)


async def not_found(pool: AgentPool, name: str) -> str:
    """Say that there is no message of a name, and how far it was looked for."""
    head = await pool.store.query(pool.pool_id, lambda view: view.head)
    if head <= LOOK_BACK:
        return f"there is no message {shown(name)}"
    return (
        f"there is no message of the key {shown(name)}, nor of this id among the newest"
        f" {LOOK_BACK:,} records; give its key, or show the record that holds it by its number"
    )


async def recorded_message(pool: AgentPool, seq: int) -> AgentPoolStoredMessage | None:
    """Read the message that a record holds; ``None``: it holds none.

    :raises CorruptRecordError: the record cannot be read
    """
    if seq < 1:
        msg = f"{seq}: records are numbered from 1"
        raise InvalidValueError(msg)
    found = await pool.store.query(pool.pool_id, lambda view: view.records(seq - 1, 1))
    for number, payload in found:
        if isinstance(payload, AgentPoolError):
            raise payload
        if number == seq and isinstance(payload, RunMessageRecorded):
            return payload.stored
    return None
