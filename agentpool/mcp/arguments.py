"""The eight tools: what each is for, and its arguments. Models read this: every word costs."""

from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct, field

__all__ = (
    "MOST_CHARS",
    "MOST_MESSAGES",
    "READ_ONLY",
    "TOOLS",
    "Arguments",
    "Ask",
    "Content",
    "Done",
    "Inbox",
    "Send",
    "Take",
    "Wait",
    "Who",
    "arguments_of",
    "description_of",
    "schema_of",
)

MOST_MESSAGES: Final = 100
"""The most that one call lists or takes."""
MOST_CHARS: Final = 200_000
"""The most that an answer may be asked to be long."""

_WEEK: Final = 604_800

_To: TypeAlias = Annotated[
    str, Meta(description="run:ID, agent:ID, topic:ID, queue:NAME, pool (all), or a bare id")
]
_Limit: TypeAlias = Annotated[int, Meta(ge=1, le=MOST_MESSAGES)]
_MaxChars: TypeAlias = Annotated[int, Meta(ge=200, le=MOST_CHARS)]
_Seconds: TypeAlias = Annotated[float, Meta(ge=0, le=_WEEK, description="seconds")]


class Arguments(Struct, frozen=True, forbid_unknown_fields=True):
    """What a tool is called with."""


class Who(Arguments, frozen=True):
    """Who you are, and who is in the pool."""

    agent: Annotated[str | None, Meta(description="only runs of this agent")] = None


class Send(Arguments, frozen=True):
    """Send a message; it is kept until each recipient has done it, also while they are away."""

    to: _To
    text: str
    urgent: bool = False
    reply_to: Annotated[str | None, Meta(description="id of the message it answers")] = None
    key: Annotated[
        str | None, Meta(description="sent again under the same key, it is sent once")
    ] = None


class Ask(Arguments, frozen=True):
    """Ask, and wait for answers. If it takes long you get a wait_id: go on with `wait`."""

    to: _To
    text: str
    expect: Annotated[
        int | Literal["all"], Meta(description="how many answers, or 'all' who receive it")
    ] = 1
    timeout: _Seconds = 300.0
    key: Annotated[
        str | None,
        Meta(
            description="asked again under the same key, as after a failure, it is asked once, and"
            " you get its answers"
        ),
    ] = None


class Inbox(Arguments, frozen=True):
    """List what is in your inbox, without bodies. Changes nothing."""

    limit: _Limit = 20
    max_chars: _MaxChars = 4000


class Take(Arguments, frozen=True):
    """Take the next messages, with bodies. End the claim of each by `done`, else it comes again."""

    limit: _Limit = 3
    max_chars: _MaxChars = 20_000


class Done(Arguments, frozen=True):
    """End a claim: the message is done, and answered with `reply` if you give one."""

    claim: str
    ok: Annotated[bool, Meta(description="false: give it back, it comes again later")] = True
    reply: str | None = None


class Wait(Arguments, frozen=True):
    """Wait without polling. If it takes long you get a wait_id: call again with it to go on."""

    for_: Annotated[
        str,
        Meta(
            description="mail; member:run:ID or member:agent:ID (is there); event:NAME (from now"
            " on); or a wait_id"
        ),
    ] = field(name="for")
    timeout: _Seconds = 300.0
    offset: Annotated[int, Meta(ge=0, description="so many answers you have read")] = 0


class Content(Arguments, frozen=True):
    """Read a body by its ref, from an offset in characters; or keep a long text, get its ref."""

    ref: str | None = None
    text: str | None = None
    offset: Annotated[int, Meta(ge=0)] = 0
    max_chars: _MaxChars = 20_000


TOOLS: Final[dict[str, type[Arguments]]] = {
    each.__name__.lower(): each for each in (Who, Send, Ask, Inbox, Take, Done, Wait, Content)
}
READ_ONLY: Final = frozenset({Who, Inbox})


def schema_of(tool: type[Arguments]) -> dict[str, Any]:
    """Give the JSON schema of the arguments of a tool."""
    _, parts = msgspec.json.schema_components([tool])
    schema: dict[str, Any] = parts[tool.__name__]
    del schema["title"], schema["description"]
    return schema


def description_of(tool: type[Arguments]) -> str:
    """Say what a tool is for."""
    return " ".join((tool.__doc__ or "").split())


def arguments_of(tool: type[Arguments], given: dict[str, object] | None) -> Arguments:
    """Read the arguments of a call; numbers and flags may be written as text.

    :raises msgspec.ValidationError: saying which is wrong
    """
    return msgspec.convert(given or {}, tool, strict=False)
