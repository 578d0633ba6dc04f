"""What is an identifier, at the API and in a document."""

import sys
import unicodedata
from typing import Any

import pytest

from agentpool import AgentPoolMember, InvalidValueError, decode, encode
from agentpool.wire.ids import MAX_IDENTIFIER_BYTES, check_identifier, check_u64, identifier_problem

CONTROL_CHARACTERS = [
    char for char in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(char) == "Cc"
]

ACCEPTED = {
    "one character": "a",
    "512 bytes of ASCII": "x" * 512,
    "512 bytes in 256 characters": "é" * 256,
    "512 bytes in 128 characters": "\U0001f680" * 128,
    "spaces": " ",
    "quotes and slashes": '"\\/',
    "no-break space, the first after C1": "\xa0",
    "tilde, the last before DEL": "~",
    "line separator": "\u2028",
    "byte order mark": "\ufeff",
    "private use": "\ue000",
    "unassigned": "\U000e0fff",
    "unpaired combining mark": "\u0301",
}

REFUSED = {
    "empty": "",
    "513 bytes of ASCII": "x" * 513,
    "514 bytes in 257 characters": "é" * 257,
    "513 bytes in 258 characters": "é" * 255 + "xxx",
    "516 bytes in 129 characters": "\U0001f680" * 129,
    "a high surrogate": "a\ud83d",
    "a low surrogate": "\ude80b",
    "a surrogate pair as two": "\ud83d\ude80",
    "a control character behind a space of another kind": "a\xa0\x85",
}


def in_document(identifier: str) -> bytes:
    """Write a member by hand, with every character of its run id escaped."""
    units = identifier.encode("utf-16-be", "surrogatepass").hex()
    escaped = "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))
    return b'{"run_id":"%s","agent_id":"a"}' % escaped.encode()


@pytest.mark.parametrize("identifier", ACCEPTED.values(), ids=ACCEPTED)
def test_accepts(identifier: str) -> None:
    check_identifier(identifier, "run_id")
    member = AgentPoolMember(identifier, "a")
    assert decode(in_document(identifier), AgentPoolMember) == member
    assert decode(encode(member), AgentPoolMember) == member


@pytest.mark.parametrize("identifier", REFUSED.values(), ids=REFUSED)
def test_refuses_at_the_api(identifier: str) -> None:
    with pytest.raises(InvalidValueError, match="run_id"):
        check_identifier(identifier, "run_id")
    with pytest.raises(InvalidValueError, match=r"AgentPoolMember.*run_id"):
        AgentPoolMember(identifier, "a")


@pytest.mark.parametrize(
    "identifier", [value for value in REFUSED.values() if value != "\ud83d\ude80"]
)
def test_refuses_when_decoded(identifier: str) -> None:
    with pytest.raises(InvalidValueError):
        decode(in_document(identifier), AgentPoolMember)


def test_unicode_has_65_control_characters() -> None:
    assert [ord(char) for char in CONTROL_CHARACTERS] == [*range(0x20), *range(0x7F, 0xA0)]


@pytest.mark.parametrize("char", CONTROL_CHARACTERS, ids=lambda char: f"U+{ord(char):04X}")
@pytest.mark.parametrize("place", [0, 1, 2])
def test_refuses_every_control_character_everywhere(char: str, place: int) -> None:
    identifier = "ab"[:place] + char + "ab"[place:]
    problem = f"control character U\\+{ord(char):04X} at index {place}"
    with pytest.raises(InvalidValueError, match=problem):
        AgentPoolMember(identifier, "a")
    with pytest.raises(InvalidValueError, match=f"{problem} - at `\\$.run_id`"):
        decode(in_document(identifier), AgentPoolMember)


def test_refuses_a_raw_del_that_json_does_not_escape() -> None:
    with pytest.raises(InvalidValueError, match=r"U\+007F"):
        decode('{"run_id":"a\x7f","agent_id":"a"}', AgentPoolMember)


@pytest.mark.parametrize("value", [None, 7, b"a", ["a"]])
def test_refuses_what_is_no_string(value: Any) -> None:
    with pytest.raises(InvalidValueError, match="run_id: expected a string"):
        check_identifier(value, "run_id")
    with pytest.raises(InvalidValueError, match="run_id"):
        AgentPoolMember(value, "a")


def test_tells_the_length_in_bytes() -> None:
    assert MAX_IDENTIFIER_BYTES == 512
    assert identifier_problem("é" * 257) == "identifier length 514 exceeds 512 bytes of UTF-8"


def test_a_u64_ends_at_its_greatest_value() -> None:
    check_u64(None, "field")
    check_u64(2**64 - 1, "field")
    with pytest.raises(ValueError, match="field: 18446744073709551616 exceeds"):
        check_u64(2**64, "field")
