"""A process that does everything at once, and writes down what was acknowledged.

``python -m agentpool.testing.faults.worker PLACE JOURNAL LABEL SEED [--actions N] ...``: prints
``ready``, begins when a line comes on stdin, and goes on until it is killed or has done enough.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from random import Random
from typing import Final

from agentpool import (
    AgentPool,
    AgentPoolStore,
    AgentPoolStoreCursor,
    ClaimLostError,
    CorrelationEntry,
    EventCorrelation,
    EventFilter,
    EventKind,
    MessageStatus,
    RunAddress,
    RunMessage,
    SqliteAgentPoolStore,
    include,
)
from agentpool.opening import StoreOptions
from agentpool.stores.sqlite.promises import STRETCH
from agentpool.testing.faults.journal import EVENTS, LOG, RUNS, WORK, Journal, Told
from agentpool.testing.sites import Site
from agentpool.testing.values import a_condition, a_member, a_message, a_receipt
from agentpool.wire.content import PIECE

__all__ = ("Worker", "main", "work")

_TASKS: Final = 3
_LEASE: Final = 0.3
_PATIENCE: Final = 2.0
"""Seconds to wait for a message that another consumer was faster to take."""
_BUSY: Final = 200.0
"""Seconds to wait for the lock of a file, on a machine however busy."""
_CONTENT: Final = 3000
_ONE_IS_LARGE: Final = 8  # of so many
_TO: Final = (RunAddress.run(RUNS[0]), RunAddress.agent("agent.a"), RunAddress.pool(WORK))


class Worker:
    """One handle on the store, and what is done with it."""

    def __init__(self, pool: AgentPool, journal: Journal, label: str, random: Random) -> None:
        self._pool, self._store = pool, pool.store
        self._told = journal.write
        self._label, self._random = label, random
        self._number = 0

    async def join(self) -> None:
        """Let the runs join; they stay, so for the next worker this is nothing new."""
        for run_id in RUNS:
            await self._pool.join_run(a_member(run_id))
        self._since = AgentPoolStoreCursor(await self._store.query(WORK, lambda view: view.head))

    async def act(self, actions: int) -> None:
        """Do so many things, one after another."""
        doings: tuple[Callable[[], Awaitable[None]], ...] = (
            self._append,
            self._send,
            self._send,
            self._consume,
            self._consume,
            self._wake,
            self._time_out,
            self._open,
            self._take_number,
            self._put_content,
        )
        for _ in range(actions):
            await self._random.choice(doings)()

    def _name(self) -> str:
        self._number += 1
        return f"{self._label}.{self._number}"

    async def _append(self) -> None:
        message = a_message(self._name())
        receipt = a_receipt(message, MessageStatus.DELIVERED)
        cursor = await self._store.record_message(LOG, message, receipt)
        self._told(Told.APPENDED, message.idempotency_key, cursor.sequence)

    async def _send(self) -> None:
        await self._send_this(a_message(self._name(), to=self._random.choice(_TO)))

    async def _send_this(self, message: RunMessage) -> None:
        receipt = await self._pool.send(message)
        self._told(Told.SENT, message.idempotency_key, *receipt.delivered_to)

    async def _consume(self) -> None:
        run_id = self._random.choice(RUNS)
        inbox = self._pool.inbox(run_id, lease=_LEASE)
        if not await inbox.peek(1):
            return
        try:
            async with asyncio.timeout(_PATIENCE):
                delivery = await inbox.take()
        except TimeoutError:  # others were faster
            return
        place = (run_id, delivery.claim.seq, delivery.attempt)
        self._told(Told.CLAIMED, *place)
        self._told(Told.ACKING, *place)
        try:
            await delivery.ack()
        except ClaimLostError:
            return
        self._told(Told.ACKED, *place)

    async def _wake(self) -> None:
        """Wait for a message, then send it."""
        name = self._name()
        wanted = EventFilter(
            kinds=include(EventKind.RUN_MESSAGE_DELIVERED), correlation_keys=include(name)
        )
        condition = a_condition(f"wake.{name}", filter=wanted)
        await self._pool.suspend_until(condition.run_id, condition, since=self._since)
        self._told(Told.REGISTERED, condition.condition_id)
        correlation = EventCorrelation((CorrelationEntry(name, "x"),))
        await self._send_this(a_message(name, correlation=correlation))
        self._told(Told.TRIGGERED, condition.condition_id)

    async def _time_out(self) -> None:
        """Wait for what never comes, a few milliseconds."""
        never = EventFilter(kinds=include(EventKind.RUN_FAILED))
        millis = self._random.randrange(40)
        condition = a_condition(f"wake.{self._name()}", filter=never, timeout_millis=millis)
        await self._pool.suspend_until(condition.run_id, condition, since=self._since)
        self._told(Told.REGISTERED, condition.condition_id)

    async def _open(self) -> None:
        pool_id = f"pool.{self._name()}"
        await self._store.open_pool(pool_id)
        self._told(Told.OPENED, pool_id)

    async def _take_number(self) -> None:
        self._told(Told.NUMBER, await self._store.next_event_sequence(EVENTS))

    async def _put_content(self) -> None:
        size = self._random.randrange(1, _CONTENT)
        is_large = size % _ONE_IS_LARGE == 0
        body = self._random.randbytes(size) * (PIECE // size + 2 if is_large else 1)
        self._told(Told.CONTENT, await self._store.put_content(body))


async def work(options: argparse.Namespace) -> None:
    """Open the store, do some things, close it, and again."""
    random = Random(options.seed)  # noqa: S311  # no secret
    left, opened = options.actions, 0
    with Journal(options.journal) as journal:
        while left > 0:
            opened += 1
            each = min(left, random.randrange(10, 100)) // _TASKS + 1
            label = f"{options.label}.{opened}"
            await _open_and_work(options, journal, random, label, each)
            left -= each * _TASKS


async def _open_and_work(
    options: argparse.Namespace, journal: Journal, random: Random, label: str, each: int
) -> None:
    how: StoreOptions = {"busy_timeout": _BUSY}
    site = Site.read(options.place)
    if not site.schema:
        how["synchronous"] = options.synchronous
    async with site.open(**how) as store:
        if isinstance(store, SqliteAgentPoolStore):
            _tune(store, options)
        await store.open_pool(LOG)
        async with AgentPool.open(store, WORK) as pool, asyncio.TaskGroup() as watching:
            worker = Worker(pool, journal, label, random)
            await worker.join()
            watchers = [
                watching.create_task(_watch(store, journal, name)) for name in options.watch
            ]
            async with asyncio.TaskGroup() as group:
                for _ in range(_TASKS):
                    group.create_task(worker.act(each))
            for watcher in watchers:
                watcher.cancel()


async def _watch(store: AgentPoolStore, journal: Journal, pool_id: str) -> None:
    """Look without a rest: who waits for the bell comes too late for what is shown too early."""
    cursor = AgentPoolStoreCursor(await store.query(pool_id, lambda view: view.head))
    while True:
        for record in await store.read(pool_id, cursor):
            cursor = record.cursor
            journal.write(Told.SHOWN, pool_id, cursor.sequence)


def _tune(store: SqliteAgentPoolStore, options: argparse.Namespace) -> None:
    """Set what is no option of a store, for nobody else needs it."""
    store._backfill.frames = options.checkpoint  # noqa: SLF001
    store._writing.promises.stretch = options.stretch  # noqa: SLF001


def main() -> None:
    """Work as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("place")
    parser.add_argument("journal")
    parser.add_argument("label")
    parser.add_argument("seed", type=int)
    parser.add_argument("--actions", type=int, default=sys.maxsize)
    parser.add_argument("--synchronous", default="FULL", choices=("FULL", "NORMAL"))
    parser.add_argument("--checkpoint", type=int, default=1000, help="pages of the log")
    parser.add_argument("--stretch", type=int, default=STRETCH, help="records promised at once")
    parser.add_argument("--watch", nargs="*", default=(), choices=(LOG, WORK), help="pools")
    options = parser.parse_args()
    os.write(sys.stdout.fileno(), b"ready\n")
    if sys.stdin.readline():
        asyncio.run(work(options))


if __name__ == "__main__":
    main()
