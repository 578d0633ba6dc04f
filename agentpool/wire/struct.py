"""The base of every struct that the wire format names, and the check of values built in Python.

msgspec checks types and lengths while it decodes, but builds ``Struct(...)`` calls unchecked. The
metaclass here closes that gap for calls alone, so decoding pays nothing for it. Values changed
behind its back (``msgspec.structs.replace``) are caught when they are sealed for a log.

There are two ways to check a value. Nearly every one is harmless, which the test of its struct in
`_HARMLESS` sees in a few calls of C: it says so only of what the long way, `_checked`, would give
back as it is. The long way brings into form, refuses, and finds the words; it alone decides.
"""

from collections.abc import Callable, Sequence
from enum import Enum
from functools import cache
from itertools import repeat
from types import NoneType, UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Final,
    Generic,
    Literal,
    NamedTuple,
    TypeAlias,
    TypeVar,
    Union,
    cast,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)

import msgspec

from agentpool.errors import InvalidValueError
from agentpool.wire.codec import holds_c1
from agentpool.wire.ids import MAX_IDENTIFIER_BYTES, U64_MAX, identifier_problem

__all__ = ("FilterSet", "Include", "Wire", "checked", "include", "trusted", "written")

T = TypeVar("T")

# Builds a struct out of parts that are known to be valid, without checking them again.
trusted: Callable[..., Any] = type(msgspec.Struct).__call__

_encode: Final = msgspec.json.Encoder().encode


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class CheckedMeta(msgspec.StructMeta):
    """Checks, and normalises to tuples and enum members, what a ``Struct(...)`` call is given."""

    def __init__(
        self, name: str, bases: tuple[type, ...], fields: dict[str, Any], **_: Any
    ) -> None:
        super().__init__(name, bases, fields)
        # Learn the types of the fields now, in the one thread that imports. msgspec does so when a
        # struct is first decoded, and the process crashes if another thread decodes it meanwhile.
        msgspec.json.Decoder(self)

    if not TYPE_CHECKING:

        def __call__(cls, /, *args: Any, **kwargs: Any) -> Any:  # noqa: N805  # of a metaclass
            try:
                value = trusted(cls, *args, **kwargs) if args else trusted(cls, **kwargs)
                if _HARMLESS[cls](value):
                    return value
            except UnicodeEncodeError:
                pass  # a lone surrogate, which the long way refuses
            except ValueError as error:
                msg = f"{cls.__name__}: {error}"
                raise InvalidValueError(msg) from error
            return _checked(cls, value)


class Wire(msgspec.Struct, metaclass=CheckedMeta, frozen=True, omit_defaults=True, gc=False):
    """A frozen value whose fields are written in their order of definition.

    Fields whose default is ``None`` or ``()`` are left out when they have it. A field that the
    wire format always writes gets its default from `written`.
    """

    @classmethod
    def _misuse(cls, field: str, value: object) -> str | None:  # noqa: ARG003  # of those who know
        """Say what to write instead of a value that is easily taken for the right one."""
        return None


W = TypeVar("W", bound=Wire)


def written(default: T) -> T:
    """Give a field a default for callers that the encoder writes all the same."""
    # Not as a plain default, which would be left out; without a frame of Python for each value.
    field: T = msgspec.field(default_factory=repeat(default).__next__)
    return field


class Include(Wire, Generic[T], forbid_unknown_fields=True):
    """The values that a filter admits; an empty one matches nothing."""

    include: tuple[T, ...]


FilterSet: TypeAlias = Literal["any"] | Include[T]


def include(*values: T) -> Include[T]:
    """Admit these values in a filter: ``EventFilter(kinds=include(EventKind.RUN_FAILED))``.

    :raises InvalidValueError: there are none, or they are given as a list
    """
    if not values:
        msg = "values: there are none, and nothing would match; leave the field of the filter out"
        raise InvalidValueError(msg)
    for value in values:
        if issubclass(type(value), list | tuple | set | frozenset | dict):
            name = type(value).__name__
            msg = f"values: expected the values themselves, got {name}; write include(*values)"
            raise InvalidValueError(msg)
    return Include(include=values)


# --- the quick way

_Test: TypeAlias = Callable[[Any], Any]


