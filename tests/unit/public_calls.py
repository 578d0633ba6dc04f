"""Every public call that takes arguments, found by looking, with valid arguments for each."""

import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, Unpack, get_args, get_origin, get_type_hints

import msgspec
from samples import condition, envelope, message, receipt, registration

import agentpool
from agentpool import (
    AgentPool,
    AgentPoolMember,
    AgentPoolStore,
    AgentPoolStoreConfig,
    AgentPoolStoreCursor,
    AgentPoolStoreRecord,
    DeadLetter,
    EventEnvelope,
    EventFilter,
    MessageReceipt,
    PoolOpened,
    RunAddress,
    RunMessage,
    SqliteAgentPoolStore,
    WakeCondition,
    WakeRegistration,
)
from agentpool.rules.claims import Claim, ClaimTerms
from agentpool.rules.command import Command
from agentpool.rules.consequences import CatchUp
from agentpool.wire.struct import Wire

POOL = "pool.x"
ME = AgentPoolMember("run.a", "agent.a")
Parameters = dict[str, Any]


@dataclass(frozen=True)
class Call:
    """A public call.

    :ivar owner: the type whose instance it is a method of; ``None`` for what needs none
    :ivar hints: the types of its parameters
    """

    name: str
    owner: type | None
    function: Callable[..., Any]
    hints: Parameters
    required: frozenset[str]
    rest: str | None = None

    def make(self, world: "World", arguments: Parameters) -> Any:
        """Make the call on an object of this world."""
        on = () if self.owner is None else (world.given(self.owner),)
        keywords = {name: value for name, value in arguments.items() if name != self.rest}
        rest = (arguments[self.rest],) if self.rest in arguments else ()
        return self.function(*on, *rest, **keywords)


def public_calls() -> Iterator[Call]:
    """Find all that a user of the package can call with arguments; what is inherited, once."""
    seen: set[Any] = set()
    for call in _all_calls():
        if call.function not in seen:
            seen.add(call.function)
            yield call


def _all_calls() -> Iterator[Call]:
    for name in agentpool.__all__:
        found = getattr(agentpool, name)
        if inspect.isfunction(found):
            yield _call_of(name, None, found)
        elif inspect.isclass(found) and not issubclass(found, Exception):
            yield from _calls_of(name, found)


def _calls_of(name: str, found: type) -> Iterator[Call]:
    if issubclass(found, Enum):
        yield Call(name, None, found, {"value": found}, frozenset({"value"}), rest="value")
        return
    if issubclass(found, Wire):
        fields = msgspec.structs.fields(found)
        hints = get_type_hints(found, include_extras=True)
        yield Call(
            name,
            None,
            found,
            {field.name: hints[field.name] for field in fields},
            frozenset(field.name for field in fields if field.required),
        )
    elif not (inspect.isabstract(found) or issubclass(found, (tuple, str, SqliteAgentPoolStore))):
        # A tuple, or a ref, is given to users, who make none; `open` makes a store.
        yield _call_of(name, None, found, found.__init__)
    for method, function in inspect.getmembers(found):
        if method.startswith("_") or inspect.isabstract(found):
            continue
        if inspect.isfunction(function):
            call = _call_of(f"{name}.{method}", found, function)
        elif inspect.ismethod(function):
            call = _call_of(f"{name}.{method}", None, function)
        else:
            continue
        if call.hints:
            yield call


def _call_of(
    name: str, owner: type | None, function: Callable[..., Any], source: Any = None
) -> Call:
    hints = get_type_hints(source or function, include_extras=True)
    options: Parameters = {}
    if get_origin(rest := hints.get("options")) is Unpack:  # keywords, each optional
        options = get_type_hints(get_args(rest)[0])
    parameters = [
        each
        for each in inspect.signature(source or function).parameters.values()
        if each.name != "self" and each.kind is not each.VAR_KEYWORD
    ]
    variable = [each.name for each in parameters if each.kind is each.VAR_POSITIONAL]
    return Call(
        name,
        owner,
        function,
        {each.name: hints[each.name] for each in parameters} | options,
        frozenset(each.name for each in parameters if each.default is each.empty),
        rest=variable[0] if variable else None,
    )


