"""Making calls at random, cut short now and then, and writing them down."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random
from typing import Final, TypeAlias

from agentpool import AgentPool, Delivery
from agentpool.testing.history.calls import Facts, Journal

__all__ = ("Caller", "Making", "claim_facts")

Making: TypeAlias = Callable[[], Awaitable[Facts]]

_CUT_SHORT: Final = 0.05
"""How many of the calls are cancelled soon after they began."""
_SOON: Final = 0.003


class Caller:
    """Makes the calls of one process.

    :ivar told: the last record that anybody was told of here
    """

    def __init__(self, pool: AgentPool, journal: Journal, random: Random) -> None:
        self.pool: Final = pool
        self.journal: Final = journal
        self.random: Final = random
        self.told: int = 0

    async def call(self, do: str, arguments: Facts, make: Making, *, whole: bool = False) -> bool:
        """Make one call and write it down; says whether it ended well.

        :param whole: never cut it short
        """
        cut = not whole and self.random.random() < _CUT_SHORT
        seconds = self.random.uniform(0, _SOON) if cut else None
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                id_ = self.journal.next_id()
                result = await self.journal.call(id_, do, arguments, make())
                self.told = max(self.told, result.get("seq", 0))
                return bool(result)
        return False


def claim_facts(delivery: Delivery) -> Facts:
    """Write a claim as it stands in a history."""
    claim = delivery.claim
    message_id = claim.message.message_id
    return {"seq": claim.seq, "message_id": message_id, "attempt": claim.attempt}
