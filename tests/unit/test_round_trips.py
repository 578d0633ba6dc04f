"""Whatever can be built can be written and read back; whatever was read is written the same."""

import json
from typing import Any, cast, get_args

import pytest
from fixture_files import compact
from hypothesis import given
from hypothesis import strategies as st
from strategies import identifiers, of, payloads, texts

from agentpool import (
    AgentPoolMember,
    AgentPoolStoreRecordPayload,
    EventEnvelope,
    EventFilter,
    InvalidValueError,
    decode,
    encode,
)
from agentpool.wire.ids import identifier_problem
from agentpool.wire.payload import open_payload, seal

PAYLOAD = cast("type[AgentPoolStoreRecordPayload]", AgentPoolStoreRecordPayload)


@pytest.mark.parametrize("kind", get_args(AgentPoolStoreRecordPayload))
@given(data=st.data())
def test_records_round_trip(kind: Any, data: st.DataObject) -> None:
    payload = data.draw(of(kind))
    raw = encode(payload)
    assert decode(raw, PAYLOAD) == payload
    assert encode(decode(raw, PAYLOAD)) == raw


@given(payload=payloads())
def test_records_are_sealed_in_the_bytes_that_they_are_encoded_in(
    payload: AgentPoolStoreRecordPayload,
) -> None:
    sealed = seal(payload)
    raw = sealed.payload_json.encode()
    assert raw == encode(payload)
    assert open_payload("p", 1, sealed.kind, raw) == payload


@given(payload=payloads())
def test_encoding_is_compact_json_with_only_the_escapes_that_json_needs(
    payload: AgentPoolStoreRecordPayload,
) -> None:
    raw = encode(payload)
    assert compact(json.loads(raw)) == raw


@given(payload=payloads(), space=st.sampled_from([" ", "\n", "\t "]))
def test_the_order_of_fields_and_white_space_do_not_matter(
    payload: AgentPoolStoreRecordPayload, space: str
) -> None:
    shuffled = json.dumps(json.loads(encode(payload)), sort_keys=True, indent=space)
    assert decode(shuffled, PAYLOAD) == payload
    assert encode(decode(shuffled, PAYLOAD)) == encode(payload)


@given(value=of(EventEnvelope) | of(EventFilter))
def test_envelopes_and_filters_round_trip(value: Any) -> None:
    raw = encode(value)
    assert decode(raw, type(value)) == value
    assert encode(decode(raw, type(value))) == raw


@given(text=texts())
def test_any_text_round_trips(text: str) -> None:
    assert decode(encode(text), str) == text


@given(text=identifiers() | texts() | st.text(max_size=3))
def test_api_and_decoder_agree_on_what_is_an_identifier(text: str) -> None:
    document = json.dumps({"run_id": text, "agent_id": "a"})
    if identifier_problem(text) is None:
        assert decode(document, AgentPoolMember) == AgentPoolMember(text, "a")
        return
    with pytest.raises(InvalidValueError):
        AgentPoolMember(text, "a")
    with pytest.raises(InvalidValueError):
        decode(document, AgentPoolMember)


@given(raw=st.binary(max_size=60) | st.text(max_size=60))
def test_no_input_raises_a_foreign_error(raw: bytes | str) -> None:
    with pytest.raises(InvalidValueError):
        decode(raw, PAYLOAD)


@given(payload=payloads(), data=st.data())
def test_damaged_records_are_read_or_refused_but_never_break(
    payload: AgentPoolStoreRecordPayload, data: st.DataObject
) -> None:
    raw = bytearray(encode(payload))
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] = data.draw(st.integers(0, 255))
    try:
        read = decode(bytes(raw), PAYLOAD)
    except InvalidValueError:
        return
    assert decode(encode(read), PAYLOAD) == read
