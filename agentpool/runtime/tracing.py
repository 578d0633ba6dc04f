"""Where one can look on as the operations of a process go by, as `agentpool.otel` does.

Nobody does until `trace_by` says who: until then, each of these costs a look at a variable.
"""

from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Final, Protocol, TypeVar

from agentpool.rules.claims import Claim
from agentpool.rules.command import Command
from agentpool.wire.records import RunMessage

__all__ = (
    "UNTRACED",
    "Tracing",
    "answering",
    "executing",
    "processing",
    "receiving",
    "trace_by",
)

R = TypeVar("R")

UNTRACED: Final[AbstractContextManager[None]] = nullcontext()


class Tracing(Protocol):
    """Looks on. What it does, and raises, is part of the operation, so it should raise nothing."""

    def executing(
        self,
        pool_id: str,
        command: Command[R],
        execute: Callable[[Command[R]], Awaitable[R]],
    ) -> Awaitable[R]:
        """Have a command carried out, or the same one with a trace."""

    def receiving(
        self, pool_id: str, taking: Awaitable[R], messages: Callable[[R], Iterable[RunMessage]]
    ) -> Awaitable[R]:
        """Wait until messages are taken, or answers are there.

        :param messages: lists those that there are in what that gives
        """

    def processing(self, pool_id: str, claim: Claim) -> AbstractContextManager[None]:
        """Give what is entered while somebody works on a message."""

    def answering(self, message: RunMessage) -> AbstractContextManager[None]:
        """Give what is entered while an answer is sent, which has the correlation of a message."""


_tracing: Tracing | None = None


def trace_by(tracing: Tracing | None) -> None:
    """Let somebody look on from now on, in place of who did; ``None``: nobody."""
    global _tracing  # noqa: PLW0603  # one for the process, as its tracers are
    _tracing = tracing


def executing(
    pool_id: str, command: Command[R], execute: Callable[[Command[R]], Awaitable[R]]
) -> Awaitable[R]:
    """Carry out a command; see `Tracing`, as for the others."""
    if _tracing is None:
        return execute(command)
    return _tracing.executing(pool_id, command, execute)


def receiving(
    pool_id: str, taking: Awaitable[R], messages: Callable[[R], Iterable[RunMessage]]
) -> Awaitable[R]:
    """Wait for messages."""
    return taking if _tracing is None else _tracing.receiving(pool_id, taking, messages)


def processing(pool_id: str, claim: Claim) -> AbstractContextManager[None]:
    """Work on a message for the length of a block."""
    return UNTRACED if _tracing is None else _tracing.processing(pool_id, claim)


def answering(message: RunMessage) -> AbstractContextManager[None]:
    """Send an answer to a message, for the length of a block."""
    return UNTRACED if _tracing is None else _tracing.answering(message)
