"""Taking many messages at once: in one transaction, in order, and nothing where it is cancelled."""

import asyncio
import itertools
from collections.abc import Awaitable
from typing import Any, Final
from unittest.mock import patch

from agentpool.errors import InvalidValueError
from agentpool.inbox import Delivery
from agentpool.pool import AgentPool
from agentpool.rules.claiming import Claiming
from agentpool.rules.command import INBOX, Command, PoolView
from agentpool.support.clock import wall_clock
from agentpool.testing.cancellation import Moment, cancel_at
from agentpool.testing.conformance.kit import PATIENCE, refusal
from agentpool.testing.conformance.pool_kit import (
    ManualClock,
    PoolKit,
    acked,
    attempts,
    deliver,
    nothing_comes,
    outlive,
)
from agentpool.testing.values import a_message
from agentpool.wire.records import MessageStatus

__all__ = ("PoolTakingManyTests",)

AN_HOUR: Final = 3_600_000


class PoolTakingManyTests(PoolKit):
    """``Inbox.take_many``."""

    async def test_so_many_are_taken_as_are_asked_for_in_order_and_at_once(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            sent = await deliver(pool, 25)
            inbox = pool.inbox("run.b")
            executed: list[object] = []
            execute = pool.store.execute

            def counting(pool_id: str, command: Command[Any]) -> Awaitable[Any]:
                executed.append(command)
                return execute(pool_id, command)

            with patch.object(pool.store, "execute", counting):
                taken = [await inbox.take_many(10) for _ in range(3)]
            assert [len(each) for each in taken] == [10, 10, 5]
            assert attempts([each for some in taken for each in some]) == [(it, 1) for it in sent]
            assert len([each for each in executed if isinstance(each, Claiming)]) == 3
            await nothing_comes(inbox.take_many(10), pool)

    async def test_all_of_a_large_inbox_are_taken_each_once(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            sent = await deliver(pool, 300)
            inbox = pool.inbox("run.b")
            taken: list[Delivery] = []
            while some := await inbox.take_many(10**30, timeout=0):
                taken += some
            assert attempts(taken) == [(each, 1) for each in sent]

    async def test_it_waits_until_there_is_one(self) -> None:
        async with self.opened("run.a", "run.b", clock=wall_clock) as pool:
            for timeout in (None, PATIENCE):
                taking = asyncio.create_task(pool.inbox("run.b").take_many(5, timeout))
                await asyncio.wait([taking], timeout=0.02)
                assert not taking.done()
                await pool.send(a_message(f"message.{timeout}"))
                assert attempts(list(await taking)) == [(f"message.{timeout}", 1)]

    async def test_it_gives_nothing_when_nothing_comes_in_time(self) -> None:
        async with self.opened("run.a", "run.b", clock=wall_clock) as pool:
            inbox = pool.inbox("run.b")
            for seconds in (0, 0.001, 0.05):
                assert await inbox.take_many(3, timeout=seconds) == ()
            sent = await deliver(pool, 2)
            assert attempts(list(await inbox.take_many(3, timeout=0))) == [(it, 1) for it in sent]

    async def test_cancelled_it_leaves_all_messages_as_they_were(self) -> None:
        for moment in Moment:
            async with self.opened("run.a", "run.b") as pool:
                for suspension in itertools.count():
                    sent = [f"message.{suspension}.{number}" for number in range(3)]
                    for name in sent:
                        await pool.send(a_message(name))
                    taken, reached = await _cancelled(pool, suspension, moment)
                    again = taken or await pool.inbox("run.b").take_many(3, timeout=0)
                    assert attempts(list(again)) == [(name, 1) for name in sent], moment
                    await pool.inbox("run.b").ack_many(again)
                    if not reached:
                        break

    async def test_what_cannot_be_taken_is_passed_by(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", "run.b", clock=clock) as pool:
            await pool.send(a_message("short", expires_at_millis=clock() + 1000))
            sent = await deliver(pool, 4)
            inbox = pool.inbox("run.b", max_attempts=1)
            [_, bad] = await inbox.take_many(2)
            await bad.nack()
            await pool.record_message_status(a_message(sent[1]), MessageStatus.CANCELLED)
            clock.advance(AN_HOUR)
            assert attempts(list(await inbox.take_many(9))) == [(sent[2], 1), (sent[3], 1)]
            [letter] = await inbox.dead()
            assert letter.message.message_id == sent[0]

    async def test_each_that_is_held_is_renewed(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", "run.b", clock=clock) as pool:
            await deliver(pool, 3)
            inbox = pool.inbox("run.b", lease=0.3)
            taken = await inbox.take_many(3)
            await outlive(pool, clock, 300, _first_end_of_a_claim)
            await inbox.ack_many(taken)
            assert await inbox.peek() == ()

    async def test_those_who_take_at_once_share_what_is_there(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            sent = await deliver(pool, 40)
            taken: list[Delivery] = []

            async def consume() -> None:
                inbox = pool.inbox("run.b")
                while some := await inbox.take_many(3, timeout=0):
                    taken.extend(some)

            await asyncio.gather(*(consume() for _ in range(4)))
            assert sorted(attempts(taken)) == sorted((each, 1) for each in sent)

    async def test_a_number_that_makes_no_sense_is_refused(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            await deliver(pool, 1)
            inbox = pool.inbox("run.b")
            for wrong in (0, -1, 1.5, "3", True, None):
                await refusal(InvalidValueError, inbox.take_many(wrong))  # type: ignore[arg-type]
            await refusal(InvalidValueError, inbox.take_many(1, timeout=-1))
            assert await acked(inbox, 1) == ["message.1"]


async def _cancelled(
    pool: AgentPool, suspension: int, moment: Moment
) -> tuple[tuple[Delivery, ...], bool]:
    """Cancel a take at one place; give what it has given all the same, and whether it was there."""
    taken: tuple[Delivery, ...] = ()

    async def take() -> None:
        nonlocal taken
        taken = await pool.inbox("run.b").take_many(3)

    async with asyncio.timeout(PATIENCE):
        reached = await cancel_at(suspension, take, moment=moment)
    return taken, reached


def _first_end_of_a_claim(view: PoolView) -> int:
    return min(row.due_at for row in view.rows(INBOX, "run.b", limit=9))