class _Tests(dict[type[Wire], _Test]):
    """The test of each struct, written when it is first needed: then all types are there."""

    def __missing__(self, cls: type[Wire]) -> _Test:
        test = self[cls] = _written_test(cls)
        return test


_HARMLESS: Final = _Tests()


def _written_test(cls: type[Wire]) -> _Test:
    """Write the test of a struct as one expression, as dataclasses write their methods.

    Each field is of exactly a type that it may have, so nothing has to be brought into form, and
    no text is empty. Structs in fields are not looked into: neither does `msgspec.convert`. All
    texts together, written as JSON, show the rest: whatever control character JSON does not escape
    can be seen, and what they have together bounds each, so that all of them are identifiers.
    """
    hints = get_type_hints(cls, include_extras=True)
    scope: dict[str, Any] = {
        "all_of": _all_of,
        "encode": _encode,
        "are_short": _are_short,
    }
    tests = [_test(f"v.{name}", hints[name], scope) for name in cls.__struct_fields__]
    texts = [f"v.{name}" for name in cls.__struct_fields__ if _holds_text(hints[name])]
    if texts:
        tests += [
            f"0x5C not in (raw := encode(({', '.join(texts)},)))",  # no escape, so none was needed
            "0x7F not in raw",
            f"(len(raw) <= {MAX_IDENTIFIER_BYTES} and raw.isascii() or are_short(raw))",
        ]
    source = f"lambda v: {' and '.join(tests) or True}"
    test: _Test = eval(source, scope)  # noqa: S307  # names of fields and types, no more
    return test


def _test(value: str, hint: Any, scope: dict[str, Any]) -> str:
    """Write the test of one field; what is not known here is left to the long way."""
    arguments = get_args(hint)
    base = arguments[0] if get_origin(hint) is Annotated else get_origin(hint) or hint
    if base in {Union, UnionType}:
        return f"({' or '.join(_test(value, each, scope) for each in arguments)})"
    exact = f"type({value}) is {_named(base, scope)}"
    if base is Literal:
        more = f"type({value}) is str and {value} in {arguments!r}"
    elif base is str:
        more = f"{exact} and {value}"
    elif base is int:
        more = f"{exact} and {_test_of_bounds(value, arguments)}"
    elif base is tuple and arguments[1:] == (...,):
        more = f"{exact} and {_test_of_all(value, arguments[0], scope)}"
    elif base is Include:
        admitted = f"{value}.include"
        test_of_all = _test_of_all(admitted, arguments[0], scope)
        more = f"{exact} and type({admitted}) is tuple and {test_of_all}"
    else:
        more = exact if _is_whole(base) or base in {bool, NoneType} else "False"
    return f"({more})"


def _test_of_bounds(value: str, arguments: tuple[Any, ...]) -> str:
    meta = next((each for each in arguments[1:] if isinstance(each, msgspec.Meta)), msgspec.Meta())
    return f"{meta.ge or 0} <= {value} <= {U64_MAX if meta.le is None else meta.le}"


def _test_of_all(values: str, hint: Any, scope: dict[str, Any]) -> str:
    if isinstance(hint, TypeVar):  # of `Include` itself, which takes anything
        return "True"
    base = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    if base is not str and not _is_whole(base):
        return "False"
    return f"(not {values} or all_of({_named(base, scope)}, {values}))"


def _is_whole(base: Any) -> bool:
    return isinstance(base, type) and issubclass(base, Enum | Wire)


def _named(type_: Any, scope: dict[str, Any]) -> str:
    name = f"type_{len(scope)}"
    scope[name] = type_
    return name


def _all_of(type_: type, values: tuple[Any, ...]) -> bool:
    for value in values:  # noqa: SIM110  # they are few, and a generator would cost more
        if type(value) is not type_ or not value:
            return False
    return True


def _are_short(raw: bytes) -> bool:
    """Look closer at texts, in JSON without escapes, that are long together or not all ASCII."""
    return not holds_c1(raw) and max(map(len, raw.split(b'"'))) <= MAX_IDENTIFIER_BYTES


# --- the long way


class _Plan(NamedTuple):
    identifiers: tuple[str, ...]
    texts: tuple[str, ...]
    renamed: tuple[tuple[str, str], ...]

    def in_our_names(self, problem: str) -> str:
        """Name the field at fault as callers do, where documents call it otherwise."""
        for ours, theirs in self.renamed:
            problem = problem.replace(f"`$.{theirs}", f"`$.{ours}")
        return problem


