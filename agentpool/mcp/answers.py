"""What tools say: JSON in few words, never longer than was asked for, and what was left out."""

import json
from base64 import b64encode
from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

from agentpool import AgentPool, ContentNotFoundError, RunMessage
from agentpool.errors import AgentPoolError, CorruptRecordError, RetryClassification
from agentpool.faces.mail import Letter, is_urgent

__all__ = (
    "Answer",
    "body_of",
    "body_within",
    "header_of",
    "listed",
    "message_words",
    "rows_within",
    "said",
    "text_within",
    "trouble",
)

Answer: TypeAlias = dict[str, object]

_MOST_LISTED: Final = 20
_MOST_OF_ERROR: Final = 2000


def said(answer: Answer) -> str:
    """Write an answer; what has nothing to say is left out."""
    return json.dumps(_told(answer), ensure_ascii=False, separators=(",", ":"))


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
    piece = text[offset : offset + room]
    end = offset + len(piece)
    if end >= len(text):
        return {"text": piece}
    rest = f"{end} of {len(text)} characters; content(ref={ref!r}, offset={end}) has more"
    return {"text": piece, "cut": rest}


def data_within(ref: str, data: bytes, offset: int, room: int) -> Answer:
    """Give a part of a body; one that is no text as Base64, where four characters are three bytes.

    :param offset: in characters of the text, or in bytes of what is none
    """
    try:
        return text_within(ref, data.decode(), offset, room)
    except UnicodeDecodeError:
        pass
    piece = data[offset : offset + room // 4 * 3]
    end = offset + len(piece)
    rest = f"{end} of {len(data)} bytes; content(ref={ref!r}, offset={end}) has more"
    return {"base64": b64encode(piece).decode(), "cut": rest if end < len(data) else None}


async def body_within(pool: AgentPool, ref: str, room: int, offset: int = 0) -> Answer:
    """Read a part of a body.

    :raises ContentNotFoundError: the store keeps nothing under its ref
    """
    return data_within(ref, await pool.store.get_content(ref), offset, room)


async def body_of(pool: AgentPool, message: RunMessage, room: int) -> Answer:
    """Read the body of a message; of one that is kept elsewhere, or damaged, tell that instead."""
    try:
        return await body_within(pool, message.content_ref, room)
    except ContentNotFoundError:
        return {"content_ref": message.content_ref}
    except CorruptRecordError as error:  # which is to stop none of the others
        return {"content_ref": message.content_ref, "unreadable": trouble(error)}
