"""Record payloads as they stand in a log: sealed on their way in, opened on their way out."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import repeat
from operator import itemgetter
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

import msgspec

from agentpool.errors import CorruptRecordError, InvalidValueError, UnknownRecordError
from agentpool.wire.codec import decode, decoder, encode, is_canonical, is_plain
from agentpool.wire.records import (
    AgentPoolStoreCursor,
    AgentPoolStoreRecord,
    AgentPoolStoreRecordPayload,
    MemberJoined,
    MemberLeft,
    PoolCreated,
    PoolOpened,
    RunMessageRecorded,
    UnknownRecord,
    WakeRecorded,
)
from agentpool.wire.strict import check_document
from agentpool.wire.struct import Wire, checked, trusted

__all__ = (
    "AT_ONCE",
    "KINDS",
    "LONGEST",
    "Lines",
    "SealedPayload",
    "open_each",
    "open_lines",
    "open_payload",
    "open_payloads",
    "open_records",
    "readable",
    "records_at",
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
_TAG_LINES: Final = {type_: kind.encode() for kind, type_ in KINDS.items()}
_DECODE: Final[dict[str, Callable[[bytes], Any]]] = {
    kind: decoder(type_) for kind, type_ in KINDS.items()
}

_DECODE_LINES: Final = msgspec.json.Decoder(AgentPoolStoreRecordPayload).decode_lines
_ENCODE_LINES: Final = msgspec.json.Encoder().encode_lines
_UNREADABLE: Final = (
    InvalidValueError,
    msgspec.MsgspecError,
    UnicodeError,
    RecursionError,
    TypeError,  # a payload that is no text
)
LONGEST: Final = 2**24
"""Characters of the longest payload that is read; half of it may be written, as what follows from a
record repeats it."""
AT_ONCE: Final = 100
"""So many records are read at once; the interpreter lock is held for these, some 300 us."""

Row: TypeAlias = tuple[int, str, bytes | None]
"""A stored record: number, kind and JSON; ``None`` where that is no text, or too long."""


class Lines(NamedTuple):
    """Stored records as two texts: their kinds and their JSON, each of them a line.

    :ivar number: how many records they are
    """

    number: int
    kinds: bytes
    texts: bytes


class SealedPayload(NamedTuple):
    """A payload with its canonical JSON, which is known to read back as the same payload."""

    payload: AgentPoolStoreRecordPayload
    kind: str
    payload_json: str


def seal(payload: AgentPoolStoreRecordPayload) -> SealedPayload:
    """Encode a payload and read it back, so that no log ever holds one that cannot be read.

    :raises InvalidValueError: what was encoded would not be read back, or is very long
    """
    kind = _TAGS.get(type(payload))
    if kind is None:
        msg = f"expected the payload of a record, got {type(payload).__name__}"
        raise InvalidValueError(msg)
    raw = encode(payload)
    try:
        read_back = _DECODE[kind](raw)
        # What is equal is written alike, but for an empty tuple of a type of its own, which stays.
        if read_back != payload or raw.find(b"[]") >= 0:
            raw = encode(read_back)
        if not is_plain(raw):
            check_document(raw, KINDS[kind])
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise InvalidValueError(str(error)) from error
    _refuse_longer(raw, LONGEST // 2)
    return SealedPayload(read_back, kind, raw.decode())


def _refuse_longer(raw: bytes, most: int) -> None:
    if len(raw) > most:
        msg = f"a record of {len(raw):,} bytes; at most {most:,} can be kept as one"
        raise InvalidValueError(msg)


def seal_known(payload: AgentPoolStoreRecordPayload) -> SealedPayload:
    """Encode a payload whose parts were read from a log, or by `readable`.

    :raises InvalidValueError: it is too long to be read again
    """
    raw = encode(payload)
    _refuse_longer(raw, LONGEST)
    return SealedPayload(payload, _TAGS[type(payload)], raw.decode())


def readable(value: W, type_: type[W]) -> W:
    """Write a value and read it back as its type: what comes out can stand in any record.

    :raises InvalidValueError: what was encoded would not be read back
    """
    try:
        raw = encode(value)
        read: W = decoder(type_)(raw)
        # Its fields are all there, each once, and equal parts of the same types are written alike.
        if read == value:
            if not is_plain(raw):
                check_document(raw, type_)
            return read
    except Exception:  # noqa: BLE001, S110  # also of parts that cannot be compared
        pass  # the long way says what is wrong
    return decode(encode(checked(value)), type_)


def open_payload(pool_id: str, seq: int, kind: str, raw: bytes | None) -> Any:
    """Read the payload of a stored record.

    :param raw: its JSON; ``None`` where what is stored is not even text, or too long

    :raises UnknownRecordError: its kind is not known here
    :raises CorruptRecordError: it cannot be read
    """
    decode_kind = _DECODE.get(kind)
    if decode_kind is None:
        msg = f"this version knows no record of kind {kind!r}"
        raise UnknownRecordError(msg, pool_id=pool_id, seq=seq)
    if raw is None:
        msg = f"payload_json is not text, or has more than {LONGEST:,} characters"
        raise CorruptRecordError(msg, pool_id=pool_id, seq=seq)
    try:
        payload = decode_kind(raw)
        if not is_canonical(raw, payload):
            check_document(raw, KINDS[kind])
    except InvalidValueError as error:
        raise CorruptRecordError(error.message, pool_id=pool_id, seq=seq) from error
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise CorruptRecordError(str(error), pool_id=pool_id, seq=seq) from error
    return payload


def open_payloads(
    pool_id: str, rows: Sequence[Row], *, keep_unknown: bool = False
) -> Iterator[AgentPoolStoreRecordPayload | UnknownRecord]:
    """Read the payloads of stored records in order, as `open_payload` does, up to an error.

    :param keep_unknown: give a payload of an unknown kind back as `UnknownRecord`
    """
    for start in range(0, len(rows), AT_ONCE):
        some = rows[start : start + AT_ONCE]
        payloads = _open_at_once(some)
        if payloads is not None:
            yield from payloads
            continue
        for seq, kind, raw in some:
            if keep_unknown and kind not in KINDS:
                text = (raw or b"").decode(errors="replace")
                yield trusted(UnknownRecord, kind, text)
            else:
                yield open_payload(pool_id, seq, kind, raw)


def _open_at_once(rows: Sequence[Row]) -> list[AgentPoolStoreRecordPayload] | None:
    _, kinds, texts = zip(*rows, strict=True)
    try:
        return open_lines(Lines(len(rows), "\n".join(kinds).encode(), b"\n".join(texts)))
    except _UNREADABLE:
        return None  # alone, it says what is wrong with it


def open_lines(lines: Lines) -> list[AgentPoolStoreRecordPayload] | None:
    """Read many records at once; ``None`` where one of them is not as it is written here.

    No line that is written has a line break in it. So where the lines are the same bytes again, as
    many as there are records, no record had one either, each line is what its record holds, and
    only its strings may need a look. With the kinds it is the same.
    """
    text = lines.texts + b"\n"
    try:
        payloads = _DECODE_LINES(text)
        kinds = b"\n".join(map(_TAG_LINES.__getitem__, map(type, payloads)))
        if len(payloads) != lines.number or kinds != lines.kinds or _ENCODE_LINES(payloads) != text:
            return None
        if not is_plain(text):
            for payload, line in zip(payloads, lines.texts.split(b"\n"), strict=True):
                if not is_plain(line):
                    check_document(line, type(payload))
    except _UNREADABLE:
        return None
    return payloads


def open_each(
    pool_id: str, rows: Sequence[Row]
) -> Iterator[AgentPoolStoreRecordPayload | CorruptRecordError | UnknownRecordError]:
    """Read the payloads of stored records in order; for one that cannot be read, its error."""
    for start in range(0, len(rows), AT_ONCE):
        some = rows[start : start + AT_ONCE]
        payloads = _open_at_once(some)
        if payloads is not None:
            yield from payloads
        else:
            yield from (_open_or_say_why(pool_id, row) for row in some)


def _open_or_say_why(
    pool_id: str, row: Row
) -> AgentPoolStoreRecordPayload | CorruptRecordError | UnknownRecordError:
    try:
        payload: AgentPoolStoreRecordPayload = open_payload(pool_id, *row)
    except (CorruptRecordError, UnknownRecordError) as error:
        return error
    return payload


def open_records(
    pool_id: str, rows: Sequence[Row], *, keep_unknown: bool = False
) -> Iterator[AgentPoolStoreRecord]:
    """Read stored records in order, as `open_payloads` does."""
    payloads = open_payloads(pool_id, rows, keep_unknown=keep_unknown)
    return records_at(pool_id, map(itemgetter(0), rows), payloads)


def records_at(
    pool_id: str,
    numbers: Iterable[int],
    payloads: Iterable[AgentPoolStoreRecordPayload | UnknownRecord],
) -> Iterator[AgentPoolStoreRecord]:
    """Put payloads at their places in a log."""
    # Without a frame of Python for each record.
    cursors = map(trusted, repeat(AgentPoolStoreCursor), numbers)
    return map(trusted, repeat(AgentPoolStoreRecord), repeat(pool_id), cursors, payloads)
