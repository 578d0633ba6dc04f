"""A process that uses two pools of a file, one of which somebody harms: ``victim.py PATH LABEL``.

Says in a line of JSON what came of each call, and when it has made them all. Told to ``rest``, it
does nothing for a while, and says what that cost; told to ``stop``, it closes the file.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from itertools import count
from typing import Final

from agentpool import (
    AgentPool,
    AgentPoolError,
    EventFilter,
    EventKind,
    MemberHandle,
    RunAddress,
    SqliteAgentPoolStore,
    include,
)
from agentpool.testing.conformance.pool_kit import an_event
from agentpool.testing.faults.attacks import HARMED
from agentpool.testing.peak import peak_kilobytes
from agentpool.testing.values import a_member

__all__ = ("BUSIEST", "OTHER", "SLOW_SECONDS")

OTHER: Final = "pool.other"
SLOW_SECONDS: Final = 60.0
"""After which a call is given up, on a machine however busy."""
BUSIEST: Final = 0.5
"""Of a core, that may go by in doing nothing."""

_NEVER: Final = EventFilter(kinds=include(EventKind.RUN_FAILED))
_REST_SECONDS: Final = 1.0
_MOST_RESTS: Final = 10
_Call = Callable[[], Awaitable[object]]


def _say(**what: object) -> None:
    os.write(1, json.dumps(what).encode() + b"\n")


class Victim:
    """What is done in a pool."""

    def __init__(self, store: SqliteAgentPoolStore, pool_id: str, label: str) -> None:
        self._store, self._pool = store, AgentPool(store, pool_id)
        self._names = (f"{label}.{number}" for number in count())
        self._me: MemberHandle = self._pool.acting_as(a_member("run.a"))

    def calls(self) -> dict[str, _Call]:
        """Name what is done."""
        pool, store = self._pool, self._store
        return {
            "open": self._open,
            "join": lambda: pool.join_run(a_member("run.a")),
            "send": self._send,
            "take": self._take,
            "peek": self._me.inbox.peek,
            "publish": lambda: pool.publish(an_event(f"event.{next(self._names)}")),
            "number": lambda: store.next_event_sequence(pool.pool_id),
            "wait": lambda: self._me.wait_until(_NEVER, timeout=0.01),
            "members": pool.members,
            "snapshot": pool.snapshot,
            "read": lambda: store.read(pool.pool_id),
            "watch": lambda: anext(store.watch(pool.pool_id)),
            "subscribe": lambda: anext(pool.subscribe(EventFilter())),
            "body": self._body,
            "leave": self._come_and_go,
        }

    async def _open(self) -> None:
        async with AgentPool.open(self._store, self._pool.pool_id):
            pass

    async def _send(self) -> object:
        name = next(self._names)
        await self._me.send(RunAddress.run("run.a"), "content.1", idempotency_key=name)
        return name

    async def _take(self) -> None:
        delivery = await self._me.inbox.take(0.1)
        if delivery is not None:
            await delivery.ack()

    async def _body(self) -> None:
        body = next(self._names).encode()
        assert await self._store.get_content(await self._store.put_content(body)) == body

    async def _come_and_go(self) -> None:
        await self._pool.join_run(a_member("run.b"))
        await self._pool.leave_run("run.b")


async def _make(pool_id: str, name: str, call: _Call) -> None:
    began, result = time.monotonic(), None
    try:
        async with asyncio.timeout(SLOW_SECONDS):
            result = await call()
        outcome = "ok"
    except AgentPoolError as error:
        outcome = type(error).__name__
    except TimeoutError:
        outcome = "too slow"
    except Exception as error:  # noqa: BLE001  # the fault that is looked for
        outcome = f"foreign {type(error).__name__}: {error}"[:200]
    sent = result if name == "send" else None
    seconds = round(time.monotonic() - began, 3)
    _say(pool=pool_id, call=name, outcome=outcome, seconds=seconds, sent=sent)


async def _rest() -> None:
    """Do nothing for a while, and begin again where there was something left to do."""
    for _ in range(_MOST_RESTS):
        began, worked = time.monotonic(), time.process_time()
        await asyncio.sleep(_REST_SECONDS)
        share = (time.process_time() - worked) / (time.monotonic() - began)
        if share <= BUSIEST:
            break
    _say(rested=round(share, 3), peak=peak_kilobytes() // 1024)


async def _use(store: SqliteAgentPoolStore, label: str) -> None:
    orders: asyncio.Queue[str] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    loop.add_reader(0, lambda: orders.put_nowait(os.read(0, 100).decode().strip()))
    async with AsyncExitStack() as stack:
        for pool_id in (OTHER, HARMED):
            with suppress(AgentPoolError):  # of the harmed one, where it was harmed before
                await stack.enter_async_context(AgentPool.open(store, pool_id))
        pools = {pool_id: Victim(store, pool_id, label) for pool_id in (OTHER, HARMED)}
        while True:
            for pool_id, victim in pools.items():
                for name, call in victim.calls().items():
                    await _make(pool_id, name, call)
            _say(passed=True)
            order = "" if orders.empty() else orders.get_nowait()
            if order == "rest":
                await _rest()
            if order == "stop":
                return


async def main(path: str, label: str) -> None:
    """Use both pools until told to stop."""
    try:
        async with SqliteAgentPoolStore.open(path, busy_timeout=SLOW_SECONDS) as store:
            await _use(store, label)
    except AgentPoolError as error:
        _say(ended=type(error).__name__)
    else:
        _say(ended="closed")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
