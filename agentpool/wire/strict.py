"""The checks of the wire format that msgspec does not make, token by token.

A field given twice, ``-0`` for an integer, a field that callers may leave out but documents may
not, an identifier with a control character or of too many bytes, and nesting beyond 127 levels.
The document was decoded by msgspec before, so its types are right.
"""

import json
from functools import lru_cache
from math import isinf
from typing import Any, Final

from msgspec import NODEFAULT, inspect

from agentpool.errors import InvalidValueError
from agentpool.wire.ids import identifier_problem

__all__ = ("check_document",)

MAX_DEPTH: Final = 127
_SAFE_DIGITS: Final = 300


class _Object(dict[str, Any]):
    """A JSON object that remembers which of its keys came more than once."""

    repeated: frozenset[str] = frozenset()

    @classmethod
    def of(cls, pairs: list[tuple[str, Any]]) -> "_Object":
        made = cls(pairs)
        if len(made) != len(pairs):
            keys = [key for key, _ in pairs]
            made.repeated = frozenset(key for key in made if keys.count(key) > 1)
        return made


class _MinusZero(int):
    """The integer token ``-0``, which is a floating-point zero to the wire format."""


def check_document(raw: bytes, type_: Any) -> None:
    """Refuse a decoded document for what msgspec lets pass.

    :raises InvalidValueError: naming the path of what is wrong
    """
    tree = json.loads(
        raw.decode(), object_pairs_hook=_Object.of, parse_int=_integer, parse_float=_float
    )
    _check_depth(tree, MAX_DEPTH)
    _check(tree, _type_info(type_), "$")


def _integer(digits: str) -> int:
    """Stand in for an integer, whose value does not matter here."""
    if len(digits) > _SAFE_DIGITS:
        _float(digits)
    return _MinusZero() if digits == "-0" else 0


def _float(digits: str) -> float:
    """Refuse a number that is too large for a double, even where nobody reads it."""
    value = float(digits)
    if isinf(value):
        msg = "number out of range"
        raise InvalidValueError(msg)
    return value


def _check_depth(node: Any, levels: int) -> None:
    if isinstance(node, dict | list):
        if levels == 0:
            msg = f"nested deeper than {MAX_DEPTH} levels"
            raise InvalidValueError(msg)
        for child in node.values() if isinstance(node, dict) else node:
            _check_depth(child, levels - 1)


@lru_cache(maxsize=128)
def _type_info(type_: Any) -> inspect.Type:
    return inspect.type_info(type_)


def _check(node: Any, info: inspect.Type, path: str) -> None:
    match info:
        case inspect.Metadata():  # only identifiers carry any
            _check_identifier(node, path)
        case inspect.StructType():
            _check_struct(node, info, path)
        case inspect.UnionType(types=types):
            _check(node, _choose(node, types), path)
        case inspect.VarTupleType(item_type=item):
            for index, child in enumerate(node):
                _check(child, item, f"{path}[{index}]")
        case inspect.IntType() if isinstance(node, _MinusZero):
            msg = f"Expected `int`, got `-0` - at `{path}`"
            raise InvalidValueError(msg)


def _check_identifier(value: str, path: str) -> None:
    problem = identifier_problem(value)
    if problem is not None:
        msg = f"{problem} - at `{path}`"
        raise InvalidValueError(msg)


def _check_struct(node: _Object, info: inspect.StructType, path: str) -> None:
    known = {field.encode_name: field for field in info.fields}
    names = {*known, info.tag_field} if info.tag_field else known.keys()
    twice = sorted(node.repeated & names)
    if twice:
        msg = f"Object contains field `{twice[0]}` twice - at `{path}`"
        raise InvalidValueError(msg)
    if info.tag_field and info.tag_field not in node:
        msg = f"Object missing required field `{info.tag_field}` - at `{path}`"
        raise InvalidValueError(msg)
    for name, field in known.items():
        if name in node:
            _check(node[name], field.type, f"{path}.{name}")
        elif not _may_be_left_out(field):
            msg = f"Object missing required field `{name}` - at `{path}`"
            raise InvalidValueError(msg)


def _may_be_left_out(field: inspect.Field) -> bool:
    # Which are those that the encoder leaves out; `written` makes a factory of a default.
    return field.default is not NODEFAULT


def _choose(node: Any, types: tuple[inspect.Type, ...]) -> inspect.Type:
    """Pick the member of a union that msgspec has decoded this node as."""
    structs = [member for member in types if isinstance(member, inspect.StructType)]
    if isinstance(node, dict) and structs:
        return next(
            (s for s in structs if s.tag_field and node.get(s.tag_field) == s.tag), structs[0]
        )
    if node is None:
        return inspect.NoneType()
    rest = [m for m in types if not isinstance(m, inspect.StructType | inspect.NoneType)]
    return rest[0]
