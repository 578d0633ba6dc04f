"""Finding what a name is the name of, and explaining that."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Final, NamedTuple, TypeAlias

from msgspec.structs import replace

from agentpool.errors import InvalidValueError
from agentpool.rules.command import Placed, PoolView
from agentpool.rules.explaining.awaiting import OpenQuestions
from agentpool.rules.explaining.explanations import Explanation, NothingFound
from agentpool.rules.explaining.messages import explain_message
from agentpool.rules.explaining.names import PAGE, alike_in_pool, names_of, near_names
from agentpool.rules.explaining.parts import Alike, NameKind
from agentpool.rules.explaining.runs import explain_agent, explain_queue, explain_run
from agentpool.rules.explaining.wakes import explain_wake
from agentpool.rules.explaining.words import in_words
from agentpool.rules.queues import Queue, is_queue, queue_run
from agentpool.rules.requirements import require_open
from agentpool.rules.rows import Asked, Contract, asked_key, contract_key, load
from agentpool.wire.ids import check_identifier
from agentpool.wire.records import (
    AgentPoolMember,
    AgentPoolStoredMessage,
    MessageReceipt,
    RunMessage,
    RunMessageRecorded,
    WakeCondition,
    WakeRegistration,
)

__all__ = ("Explainable", "Meant", "explain", "what_is_meant")

Explainable: TypeAlias = (
    str | RunMessage | MessageReceipt | WakeCondition | WakeRegistration | AgentPoolMember | Queue
)
"""What can be explained: by a name of it, or by what users have of it."""

_Explain: TypeAlias = Callable[[], Explanation]


class Meant(NamedTuple):
    """What is to be explained; of an unknown kind, whatever has that name."""

    name: str
    kind: NameKind | None = None


_OBJECTS: Final[dict[type, tuple[NameKind, str]]] = {
    RunMessage: (NameKind.MESSAGE, "idempotency_key"),
    MessageReceipt: (NameKind.MESSAGE, "message_id"),
    WakeCondition: (NameKind.WAKE, "condition_id"),
    WakeRegistration: (NameKind.WAKE, "condition_id"),
    AgentPoolMember: (NameKind.RUN, "run_id"),
    Queue: (NameKind.QUEUE, "run_id"),
}


def what_is_meant(what: Explainable) -> Meant:
    """Take what a caller wants to have explained.

    :raises InvalidValueError: it is nothing that can be explained
    """
    type_ = type(what)  # not what it says of itself
    found = next((named for each, named in _OBJECTS.items() if issubclass(type_, each)), None)
    if found is None and not issubclass(type_, str):
        msg = (
            "what: expected the name of a run, queue, agent, message or wake, or such a thing"
            f" itself, got {type_.__name__}"
        )
        raise InvalidValueError(msg)
    meant = Meant(getattr(what, found[1]), found[0]) if found else Meant(str.__str__(what))
    check_identifier(meant.name, "what")
    return meant


def explain(view: PoolView, meant: Meant) -> Explanation:
    """Explain something, or say what has a name that is near. Changes nothing."""
    require_open(view)
    kinds = _LOOK_UPS if meant.kind is None else {meant.kind: _LOOK_UPS[meant.kind]}
    named = {kind: there for kind, look in kinds.items() if (there := look(view, meant.name))}
    if not named:
        return in_words(_by_message_id(view, meant) or _nothing(view, meant))
    first, *others = named
    return in_words(replace(named[first](), also=tuple(others)))


# --- look-ups by index: each gives what explains it, where there is something of that name


def _run(view: PoolView, name: str) -> _Explain | None:
    member = _member(view, name)
    if member is None or is_queue(member):
        return None
    return lambda: explain_run(view, member, OpenQuestions(view))


def _queue(view: PoolView, name: str) -> _Explain | None:
    run_ids = [name]
    with suppress(InvalidValueError):  # too long for the name of a queue
        run_ids.append(queue_run(name))
    for member in (_member(view, each) for each in run_ids):
        if member is not None and is_queue(member):
            return partial(explain_queue, view, member.run_id)
    return None


def _member(view: PoolView, run_id: str) -> AgentPoolMember | None:
    member = view.state.members.get(run_id)
    if member is None:
        joined = view.member_at(run_id, view.head + 1)
        return None if joined is None else joined.stored
    return member


def _wake(view: PoolView, name: str) -> _Explain | None:
    known = view.wake(name) or view.wake_by_key(name)
    return None if known is None else lambda: explain_wake(view, known)


def _message(view: PoolView, name: str) -> _Explain | None:
    known = view.message_by_key(name) or view.message_by_key(_key_of_question(view, name))
    return None if known is None else lambda: explain_message(view, known)


def _key_of_question(view: PoolView, message_id: str) -> str:
    """Find the key of a message that asks for answers, by its id."""
    contract = load(view, contract_key(message_id), Contract)
    if contract is not None:
        return contract.idempotency_key
    asked = load(view, asked_key(message_id), Asked)
    return message_id if asked is None else asked.key(message_id)


def _agent(view: PoolView, name: str) -> _Explain | None:
    members = view.state.members.values()
    is_there = any(each.agent_id == name and not is_queue(each) for each in members)
    return partial(explain_agent, view, name) if is_there else None


_LOOK_UPS: Final[dict[NameKind, Callable[[PoolView, str], _Explain | None]]] = {
    NameKind.RUN: _run,
    NameKind.QUEUE: _queue,
    NameKind.WAKE: _wake,
    NameKind.MESSAGE: _message,
    NameKind.AGENT: _agent,
}


# --- what no index finds


def _newest(view: PoolView) -> Iterator[Placed[AgentPoolStoredMessage]]:
    """Go through the newest records of messages, the last first."""
    for seq, payload in reversed(view.records(max(view.head - PAGE, 0), PAGE)):
        if isinstance(payload, RunMessageRecorded):
            yield Placed(seq, payload.stored)


def _by_message_id(view: PoolView, meant: Meant) -> Explanation | None:
    """Find a message by its id, which is its key too, or no index has."""
    if meant.kind not in {None, NameKind.MESSAGE}:
        return None
    for placed in _newest(view):
        if placed.stored.message.message_id == meant.name:
            key = placed.stored.message.idempotency_key
            return explain_message(view, view.message_by_key(key) or placed)
    return None


def _nothing(view: PoolView, meant: Meant) -> NothingFound:
    kinds = (meant.kind,) if meant.kind else tuple(NameKind)
    alike: dict[str, Alike] = {}
    if NameKind.TOPIC in kinds and meant.name in names_of(view, NameKind.TOPIC):
        alike[meant.name] = Alike(NameKind.TOPIC, meant.name)
    for kind in kinds:
        found = alike_in_pool(view, kind, meant.name)
        if kind is NameKind.MESSAGE:
            found = near_names(kind, meant.name, _message_names(view))
        for each in found:
            alike.setdefault(each.name, each)
    return NothingFound(
        pool_id=view.pool_id,
        now=view.now,
        alike=tuple(sorted(alike.values(), key=lambda each: not each.same_look)),
        what=meant.name,
        searched_after=max(view.head - PAGE, 0),
    )


def _message_names(view: PoolView) -> Iterator[str]:
    for placed in _newest(view):
        yield placed.stored.message.idempotency_key
        yield placed.stored.message.message_id
