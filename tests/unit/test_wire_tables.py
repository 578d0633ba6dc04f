"""The structs and enumerations are those of the wire format, field by field, value by value."""

from enum import StrEnum
from typing import get_args

import msgspec
import pytest
from strategies import of
from wire_structs import enums, wire_structs
from wire_tables import ENUMS, STRUCTS
from wire_tables import TERMINAL_EVENT_KINDS as TERMINAL

from agentpool import (
    TERMINAL_EVENT_KINDS,
    AgentPoolStoreRecordPayload,
    EventKind,
    InvalidValueError,
    MessageStatus,
    RunAddressTarget,
    decode,
    encode,
)
from agentpool.wire.payload import KINDS
from agentpool.wire.strict import _may_be_left_out

FIELDS = [(name, field) for name, fields in STRUCTS.items() for field in fields.split()]


def described(name: str) -> dict[str, msgspec.inspect.Field]:
    """Describe the fields of a struct by the names that documents have."""
    info = msgspec.inspect.type_info(wire_structs()[name])
    assert isinstance(info, msgspec.inspect.StructType)
    return {field.encode_name: field for field in info.fields}


@pytest.mark.parametrize("name", STRUCTS)
def test_a_struct_has_the_fields_in_order(name: str) -> None:
    expected = [field.split("=")[0].rstrip("?[]") for field in STRUCTS[name].split()]
    assert list(wire_structs()[name].__struct_encode_fields__) == expected


@pytest.mark.parametrize("name", [name for name in STRUCTS if name != "AgentPoolStoreRecord"])
def test_only_optional_fields_and_lists_may_be_left_out(name: str) -> None:
    allowed = {f.rstrip("?[]") for f in STRUCTS[name].split() if f.endswith(("?", "[]"))}
    assert {key for key, field in described(name).items() if _may_be_left_out(field)} == allowed


@pytest.mark.parametrize(("name", "field"), FIELDS, ids=[".".join(pair) for pair in FIELDS])
def test_a_field_has_the_default_of_the_table(name: str, field: str) -> None:
    cls = wire_structs()[name]
    defaults = msgspec.structs.fields(cls)
    key, _, default = field.partition("=")
    found = {f.encode_name: f for f in defaults}[key.rstrip("?[]")]
    if default:
        assert callable(found.default_factory)
        value = found.default_factory()
        assert (str(value).lower() if isinstance(value, bool) else str(value)) == default
    elif field.endswith("?"):
        assert found.default is None
    elif field.endswith("[]"):
        assert found.default == ()


def test_every_enumeration_is_in_the_tables() -> None:
    of_no_record = {"AskOutcome", "RetryClassification"}
    of_explanations = {"NameKind", "Presence", "RecipientState", "WhyNot", "WhyUnseen"}
    assert set(enums()) - of_no_record - of_explanations == set(ENUMS)


@pytest.mark.parametrize("name", ENUMS)
def test_an_enumeration_has_these_values_in_order(name: str) -> None:
    enum: type[StrEnum] = enums()[name]
    assert [member.value for member in enum] == ENUMS[name].split()


@pytest.mark.parametrize("name", ENUMS)
def test_members_are_the_values_in_upper_case_and_equal_to_them(name: str) -> None:
    for member in enums()[name]:
        assert member.name == member.value.upper()
        assert member == member.value


def test_terminal_kinds() -> None:
    assert set(TERMINAL.split()) == TERMINAL_EVENT_KINDS
    assert {kind for kind in EventKind if kind.is_terminal} == TERMINAL_EVENT_KINDS
    assert (len(TERMINAL_EVENT_KINDS), len(ENUMS["EventKind"].split())) == (49, 119)


@pytest.mark.parametrize(("kind", "type_"), KINDS.items(), ids=KINDS)
def test_the_type_of_a_record_is_written_first(
    kind: str, type_: type[AgentPoolStoreRecordPayload]
) -> None:
    assert type_.__struct_config__.tag_field == "type"
    assert type_.__struct_config__.tag == kind


def test_every_kind_of_payload_is_known() -> None:
    assert set(KINDS.values()) == set(get_args(AgentPoolStoreRecordPayload))


def test_targets_are_tagged_with_what_they_address() -> None:
    tags = {type_.__struct_config__.tag for type_ in get_args(RunAddressTarget)}
    assert tags == {"run", "agent", "topic", "pool"}


@pytest.mark.parametrize("value", ["DELIVERED", "Delivered", "", "unknown", " delivered"])
def test_refuses_a_value_that_is_in_no_enumeration(value: str) -> None:
    with pytest.raises(InvalidValueError):
        decode(encode(value), MessageStatus)


def test_the_strategies_cover_every_struct() -> None:
    assert all(of(cls) is not None for cls in wire_structs().values())
