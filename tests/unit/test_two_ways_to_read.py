"""What is read, alone or with others, is read as if every token of it were looked at."""

from collections.abc import Iterator
from typing import Any, cast

import msgspec
import pytest
from hostile_values import ANYTHING, changed, tried, types_in
from hypothesis import example, given
from hypothesis import strategies as st
from samples import member, message, receipt
from strategies import payloads

from agentpool import (
    AgentPoolError,
    AgentPoolStoredMessage,
    AgentPoolStoreRecordPayload,
    InvalidValueError,
    MemberJoined,
    PolicyRef,
    RunAddress,
    RunMessage,
    RunMessageRecorded,
    decode,
    encode,
)
from agentpool.wire.codec import is_canonical
from agentpool.wire.ids import identifier_problem
from agentpool.wire.payload import KINDS, open_payload, open_records, readable, seal
from agentpool.wire.strict import check_document
from agentpool.wire.struct import checked, trusted

PAYLOAD = cast("type[AgentPoolStoreRecordPayload]", AgentPoolStoreRecordPayload)

# --- documents

SNIPPETS = [
    b" ", b"\n", b"\\u0061", b"\\u0000", b"\\n", b"\x7f", b"\xc2\x85", b"\xc2\xa0", b"\xc3\xa9",
    b"\xff", b"\xed\xa0\x80", b"-", b"-0", b"0", b".0", b"1", b"null", b"[]", b",", b'"', b"{",
    b"}",
    b'"topics":[],', b'"version":null,', b'"x":1,', b'"privacy":"public",', b"\xe2\x82\xac" * 171,
    b"\xe2\x82\xac" * 600, b"x" * 513,
]  # fmt: skip


@st.composite
def documents(draw: st.DrawFn) -> bytes:
    """Draw the JSON of a record, as it should be or damaged in a few places."""
    raw = encode(draw(payloads()))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(raw)))
        end = start + draw(st.sampled_from([0, 0, 1, 2, 20]))
        raw = raw[:start] + draw(st.sampled_from(SNIPPETS)) + raw[end:]
    return raw


def long_decode(raw: bytes, type_: Any) -> Any:
    """Decode, and look at every token."""
    try:
        value = msgspec.json.decode(raw, type=type_)
        check_document(raw, type_)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise InvalidValueError(str(error)) from error
    return value


@given(raw=documents())
def test_a_document_is_decoded_as_if_every_token_were_looked_at(raw: bytes) -> None:
    expected = tried(lambda: long_decode(raw, PAYLOAD))
    found = tried(lambda: decode(raw, PAYLOAD))
    assert isinstance(found, str) == isinstance(expected, str)
    if not isinstance(found, str):
        assert found == expected
        assert types_in(found) == types_in(expected)


@pytest.mark.parametrize("char", ["x", "é", "€", "\U0001f680", "\x85", "\xa0", "\x7f"])
@pytest.mark.parametrize("size", [1, 127, 128, 129, 170, 171, 255, 256, 257, 511, 512, 513, 2000])
@pytest.mark.parametrize("field", ["message_id", "sender"])
def test_identifiers_are_bounded_in_bytes(char: str, size: int, field: str) -> None:
    whole = changed(message(), **{field: char * size})
    raw = encode(whole)
    made = [
        tried(lambda: decode(raw, RunMessage)),
        tried(lambda: readable(whole, RunMessage)),
        tried(lambda: message(**{"idempotency_key": "key", field: char * size})),
    ]
    is_good = identifier_problem(char * size) is None
    assert [isinstance(each, RunMessage) for each in made] == [is_good] * 3


@pytest.mark.parametrize("char", ["é", "€", "\xa0"])
@pytest.mark.parametrize("size", [1, 600, 5000])
def test_text_that_is_not_of_ascii_goes_the_quick_way(char: str, size: int) -> None:
    ref = PolicyRef(id="p", version=char * size)
    assert is_canonical(encode(ref), ref)


# --- values on their way into a log


@st.composite
def records(draw: st.DrawFn) -> Any:
    """Draw a record of a message, with parts that were changed behind the back of the checks."""
    to, whole, told = RunAddress.run("run.b"), message(), receipt()
    parts: dict[str, tuple[Any, list[str]]] = {
        "target": (to.target, ["run_id"]),
        "destination": (to.destination_ref, ["kind", "id", "correlation", "redacted_summary"]),
        "message": (whole, [*RunMessage.__struct_fields__]),
        "receipt": (told, ["message_id", "status", "delivered_to", "journal_cursor"]),
    }
    for name in draw(st.sets(st.sampled_from(sorted(parts)), max_size=2)):
        value, fields = parts[name]
        field = draw(st.sampled_from(fields))
        try:
            parts[name] = changed(value, **{field: draw(ANYTHING)}), fields
        except ValueError:  # above the largest u64
            continue
    whole = parts["message"][0]
    if isinstance(whole.to, RunAddress):
        to = changed(to, target=parts["target"][0], destination_ref=parts["destination"][0])
        whole = changed(whole, to=to)
    return trusted(RunMessageRecorded, trusted(AgentPoolStoredMessage, whole, parts["receipt"][0]))


