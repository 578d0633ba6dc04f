"""Finding what a name is the name of, and explaining that."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Final, NamedTuple, TypeAlias

from msgspec.structs import replace

from agentpool.errors import InvalidValueError
from agentpool.rules.command import Placed, PoolView
from agentpool.rules.explaining.awaiting import OpenQuestions
from agentpool.rules.explaining.by_id import id_among_records, id_by_index
from agentpool.rules.explaining.explanations import Explanation, NothingFound
from agentpool.rules.explaining.messages import explain_message
from agentpool.rules.explaining.names import PAGE, alike_in_pool, names_of, near_names
from agentpool.rules.explaining.parts import Alike, NameKind
from agentpool.rules.explaining.runs import explain_agent, explain_queue, explain_run
from agentpool.rules.explaining.wakes import explain_wake
from agentpool.rules.explaining.words import in_words
from agentpool.rules.queues import Queue, is_queue, queue_run
from agentpool.rules.requirements import require_open
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
_LookUp: TypeAlias = Callable[[PoolView, str], _Explain | None]


class Meant(NamedTuple):
    """What is to be explained; of an unknown kind, whatever has that name.

    :ivar field: which of the names of such a thing it is, where it is that of a thing itself
    """

    name: str
    kind: NameKind | None = None
    field: str | None = None

    @property
    def may_be_message_id(self) -> bool:
        """Whether it may be the id of a message."""
        return self.kind in {None, NameKind.MESSAGE} and self.field != _KEY


_KEY: Final = "idempotency_key"
_ID: Final = "message_id"
_OBJECTS: Final[dict[type, tuple[NameKind, str]]] = {
    RunMessage: (NameKind.MESSAGE, _KEY),
    MessageReceipt: (NameKind.MESSAGE, _ID),
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
    meant = Meant(getattr(what, found[1]), *found) if found else Meant(str.__str__(what))
    check_identifier(meant.name, "what")
    return meant


def explain(view: PoolView, meant: Meant) -> Explanation:
    """Explain something, or say what has a name that is near. Changes nothing."""
    require_open(view)
    look_ups = _look_ups_of(meant)
    named = {kind: there for kind, look in look_ups.items() if (there := look(view, meant.name))}
    if not named:
        return in_words(_among_newest(view, meant) or _nothing(view, meant))
    first, *others = named
    return in_words(replace(named[first](), also=tuple(others)))


def _look_ups_of(meant: Meant) -> dict[NameKind, _LookUp]:
    if meant.kind is None:
        return _LOOK_UPS
    return {meant.kind: _BY_FIELD.get(meant.field, _LOOK_UPS[meant.kind])}


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
    by_id = _message_by_id(view, name)
    if by_id is not None or view.message_by_key(name) is None:
        return by_id
    # Whoever likes can take the id of a message for the key of another.
    newest = id_among_records(view, name, _before_newest(view), PAGE)
    return _explaining(view, newest) or _message_by_key(view, name)


def _message_by_id(view: PoolView, name: str) -> _Explain | None:
    return _explaining(view, id_by_index(view, name))


def _message_by_key(view: PoolView, name: str) -> _Explain | None:
    return _explaining(view, view.message_by_key(name))


def _explaining(view: PoolView, known: Placed[AgentPoolStoredMessage] | None) -> _Explain | None:
    return None if known is None else partial(explain_message, view, known)


def _agent(view: PoolView, name: str) -> _Explain | None:
    members = view.state.members.values()
    is_there = any(each.agent_id == name and not is_queue(each) for each in members)
    return partial(explain_agent, view, name) if is_there else None


_LOOK_UPS: Final[dict[NameKind, _LookUp]] = {
    NameKind.RUN: _run,
    NameKind.QUEUE: _queue,
    NameKind.WAKE: _wake,
    NameKind.MESSAGE: _message,
    NameKind.AGENT: _agent,
}
_BY_FIELD: Final[dict[str | None, _LookUp]] = {_ID: _message_by_id, _KEY: _message_by_key}


# --- what no index finds


def _before_newest(view: PoolView) -> int:
    return max(view.head - PAGE, 0)


def _among_newest(view: PoolView, meant: Meant) -> Explanation | None:
    """Find a message by its id, which is its key too, or no index has."""
    if not meant.may_be_message_id:
        return None
    found = id_among_records(view, meant.name, _before_newest(view), PAGE)
    return None if found is None else explain_message(view, found)


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
        searched_after=_before_newest(view),
    )


def _message_names(view: PoolView) -> Iterator[str]:
    for _, payload in reversed(view.records(_before_newest(view), PAGE)):
        if isinstance(payload, RunMessageRecorded):
            yield payload.stored.message.idempotency_key
            yield payload.stored.message.message_id
