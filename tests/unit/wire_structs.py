"""Every struct and enumeration of the library, found by introspection."""

from collections.abc import Iterator
from enum import StrEnum
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from package_tree import is_below

import agentpool
from agentpool.wire.struct import Include, Wire, trusted

EXPLAINING = "agentpool.rules.explaining"


def wire_structs() -> dict[str, type[Wire]]:
    """Find every public struct, by name, but for explanations, which stand in no document."""
    public = vars(agentpool).values()
    found = (cls for cls in _below(Wire) if not is_below(cls.__module__, EXPLAINING))
    return {cls.__name__: cls for cls in found if cls in public and cls is not Include}


def _below(cls: type[Wire]) -> Iterator[type[Wire]]:
    for child in cls.__subclasses__():
        yield child
        yield from _below(child)


def enums() -> dict[str, type[StrEnum]]:
    """Find every public enumeration, by name."""
    public = {name: getattr(agentpool, name) for name in agentpool.__all__}
    return {
        name: value
        for name, value in public.items()
        if isinstance(value, type) and issubclass(value, StrEnum)
    }


def smallest(cls: type[Wire]) -> dict[str, Any]:
    """Make the fields of the smallest valid value of a struct."""
    hints = get_type_hints(cls, include_extras=True)
    return {name: _smallest(hints[name]) for name in cls.__struct_fields__}


def _smallest(hint: Any) -> Any:
    arguments = get_args(hint)
    if get_origin(hint) is Annotated:
        return "x" if arguments[0] is str else 1
    if get_origin(hint) is Literal:
        return arguments[0]
    if get_origin(hint) is tuple:
        return ()
    if arguments:
        return None if NoneType in arguments else _smallest(arguments[0])
    if issubclass(hint, Wire):
        return trusted(hint, **smallest(hint))
    return next(iter(hint)) if issubclass(hint, StrEnum) else hint()
