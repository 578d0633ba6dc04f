"""What tools say: JSON in few words, and what was left out.

It is no longer than was asked for, as it is written: unless one row alone is, for there is one in
any case.
"""

import json
from base64 import b64encode
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Final, NamedTuple, TypeAlias

from agentpool import AgentPool, ContentNotFoundError, RunMessage
from agentpool.errors import AgentPoolError, CorruptRecordError, RetryClassification
from agentpool.faces.mail import Letter, is_urgent

__all__ = (
    "Answer",
    "Headed",
    "body_within",
    "fitting",
    "header_of",
    "listed",
    "message_words",
    "rows_within",
    "said",
    "trouble",
    "with_bodies",
)

Answer: TypeAlias = dict[str, object]

_MOST_LISTED: Final = 20
_MOST_OF_ERROR: Final = 2000
_LEAST_BESIDE_REF: Final = 100
"""Room for how to read on, and for a few words of what is read."""


class Headed(NamedTuple):
    """A message, and what is said of it besides its body."""

    words: Answer
    message: RunMessage


def said(answer: Answer) -> str:
    """Write an answer; what has nothing to say is left out."""
    return _written(_told(answer))


def _written(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _told(value: object) -> object:
    if isinstance(value, dict):
        told = {name: _told(each) for name, each in value.items()}
        return {name: each for name, each in told.items() if each not in (None, [])}
    return [_told(each) for each in value] if isinstance(value, list) else value


def trouble(error: AgentPoolError) -> str:
    """Say what is wrong, in the words of the library, and whether to try again."""
    again = " (try again)" if error.retry is RetryClassification.RETRYABLE else ""
    return f"{str(error)[:_MOST_OF_ERROR]}{again}"


def listed(values: Iterable[str]) -> list[str]:
    """List the first of many names, and say how many more there are."""
    names = list(values)
    more = len(names) - _MOST_LISTED
    return names if more <= 0 else [*names[:_MOST_LISTED], f"... {more} more"]


def header_of(letter: Letter) -> Answer:
    """Describe a message in an inbox, without its body."""
    state = str(letter.state)
    return {
        **message_words(letter.message),
        "state": None if state == "waiting" else state,
        "claim": letter.claim,
    }


def message_words(message: RunMessage) -> Answer:
    """Describe a message to whom received it."""
    return {
        "message": message.message_id,
        "from": message.sender,
        "urgent": True if is_urgent(message) else None,
        "reply_to": message.reply_to,
        "wants_reply": True if message.response_contract is not None else None,
    }


def rows_within(rows: Iterable[Answer], max_chars: int) -> Iterator[Answer]:
    """Give rows as long as there is room for them; the first in any case."""
    room = max_chars
    for number, row in enumerate(rows):
        room -= len(said(row)) + 1
        if room < 0 and number:
            return
        yield row


def text_within(ref: str, text: str, offset: int, room: int) -> Answer:
    """Give a part of a text, and say how to get what follows."""
    piece = text[offset : offset + room]  # as there is no room for more
    if offset + len(piece) >= len(text) and len(said({"text": piece})) <= room:
        return {"text": piece}
    piece = _first(piece, room - len(said({"text": "", "cut": _cut(ref, len(text), text)})))
    end = offset + len(piece)
    return {"text": piece, "cut": _cut(ref, end, text)}


def data_within(ref: str, data: bytes, offset: int, room: int) -> Answer:
    """Give a part of a body; one that is no text as Base64, where four characters are three bytes.

    :param offset: in characters of the text, or in bytes of what is none
    """
    try:
        return text_within(ref, data.decode(), offset, room)
    except UnicodeDecodeError:
        pass
    room -= len(said({"base64": "", "cut": _cut(ref, len(data), data)}))
    piece = data[offset : offset + room // 4 * 3]
    end = offset + len(piece)
    cut = _cut(ref, end, data) if end < len(data) else None
    return {"base64": b64encode(piece).decode(), "cut": cut}


def _cut(ref: str, end: int, whole: str | bytes) -> str:
    unit = "characters" if isinstance(whole, str) else "bytes"
    return f"{end} of {len(whole)} {unit}; content(ref={ref!r}, offset={end}) has more"


def _first(text: str, room: int) -> str:
    """Give the start of a text that there is room for once it is written as JSON."""
    text = text[:room]
    sizes = range(len(text) + 1)
    return text[: bisect_right(sizes, room, key=lambda size: len(_written(text[:size])) - 2) - 1]


def least_room(ref: str) -> int:
    """Say how much room a body needs at least, whatever it is: for a few words, and its ref."""
    return len(said({"content_ref": ref})) + _LEAST_BESIDE_REF


async def body_within(pool: AgentPool, ref: str, room: int, offset: int = 0) -> Answer:
    """Read a part of a body.

    :param room: characters of the answer; with less than `least_room`, it has that much
    :raises ContentNotFoundError: the store keeps nothing under its ref
    """
    room = max(room, least_room(ref))
    return data_within(ref, await pool.store.get_content(ref), offset, room)


async def body_of(pool: AgentPool, message: RunMessage, room: int) -> Answer:
    """Read the body of a message; of one that is kept elsewhere, or damaged, tell that instead."""
    ref = message.content_ref
    try:
        return await body_within(pool, ref, room)
    except ContentNotFoundError:
        return {"content_ref": ref}
    except CorruptRecordError as error:  # which is to stop none of the others
        room = max(room, least_room(ref)) - len(said({"content_ref": ref, "unreadable": ""}))
        return {"content_ref": ref, "unreadable": _first(trouble(error), room)}


def fitting(headed: Iterable[Headed], max_chars: int) -> int:
    """Say of how many messages there is room for at least a few words; of one in any case."""
    rooms = accumulate(_least(each) for each in headed)
    return max(1, sum(room <= max_chars for room in rooms))


async def with_bodies(pool: AgentPool, headed: Sequence[Headed], max_chars: int) -> list[Answer]:
    """Read the bodies of messages; the room that one leaves is shared by those behind it."""
    rows: list[Answer] = []
    spare = max_chars - sum(map(_least, headed))
    for left, each in zip(range(len(headed), 0, -1), headed, strict=True):
        room = _least(each) + max(spare, 0) // left
        body = await body_of(pool, each.message, room - len(said(each.words)))
        rows.append({**each.words, **body})
        spare += _least(each) - len(said(rows[-1])) - 1
    return rows


def _least(headed: Headed) -> int:
    return len(said(headed.words)) + least_room(headed.message.content_ref)
