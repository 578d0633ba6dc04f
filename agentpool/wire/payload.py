"""Record payloads as they stand in a log: sealed on their way in, opened on their way out."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeVar

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
    kind: decoder(type_).decode for kind, type_ in KINDS.items()
}


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
        if is_canonical(raw, payload):
            return payload
        return decode(raw, KINDS[kind])
    except InvalidValueError as error:
        raise CorruptRecordError(error.message, pool_id=pool_id, seq=seq) from error
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise CorruptRecordError(str(error), pool_id=pool_id, seq=seq) from error


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
