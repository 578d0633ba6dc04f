"""Which status may follow which: the steps of a message, and those of a wake."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, TypeAlias, TypeVar

from agentpool.errors import InvalidTransitionError
from agentpool.rules.command import PoolView
from agentpool.wire.records import MessageStatus, WakeRegistrationStatus

__all__ = ("MESSAGE_STEPS", "WAKE_STEPS", "is_step", "require_step")

S = TypeVar("S", bound=StrEnum)

_Steps: TypeAlias = Mapping[S, frozenset[S]]

# From each status to those that may follow it. What is no key here is final: nobody who has seen
# it, in whatever process, will ever see another; but for `failed` where nobody received a message.
MESSAGE_STEPS: Final[_Steps[MessageStatus]] = {
    MessageStatus.ACCEPTED: frozenset(MessageStatus) - {MessageStatus.ACCEPTED},
    MessageStatus.DELIVERED: frozenset(MessageStatus)
    - {MessageStatus.ACCEPTED, MessageStatus.DELIVERED},
}
WAKE_STEPS: Final[_Steps[WakeRegistrationStatus]] = {
    WakeRegistrationStatus.REGISTERED: frozenset(WakeRegistrationStatus)
    - {WakeRegistrationStatus.REGISTERED},
}


def is_step(steps: _Steps[S], before: S, after: S) -> bool:
    """Say whether a status may follow another."""
    return after in steps.get(before, ())


def require_step(
    view: PoolView, what: str, steps: _Steps[S], before: S, after: S, *, seq: int | None
) -> None:
    """Refuse a status that may not follow the one that there is.

    :param what: whose status it is, to begin the message with
    :param seq: the record that says the status that there is
    :raises InvalidTransitionError: naming both
    """
    if not is_step(steps, before, after):
        msg = f"{what} is {before}, it cannot become {after}"
        raise InvalidTransitionError(msg, pool_id=view.pool_id, seq=seq)
