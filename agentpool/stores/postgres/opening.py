"""Opening a store on a server: the options, the checks, the two connections."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from agentpool.errors import AgentPoolError
from agentpool.rules.requirements import require_flag
from agentpool.stores.batch.states import StateCache
from agentpool.stores.postgres import schema as schemas
from agentpool.stores.postgres import statements
from agentpool.stores.postgres.bell import Ringer
from agentpool.stores.postgres.engine import PostgresEngine
from agentpool.stores.postgres.errors import translated
from agentpool.stores.postgres.pipeline import Pipeline
from agentpool.stores.postgres.session import Place, checked_url, connect, quoted
from agentpool.stores.postgres.timelines import Timelines
from agentpool.stores.postgres.worker import EngineWorker
from agentpool.support.clock import Clock, StoreClock, checked_clock, millis
from agentpool.wire.content import checked_max_body

__all__ = ("Connections", "Options", "prepare")

_LOOKS_AT_CLOCK: Final = 3
_PATIENCE_TO_LISTEN: Final = 5.0
"""Seconds; a handle that is closed waits for them, and meanwhile it is looked often."""
_LONGEST_PATIENCE: Final = 1_000_000.0
"""Seconds, of which a bound in milliseconds still has 32 bits."""


@dataclass(frozen=True)
class Options:
    """How to open a store; `PostgresAgentPoolStore.open` explains them.

    :ivar listens_at: where to listen; ``None``: not at all
    """

    place: Place
    listens_at: Place | None
    clock: Clock
    max_body: int
    create: bool
    migrate: bool

    @classmethod
    def checked(
        cls,
        url: str,
        schema: str,
        busy_timeout: float,
        clock: Clock,
        max_body: int,
        *,
        listen: bool,
        listen_url: str | None,
        create: bool,
        migrate: bool,
    ) -> "Options":
        """Refuse what is no option.

        :raises InvalidValueError: naming it
        """
        for name, given in (("listen", listen), ("create", create), ("migrate", migrate)):
            require_flag(given, name)
        patience = min(millis(busy_timeout, "busy_timeout") / 1000, _LONGEST_PATIENCE)
        place = Place(checked_url(url, "url"), quoted(schema), patience)
        conninfo = place.conninfo if listen_url is None else checked_url(listen_url, "listen_url")
        checked_clock(clock)
        most = checked_max_body(max_body)
        listens_at = Place(conninfo, place.schema, min(patience, _PATIENCE_TO_LISTEN))
        return cls(place, listens_at if listen else None, clock, most, create, migrate)


class Connections:
    """Connects engines to one store, each on a thread of its own.

    :ivar give_up: ends their waiting for a server that is away
    :param clock: the time of the store
    :param ringer: tells others of what they commit
    """

    def __init__(self, place: Place, clock: StoreClock, ringer: Ringer) -> None:
        self.give_up: Final = threading.Event()
        self._place = place
        self._clock = clock
        self._ringer = ringer
        self._timelines = Timelines()

    async def start(
        self,
        states: StateCache,
        lock_seconds: float,
        *,
        replaced: Callable[[list[str]], None] = lambda _: None,
        seen_elsewhere: Callable[[], Mapping[str, int]] = dict,
        set_up: Callable[[Pipeline], None] = lambda _: None,
    ) -> EngineWorker:
        """Connect one. Not to be cancelled half way.

        :param states: the pools that are remembered by whoever uses it
        :param replaced: told of the pools whose logs no longer have what was read of them
        :param seen_elsewhere: how far the other connections of the handle saw logs to come
        :param set_up: what is done first
        """

        def connected() -> PostgresEngine:
            with translated(str(self._place)):
                session = connect(self._place, lock_seconds, self._place.patience)
                try:
                    set_up(session.pipeline)
                except BaseException:
                    session.pipeline.close()
                    raise
            return PostgresEngine(
                self._place,
                session,
                lock_seconds,
                self._clock,
                self._ringer,
                states,
                replaced,
                self.give_up,
                self._timelines,
                seen_elsewhere,
            )

        return await EngineWorker.start(connected, str(self._place))


def prepare(options: Options, clock: StoreClock, pipeline: Pipeline) -> None:
    """Bring a schema to the current version, and give a clock the time of the server."""
    try:
        place = options.place
        schemas.prepare(
            pipeline, place.schema, place.patience, create=options.create, migrate=options.migrate
        )
    except AgentPoolError as error:
        error.message = f"{options.place}: {error.message}"
        raise
    if clock.is_shared:
        clock.begin_at(_began(pipeline, clock))


def _began(pipeline: Pipeline, clock: StoreClock) -> int:
    """Find out when, by the clock of the server, nothing had gone by yet on this machine.

    The look that took least time tells best.
    """
    found: list[tuple[int, int]] = []
    for _ in range(_LOOKS_AT_CLOCK):
        before = clock.elapsed()
        [(now,)] = pipeline.ask(statements.TIME_OF_SERVER).rows
        after = clock.elapsed()
        found.append((after - before, int(now) - (before + after) // 2))
    return min(found)[1]
