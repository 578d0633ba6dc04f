"""The quick way to check a value says yes only where the long way does, and changes nothing."""

from typing import Any, Final, get_type_hints

import pytest
from hostile_values import ANYTHING, TEXTS, Name, tried, types_in
from hypothesis import given
from hypothesis import strategies as st
from samples import condition, envelope, member, message, receipt, registration
from strategies import identifiers, of
from wire_structs import wire_structs

from agentpool import (
    AgentPoolStoreCursor,
    AgentPoolStoredMessage,
    CorrelationEntry,
    EventFilter,
    EventKind,
    Include,
    InvalidValueError,
    PolicyRef,
    RunAddress,
    RunTarget,
    encode,
    include,
)
from agentpool.wire.codec import is_canonical
from agentpool.wire.ids import U64_MAX, identifier_problem
from agentpool.wire.struct import _HARMLESS, Wire, _checked, trusted

STRUCTS: Final[dict[str, type[Wire]]] = {**wire_structs(), "Include": Include}


@st.composite
def built(draw: st.DrawFn, cls: type[Wire]) -> dict[str, Any]:
    """Draw the fields of a struct: right ones, and wrong ones in up to three of them."""
    hints = get_type_hints(cls, include_extras=True)
    names = cls.__struct_fields__
    wrong = draw(st.sets(st.sampled_from(names), max_size=3)) if names else set()
    right = {name: st.tuples(ANYTHING) if cls is Include else of(hints[name]) for name in names}
    return {name: draw(ANYTHING if name in wrong else right[name]) for name in names}


def is_harmless(value: Wire) -> bool:
    try:
        return bool(_HARMLESS[type(value)](value))
    except UnicodeEncodeError:
        return False


@pytest.mark.parametrize("name", STRUCTS)
@given(data=st.data())
def test_what_is_harmless_the_long_way_gives_back_as_it_is(name: str, data: st.DataObject) -> None:
    cls = STRUCTS[name]
    fields = data.draw(built(cls))
    try:
        value = trusted(cls, **fields)
    except ValueError:  # above the largest u64, on either way
        with pytest.raises(InvalidValueError):
            cls(**fields)
        return
    expected = tried(lambda: _checked(cls, value))
    if is_harmless(value):
        assert expected == value
        assert types_in(expected) == types_in(value)
    made = tried(lambda: cls(**fields))
    assert type(made) is type(expected)
    assert made == expected
    assert types_in(made) == types_in(expected)


@given(text=st.sampled_from(TEXTS) | identifiers() | st.text(max_size=4))
def test_an_address_takes_what_is_an_identifier(text: str) -> None:
    for _ in range(2):  # made, and known
        made = tried(lambda: RunAddress.run(text))
        assert isinstance(made, str) == (identifier_problem(text) is not None)


@pytest.mark.parametrize("wrong", [7, None, ["run.known"], {}])
def test_an_address_is_refused_what_has_no_hash_as_well(wrong: Any) -> None:
    with pytest.raises(InvalidValueError, match="run_id"):
        RunAddress.run(wrong)


def test_an_address_that_is_known_is_not_given_for_what_only_equals_its_id() -> None:
    assert RunAddress.run("run.known").target == RunTarget("run.known")
    with pytest.raises(InvalidValueError, match="not a plain string"):
        RunAddress.run(Name("run.known"))


ORDINARY: dict[str, Wire] = {
    "message": message(policy_refs=(PolicyRef(id="p"),), reply_to="m.0", expires_at_millis=7),
    "receipt": receipt(delivered_to=("run.a", "run.b"), journal_cursor="7"),
    "many recipients": receipt(delivered_to=tuple(f"run.{n}" for n in range(1000))),
    "not of ASCII": message("näçhricht", sender="läufer"),
    "not of ASCII and long": receipt(delivered_to=("läufer" * 60, "é" * 256)),
    "member": member(topics=("a", "b")),
    "condition": condition(),
    "registration": registration(),
    "envelope": envelope(tags=("a",)),
    "filter": EventFilter(run_ids=include("a"), kinds=include(EventKind.RUN_FAILED)),
    "compiled filter": EventFilter().compile(),
    "stored message": AgentPoolStoredMessage(message(), receipt()),
    "address": RunAddress.run("run.a"),
    "entry": CorrelationEntry("a", "b"),
    "cursor": AgentPoolStoreCursor(U64_MAX),
}


@pytest.mark.parametrize("value", ORDINARY.values(), ids=ORDINARY)
def test_ordinary_values_go_the_quick_way(value: Wire) -> None:
    assert is_harmless(value)
    assert is_canonical(encode(value), value)
