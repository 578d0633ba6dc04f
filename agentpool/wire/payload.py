"""Record payloads as they stand in a log: sealed on their way in, opened on their way out."""

from collections.abc import Callable, Iterator, Sequence
from operator import ne
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

import msgspec

from agentpool.errors import CorruptRecordError, InvalidValueError, UnknownRecordError
from agentpool.wire.codec import decode, decoder, encode, is_canonical, is_plain
from agentpool.wire.records import (
    AgentPoolStoreRecord,
    AgentPoolStoreRecordPayload,
    MemberJoined,
    MemberLeft,
    PoolCreated,
    PoolOpened,
    RunMessageRecorded,
    UnknownRecord,
    WakeRecorded,
    record_at,
)
from agentpool.wire.strict import check_document
from agentpool.wire.struct import Wire, trusted

__all__ = (
    "KINDS",
    "SealedPayload",
    "open_payload",
    "open_record",
    "open_records",
    "readable",
    "seal",
    "seal_known",
)

W = TypeVar("W", bound=Wire)

KINDS: Final[dict[str, type[AgentPoolStoreRecordPayload]]] = {
    "pool_opened": PoolOpened,
    "pool_created": PoolCreated,
    "member_joined": MemberJoined,
    "member_left": MemberLeft,
    "run_message": RunMessageRecorded,
    "wake": WakeRecorded,
}
_TAGS: Final = {type_: kind for kind, type_ in KINDS.items()}
_DECODE: Final[dict[str, Callable[[bytes], Any]]] = {
    kind: decoder(type_) for kind, type_ in KINDS.items()
}

_DECODE_LINES: Final = msgspec.json.Decoder(AgentPoolStoreRecordPayload).decode_lines
_ENCODE_LINES: Final = msgspec.json.Encoder().encode_lines
_AT_ONCE: Final = 100  # the interpreter lock is held for these, some 200 microseconds

Row: TypeAlias = tuple[int, str, bytes | None]
"""A stored record: its number, its kind and its JSON, ``None`` where that is no text."""


class SealedPayload(NamedTuple):
    """A payload with its canonical JSON, which is known to read back as the same payload."""

    payload: AgentPoolStoreRecordPayload
    kind: str
    payload_json: str


def seal(payload: AgentPoolStoreRecordPayload) -> SealedPayload:
    """Encode a payload and read it back, so that no log ever holds one that cannot be read.

    :raises InvalidValueError: what was encoded would not be read back
    """
    kind = _TAGS.get(type(payload))
    if kind is None:
        msg = f"expected the payload of a record, got {type(payload).__name__}"
        raise InvalidValueError(msg)
    raw = encode(payload)
    try:
        read_back = _DECODE[kind](raw)
        if read_back != payload:
            raw = encode(read_back)
        if not is_plain(raw):
            check_document(raw, KINDS[kind])
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise InvalidValueError(str(error)) from error
    return SealedPayload(read_back, kind, raw.decode())


def seal_known(payload: AgentPoolStoreRecordPayload) -> SealedPayload:
    """Encode a payload whose parts were read from a log, or by `readable`."""
    return SealedPayload(payload, _TAGS[type(payload)], encode(payload).decode())


def readable(value: W, type_: type[W]) -> W:
    """Write a value and read it back as its type: what comes out can stand in any record.

    :raises InvalidValueError: what was encoded would not be read back
    """
    return decode(encode(value), type_)


def open_payload(pool_id: str, seq: int, kind: str, raw: bytes | None) -> Any:
    """Read the payload of a stored record.

    :param raw: its JSON; ``None`` where what is stored is not even text

    :raises UnknownRecordError: its kind is not known here
    :raises CorruptRecordError: it cannot be read
    """
    decode_kind = _DECODE.get(kind)
    if decode_kind is None:
        msg = f"this version knows no record of kind {kind!r}"
        raise UnknownRecordError(msg, pool_id=pool_id, seq=seq)
    if raw is None:
        msg = "payload_json is not text"
        raise CorruptRecordError(msg, pool_id=pool_id, seq=seq)
    try:
        payload = decode_kind(raw)
        if not is_canonical(raw, payload):
            check_document(raw, KINDS[kind])
        return payload
    except InvalidValueError as error:
        raise CorruptRecordError(error.message, pool_id=pool_id, seq=seq) from error
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise CorruptRecordError(str(error), pool_id=pool_id, seq=seq) from error


def open_records(
    pool_id: str, rows: Sequence[Row], *, keep_unknown: bool = False
) -> Iterator[AgentPoolStoreRecord]:
    """Read stored records in order, each as `open_record` does; ends with the first error."""
    for start in range(0, len(rows), _AT_ONCE):
        some = rows[start : start + _AT_ONCE]
        payloads = _open_at_once(some)
        if payloads is None:
            for row in some:
                yield open_record(pool_id, *row, keep_unknown=keep_unknown)
        else:
            for (seq, _, _), payload in zip(some, payloads, strict=True):
                yield record_at(pool_id, seq, payload)


def _open_at_once(rows: Sequence[Row]) -> list[AgentPoolStoreRecordPayload] | None:
    """Read rows as lines of one text, or none of them where one may need a look of its own.

    No line that was written here has a line break in it. So where the lines are the same bytes
    again, there was none in a row either, and each line is what its row holds.
    """
    _, kinds, texts = zip(*rows, strict=True)
    try:
        lines = b"\n".join((*texts, b""))
        payloads = _DECODE_LINES(lines)
    except (TypeError, msgspec.MsgspecError, UnicodeError, RecursionError):
        return None  # one after another, they say which it is
    if not is_plain(lines) or _ENCODE_LINES(payloads) != lines:
        return None
    if any(map(ne, kinds, map(_TAGS.get, map(type, payloads)))):
        return None  # a row of one kind with the payload of another
    return payloads


def open_record(
    pool_id: str, seq: int, kind: str, raw: bytes | None, *, keep_unknown: bool = False
) -> AgentPoolStoreRecord:
    """Read a stored record, as `open_payload` does.

    :param keep_unknown: give a record of an unknown kind back as `UnknownRecord`
    """
    if keep_unknown and kind not in KINDS:
        text = (raw or b"").decode(errors="replace")
        return record_at(pool_id, seq, trusted(UnknownRecord, kind, text))
    return record_at(pool_id, seq, open_payload(pool_id, seq, kind, raw))
