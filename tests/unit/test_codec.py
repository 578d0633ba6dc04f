"""What decoding accepts and refuses beyond types, and what encoding writes."""

from collections.abc import Callable
from typing import Any, cast

import pytest
from samples import envelope

from agentpool import (
    AgentPoolMember,
    AgentPoolStoreCursor,
    AgentPoolStoreRecordPayload,
    AgentPoolWakePolicy,
    EventCorrelation,
    EventEnvelope,
    EventFilter,
    InvalidValueError,
    MemberJoined,
    MessageResponseContract,
    PolicyRef,
    PoolCreated,
    RunTarget,
    SubscriberQueueConfig,
    decode,
    encode,
)
from agentpool.rules.rows import Asked, Contract, InboxEntry
from agentpool.wire.struct import Wire

PAYLOAD = cast("type[AgentPoolStoreRecordPayload]", AgentPoolStoreRecordPayload)
MEMBER = '{"run_id":"r","agent_id":"a"}'
TAG_LAST = f'{{"member":{MEMBER},"type":"member_joined"}}'
JOINED = MemberJoined(AgentPoolMember("r", "a"))


def joined(*, more: str = "") -> str:
    """Write a record of a member with more behind its fields."""
    return f'{{"type":"member_joined","member":{{"run_id":"r","agent_id":"a"{more}}}}}'


def nested(levels: int) -> str:
    """Write an unknown field so that the document has this many levels."""
    arrays = levels - 2
    return joined(more=f',"x":{"[" * arrays}{"]" * arrays}')


REFUSED: dict[str, tuple[str | bytes, Any]] = {
    "missing field": ('{"run_id":"r"}', AgentPoolMember),
    "missing field that has a default": ('{"id":"p"}', PolicyRef),
    "missing capacity": (
        '{"terminal_reserve":1,"overflow":"drop_progress"}',
        SubscriberQueueConfig,
    ),
    "null list": ('{"run_id":"r","agent_id":"a","topics":null}', AgentPoolMember),
    "null in a list": ('{"run_id":"r","agent_id":"a","topics":[null]}', AgentPoolMember),
    "null required": ('{"run_id":null,"agent_id":"a"}', AgentPoolMember),
    "object for a list": ('{"run_id":"r","agent_id":"a","topics":{}}', AgentPoolMember),
    "array for a struct": ('["r","a"]', AgentPoolMember),
    "duplicate field": ('{"run_id":"r","agent_id":"a","run_id":"r"}', AgentPoolMember),
    "duplicate field in escapes": (
        '{"run_id":"r","agent_id":"a","run\\u005fid":"r"}',
        AgentPoolMember,
    ),
    "duplicate optional field": (
        '{"kind":"host","id":"p","version":null,"version":null}',
        PolicyRef,
    ),
    "duplicate tag": ('{"type":"pool_created","type":"pool_created"}', PAYLOAD),
    "no tag": ('{"run_id":"r"}', RunTarget),
    "unknown tag": ('{"type":"planet"}', PAYLOAD),
    "tag of another kind": ('{"type":"agent","run_id":"r"}', RunTarget),
    "tag that is no string": ('{"type":1}', PAYLOAD),
    "unknown enum value": ('{"kind":"HOST","id":"p"}', PolicyRef),
    "enum by number": ('{"kind":0,"id":"p"}', PolicyRef),
    "float for an integer": ('{"sequence":1.0}', AgentPoolStoreCursor),
    "exponent for an integer": ('{"sequence":1e2}', AgentPoolStoreCursor),
    "minus zero": ('{"sequence":-0}', AgentPoolStoreCursor),
    "minus zero in an optional": (
        '{"expected_responses":1,"timeout_millis":-0}',
        MessageResponseContract,
    ),
    "negative": ('{"sequence":-1}', AgentPoolStoreCursor),
    "string for an integer": ('{"sequence":"1"}', AgentPoolStoreCursor),
    "bool for an integer": ('{"sequence":true}', AgentPoolStoreCursor),
    "leading zero": ('{"sequence":01}', AgentPoolStoreCursor),
    "u64 overflow": ('{"sequence":18446744073709551616}', AgentPoolStoreCursor),
    "u64 overflow in an optional": (
        '{"expected_responses":1,"timeout_millis":18446744073709551616}',
        MessageResponseContract,
    ),
    "u32 overflow": ('{"expected_responses":4294967296}', MessageResponseContract),
    "u16 overflow": (
        encode(envelope()).replace(b'"schema_version":1', b'"schema_version":65536'),
        EventEnvelope,
    ),
    "integer for a bool": ('{"envelope_only":1}', AgentPoolWakePolicy),
    "string for a bool": ('{"envelope_only":"true"}', AgentPoolWakePolicy),
    "null for a bool": ('{"envelope_only":null}', AgentPoolWakePolicy),
    "capacity 0": (
        '{"capacity":0,"terminal_reserve":1,"overflow":"drop_progress"}',
        SubscriberQueueConfig,
    ),
    "terminal reserve 0": (
        '{"capacity":1,"terminal_reserve":0,"overflow":"drop_progress"}',
        SubscriberQueueConfig,
    ),
    "capacity overflow": (
        '{"capacity":18446744073709551616,"terminal_reserve":1,"overflow":"drop_progress"}',
        SubscriberQueueConfig,
    ),
    "filter set with another key": (
        encode(EventFilter()).replace(b'"any"', b'{"include":[],"x":1}', 1),
        EventFilter,
    ),
    "filter set without include": (encode(EventFilter()).replace(b'"any"', b"{}", 1), EventFilter),
    "filter set of another word": (
        encode(EventFilter()).replace(b'"any"', b'"all"', 1),
        EventFilter,
    ),
    "filter set that is null": (encode(EventFilter()).replace(b'"any"', b"null", 1), EventFilter),
    "bare list for a filter set": (encode(EventFilter()).replace(b'"any"', b"[]", 1), EventFilter),
    "trailing data": (f"{MEMBER} x", AgentPoolMember),
    "two documents": (MEMBER * 2, AgentPoolMember),
    "nothing": ("", AgentPoolMember),
    "white space": (" \n", AgentPoolMember),
    "cut off": (MEMBER[:-1], AgentPoolMember),
    "trailing comma": ('{"run_id":"r","agent_id":"a",}', AgentPoolMember),
    "comment": ('{"run_id":"r",/**/"agent_id":"a"}', AgentPoolMember),
    "single quotes": ("{'run_id':'r','agent_id':'a'}", AgentPoolMember),
    "byte order mark": (f"\ufeff{MEMBER}", AgentPoolMember),
    "raw control character": (joined(more=',"x":"\x01"'), PAYLOAD),
    "unknown escape": (joined(more=r',"x":"\x"'), PAYLOAD),
    "NaN": (joined(more=',"x":NaN'), PAYLOAD),
    "Infinity": (joined(more=',"x":-Infinity'), PAYLOAD),
    "lone surrogate": (joined(more=r',"topics":["\ud83d"]'), PAYLOAD),
    "lone low surrogate": (joined(more=r',"topics":["\ude80"]'), PAYLOAD),
    "lone surrogate in an unknown field": (joined(more=r',"x":"\ud83d"'), PAYLOAD),
    "lone surrogate in a str": (joined(more=',"x":"\ud83d"'), PAYLOAD),
    "bytes that are no UTF-8": (b'{"type":"pool_created","x":"\xff"}', PAYLOAD),
    "surrogates in UTF-8": (b'{"type":"pool_created","x":"\xed\xa0\xbd"}', PAYLOAD),
    "UTF-16": (MEMBER.encode("utf-16"), AgentPoolMember),
    "128 levels": (nested(128), PAYLOAD),
    "5000 levels": (nested(5000), PAYLOAD),
    "200000 levels": (nested(200_000), PAYLOAD),
    "an unknown integer of 5000 digits": (joined(more=f',"x":{"1" * 5000}'), PAYLOAD),
    "no tag where only one kind can stand": ("{}", PoolCreated),
}

