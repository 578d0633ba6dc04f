"""Gauges of a pool: a task looks at it now and then, and whoever exports reads what that saw.

So an exporter never waits for a store, nor a store's event loop for an exporter.
"""

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Final, NamedTuple

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from agentpool.errors import AgentPoolError, StoreClosedError
from agentpool.otel.operations import DESTINATION, SYSTEM, SYSTEM_NAME
from agentpool.pool import AgentPool
from agentpool.rules.backlog import Backlog
from agentpool.rules.requirements import require_type
from agentpool.stores.base import Bulk
from agentpool.stores.counting import backlog_of
from agentpool.stores.sqlite import SqliteAgentPoolStore
from agentpool.support.clock import positive_millis
from agentpool.support.tasks import cancel, ended, start

__all__ = ("gauges", "report_to")

_LOG: Final = logging.getLogger("agentpool")
_SHARE: Final = 20
"""It rests so many times as long as a look took: of a core it uses a twentieth at most."""


class _Sample(NamedTuple):
    """What was seen of a pool.

    :ivar age: seconds since the oldest unread message was delivered; 0: there is none
    :ivar wal: bytes of the write-ahead log of its file; ``None``: it is in none
    """

    pool_id: str
    backlog: Backlog
    age: float
    waits: int
    wal: int | None


_samples: Final[dict[object, _Sample]] = {}
"""The last sample of each pool that is looked at."""


@asynccontextmanager
async def gauges(pool: AgentPool, *, every: float = 15.0) -> AsyncGenerator[None]:
    """Measure what waits in a pool, for the length of a block; the first time before it begins.

    One process of those that use a pool is enough: all of them see the same. It counts in short
    pieces, and rests longer where there is much to count. While the store refuses, there are no
    values. Cancelled, it measures no more.

    :param every: seconds from one look to the next
    :raises AgentPoolError: as the store says, of the first look
    """
    require_type(pool, AgentPool, "pool")
    rest = positive_millis(every, "every") / 1000
    identity = object()
    took = await _sample(pool, identity)
    sampling = start(_keep_sampling(pool, identity, rest, took))
    try:
        yield
    finally:
        cancel([sampling])
        await ended([sampling])
        _samples.pop(identity, None)


async def _keep_sampling(pool: AgentPool, identity: object, rest: float, took: float) -> None:
    while True:
        await asyncio.sleep(max(rest, took * _SHARE))
        try:
            took = await _sample(pool, identity)
        except AgentPoolError as error:
            _samples.pop(identity, None)  # nobody is to take for true what was long ago
            if isinstance(error, StoreClosedError):
                return
            fields = {"action": "sampling_failed", "pool_id": pool.pool_id}
            _LOG.warning("no gauges for now: %s", error, extra=fields)


async def _sample(pool: AgentPool, identity: object) -> float:
    """Look at a pool, and say how many seconds that took."""
    began = monotonic()
    store, pool_id = pool.store, pool.pool_id
    waits = await store.query(pool_id, Bulk(lambda view: len(view.state.open_wakes)))
    backlog = await backlog_of(store, pool_id)
    since = store.clock() if backlog.oldest_at is None else backlog.oldest_at
    age = max(store.clock() - since, 0) / 1000
    _samples[identity] = _Sample(pool_id, backlog, age, waits, _wal_of(pool))
    return monotonic() - began


def _wal_of(pool: AgentPool) -> int | None:
    if not isinstance(pool.store, SqliteAgentPoolStore):
        return None
    try:
        return Path(f"{os.path.realpath(pool.store.path)}-wal").stat().st_size
    except OSError:
        return 0


# --- what exporters ask for


class _Gauge(NamedTuple):
    """One gauge.

    :ivar of: gives its value; ``None``: there is none
    """

    name: str
    unit: str
    what: str
    of: Callable[[_Sample], int | float | None]


_GAUGES: Final = (
    _Gauge(
        "agentpool.inbox.unread",
        "{message}",
        "Messages in inboxes and queues that are not done",
        lambda sample: sample.backlog.unread,
    ),
    _Gauge(
        "agentpool.inbox.oldest.age",
        "s",
        "Age of the oldest unread message",
        lambda sample: sample.age,
    ),
    _Gauge(
        "agentpool.inbox.claimed",
        "{message}",
        "Unread messages that somebody has under a claim",
        lambda sample: sample.backlog.claimed,
    ),
    _Gauge(
        "agentpool.inbox.redelivered",
        "{message}",
        "Unread messages that were handed out before and came back",
        lambda sample: sample.backlog.redelivered,
    ),
    _Gauge("agentpool.waits.open", "{wait}", "Waits that are open", lambda sample: sample.waits),
    _Gauge(
        "agentpool.wal.size",
        "By",
        "Size of the write-ahead log of the file that the pool is in",
        lambda sample: sample.wal,
    ),
)


def report_to(meter: Meter, is_current: Callable[[], bool]) -> None:
    """Make the gauges of a meter. It keeps the first of each name, so that may be done again.

    :param is_current: whether this meter is still the one to report to
    """
    for gauge in _GAUGES:
        callback = partial(_observed, gauge, is_current)
        meter.create_observable_gauge(gauge.name, [callback], gauge.unit, gauge.what)


def _observed(
    gauge: _Gauge, is_current: Callable[[], bool], _options: CallbackOptions
) -> Iterator[Observation]:
    # In a thread of whoever exports; a list of what is there is made in one step.
    for sample in list(_samples.values()) if is_current() else ():
        value = gauge.of(sample)
        if value is not None:
            yield Observation(value, {SYSTEM_NAME: SYSTEM, DESTINATION: sample.pool_id})
