"""Make random calls on a store and write them down: ``worker PLACE JOURNAL NAME SEED CALLS TASKS``.

Several such processes use the same keys, wakes, events, runs and inbox at about the same time, and
a wall clock that somebody may set.
"""

import asyncio
import sys
from contextlib import aclosing, suppress
from pathlib import Path
from random import Random
from typing import Final

from agentpool import (
    AgentPool,
    AgentPoolStoreCursor,
    Delivery,
    MessageStatus,
    RunMessage,
)
from agentpool.testing.history.caller import Caller, claim_facts
from agentpool.testing.history.calls import OK, Facts, Journal
from agentpool.testing.history.checks_of_records import receipt_facts
from agentpool.testing.history.evidence import digest
from agentpool.testing.history.held_run import HeldRun
from agentpool.testing.history.matters import (
    INBOX,
    POOL,
    a_copy_of,
    a_wait_for,
    an_event_of,
    floater,
    matter,
)
from agentpool.testing.history.wall import Wall
from agentpool.testing.sites import Site
from agentpool.testing.values import a_member, a_receipt

__all__ = ("Worker", "main")

_CALLS_PER_MATTER: Final = 6
_MATTERS_AT_ONCE: Final = 4
_CLAIM_SECONDS: Final = 0.3
_LONGEST_TAKE: Final = 1.0
_LONGEST_WORK: Final = 0.005
_PATIENCE: Final = 200.0


