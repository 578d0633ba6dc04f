"""What a question and a wait have in common: an id that tells what it is, and how it stands."""

import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final, Literal, NamedTuple

from anyio import CancelScope, get_cancelled_exc_class

from agentpool.errors import AgentPoolError
from agentpool.mcp.answers import Answer

__all__ = ("Standing", "began_at", "going_on", "kind_of", "withdrawn_if_left")

_ID: Final = re.compile(r"(ask|message|mail|member|event)\.([0-9a-f]{12})[0-9a-f]{16}")


class Standing(NamedTuple):
    """How a question or a wait stands.

    :ivar status: as the tasks extension calls it
    :ivar answer: what has come of it; ``None``: nothing yet, or nothing any more
    :ivar changed_at: when that was recorded, in milliseconds; ``None``: not known
    """

    status: Literal["working", "completed", "cancelled"]
    answer: Answer | None = None
    changed_at: int | None = None


def kind_of(wait_id: str) -> str | None:
    """Say what an id is of: ask, mail, member or event; ``None``: it is none.

    That of a question which this run has asked by other means is one too.
    """
    found = _ID.fullmatch(wait_id)
    if found is None:
        return None
    return "ask" if found[1] == "message" else found[1]


def began_at(wait_id: str) -> int:
    """Say when it began of what an id is, in milliseconds."""
    found = _ID.fullmatch(wait_id)
    return 0 if found is None else int(found[2], 16)


def going_on(wait_id: str) -> Answer:
    """Say how to go on with what takes long."""
    return {"wait_id": wait_id, "next": f"not yet; call wait(for={wait_id!r}) to go on"}


@asynccontextmanager
async def withdrawn_if_left(withdraw: Callable[[], Awaitable[object]]) -> AsyncGenerator[None]:
    """Take back what a cancelled call has begun: nobody was told its id, so nobody goes on."""
    try:
        yield
    except get_cancelled_exc_class():
        with CancelScope(shield=True), suppress(AgentPoolError):
            await withdraw()
        raise
