"""Use a store as another process does: ``python -m ...other_process FACTORY PLACE``.

It reads lines of JSON, ``[verb, argument, ...]``, and answers each with a line: what came of it, or
the name of the error that refused it. It ends with its input.
"""

import asyncio
import itertools
import pkgutil
import sys
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import msgspec

from agentpool.errors import AgentPoolError
from agentpool.inbox import Delivery
from agentpool.pool import AgentPool
from agentpool.rules.claiming import ClaimNext
from agentpool.rules.claims import Acknowledge, Claim
from agentpool.testing.conformance.kit import POOL, record
from agentpool.testing.conformance.pool_asking import a_question
from agentpool.testing.conformance.pool_kit import an_event
from agentpool.testing.conformance.shared_kit import waiting_for_more
from agentpool.testing.values import a_message
from agentpool.wire.codec import encode
from agentpool.wire.records import AgentPoolStoreCursor

__all__ = ("Verbs", "main")


def say(answer: Any) -> None:
    """Answer with a line, at once."""
    sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
    sys.stdout.buffer.flush()


class Verbs:
    """What the process can be told to do."""

    def __init__(self, pool: AgentPool) -> None:
        self._pool = pool
        self._claim: Claim | None = None
        self._delivery: Delivery | None = None

    async def append(self, name: str, key: str) -> int:
        """Record an accepted message, and give its place."""
        cursor = await record(self._pool.store, a_message(name, idempotency_key=key))
        return cursor.sequence

    async def send(self, name: str) -> str:
        """Send a message to ``run.b``, and give its status."""
        return (await self._pool.send(a_message(name))).status

    async def ask(self) -> list[str]:
        """Ask all for two answers, and give who has answered, and how it ended."""
        answers = await self._pool.ask(a_question(2, None))
        return [*(each.sender for each in answers), answers.outcome]

    async def publish(self, event_id: str) -> int:
        """Publish an event, and give its number."""
        return await self._pool.publish(an_event(event_id))

    async def suspend(self, condition_id: str, timeout_millis: int | None) -> None:
        """Register a wait for a message that is delivered."""
        await waiting_for_more(self._pool, condition_id, timeout_millis=timeout_millis)

    async def wait(self, condition_id: str) -> str:
        """Wait until a wake has ended, and say how."""
        return (await self._pool.wait(condition_id)).registration.status

    async def watch(self, after: int, count: int) -> list[int]:
        """Watch for records after a place, and give their numbers."""
        async with aclosing(self._pool.watch_pool(AgentPoolStoreCursor(after))) as watch:
            return [(await anext(watch)).cursor.sequence for _ in range(count)]

    async def snapshot(self) -> str:
        """Show what the pool is."""
        return encode(await self._pool.snapshot()).decode()

    async def take(self, lease: float) -> int:
        """Take a message of ``run.b``, which stays claimed while the process lives."""
        self._delivery = await self._pool.inbox("run.b", lease=lease).take()
        return self._delivery.attempt

    async def ack_token(self, token: str) -> None:
        """Acknowledge what another process has taken of ``run.b``."""
        await self._pool.inbox("run.b").ack(token)

    async def claim(self, lease_millis: int) -> int:
        """Claim a message of ``run.b`` for some time, which is not renewed."""
        claim = await self._pool.store.execute(POOL, ClaimNext("run.b", "run.b", lease_millis))
        assert claim is not None
        self._claim = claim
        return claim.attempt

    async def ack(self) -> None:
        """Acknowledge what was claimed."""
        assert self._claim is not None
        await self._pool.store.execute(POOL, Acknowledge(self._claim))

    async def flood(self) -> None:
        """Append, send and acknowledge without end, and tell of each when it is done."""

        async def append(name: str) -> str:
            await record(self._pool.store, a_message(name))
            return name

        async def send(name: str) -> str:
            await self._pool.send(a_message(name))
            return name

        async def ack(_: str) -> str:
            delivery = await self._pool.inbox("run.b").take()
            await delivery.ack()
            return delivery.message.message_id

        doing: list[Callable[[str], Any]] = [append, send, ack]
        await asyncio.gather(*(_without_end(each, task) for each in doing for task in range(3)))


async def _without_end(do: Callable[[str], Any], task: int) -> None:
    for number in itertools.count():
        say([do.__name__, await do(f"{do.__name__}.{task}.{number}")])


async def _serve(factory: str, place: str) -> None:
    async with pkgutil.resolve_name(factory)(place) as store, AgentPool.open(store, POOL) as pool:
        verbs = Verbs(pool)
        say("ready")
        while line := await asyncio.to_thread(sys.stdin.readline):
            verb, *arguments = msgspec.json.decode(line)
            try:
                say(await getattr(verbs, verb)(*arguments))
            except AgentPoolError as error:
                say(type(error).__name__)


def main() -> None:
    """Serve until the input ends."""
    asyncio.run(_serve(*sys.argv[1:]))


if __name__ == "__main__":
    main()