ACCEPTED: dict[str, tuple[str | bytes, Any]] = {
    "any order": ('{"agent_id":"a","run_id":"r"}', AgentPoolMember("r", "a")),
    "white space": ('\n{ "run_id" :\t"r" , "agent_id":"a" }\r\n ', AgentPoolMember("r", "a")),
    "an empty list written out": (
        '{"run_id":"r","agent_id":"a","topics":[]}',
        AgentPoolMember("r", "a"),
    ),
    "an optional null": ('{"kind":"host","id":"p","version":null}', PolicyRef(id="p")),
    "the greatest u64": ('{"sequence":18446744073709551615}', AgentPoolStoreCursor(2**64 - 1)),
    "the greatest u32": ('{"expected_responses":4294967295}', MessageResponseContract(2**32 - 1)),
    "zero": ('{"expected_responses":0,"timeout_millis":0}', MessageResponseContract(0, 0)),
    "unknown fields": (
        '{"run_id":"r","x":{"run_id":""},"agent_id":"a","y":[1.5,-0,null]}',
        AgentPoolMember("r", "a"),
    ),
    "an unknown field twice": (
        '{"run_id":"r","x":1,"agent_id":"a","x":2}',
        AgentPoolMember("r", "a"),
    ),
    "a tag that is not first": (TAG_LAST, JOINED),
    "127 levels": (nested(127), JOINED),
    "escapes": (
        '{"run_id":"\\u0072\\/","agent_id":"\\ud83d\\ude80"}',
        AgentPoolMember("r/", "\U0001f680"),
    ),
    "capital escapes": ('{"run_id":"\\u00E9","agent_id":"a"}', AgentPoolMember("é", "a")),
    "an empty correlation": ("{}", EventCorrelation()),
    "an empty text": ('{"kind":"host","id":"p","version":""}', PolicyRef(id="p", version="")),
    "bytes": (MEMBER.encode(), AgentPoolMember("r", "a")),
}


@pytest.mark.parametrize(("data", "type_"), REFUSED.values(), ids=REFUSED)
def test_refuses(data: str | bytes, type_: Any) -> None:
    with pytest.raises(InvalidValueError):
        decode(data, type_)


@pytest.mark.parametrize(("data", "value"), ACCEPTED.values(), ids=ACCEPTED)
def test_accepts(data: str | bytes, value: Any) -> None:
    decoded = decode(data, type(value))
    assert decoded == value
    assert encode(decoded) == encode(value)


def test_the_types_of_a_struct_are_known_from_its_definition_on() -> None:
    """A thread that decodes it while another is still learning them would crash the process."""

    class Late(Wire):
        value: int

    Late.__annotations__["value"] = "a name that nothing has"
    assert decode('{"value":1}', Late).value == 1


@pytest.mark.parametrize("name", ['a"b', "a\\b", "é", "plain"])
@pytest.mark.parametrize(
    "row",
    [
        lambda name: Contract(name, 1, 1),
        lambda name: InboxEntry(claimed_by=name),
        Asked,
    ],
)
def test_what_is_written_is_read_whatever_stands_in_it(
    row: Callable[[str], Wire], name: str
) -> None:
    written = row(name)
    assert decode(encode(written), type(written)) == written