@cache
def _plan(cls: type[Wire]) -> _Plan:
    """Sort the fields of a struct, once, by what has to be checked in them."""
    hints = get_type_hints(cls, include_extras=True)
    fields = [(name, hints[name]) for name in cls.__struct_fields__]
    return _Plan(
        identifiers=tuple(name for name, hint in fields if _is_identifier(hint)),
        texts=tuple(
            name for name, hint in fields if _holds_text(hint) and not _is_identifier(hint)
        ),
        renamed=tuple(
            (ours, theirs)
            for ours, theirs in zip(
                cls.__struct_fields__, cls.__struct_encode_fields__, strict=True
            )
            if ours != theirs
        ),
    )


def _is_identifier(hint: Any) -> bool:
    if get_origin(hint) is Annotated:
        notes = get_args(hint)[1:]
        return any(isinstance(n, msgspec.Meta) and (n.extra or {}).get("identifier") for n in notes)
    return any(map(_is_identifier, get_args(hint)))


def _holds_text(hint: Any) -> bool:
    return hint is str or any(map(_holds_text, get_args(hint)))


def checked(value: W) -> W:
    """Check a value that was built of unchecked parts, or changed, as its constructor does.

    :raises InvalidValueError: naming the field at fault
    """
    return cast("W", _checked(type(value), value))


def _checked(cls: type[Wire], unchecked: Wire) -> Wire:
    plan = _plan(cls)
    values = list(zip(cls.__struct_fields__, msgspec.structs.astuple(unchecked), strict=True))
    for name, value in values:
        misuse = cls._misuse(name, value)
        if misuse is not None:
            msg = f"{cls.__name__}.{name}: {misuse}"
            raise InvalidValueError(msg)
    # What an `Include` by itself admits, the filter that it is given to looks at.
    plain = [_plain(v, f"{cls.__name__}.{name}", deep=cls is not Include) for name, v in values]
    try:
        checked = msgspec.convert(dict(zip(cls.__struct_encode_fields__, plain, strict=True)), cls)
    except msgspec.ValidationError as error:
        msg = f"{cls.__name__}: {plan.in_our_names(str(error))}"
        raise InvalidValueError(msg) from error
    for name in plan.identifiers:
        _each(cls, name, getattr(checked, name), identifier_problem)
    for name in plan.texts:
        _each(cls, name, getattr(checked, name), _text_problem)
    return checked


_NO_SEQUENCES: Final = (str, bytes, bytearray, memoryview, range)
_ATOMS: Final = (Enum, Wire, bool, float, bytes, NoneType)


def _plain(value: Any, field: str, *, deep: bool = True) -> Any:
    """Bring a value into a form that `msgspec.convert` takes for what it is, and for nothing else.

    It would read a struct out of anything with keys, where a missing one means the default, and a
    list out of a set, in whatever order that has. By types, since an object may claim any class.
    """
    type_ = type(value)
    if issubclass(type_, Include):
        return {"include": _plain(value.include, field)}
    if issubclass(type_, _ATOMS):
        return value
    if issubclass(type_, int):
        return int.__pos__(value)
    if issubclass(type_, str):
        problem = _encoding_problem(value)
        if problem is None:
            return value
        msg = f"{field}: {problem}"
        raise InvalidValueError(msg)
    if _is_sequence(type_):
        elements = _elements(value, field)
        return tuple(
            _plain(e, field) if deep and not _is_sequence(type(e)) else e for e in elements
        )
    msg = f"{field}: {type_.__name__} is none of the types that it can have"
    raise InvalidValueError(msg)


def _elements(value: Any, field: str) -> tuple[Any, ...]:
    try:
        return tuple(value)
    except Exception as error:
        msg = f"{field}: {type(value).__name__} cannot be gone through"
        raise InvalidValueError(msg) from error


def _is_sequence(type_: type) -> bool:
    return issubclass(type_, Sequence) and not issubclass(type_, _NO_SEQUENCES)


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
    return _encoding_problem(value)


def _encoding_problem(value: str) -> str | None:
    if str.isascii(value):
        return None
    try:
        str.encode(value)
    except UnicodeEncodeError:
        return "text is not valid UTF-8"
    return None
