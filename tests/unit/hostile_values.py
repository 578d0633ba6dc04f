"""Values that no honest caller gives, and how to compare what becomes of them."""

from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec.structs import astuple, replace
from strategies import identifiers

from agentpool import (
    AgentPoolStoreCursor,
    CorrelationEntry,
    DestinationRef,
    EventCorrelation,
    EventFilter,
    EventKind,
    Include,
    InvalidValueError,
    MessageStatus,
    PolicyRef,
    RunAddress,
    RunTarget,
    include,
)
from agentpool.wire.ids import U64_MAX
from agentpool.wire.struct import Wire


class Name(str):
    """A string of a type of its own."""

    __slots__ = ()


class _Number(int):
    __slots__ = ()


class _Row(tuple[Any, ...]):
    __slots__ = ()


def changed(value: Wire, **fields: Any) -> Any:
    """Change a value behind the back of the checks."""
    return replace(value, **fields)


TEXTS: list[str] = [
    "", "a", " ", '"', "\\", "\x00", "\n", "\x1f", "\x7f", "a\x80", "\x9f", "\xa0", "\xc2",
    "\u2028", "\ufeff", "é", "\ud800", "\U0001f680", "any", "failed", "run_failed", Name("a"),
    Name("any"),
    "x" * 512, "x" * 513, "é" * 256, "é" * 257, "€" * 171, "x" + "€" * 170, "\U0001f680" * 129,
]  # fmt: skip
OTHERS: list[Any] = [
    None, True, False, 0, 1, -1, 2**16, 2**32, 2**63 - 1, 2**63, U64_MAX, U64_MAX + 1, _Number(1),
    1.0, float("nan"), b"a", bytearray(b"a"), object(), {}, {"run_id": "a"}, MessageStatus.FAILED,
    EventKind.RUN_FAILED, iter(["a"]), range(1), RunTarget("a"), RunAddress.run("a"),
    changed(RunTarget("a"), run_id=""), changed(RunAddress.run("a"), target=None),
    changed(RunTarget("a"), run_id=7), EventCorrelation(), CorrelationEntry("a", "b"),
    changed(EventCorrelation(), entries=["a"]),
    AgentPoolStoreCursor(1), EventFilter(), DestinationRef, str, PolicyRef(id="p"),
    EventFilter().compile(), Include(("a",)), Include(("",)), Include((7,)), include("run_failed"),
    include(EventKind.RUN_FAILED), include(MessageStatus.FAILED),
    changed(Include(()), include=["a"]),
    changed(Include(()), include=None), changed(Include(()), include=_Row("a")),
]  # fmt: skip


def _sequences(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    made: list[Any] = [tuple, list, deque, _Row, Include, set]
    lists = st.lists(parts.filter(_is_hashable), max_size=3)
    return st.builds(lambda make, values: make(values), st.sampled_from(made), lists)


def _is_hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


HOSTILE = st.sampled_from(TEXTS) | st.sampled_from(OTHERS)
ANYTHING = HOSTILE | _sequences(HOSTILE) | identifiers()


def tried(make: Callable[[], Any]) -> Any:
    """Give what comes out, or what the error says."""
    try:
        return make()
    except InvalidValueError as error:
        return str(error)


def types_in(value: Any) -> Any:
    """Show the type of everything in a value."""
    if isinstance(value, msgspec.Struct):
        return type(value), [types_in(each) for each in astuple(value)]
    if isinstance(value, tuple):
        return type(value), [types_in(each) for each in value]
    return type(value)
