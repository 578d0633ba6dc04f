"""The base of every struct that the wire format names, and the check of values built in Python.

msgspec checks types and lengths while it decodes, but builds ``Struct(...)`` calls unchecked. The
metaclass here closes that gap for calls alone, so decoding pays nothing for it. Values changed
behind its back (``msgspec.structs.replace``) are caught when they are sealed for a log.
"""

from collections.abc import Callable, Sequence
from enum import Enum
from functools import cache
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Generic,
    Literal,
    NamedTuple,
    TypeAlias,
    TypeVar,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)

import msgspec

from agentpool.errors import InvalidValueError
from agentpool.wire.ids import identifier_problem

__all__ = ("FilterSet", "Include", "Wire", "include", "trusted", "written")

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class CheckedMeta(msgspec.StructMeta):
    """Checks, and normalises to tuples and enum members, what a ``Struct(...)`` call is given."""

    if not TYPE_CHECKING:

        def __call__(cls, *args: Any, **kwargs: Any) -> Any:  # noqa: N805  # of a metaclass
            try:
                value = super().__call__(*args, **kwargs)
            except ValueError as error:
                msg = f"{cls.__name__}: {error}"
                raise InvalidValueError(msg) from error
            return _checked(cls, value)


class Wire(msgspec.Struct, metaclass=CheckedMeta, frozen=True, omit_defaults=True, gc=False):
    """A frozen value whose fields are written in their order of definition.

    Fields whose default is ``None`` or ``()`` are left out when they have it. A field that the
    wire format always writes gets its default from `written`.
    """


def written(default: T) -> T:
    """Give a field a default for callers that the encoder writes all the same."""
    field: T = msgspec.field(default_factory=lambda: default)
    return field


# Builds a struct out of parts that are known to be valid, without checking them again.
trusted: Callable[..., Any] = type(msgspec.Struct).__call__


class Include(Wire, Generic[T], forbid_unknown_fields=True):
    """The values that a filter admits; an empty one matches nothing."""

    include: tuple[T, ...]


FilterSet: TypeAlias = Literal["any"] | Include[T]


def include(*values: T) -> Include[T]:
    """Admit these values in a filter: ``EventFilter(kinds=include(EventKind.RUN_FAILED))``."""
    return Include(include=values)


class _Plan(NamedTuple):
    sequences: tuple[str, ...]
    identifiers: tuple[str, ...]
    texts: tuple[str, ...]


@cache
def _plan(cls: type[Wire]) -> _Plan:
    """Sort the fields of a struct, once, by what has to be checked in them."""
    hints = get_type_hints(cls, include_extras=True)
    fields = [(name, hints[name]) for name in cls.__struct_fields__]
    return _Plan(
        sequences=tuple(
            encoded
            for encoded, (_, hint) in zip(cls.__struct_encode_fields__, fields, strict=True)
            if _holds_sequence(hint)
        ),
        identifiers=tuple(name for name, hint in fields if _is_identifier(hint)),
        texts=tuple(
            name for name, hint in fields if _holds_text(hint) and not _is_identifier(hint)
        ),
    )


def _holds_sequence(hint: Any) -> bool:
    return get_origin(hint) in {tuple, Include} or any(map(_holds_sequence, get_args(hint)))


def _is_identifier(hint: Any) -> bool:
    if get_origin(hint) is Annotated:
        notes = get_args(hint)[1:]
        return any(isinstance(n, msgspec.Meta) and (n.extra or {}).get("identifier") for n in notes)
    return any(map(_is_identifier, get_args(hint)))


def _holds_text(hint: Any) -> bool:
    return hint is str or any(map(_holds_text, get_args(hint)))


def _checked(cls: type[Wire], unchecked: Wire) -> Wire:
    plan = _plan(cls)
    given = dict(zip(cls.__struct_encode_fields__, msgspec.structs.astuple(unchecked), strict=True))
    for name in plan.sequences:
        given[name] = _plain(given[name])
    try:
        value = msgspec.convert(given, cls)
    except (msgspec.ValidationError, UnicodeEncodeError) as error:
        msg = f"{cls.__name__}: {error}"
        raise InvalidValueError(msg) from error
    for name in plan.identifiers:
        _each(cls, name, getattr(value, name), identifier_problem)
    for name in plan.texts:
        _each(cls, name, getattr(value, name), _text_problem)
    return value


def _plain(value: Any) -> Any:
    """Undo what `msgspec.convert` would not look into, or not take for a sequence."""
    if isinstance(value, Include):
        return {"include": tuple(value.include)}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray):
        return tuple(value)
    return value


def _each(cls: type[Wire], field: str, value: Any, problem_of: Callable[[str], str | None]) -> None:
    if isinstance(value, str):
        problem = problem_of(value)
        if problem is not None:
            msg = f"{cls.__name__}.{field}: {problem}"
            raise InvalidValueError(msg)
    elif isinstance(value, tuple):
        for element in value:
            _each(cls, field, element, problem_of)
    elif isinstance(value, Include):
        _each(cls, field, value.include, problem_of)


def _text_problem(value: str) -> str | None:
    if type(value) is not str and not isinstance(value, Enum):
        return f"text is a {type(value).__name__}, not a plain string"
    if value.isascii():
        return None
    try:
        value.encode()
    except UnicodeEncodeError:
        return "text is not valid UTF-8"
    return None