class World:
    """Objects to call: a store, and a pool in it with a member that has messages."""

    def __init__(self, *given: Any) -> None:
        self._given = given

    def given(self, type_: type) -> Any:
        """Give an object of a type: one of those that are here, or a new one."""
        for each in self._given:
            if isinstance(each, type_):
                return each
        return self.valid(type_)

    def arguments(self, call: Call) -> Parameters:
        """Give a valid value for each parameter that a call needs."""
        needed = call.required | (call.hints.keys() & _NEEDED)
        return {name: self._argument(name, call.hints[name]) for name in sorted(needed)}

    def _argument(self, name: str, hint: Any) -> Any:
        return _BY_NAME[name]() if name in _BY_NAME else self.valid(hint)

    def valid(self, hint: Any) -> Any:
        """Make up a valid value of a type."""
        origin, arguments = get_origin(hint), get_args(hint)
        kind = origin or hint
        if hint in _MADE:
            return _MADE[hint]()
        if origin in {Annotated, Union, UnionType}:
            return self.valid(arguments[0])
        if kind in _EMPTY:
            return _EMPTY[kind](arguments)
        if isinstance(kind, type) and issubclass(kind, Enum):
            return next(iter(kind))
        return self._struct(kind) if issubclass(kind, Wire) else self.given(kind)

    def _struct(self, kind: type[Wire]) -> Wire:
        hints = get_type_hints(kind, include_extras=True)
        needed = [each.name for each in msgspec.structs.fields(kind) if each.required]
        return kind(**{name: self._argument(name, hints[name]) for name in needed})


@asynccontextmanager
async def a_world(store: AgentPoolStore) -> AsyncIterator[World]:
    """Open a pool with a member that has two messages and has taken one of them."""
    async with AgentPool.open(store, POOL) as pool:
        await pool.join_run(ME)
        for number in range(2):
            await pool.send(message(f"m.{number}", to=RunAddress.run("run.a")))
        inbox = pool.inbox("run.a")
        taken = await inbox.take()
        yield World(store, pool, pool.acting_as(ME), inbox, taken, pool._opened)


async def _records() -> AsyncIterator[AgentPoolStoreRecord]:
    for payload in (PoolOpened(AgentPoolStoreConfig()),):
        yield AgentPoolStoreRecord(POOL, AgentPoolStoreCursor(1), payload)


_EMPTY: dict[Any, Callable[[Any], Any]] = {
    Literal: lambda literals: literals[0],
    tuple: lambda _: (),
    Sequence: lambda _: (),
    Iterable: lambda _: (),
    Callable: lambda _: lambda *_: None,
    Coroutine: lambda _: lambda *_: None,
}
_MADE: dict[Any, Callable[[], Any]] = {
    str: lambda: "x",
    int: lambda: 1,
    float: lambda: 1.0,
    bool: lambda: True,
    bytes: lambda: b"x",
    NoneType: lambda: None,
    RunMessage: message,
    EventEnvelope: envelope,
    EventFilter: EventFilter,
    AgentPoolMember: lambda: ME,
    WakeCondition: condition,
    WakeRegistration: registration,
    MessageReceipt: receipt,
    Any: lambda: 1,
    Command[Any]: CatchUp,
    Claim: lambda: Claim("run.a", 1, 1, message()),
    ClaimTerms: lambda: ClaimTerms(1000),
    DeadLetter: lambda: DeadLetter("run.a", 1, 1, message()),
}
_NEEDED = {"body"}
"""Parameters that have a default and are needed all the same, where no other stands for them."""
_BY_NAME: dict[str, Callable[[], Any]] = {
    "pool_id": lambda: POOL,
    "run_id": lambda: "run.a",
    "records": _records,
    "data": lambda: b"1",
    "type": lambda: int,
    "values": lambda: "x",
    "body": lambda: "x",
    "command": CatchUp,
}
