"""Payloads are sealed so that a log never holds one that cannot be read, and opened with care."""

from typing import Any

import pytest
from msgspec.structs import replace
from samples import condition, member, message, open_record, receipt, registration

from agentpool import (
    AgentPoolStoreConfig,
    AgentPoolStoredMessage,
    AgentPoolStoredWake,
    CorruptRecordError,
    EventFilter,
    Include,
    InvalidValueError,
    MemberJoined,
    MemberLeft,
    MessageStatus,
    PoolCreated,
    PoolOpened,
    RunMessageRecorded,
    UnknownRecord,
    UnknownRecordError,
    WakeRecorded,
)
from agentpool.wire.payload import LONGEST, SealedPayload, open_payload, seal

MESSAGE = RunMessageRecorded(AgentPoolStoredMessage(message(), receipt()))
WAKE = WakeRecorded(AgentPoolStoredWake(condition(), condition().filter.compile(), registration()))
JOINED = MemberJoined(member())
OPENED = PoolOpened(AgentPoolStoreConfig())

PAYLOADS: dict[str, Any] = {
    "pool_opened": OPENED,
    "pool_created": PoolCreated(),
    "member_joined": JOINED,
    "member_left": MemberLeft(member()),
    "run_message": MESSAGE,
    "wake": WAKE,
}


class _Row(tuple[str, ...]):
    """A tuple of a type of its own."""

    __slots__ = ()


def changed(payload: Any, path: str, value: Any) -> Any:
    """Change a value behind the back of the checks, at a path of fields."""
    field, _, rest = path.partition(".")
    inner = changed(getattr(payload, field), rest, value) if rest else value
    return replace(payload, **{field: inner})


@pytest.mark.parametrize("kind", PAYLOADS)
def test_a_sealed_payload_can_be_opened(kind: str) -> None:
    sealed = seal(PAYLOADS[kind])
    assert isinstance(sealed, SealedPayload)
    assert sealed.kind == kind
    assert sealed.payload_json.startswith(f'{{"type":"{kind}"')
    raw = sealed.payload_json.encode()
    assert open_payload("pool", 1, kind, raw) == sealed.payload == PAYLOADS[kind]


ABUSE: dict[str, tuple[Any, str, Any]] = {
    "empty identifier": (JOINED, "member.run_id", ""),
    "control character": (JOINED, "member.run_id", "a\n"),
    "C1 control character": (JOINED, "member.run_id", "a\x85"),
    "DEL": (JOINED, "member.run_id", "a\x7f"),
    "too many bytes": (JOINED, "member.run_id", "é" * 257),
    "lone surrogate": (JOINED, "member.run_id", "\ud800"),
    "lone surrogate among topics": (JOINED, "member.topics", ("\ud800",)),
    "None for an identifier": (JOINED, "member.run_id", None),
    "number for an identifier": (JOINED, "member.run_id", 7),
    "text for a list": (JOINED, "member.topics", "ab"),
    "None for a list": (JOINED, "member.topics", None),
    "struct of another type": (JOINED, "member", AgentPoolStoreConfig()),
    "None for a struct": (JOINED, "member", None),
    "any object": (JOINED, "member", object()),
    "number for a bool": (OPENED, "config.wake_policy.envelope_only", 1),
    "unknown enum value": (MESSAGE, "stored.receipt.status", "lost"),
    "float for an integer": (WAKE, "stored.condition.timeout_millis", 1.0),
    "negative integer": (WAKE, "stored.condition.timeout_millis", -1),
    "capacity 0": (WAKE, "stored.condition.filter.queue.capacity", 0),
    "None for a filter set": (WAKE, "stored.condition.filter.run_ids", None),
    "control character in a filter set": (
        WAKE,
        "stored.condition.filter",
        replace(EventFilter(), run_ids=replace(Include(("r",)), include=("\x85",))),
    ),
}


@pytest.mark.parametrize(("payload", "path", "value"), ABUSE.values(), ids=ABUSE)
def test_what_could_not_be_read_back_is_not_sealed(payload: Any, path: str, value: Any) -> None:
    with pytest.raises(InvalidValueError):
        seal(changed(payload, path, value))


@pytest.mark.parametrize(
    "value", [None, "pool_created", object(), member(), UnknownRecord("k", "{}")]
)
def test_only_payloads_of_records_are_sealed(value: Any) -> None:
    with pytest.raises(InvalidValueError, match="expected the payload of a record"):
        seal(value)


def test_what_reads_back_in_another_form_is_sealed_in_that_form() -> None:
    sealed = seal(changed(JOINED, "member.topics", ["a", "b"]))
    assert sealed.payload == MemberJoined(member(topics=("a", "b")))
    sealed = seal(changed(MESSAGE, "stored.receipt.status", "delivered"))
    assert isinstance(sealed.payload, RunMessageRecorded)
    assert sealed.payload.stored.receipt.status is MessageStatus.DELIVERED


