"""The bodies of messages: kept with the message that is sent, and read back."""

import builtins
from enum import Enum
from typing import Final, TypeVar, overload

from agentpool.rules.requirements import require_type
from agentpool.runtime.opened import OpenedPool
from agentpool.wire.bodies import encoded, json_of, text_of
from agentpool.wire.content import PIECE, Content
from agentpool.wire.records import RunMessage

__all__ = ("NO_BODY", "KeptBody", "MessageBody", "keep_body", "to_keep_with")

T = TypeVar("T")


class _Nothing(Enum):
    BODY = "no body"


NO_BODY: Final = _Nothing.BODY
"""What stands for no body, where ``None`` is one."""


class KeptBody(str):
    """The ref of a body that is kept already; sent in place of a body, it sends that one."""

    __slots__ = ()


async def keep_body(pool: OpenedPool, body: object) -> KeptBody:
    """Keep a body before it is sent, unless that was done."""
    if type(body) is KeptBody:
        return body
    data, media_type = encoded(body, pool.store.max_body)
    pool.refuse_closed()
    return KeptBody(await pool.store.put_content(data, media_type=media_type))


async def to_keep_with(
    pool: OpenedPool, content: Content | None, room: int = PIECE
) -> tuple[Content, ...]:
    """Say what is kept in the transaction of a message, which others wait for; or keep it before.

    :param room: how many bytes may be kept in it
    """
    if content is None:
        return ()
    if len(content.data) <= room:
        return (content,)
    pool.refuse_closed()
    await pool.store.put_content(content.data, media_type=content.media_type)
    return ()


class MessageBody:
    """The body of a message, to be read in one way or another, as often as one likes.

    Every method raises `ContentNotFoundError` where the message names content that this store does
    not keep, and `CorruptRecordError` where what it keeps was damaged. They change nothing, and
    leave nothing behind when they are cancelled.

    :ivar message: the message
    """

    def __init__(self, pool: OpenedPool, message: RunMessage) -> None:
        require_type(pool, OpenedPool, "pool")
        require_type(message, RunMessage, "message")
        self.message: Final[RunMessage] = message
        self._in_pool: Final = pool

    async def text(self) -> str:
        """Read the body as text.

        :raises InvalidValueError: it is no UTF-8
        """
        return text_of(await self.bytes(), self._what())

    @overload
    async def json(self) -> object: ...

    @overload
    async def json(self, type: type[T]) -> T: ...  # as msgspec calls it

    async def json(self, type: type[T] | None = None) -> T | object:  # noqa: A002
        """Read the body as JSON.

        :param type: what it has to be, such as a struct or a dataclass; ``None``: anything
        :raises InvalidValueError: it is no JSON, or none of that type
        """
        return json_of(await self.bytes(), self._what(), type)

    async def bytes(self) -> builtins.bytes:
        """Read the body as it is."""
        self._in_pool.refuse_closed()
        return await self._in_pool.store.get_content(self.message.content_ref)

    async def media_type(self) -> str:
        """Say what the body is: as what these bytes were kept first."""
        self._in_pool.refuse_closed()
        return await self._in_pool.store.content_type(self.message.content_ref)

    def _what(self) -> str:
        return f"the body of message {self.message.message_id!r}"
