"""Hypothesis strategies for every type of the wire format, read off the types themselves."""

import string
from enum import StrEnum
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from hypothesis import strategies as st

from agentpool import AgentPoolStoreRecordPayload, Include
from agentpool.wire.ids import MAX_IDENTIFIER_BYTES, U64_MAX

# Text that JSON escapes, that only looks escaped, and that sorts differently in UTF-16.
_ODD: Final = f'{string.ascii_letters} "\\/&<>\u2028\ufeff\uffee\U00010000\U0001f680é'


def texts() -> st.SearchStrategy[str]:
    """Make any text that UTF-8 can hold, control characters included."""
    return st.text(_ODD, max_size=12) | st.text(st.characters(codec="utf-8"), max_size=12)


def identifiers() -> st.SearchStrategy[str]:
    """Make identifiers, short ones and ones of the greatest length."""
    # Not by a filter: Hypothesis gives up an example where that refuses three in a row.
    no_control = st.characters(codec="utf-8", exclude_categories=["Cc"])
    short = st.text(_ODD, min_size=1, max_size=12) | st.text(no_control, min_size=1, max_size=12)
    return short | short.map(_filled)


def _filled(text: str) -> str:
    return text + "x" * (MAX_IDENTIFIER_BYTES - len(text.encode()))


def payloads() -> st.SearchStrategy[AgentPoolStoreRecordPayload]:
    """Make payloads of every kind of record."""
    return st.one_of([of(kind) for kind in get_args(AgentPoolStoreRecordPayload)])


@cache
def of(type_: Any) -> st.SearchStrategy[Any]:
    """Make values of a type that a field of the wire format may have."""
    origin, arguments = get_origin(type_), get_args(type_)
    if origin is Annotated:
        return _annotated(*arguments)
    if origin in {Union, UnionType}:
        return st.one_of([of(member) for member in arguments])
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is tuple:
        return _tuples(arguments[0], 3)
    if origin is Include:
        return _tuples(arguments[0], 3).map(Include)
    return _plain(type_)


def _tuples(item: Any, max_size: int) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(of(item), max_size=max_size).map(tuple)


def _annotated(type_: Any, meta: msgspec.Meta) -> st.SearchStrategy[Any]:
    if type_ is str:
        return identifiers()
    least, greatest = int(meta.ge or 0), int(meta.le or U64_MAX)
    return st.sampled_from([least, greatest]) | st.integers(least, greatest)


def _plain(type_: Any) -> st.SearchStrategy[Any]:
    if type_ is NoneType:
        return st.none()
    if type_ is bool:
        return st.booleans()
    if type_ is str:
        return texts()
    if issubclass(type_, StrEnum):
        return st.sampled_from(type_)
    return _structs(type_)


def _structs(type_: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    hints = get_type_hints(type_, include_extras=True)
    return st.builds(type_, **{name: of(hints[name]) for name in type_.__struct_fields__})
