"""Being ready to trace while there is nothing to trace with, which is to cost nothing."""

from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractContextManager
from time import monotonic
from typing import Final, TypeVar

from opentelemetry.metrics import MeterProvider, get_meter_provider
from opentelemetry.trace import TracerProvider, get_tracer_provider

from agentpool.rules.claims import Claim
from agentpool.rules.command import Command
from agentpool.runtime import tracing
from agentpool.wire.records import RunMessage

__all__ = ("Dormant", "does_anything")

R = TypeVar("R")

_OF_THE_API: Final = ("opentelemetry.trace", "opentelemetry.metrics")
_LOOK_EVERY: Final = 0.1
"""Seconds. A look reads the environment, and takes a twentieth of the time of a send."""


def does_anything(tracers: TracerProvider | None, meters: MeterProvider | None) -> bool:
    """Say whether one of two providers does anything; ``None`` is the one of the process.

    What the API itself brings does nothing: it holds the place of another one.
    """
    tracers = get_tracer_provider() if tracers is None else tracers
    meters = get_meter_provider() if meters is None else meters
    kinds = (type(tracers), type(meters))
    return not all(each.__module__.startswith(_OF_THE_API) for each in kinds)


class Dormant:
    """Passes everything on, until there is a provider: then another one looks on in its place.

    :param awake: the other one
    """

    def __init__(
        self,
        awake: tracing.Tracing,
        tracers: TracerProvider | None,
        meters: MeterProvider | None,
    ) -> None:
        self._awake = awake
        self._tracers, self._meters = tracers, meters
        self._look_at = 0.0

    def executing(
        self,
        pool_id: str,
        command: Command[R],
        execute: Callable[[Command[R]], Awaitable[R]],
    ) -> Awaitable[R]:
        if self._sleeps():
            return execute(command)
        return self._awake.executing(pool_id, command, execute)

    def receiving(
        self, pool_id: str, taking: Awaitable[R], messages: Callable[[R], Iterable[RunMessage]]
    ) -> Awaitable[R]:
        return taking if self._sleeps() else self._awake.receiving(pool_id, taking, messages)

    def processing(self, pool_id: str, claim: Claim) -> AbstractContextManager[None]:
        return tracing.UNTRACED if self._sleeps() else self._awake.processing(pool_id, claim)

    def answering(self, message: RunMessage) -> AbstractContextManager[None]:
        return tracing.UNTRACED if self._sleeps() else self._awake.answering(message)

    def _sleeps(self) -> bool:
        now = monotonic()
        if now < self._look_at:
            return True
        self._look_at = now + _LOOK_EVERY
        if not does_anything(self._tracers, self._meters):
            return True
        tracing.trace_by(self._awake)
        return False