class Worker:
    """The calls of one process."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._pool, self._journal, self._random = caller.pool, caller.journal, caller.random
        self._call = caller.call
        self._done = 0

    async def work(self, calls: int) -> None:
        """Make some calls, one after another."""
        makes = (
            self._send, self._append, self._join, self._leave, self._consume,
            self._suspend, self._publish, self._cancel, self._wait, self._hold,
        )  # fmt: skip
        for _ in range(calls):
            [make] = self._random.choices(makes, (8, 4, 2, 1, 5, 4, 3, 1, 2, 1))
            self._done += 1
            await make(self._done // _CALLS_PER_MATTER + self._random.randrange(_MATTERS_AT_ONCE))

    # --- messages

    async def _send(self, number: int) -> None:
        message = a_copy_of(number, f"message.{self._journal.next_id()}", "send")

        async def make() -> Facts:
            return receipt_facts(await self._pool.send(message))

        await self._call("send", message_facts(message), make)

    async def _append(self, number: int) -> None:
        message = a_copy_of(number, f"message.{self._journal.next_id()}", "append")
        receipt = a_receipt(message, MessageStatus.DELIVERED, delivered_to=(INBOX,))

        async def make() -> Facts:
            place = await self._pool.store.record_message(POOL, message, receipt)
            return {"seq": place.sequence}

        await self._call("append", message_facts(message), make)

    async def _consume(self, _number: int) -> None:
        """Take a message and, after some work, acknowledge it, return it, or forget it."""
        inbox = self._pool.inbox(INBOX, lease=_CLAIM_SECONDS)
        if not await inbox.peek(1):
            return
        taken: list[Delivery] = []

        async def make() -> Facts:
            async with asyncio.timeout(_LONGEST_TAKE):
                taken.append(await inbox.take())
            return claim_facts(taken[0])

        await self._call("take", {"run_id": INBOX, "lease": _CLAIM_SECONDS}, make)
        if taken:
            await asyncio.sleep(self._random.uniform(0, _LONGEST_WORK))
            [end] = self._random.choices(("ack", "nack", "forget"), (7, 2, 1))
            await self._end(taken.pop(), end)

    async def _end(self, delivery: Delivery, end: str) -> None:
        async def make() -> Facts:
            await (delivery.ack() if end == "ack" else delivery.nack(delay=0))
            return {}

        if end != "forget":
            await self._call(end, {"run_id": INBOX, **claim_facts(delivery)}, make)

    # --- members

    async def _join(self, number: int) -> None:
        agent_id = f"agent.{self._journal.next_id()}"
        member = a_member(floater(number), agent_id=agent_id)

        async def make() -> Facts:
            return {"seq": (await self._pool.store.join_member(POOL, member)).sequence}

        await self._call("join", {"run_id": member.run_id, "agent_id": agent_id}, make)

    async def _leave(self, number: int) -> None:
        run_id = floater(number)

        async def make() -> Facts:
            member, place = await self._pool.store.leave_member(POOL, run_id)
            return {"seq": place.sequence, "agent_id": member.agent_id}

        await self._call("leave", {"run_id": run_id}, make)

    async def _hold(self, _number: int) -> None:
        await HeldRun(self._caller).live()

    # --- wakes

    async def _suspend(self, number: int) -> None:
        condition = a_wait_for(number)

        async def make() -> Facts:
            registration = await self._pool.suspend_until(condition.run_id, condition)
            return {"status": str(registration.status)}

        arguments = {
            "condition_id": condition.condition_id,
            "key": matter(number),
            "timeout_millis": condition.timeout_millis,
        }
        await self._call("suspend", arguments, make)

    async def _publish(self, number: int) -> None:
        event = an_event_of(number, self._random.randrange(2))

        async def make() -> Facts:
            return {"number": await self._pool.publish(event)}

        await self._call("publish", {"event_id": event.event_id}, make)

    async def _cancel(self, number: int) -> None:
        condition_id = a_wait_for(number).condition_id

        async def make() -> Facts:
            return {"status": str((await self._pool.cancel_wake(condition_id)).status)}

        await self._call("cancel", {"condition_id": condition_id}, make)

    async def _wait(self, number: int) -> None:
        condition_id = a_wait_for(number).condition_id

        async def make() -> Facts:
            outcome = await self._pool.wait(condition_id)
            return {"status": str(outcome.registration.status), "event_id": outcome.event_id}

        await self._call("wait", {"condition_id": condition_id}, make)


class Watcher:
    """One watcher of the log, from some place on."""

    def __init__(self, pool: AgentPool, journal: Journal, cursor: int) -> None:
        self._pool, self._journal = pool, journal
        self._id = journal.next_id()
        self._cursor = self._last = cursor
        self._moved = asyncio.Event()
        journal.began(self._id, "watch", {"cursor": cursor})

    async def follow(self) -> None:
        """Write down every record that is shown, for ever."""
        watch = self._pool.watch_pool(AgentPoolStoreCursor(self._cursor))
        async with aclosing(watch) as records:
            async for record in records:
                self._last = record.cursor.sequence
                self._journal.saw(self._id, (self._last, digest(record)))
                self._moved.set()

    async def end(self, until: int) -> None:
        """Wait for a record, but not for ever, and write down that the watching is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                while self._last < until:
                    self._moved.clear()
                    await self._moved.wait()
        self._journal.ended(self._id, OK, {"until": until})


def message_facts(message: RunMessage) -> Facts:
    """Write a message as it stands in a history."""
    to = message.to.destination_ref.id
    return {"key": message.idempotency_key, "message_id": message.message_id, "to": to}


async def main(place: str, journal_path: str, name: str, *numbers: str) -> None:
    """Work with several tasks at once while others watch."""
    seed, calls, tasks = numbers
    random, wall = Random(seed), Wall(Path(journal_path).parent)  # noqa: S311  # no secrets
    with Journal(Path(journal_path), name) as journal:
        async with (
            Site.read(place).open(busy_timeout=_PATIENCE, clock=wall) as store,
            AgentPool.open(store, POOL) as pool,
        ):
            caller = Caller(pool, journal, random)
            worker = Worker(caller)
            head = len(await store.read(POOL))
            watchers = [Watcher(pool, journal, at) for at in (0, random.randrange(head))]
            following = [asyncio.create_task(watcher.follow()) for watcher in watchers]
            await asyncio.gather(*(worker.work(int(calls)) for _ in range(int(tasks))))
            for watcher in watchers:
                await watcher.end(caller.told)
            for task in following:
                task.cancel()
            await asyncio.wait(following)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
