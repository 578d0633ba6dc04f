"""What commands require of their arguments and of their pool. Each refusal is worded here, once."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeVar

from agentpool.errors import InvalidValueError, NotAMemberError, shown
from agentpool.rules.command import PoolView
from agentpool.rules.replay import not_open
from agentpool.wire.filters import EventFilter, filter_problem
from agentpool.wire.ids import U64_MAX
from agentpool.wire.records import AgentPoolMember, AgentPoolStoreConfig, AgentPoolStoreCursor

__all__ = (
    "checked_cursor",
    "checked_names",
    "checked_number",
    "checked_sequence",
    "require_callable",
    "require_flag",
    "require_member",
    "require_open",
    "require_type",
)


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
    found = type(value)  # not what it says of itself: a mock claims to be anything
    if found is not type_ and not issubclass(found, type_):
        problem = filter_problem(value) if type_ is EventFilter else None
        msg = f"{name}: {problem or f'expected {type_.__name__}, got {found.__name__}'}"
        raise InvalidValueError(msg)


def require_flag(value: bool, name: str) -> None:
    """Refuse what is neither ``True`` nor ``False``.

    :raises InvalidValueError: naming the argument
    """
    if type(value) is not bool:
        msg = f"{name}: expected True or False, got {shown(value)}"
        raise InvalidValueError(msg)


def require_callable(value: Callable[..., object], name: str) -> None:
    """Refuse an argument that cannot be called.

    :raises InvalidValueError: naming the argument
    """
    if not callable(value):
        msg = f"{name}: expected a function, got {type(value).__name__}"
        raise InvalidValueError(msg)


def checked_sequence(values: Sequence[T], name: str, of: type[T]) -> tuple[T, ...]:
    """Make a tuple of what a caller gives for a list of values of a type.

    :raises InvalidValueError: it is no list, such as a string, which would be one of characters, or
        it has something else in it
    """
    if type(values) is not tuple:
        type_ = type(values)
        if not issubclass(type_, Sequence) or issubclass(type_, _NO_SEQUENCES):
            msg = f"{name}: expected a sequence, got {type_.__name__}"
            raise InvalidValueError(msg)
    return tuple(_each_checked(values, name, of))


def checked_names(values: Iterable[str], name: str) -> list[str]:
    """Make a list of ids that come in any order, such as a set of them.

    :raises InvalidValueError: there is something else among them, or they are one
    """
    type_ = type(values)
    if not issubclass(type_, Iterable) or issubclass(type_, str):
        msg = f"{name}: expected several strings, got {type_.__name__}"
        raise InvalidValueError(msg)
    return _each_checked(values, name, str)


def _each_checked(values: Iterable[T], name: str, of: type[T]) -> list[T]:
    """Go through values, up to the first that is wrong: there may be no end of them."""
    found: list[T] = []
    try:
        for each in values:
            require_type(each, of, name)
            found.append(each)
    except InvalidValueError:
        raise
    except Exception as error:
        msg = f"{name}: {type(values).__name__} cannot be gone through"
        raise InvalidValueError(msg) from error
    return found


_NO_SEQUENCES: Final = (str, bytes, bytearray, memoryview, range)


def checked_number(number: int, name: str, what: str, *, least: int = 0) -> int:
    """Refuse what is no number from 0, or another least one, on.

    :param what: what it is a number of, for the error
    :raises InvalidValueError: naming the argument
    """
    type_ = type(number)
    if not issubclass(type_, int) or type_ is bool or (number := int.__pos__(number)) < least:
        msg = f"{name}: expected a number of {what}, got {shown(number)}"
        raise InvalidValueError(msg)
    return number


def checked_cursor(
    cursor: AgentPoolStoreCursor | None, name: str = "cursor"
) -> AgentPoolStoreCursor | None:
    """Refuse what is neither a cursor nor ``None``.

    :raises InvalidValueError: saying what it is
    """
    if cursor is not None:
        require_type(cursor, AgentPoolStoreCursor, name)
        if type(cursor.sequence) is not int or not 0 <= cursor.sequence <= U64_MAX:
            msg = f"{name}: {shown(cursor.sequence)} is no place in a log"
            raise InvalidValueError(msg)
    return cursor
