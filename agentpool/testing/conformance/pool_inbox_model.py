"""Random use of one inbox, compared step by step with a model of what has to come."""

import random
from dataclasses import dataclass, field
from typing import Final

from agentpool.errors import ClaimLostError
from agentpool.inbox import Delivery
from agentpool.pool import AgentPool
from agentpool.testing.conformance.kit import refusal
from agentpool.testing.conformance.pool_kit import ManualClock, PoolKit, peeked
from agentpool.testing.values import a_message

__all__ = ("PoolInboxModelTests",)

LEASE: Final = 1_000
RUNS_OF_THE_MODEL: Final = 15
STEPS: Final = 60


@dataclass
class Entry:
    """What the model knows of an unacknowledged message."""

    name: str
    expires_at: int
    free_at: int = 0
    attempt: int = 0
    claimed: bool = False


@dataclass
class Model:
    """An inbox as it should be, in order of the log."""

    entries: dict[str, Entry] = field(default_factory=dict)

    def visible(self, now: int) -> list[Entry]:
        return [each for each in self.entries.values() if each.expires_at > now]

    def next(self, now: int) -> Entry | None:
        return next((each for each in self.visible(now) if each.free_at <= now), None)

    def is_current(self, delivery: Delivery, now: int) -> bool:
        entry = self.entries.get(delivery.message.message_id)
        return (
            entry is not None
            and entry.claimed
            and entry.attempt == delivery.attempt
            and entry.free_at > now
        )


class PoolInboxModelTests(PoolKit):
    """An inbox under random use."""

    async def test_an_inbox_behaves_like_its_model(self) -> None:
        for seed in range(RUNS_OF_THE_MODEL):
            clock = ManualClock()
            async with self.opened("run.a", "run.b", clock=clock) as pool:
                walk = _Walk(pool, clock, random.Random(seed))  # noqa: S311  # a test
                for _ in range(STEPS):
                    await walk.step()
                    expected = [each.name for each in walk.model.visible(clock())]
                    assert await peeked(pool.inbox("run.b")) == expected, seed


class _Walk:
    def __init__(self, pool: AgentPool, clock: ManualClock, chance: random.Random) -> None:
        self.model = Model()
        self._pool, self._clock, self._chance = pool, clock, chance
        self._deliveries: list[Delivery] = []
        self._sent = 0

    async def step(self) -> None:
        steps = (self._send, self._take, self._ack, self._nack, self._wait)
        await self._chance.choices(steps, (3, 4, 2, 2, 1))[0]()

    async def _send(self) -> None:
        self._sent += 1
        name = f"message.{self._sent}"
        expires_at = self._clock() + self._chance.choice((LEASE // 2, 10 * LEASE))
        self.model.entries[name] = Entry(name, expires_at)
        await self._pool.send(a_message(name, expires_at_millis=expires_at))

    async def _take(self) -> None:
        entry = self.model.next(self._clock())
        if entry is None:
            return
        delivery = await self._pool.inbox("run.b", lease=LEASE / 1000).take()
        entry.attempt, entry.claimed = entry.attempt + 1, True
        entry.free_at = self._clock() + LEASE
        assert (delivery.message.message_id, delivery.attempt) == (entry.name, entry.attempt)
        self._deliveries.append(delivery)

    async def _ack(self) -> None:
        if not self._deliveries:
            return
        delivery = self._chance.choice(self._deliveries)
        if not self.model.is_current(delivery, self._clock()):
            await refusal(ClaimLostError, delivery.ack())
            return
        await delivery.ack()
        del self.model.entries[delivery.message.message_id]

    async def _nack(self) -> None:
        if not self._deliveries:
            return
        delivery = self._chance.choice(self._deliveries)
        delay = self._chance.choice((0, LEASE))
        if not self.model.is_current(delivery, self._clock()):
            await refusal(ClaimLostError, delivery.nack(delay / 1000))
            return
        await delivery.nack(delay / 1000)
        entry = self.model.entries[delivery.message.message_id]
        entry.claimed, entry.free_at = False, self._clock() + delay

    async def _wait(self) -> None:
        # A jump over a whole lease: nothing renews what is held while the clock jumps.
        self._clock.advance(self._chance.choice((LEASE // 10, LEASE)))
