"""The bodies of messages and events: kept with what is sent or published, and read back."""

import builtins
from enum import Enum
from typing import Final, TypeAlias, TypeVar, overload

from agentpool.errors import InvalidValueError
from agentpool.rules.requirements import require_type
from agentpool.rules.waits import WakeOutcome
from agentpool.runtime.opened import OpenedPool
from agentpool.wire.bodies import content_of, encoded, json_of, text_of
from agentpool.wire.content import PIECE, Content
from agentpool.wire.events import EventEnvelope
from agentpool.wire.records import RunMessage

__all__ = (
    "NO_BODY",
    "HasBody",
    "KeptBody",
    "MessageBody",
    "keep_body",
    "ref_and_content",
    "to_keep_with",
)

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


def ref_and_content(body: object, max_body: int) -> tuple[str, Content | None]:
    """Give the ref of a body, and what is to be kept under it; ``None``: it is kept already.

    :raises InvalidValueError: it is no body, or has more bytes than one may have
    """
    if type(body) is KeptBody:
        return str(body), None
    content = content_of(body, max_body)
    return content.ref, content


async def to_keep_with(
    pool: OpenedPool, content: Content | None, room: int = PIECE
) -> tuple[Content, ...]:
    """Say what is kept in a transaction that others wait for, of a message; or keep it before.

    :param room: how many bytes may be kept in it
    """
    if content is None:
        return ()
    if len(content.data) <= room:
        return (content,)
    pool.refuse_closed()
    await pool.store.put_content(content.data, media_type=content.media_type)
    return ()


HasBody: TypeAlias = RunMessage | EventEnvelope | WakeOutcome
"""What a body comes with; an event, and the outcome of a wait for one, need not have any."""
_HAVE_BODIES: Final = (RunMessage, EventEnvelope, WakeOutcome)


class MessageBody:
    """The body of a message or an event, to be read in one way or another, as often as one likes.

    Every method raises `ContentNotFoundError` where this store keeps nothing under the ref, and
    `CorruptRecordError` where what it keeps was damaged. They change nothing, and leave nothing
    behind when they are cancelled.

    :ivar content_ref: under which the body is kept
    """

    def __init__(self, pool: OpenedPool, of: HasBody) -> None:
        require_type(pool, OpenedPool, "pool")
        self._in_pool: Final = pool
        self._what = _named(of)
        ref = of.content_ref
        if ref is None:
            msg = f"of: {self._what} is not there; see `content_ref` first, which is None then"
            raise InvalidValueError(msg)
        self.content_ref: Final = ref

    async def text(self) -> str:
        """Read the body as text.

        :raises InvalidValueError: it is no UTF-8
        """
        return text_of(await self.bytes(), self._what)

    @overload
    async def json(self) -> object: ...

    @overload
    async def json(self, type: type[T]) -> T: ...  # as msgspec calls it

    async def json(self, type: type[T] | None = None) -> T | object:  # noqa: A002
        """Read the body as JSON.

        :param type: what it has to be, such as a struct or a dataclass; ``None``: anything
        :raises InvalidValueError: it is no JSON, or none of that type
        """
        return json_of(await self.bytes(), self._what, type)

    async def bytes(self) -> builtins.bytes:
        """Read the body as it is."""
        self._in_pool.refuse_closed()
        return await self._in_pool.store.get_content(self.content_ref)

    async def media_type(self) -> str:
        """Say what the body is: as what these bytes were kept first."""
        self._in_pool.refuse_closed()
        return await self._in_pool.store.content_type(self.content_ref)


def _named(of: HasBody) -> str:
    """Name a body by what it comes with.

    :raises InvalidValueError: that is nothing that has bodies
    """
    if not issubclass(type(of), _HAVE_BODIES):
        msg = f"of: expected RunMessage, EventEnvelope or WakeOutcome, got {type(of).__name__}"
        raise InvalidValueError(msg)
    if isinstance(of, RunMessage):
        return f"the body of message {of.message_id!r}"
    if isinstance(of, EventEnvelope):
        return f"the body of event {of.event_id!r}"
    return f"the body of the event that ended wake {of.registration.condition_id!r}"