def test_an_optional_field_that_reads_as_its_default_is_written_as_such() -> None:
    empties: list[Any] = [[], _Row()]
    for empty in empties:
        sealed = seal(changed(JOINED, "member.topics", empty))
        assert sealed.payload_json == seal(JOINED).payload_json


MEMBER = '"member":{"run_id":"r","agent_id":"a"}'

CORRUPT: dict[str, str] = {
    "cut off": '{"type":"member_joined"',
    "empty": "",
    "another kind": '{"type":"pool_created"}',
    "missing field": '{"type":"member_joined"}',
    "identifier": '{"type":"member_joined","member":{"run_id":"","agent_id":"a"}}',
    "C1 control character": r'{"type":"member_joined","member":{"run_id":"\u0085","agent_id":"a"}}',
    "duplicate": f'{{"type":"member_joined",{MEMBER},{MEMBER}}}',
    "too deep": f'{{"type":"member_joined","x":{"[" * 9999}{"]" * 9999}}}',
    "lone surrogate": '{"type":"member_joined","x":"\ud800"}',
    "null": "null",
    "a number": "7",
    "no type": '{"member":{"run_id":"r","agent_id":"a"}}',
    "a long integer": f'{{"type":"member_joined",{MEMBER},"x":{"1" * 5000}}}',
}


@pytest.mark.parametrize("payload_json", CORRUPT.values(), ids=CORRUPT)
def test_a_corrupt_record_is_named_by_pool_and_number(payload_json: str) -> None:
    raw = payload_json.encode(errors="surrogatepass")
    with pytest.raises(CorruptRecordError) as caught:
        open_payload("pool.x", 41, "member_joined", raw)
    assert (caught.value.pool_id, caught.value.seq) == ("pool.x", 41)
    assert str(caught.value).startswith("pool 'pool.x', record 41: ")


def test_a_payload_that_is_no_text_is_corrupt() -> None:
    with pytest.raises(CorruptRecordError, match="payload_json is not text") as caught:
        open_payload("pool.x", 41, "member_joined", None)
    assert (caught.value.pool_id, caught.value.seq) == ("pool.x", 41)
    with pytest.raises(CorruptRecordError, match="payload_json is not text"):
        open_record("pool.x", 41, "member_joined", None, keep_unknown=True)


@pytest.mark.parametrize("raw", [b"\xff", b'{"type":"member_joined","x":"\xe9"}', b"\x80{}"])
def test_bytes_that_are_no_utf8_are_corrupt(raw: bytes) -> None:
    with pytest.raises(CorruptRecordError) as caught:
        open_payload("pool.x", 41, "member_joined", raw)
    assert (caught.value.pool_id, caught.value.seq) == ("pool.x", 41)


def test_a_record_in_other_bytes_is_read_all_the_same() -> None:
    spaced = '{ "member": {"agent_id":"a", "run_id":"é"}, "type":"member_joined", "new": 1 }'
    assert open_payload("p", 1, "member_joined", spaced.encode()) == MemberJoined(
        member("é", agent_id="a")
    )


@pytest.mark.parametrize("kind", ["new_kind", "", "POOL_CREATED"])
def test_an_unknown_kind_is_refused_or_kept(kind: str) -> None:
    with pytest.raises(UnknownRecordError, match=f"kind '{kind}'") as caught:
        open_record("pool.x", 41, kind, b"{}")
    assert (caught.value.pool_id, caught.value.seq) == ("pool.x", 41)
    record = open_record("pool.x", 41, kind, "not even JSON, é".encode(), keep_unknown=True)
    assert record.payload == UnknownRecord(kind, "not even JSON, é")
    assert (record.pool_id, record.cursor.sequence) == ("pool.x", 41)


@pytest.mark.parametrize(("raw", "text"), [(b"\xff{", "\ufffd{"), (None, "")])
def test_an_unknown_kind_is_kept_even_where_its_payload_is_no_text(
    raw: bytes | None, text: str
) -> None:
    record = open_record("pool.x", 41, "new_kind", raw, keep_unknown=True)
    assert record.payload == UnknownRecord("new_kind", text)


def test_keeping_unknown_kinds_changes_nothing_for_known_ones() -> None:
    raw = seal(JOINED).payload_json.encode()
    assert open_record("p", 1, "member_joined", raw, keep_unknown=True).payload == JOINED
    with pytest.raises(CorruptRecordError):
        open_record("p", 1, "member_joined", b"{}", keep_unknown=True)


def test_what_is_too_long_to_be_read_again_is_not_written() -> None:
    topics = tuple(f"topic.{number:0500}" for number in range(LONGEST // 1000))
    with pytest.raises(InvalidValueError, match=r"a record of 8,\d+,\d+ bytes; at most 8,388,608"):
        seal(MemberJoined(replace(member(), topics=topics)))
