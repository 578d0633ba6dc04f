"""Values that few arguments want, and how to tell by its type which are wrong for an argument."""

import math
from collections import deque
from collections.abc import AsyncIterable, Awaitable, Callable, Coroutine, Iterable, Sequence
from datetime import timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from os import PathLike
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NoReturn, TypeVar, Union, get_args, get_origin

import msgspec

from agentpool import (
    START,
    AgentPoolMember,
    EventFilter,
    EventKind,
    InMemoryAgentPoolStore,
    MessageStatus,
    PolicyRef,
    RunAddress,
    RunTarget,
)
from agentpool.errors import shown


def _refuse(*_: object) -> NoReturn:
    raise ZeroDivisionError


class Spiteful:
    """An object that fails at whatever is asked of it."""

    __bool__ = __len__ = __repr__ = __str__ = _refuse
    __lt__ = __le__ = __gt__ = __ge__ = __index__ = __float__ = _refuse
    __hash__: Any = None


class Name(str):
    """A string of a type of its own."""

    __slots__ = ()
    __str__ = __repr__ = __eq__ = _refuse
    __hash__ = str.__hash__


class Number(int):
    """A number that cannot be compared, nor shown."""

    __slots__ = ()
    __lt__ = __le__ = __gt__ = __ge__ = __eq__ = __round__ = _refuse
    __repr__ = __str__ = __format__ = __mul__ = __bool__ = _refuse
    __hash__ = int.__hash__


class Seconds(float):
    """A number of seconds that cannot be compared, nor shown."""

    __slots__ = ()
    __lt__ = __le__ = __gt__ = __ge__ = __eq__ = __round__ = _refuse
    __repr__ = __str__ = __format__ = __mul__ = __bool__ = _refuse
    __hash__ = float.__hash__


class Recluse:
    """Does not even say of what type it is."""

    __getattribute__ = _refuse


class Barred(tuple[Any, ...]):
    """A sequence that cannot be gone through."""

    __slots__ = ()
    __iter__ = __len__ = __getitem__ = _refuse


def released() -> memoryview:
    """Make a view of bytes that are gone."""
    view = memoryview(b"run.a")
    view.release()
    return view


def deep() -> list[Any]:
    """Make a list that is nested too deeply to be shown."""
    found: list[Any] = []
    for _ in range(5000):
        found = [found]
    return found


class Pretender:
    """Says that it is of another type, and has nothing of it."""

    def __init__(self, type_: type) -> None:
        self._type = type_

    @property
    def __class__(self) -> Any:
        return self._type

    @__class__.setter
    def __class__(self, _: type) -> None: ...


WRONG: dict[str, Callable[[], Any]] = {
    "None": lambda: None,
    "True": lambda: True,
    "False": lambda: False,
    "0": lambda: 0,
    "1": lambda: 1,
    "-1": lambda: -1,
    "2**64": lambda: 2**64,
    "10**5000": lambda: 10**5000,
    "-10**5000": lambda: -(10**5000),
    "1.5": lambda: 1.5,
    "1e300": lambda: 1e300,
    "nan": lambda: math.nan,
    "inf": lambda: math.inf,
    "-inf": lambda: -math.inf,
    "1j": lambda: 1j,
    "Decimal": lambda: Decimal("nan"),
    "Fraction": lambda: Fraction(1, 3),
    "timedelta": lambda: timedelta(seconds=1),
    "number": lambda: Number(1),
    "seconds": lambda: Seconds(1),
    "empty": lambda: "",
    "text": lambda: "run.a",
    "surrogate": lambda: "\udcff",
    "null": lambda: "a\0b",
    "long": lambda: "x" * 600,
    "name": lambda: Name("run.a"),
    "bytes": lambda: b"run.a",
    "bytearray": lambda: bytearray(b"run.a"),
    "memoryview": lambda: memoryview(b"run.a"),
    "list": list,
    "list of text": lambda: ["run.a"],
    "list of numbers": lambda: [7],
    "list of None": lambda: [None],
    "list of surrogates": lambda: ["\udcff"],
    "list of spite": lambda: [Spiteful()],
    "tuple": lambda: (),
    "tuple of text": lambda: ("run.a",),
    "deque": lambda: deque(["run.a"]),
    "dict": dict,
    "filter dict": lambda: {"run_ids": {"include": ["run.z"]}},
    "policy dict": lambda: [{"kind": "host", "id": "policy.a"}],
    "set": set,
    "set of text": lambda: {"run.a"},
    "range": lambda: range(3),
    "generator": lambda: (each for each in ["run.a"]),
    "object": object,
    "type": lambda: int,
    "function": lambda: lambda: None,
    "spite": Spiteful,
    "path": lambda: Path("a"),
    "error": lambda: ValueError("x"),
    "module": lambda: math,
    "status": lambda: MessageStatus.FAILED,
    "kind": lambda: EventKind.RUN_FAILED,
    "cursor": lambda: START,
    "filter": EventFilter,
    "address": lambda: RunAddress.run("run.a"),
    "target": lambda: RunTarget("run.a"),
    "policy": lambda: PolicyRef(id="policy.a"),
    "member": lambda: AgentPoolMember("run.a", "agent.a"),
    "forged member": lambda: msgspec.structs.replace(
        AgentPoolMember("run.a", "agent.a"), run_id=Spiteful()
    ),
    "store": InMemoryAgentPoolStore,
    "recluse": Recluse,
    "barred": lambda: Barred(("run.a",)),
    "released": released,
    "writable memoryview": lambda: memoryview(bytearray(8)).cast("I"),
    "deep": deep,
    "endless range": lambda: range(10**18),
    "member's class": lambda: AgentPoolMember,
}


_UNSHOWN = {name for name, make in WRONG.items() if shown(make()).startswith("a ")}
NOT_FOR_ENUMS = _UNSHOWN | {"released", "writable memoryview"}
"""Those that cannot be shown or hashed, which every enum does before it asks ours."""


def fits(value: Any, hint: Any) -> bool:
    """Say whether a value may be right for a hint; what is wrong for sure has to be refused."""
    origin, arguments = get_origin(hint), get_args(hint)
    if isinstance(hint, TypeVar) or hint in {Any, object} or origin is type:
        return True
    if origin in {Annotated, Union, UnionType}:
        types = arguments[:1] if origin is Annotated else arguments
        return any(fits(value, each) for each in types)
    if origin is Literal:
        return issubclass(type(value), str)
    kind = origin or hint
    if kind in {Sequence, tuple}:
        return type(value) in {list, tuple, deque} and all(fits(e, arguments[0]) for e in value)
    if kind is Iterable:
        type_ = type(value)
        return hasattr(type_, "__iter__") and not issubclass(type_, str | bytes | Barred)
    return _is_of(value, kind)


def _is_of(value: Any, kind: type) -> bool:
    type_ = type(value)
    if kind is float:
        return issubclass(type_, int | float) and type_ is not bool
    if kind is int:
        return issubclass(type_, int) and type_ is not bool
    if kind is bytes:
        return issubclass(type_, bytes | bytearray | memoryview)
    if issubclass(kind, Enum):  # also by its value
        return issubclass(type_, str)
    if kind in {Callable, Awaitable, Coroutine, AsyncIterable, PathLike}:
        return hasattr(type_, _METHODS[kind])
    return issubclass(type_, NoneType if kind is None else kind)


_METHODS = {
    Callable: "__call__",
    Awaitable: "__await__",
    Coroutine: "__await__",
    AsyncIterable: "__aiter__",
    PathLike: "__fspath__",
}
