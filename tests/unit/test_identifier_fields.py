"""Every field that is an identifier refuses what is none, wherever it stands."""

from typing import Any, get_type_hints

import pytest
from wire_structs import smallest, wire_structs
from wire_tables import COORDINATOR_IDENTIFIER_FIELDS, IDENTIFIER_FIELDS

from agentpool import Include, InvalidValueError, decode, encode
from agentpool.wire.struct import Wire, _plan, trusted

FIELDS = [(cls, name) for cls in wire_structs().values() for name in _plan(cls).identifiers]
NAMES = [f"{cls.__name__}.{name}" for cls, name in FIELDS]

BAD = {"empty": "", "too long": "é" * 257, "C0": "a\n", "DEL": "a\x7f", "C1": "a\x9f"}


def with_bad(cls: type[Wire], field: str, bad: str) -> dict[str, Any]:
    """Make the fields of a value that is valid but for this one, shaped as its type wants."""
    fields = smallest(cls)
    hint = str(get_type_hints(cls)[field])
    if "Include" in hint:
        return {**fields, field: trusted(Include, (bad,))}
    return {**fields, field: (bad,) if hint.startswith("tuple") else bad}


def test_the_wire_format_says_which_fields_are_identifiers() -> None:
    found = {
        name: set(_plan(cls).identifiers)
        for name, cls in wire_structs().items()
        if _plan(cls).identifiers
    }
    expected = IDENTIFIER_FIELDS | COORDINATOR_IDENTIFIER_FIELDS
    assert found == {name: set(fields.split()) for name, fields in expected.items()}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
@pytest.mark.parametrize(("cls", "field"), FIELDS, ids=NAMES)
def test_refuses_at_the_api(cls: type[Wire], field: str, bad: str) -> None:
    keywords = with_bad(cls, field, bad)
    with pytest.raises(InvalidValueError, match=rf"^{cls.__name__}.*\b{field}\b"):
        cls(**keywords)


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
@pytest.mark.parametrize(("cls", "field"), FIELDS, ids=NAMES)
def test_refuses_when_decoded(cls: type[Wire], field: str, bad: str) -> None:
    raw = encode(trusted(cls, **with_bad(cls, field, bad)))
    place = "from" if field == "sender" else field
    with pytest.raises(InvalidValueError, match=rf"at `\$\.{place}\b"):
        decode(raw, cls)


@pytest.mark.parametrize(("cls", "field"), FIELDS, ids=NAMES)
def test_refuses_lone_surrogates_at_the_api(cls: type[Wire], field: str) -> None:
    with pytest.raises(InvalidValueError):
        cls(**with_bad(cls, field, "a\ud800"))