def long_seal(payload: RunMessageRecorded) -> tuple[Any, bytes]:
    """Encode and read back, and look at every token."""
    try:
        read_back = msgspec.json.decode(encode(payload), type=RunMessageRecorded)
        raw = encode(read_back)
        check_document(raw, RunMessageRecorded)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise InvalidValueError(str(error)) from error
    return read_back, raw


@given(payload=records())
def test_a_record_is_sealed_as_if_every_token_were_looked_at(payload: RunMessageRecorded) -> None:
    expected = tried(lambda: long_seal(payload))
    sealed = tried(lambda: seal(payload))
    if isinstance(expected, str):
        assert isinstance(sealed, str)
        return
    read_back, raw = expected
    assert sealed.payload == read_back
    assert types_in(sealed.payload) == types_in(read_back)
    assert sealed.payload_json.encode() == raw


def long_readable(value: RunMessage) -> RunMessage:
    """Look at every token, of what does not equal what is read back after checking its parts."""
    read_back = tried(lambda: long_decode(encode(value), RunMessage))
    if not isinstance(read_back, str) and read_back == value:
        return cast("RunMessage", read_back)
    return cast("RunMessage", long_decode(encode(checked(value)), RunMessage))


OF_BYTES = trusted(
    RunMessageRecorded,
    trusted(AgentPoolStoredMessage, changed(message(), message_id=b"a"), receipt()),
)
"""With an id that is none, though what JSON makes of it, ``YQ==``, is."""


@given(payload=records())
@example(payload=OF_BYTES)
def test_a_message_is_readable_as_if_every_token_were_looked_at(
    payload: RunMessageRecorded,
) -> None:
    changed_message = payload.stored.message
    expected = tried(lambda: long_readable(changed_message))
    found = tried(lambda: readable(changed_message, RunMessage))
    assert isinstance(found, str) == isinstance(expected, str)
    if not isinstance(found, str):
        assert found == expected
        assert types_in(found) == types_in(expected)


# --- many records at once


def _one_by_one(rows: list[tuple[int, str, bytes | None]]) -> Iterator[Any]:
    for seq, kind, raw in rows:
        yield seq, open_payload("p", seq, kind, raw)


def _taken(values: Iterator[Any]) -> tuple[list[Any], str]:
    taken = []
    try:
        for value in values:
            taken.append(value)  # noqa: PERF402  # what comes before an error counts
    except AgentPoolError as error:
        return taken, str(error)
    return taken, ""


A, B = (encode(MemberJoined(member(run_id))) for run_id in ("run.a", "run.b"))
JOINED = "member_joined"


@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from([*KINDS, "other"]) | st.just("member_joined"),
            st.none() | documents() | st.sampled_from([A, B, b"", A + b"\n" + B, A + B, b"\n" + A]),
        ),
        max_size=4,
    )
)
@example(rows=[(JOINED, A + b"\n" + B), (JOINED, b"")])
@example(rows=[(JOINED, A + b"\n" + B[:30]), (JOINED, B[30:])])
@example(rows=[(JOINED, A[:30]), (JOINED, A[30:] + b"\n" + B)])
@example(rows=[(JOINED, A), (JOINED, B.replace(b"run.b", b"run.\xc2\x85")), (JOINED, A)])
@example(rows=[(JOINED, A), ("member_left", B), (JOINED, A)])
@example(rows=[(JOINED, A), (JOINED, A[:-1] + b',"x":"' + b"\xff" + b'"}'), (JOINED, A)])
@example(rows=[(JOINED, A)] * 250 + [(JOINED, None)])
def test_many_records_are_read_as_one_by_one(rows: list[tuple[str, bytes | None]]) -> None:
    numbered = [(seq, kind, raw) for seq, (kind, raw) in enumerate(rows, 1)]
    found, error = _taken(iter(open_records("p", numbered)))
    expected, expected_error = _taken(_one_by_one(numbered))
    assert [(each.cursor.sequence, each.payload) for each in found] == expected
    assert error == expected_error
    assert all(each.pool_id == "p" for each in found)


@given(values=st.lists(payloads(), max_size=5))
def test_many_sealed_records_are_read_back(values: list[AgentPoolStoreRecordPayload]) -> None:
    sealed = [seal(value) for value in values]
    rows = [(seq, each.kind, each.payload_json.encode()) for seq, each in enumerate(sealed, 1)]
    assert [each.payload for each in open_records("p", rows)] == values


def test_a_row_of_another_kind_is_refused_whatever_stands_in_it() -> None:
    odd = encode(MemberJoined(member(policy_refs=(PolicyRef(id="p", version='"\n'),))))
    [record] = open_records("p", [(1, JOINED, odd)])
    assert encode(record.payload) == odd
    for kind in ("member_left", "other"):
        rows = [(1, JOINED, A), (2, kind, odd)]
        assert _taken(iter(open_records("p", rows)))[0] == [*open_records("p", rows[:1])]
