"""What commands require of their arguments and of their pool. Each refusal is worded here, once."""

from collections.abc import Iterable
from typing import TypeVar

from agentpool.errors import InvalidValueError, NotAMemberError
from agentpool.rules.command import PoolView
from agentpool.rules.replay import not_open
from agentpool.wire.ids import U64_MAX
from agentpool.wire.records import AgentPoolMember, AgentPoolStoreConfig, AgentPoolStoreCursor

__all__ = ("checked_cursor", "checked_sequence", "require_member", "require_open", "require_type")


T = TypeVar("T")


def require_open(view: PoolView) -> AgentPoolStoreConfig:
    """Give the config of an opened pool.

    :raises PoolNotOpenError: nothing opened it
    """
    config = view.config
    if config is None:
        raise not_open(view.pool_id)
    return config


def require_member(view: PoolView, run_id: str) -> AgentPoolMember:
    """Give a member by its run.

    :raises NotAMemberError: the run is not a member
    """
    # As it is in this transaction: a member whose lease has just run out has left already.
    member = view.state.members.get(run_id)
    if member is None:
        msg = f"run {run_id!r} is not a member"
        raise NotAMemberError(msg, pool_id=view.pool_id)
    return member


def require_type(value: object, type_: type, name: str) -> None:
    """Refuse an argument of another type.

    :raises InvalidValueError: naming the argument
    """
    if not isinstance(value, type_):
        msg = f"{name}: expected {type_.__name__}, got {type(value).__name__}"
        raise InvalidValueError(msg)


def checked_sequence(values: Iterable[T], name: str) -> tuple[T, ...]:
    """Make a tuple of what a caller gives for a list.

    :raises InvalidValueError: it is no list, or a string, which would be one of characters
    """
    if isinstance(values, tuple):
        return values
    if isinstance(values, str) or not isinstance(values, Iterable):
        msg = f"{name}: expected a sequence, got {type(values).__name__}"
        raise InvalidValueError(msg)
    return tuple(values)


def checked_cursor(cursor: AgentPoolStoreCursor | None) -> AgentPoolStoreCursor | None:
    """Refuse what is neither a cursor nor ``None``.

    :raises InvalidValueError: saying what it is
    """
    if cursor is not None:
        require_type(cursor, AgentPoolStoreCursor, "cursor")
        if not isinstance(cursor.sequence, int) or not 0 <= cursor.sequence <= U64_MAX:
            msg = f"cursor: {cursor.sequence!r} is no place in a log"
            raise InvalidValueError(msg)
    return cursor
