"""Errors of the codec say what is wrong and where, and are ours; encoding refuses as well."""

from typing import Any, cast

import pytest
from samples import condition

from agentpool import (
    AgentPoolMember,
    AgentPoolStoreCursor,
    AgentPoolStoredWake,
    AgentPoolStoreRecordPayload,
    AgentPoolWakePolicy,
    EventFilter,
    InvalidValueError,
    PolicyRef,
    SubscriberQueueConfig,
    WakeCondition,
    decode,
    encode,
)

PAYLOAD = cast("type[AgentPoolStoreRecordPayload]", AgentPoolStoreRecordPayload)


def joined(*, topics: str) -> str:
    return (
        '{"type":"member_joined","member":{"run_id":"r","agent_id":"a","policy_refs":[],'
        f'"topics":{topics}}}}}'
    )


PATHS = {
    "in a list": (joined(topics='["t",7]'), PAYLOAD, "$.member.topics[1]"),
    "identifier in a list": (joined(topics=r'["t","\u0007"]'), PAYLOAD, "$.member.topics[1]"),
    "duplicate": (joined(topics='[],"run_id":"r"'), PAYLOAD, "$.member"),
    "unknown enum value": ('{"kind":"HOST","id":"p"}', PolicyRef, "$.kind"),
    "minus zero": ('{"sequence":-0}', AgentPoolStoreCursor, "$.sequence"),
    "wrong type": ('{"envelope_only":1}', AgentPoolWakePolicy, "$.envelope_only"),
    "filter set": (
        encode(EventFilter()).replace(b'"any"', b'{"include":["r",""]}', 1),
        EventFilter,
        "$.run_ids.include[1]",
    ),
    "control character in a filter set": (
        encode(EventFilter()).replace(b'"any"', rb'{"include":["r","\u0085"]}', 1),
        EventFilter,
        "$.run_ids.include[1]",
    ),
    "u64 in the middle": (
        encode(EventFilter()).replace(b'"capacity":64', b'"capacity":18446744073709551616'),
        EventFilter,
        "$.queue",
    ),
}


@pytest.mark.parametrize(("data", "type_", "path"), PATHS.values(), ids=PATHS)
def test_errors_name_the_path(data: str | bytes, type_: Any, path: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        decode(data, type_)
    assert str(caught.value).endswith(f"at `{path}`")


def test_errors_name_the_field() -> None:
    with pytest.raises(InvalidValueError, match="required field `kind`"):
        decode('{"id":"p"}', PolicyRef)
    with pytest.raises(InvalidValueError, match="field `run_id` twice"):
        decode('{"run_id":"r","agent_id":"a","run_id":"r"}', AgentPoolMember)
    with pytest.raises(InvalidValueError, match="capacity"):
        decode('{"capacity":0,"terminal_reserve":1}', SubscriberQueueConfig)


def test_a_decoding_error_keeps_its_cause() -> None:
    with pytest.raises(InvalidValueError) as caught:
        decode("{", AgentPoolMember)
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize("data", [None, 7, ["{}"], {"run_id": "r"}])
def test_only_text_and_bytes_can_be_decoded(data: Any) -> None:
    with pytest.raises((InvalidValueError, TypeError)):
        decode(data, AgentPoolMember)


def test_decoding_a_type_without_check_is_still_strict_json() -> None:
    assert decode("[1, 2]", list[int]) == [1, 2]
    with pytest.raises(InvalidValueError):
        decode("[1, 2,]", list[int])


def _endless() -> list[Any]:
    endless: list[Any] = []
    endless.append(endless)
    return endless


UNWRITABLE = {
    "lone surrogate": ("\ud800", "not valid UTF-8"),
    "no value of the wire format": (object(), "unsupported"),
    "endless": (_endless(), "nested too deeply"),
}


@pytest.mark.parametrize(("value", "why"), UNWRITABLE.values(), ids=UNWRITABLE)
def test_refuses_to_encode(value: Any, why: str) -> None:
    with pytest.raises(InvalidValueError, match=why):
        encode(value)


def test_encoding_escapes_only_what_json_must() -> None:
    text = '"\\/\b\f\n\r\t\x00\x1f\x7f\u2028\ufeffé\U0001f680'
    expected = '"\\"\\\\/\\b\\f\\n\\r\\t\\u0000\\u001f\x7f\u2028\ufeffé\U0001f680"'
    assert encode(text).decode() == expected
    assert decode(encode(text), str) == text


def test_encoding_leaves_out_none_and_empty_lists_and_nothing_else() -> None:
    assert encode(PolicyRef(id="p")) == b'{"kind":"host","id":"p"}'
    assert encode(AgentPoolMember("r", "a")) == b'{"run_id":"r","agent_id":"a"}'
    assert encode(SubscriberQueueConfig()) == (
        b'{"capacity":64,"terminal_reserve":1,"overflow":"drop_non_terminal"}'
    )


def test_unknown_fields_are_dropped_when_written_again() -> None:
    raw = encode(condition()).replace(b'{"condition_id"', b'{"new":1,"condition_id"', 1)
    assert encode(decode(raw, WakeCondition)) == encode(condition())


def test_a_compiled_filter_always_lists_its_fields() -> None:
    raw = encode(EventFilter().compile())
    assert b'"indexed_fields":[]' in raw
    with pytest.raises(InvalidValueError, match="indexed_fields"):
        decode(raw.replace(b'"indexed_fields":[],', b""), type(EventFilter().compile()))


def test_a_wake_without_registration_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="registration"):
        decode(
            b'{"condition":%s,"compiled_filter":%s}'
            % (encode(condition()), encode(EventFilter().compile())),
            AgentPoolStoredWake,
        )
