"""A run that is held under a lease for some calls: it says something, hears it, and waits.

Its process may be stopped meanwhile, for longer than the lease or not, and others may take the run.
Every call has the agent of its holding among its arguments, which no two holdings share.
"""

import asyncio
from contextlib import AsyncExitStack
from typing import Final

from agentpool import Delivery, EventFilter, EventKind, MemberHandle, RunAddress, include
from agentpool.testing.history.caller import Caller, Making, claim_facts
from agentpool.testing.history.calls import Facts
from agentpool.testing.history.checks_of_records import receipt_facts
from agentpool.testing.history.matters import LEASE_SECONDS
from agentpool.testing.values import a_member

__all__ = ("LATE_SECONDS", "HeldRun")

LATE_SECONDS: Final = 60.0
"""After which what has not come is given up: on a machine however busy, it never will."""

_CONTESTED: Final = ("run.contested.0", "run.contested.1")
_REJOINS: Final = 0.7
_WAITS: Final = (300, 1000)
_NEVER: Final = EventFilter(kinds=include(EventKind.RUN_FAILED))


class HeldRun:
    """One holding of a run, which others may hold too or nobody else."""

    def __init__(self, caller: Caller) -> None:
        self._caller, self._random = caller, caller.random
        name = caller.journal.next_id()
        run_id = self._random.choice((*_CONTESTED, f"run.of.{name}", f"run.of.{name}"))
        self._rejoins = self._random.random() < _REJOINS
        self._member = a_member(run_id, agent_id=f"agent.{name}")
        self._names: Facts = {"run_id": run_id, "agent_id": self._member.agent_id}

    async def live(self) -> None:
        """Join, do some things, and leave."""
        membership = self._caller.pool.member(
            self._member,
            lease=LEASE_SECONDS,
            claim_lease=LEASE_SECONDS,
            rejoin=self._rejoins,
        )
        handles: list[MemberHandle] = []
        async with AsyncExitStack() as stack:

            async def join() -> Facts:
                handles.append(await stack.enter_async_context(membership))
                return self._names

            async def part() -> Facts:
                await stack.aclose()
                return self._names

            if await self._call("hold", join, rejoins=self._rejoins):
                await self._do_things(handles[0])
                await self._call("part", part, whole=True)

    async def _do_things(self, me: MemberHandle) -> None:
        for _ in range(self._random.randrange(4)):
            await self._random.choice((self._say, self._wait))(me)
        if await self._say(me, whole=True):
            await self._hear(me)

    async def _call(
        self, do: str, make: Making, *, whole: bool = False, **arguments: object
    ) -> bool:
        return await self._caller.call(do, {**self._names, **arguments}, make, whole=whole)

    async def _say(self, me: MemberHandle, *, whole: bool = False) -> bool:
        """Send to oneself."""
        name = f"message.{self._caller.journal.next_id()}"

        async def make() -> Facts:
            to = RunAddress.run(me.run_id)
            receipt = await me.send(to, "content.1", idempotency_key=name, message_id=name)
            return receipt_facts(receipt)

        return await self._call("send", make, whole=whole, key=name, message_id=name, to=me.run_id)

    async def _hear(self, me: MemberHandle) -> None:
        """Take what was said, which is there unless nothing comes any more."""
        taken: list[Delivery] = []

        async def take() -> Facts:
            delivery = await me.inbox.take(LATE_SECONDS)
            if delivery is None:
                return {"heard": False}
            taken.append(delivery)
            return claim_facts(delivery)

        async def end() -> Facts:
            await taken[0].ack()
            return self._names

        if await self._call("hear", take, whole=True) and taken:
            await self._call("ack", end, whole=True, **claim_facts(taken[0]))

    async def _wait(self, me: MemberHandle) -> None:
        """Wait for what never comes."""
        millis = self._random.choice(_WAITS)

        async def make() -> Facts:
            try:
                async with asyncio.timeout(LATE_SECONDS):
                    outcome = await me.wait_until(_NEVER, timeout=millis / 1000)
            except TimeoutError:
                return {"status": "still waiting"}
            return {"status": str(outcome.registration.status)}

        await self._call("wait_until", make, timeout_millis=millis)
