"""Messages that fail: they come again later and later, block nobody, and are put aside at last."""

import asyncio
from contextlib import suppress
from typing import Final

from agentpool.errors import ClaimLostError, InvalidTransitionError, InvalidValueError
from agentpool.inbox import Delivery, Inbox
from agentpool.pool import AgentPool
from agentpool.rules.dead import DeadLetter
from agentpool.testing.conformance.kit import refusal
from agentpool.testing.conformance.pool_claims import claimed
from agentpool.testing.conformance.pool_kit import (
    ManualClock,
    PoolKit,
    acked,
    attempts,
    deliver,
    peeked,
)
from agentpool.testing.values import a_member, a_message
from agentpool.wire.records import RunAddress

__all__ = ("PoolFailingTests",)

DELAYS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300)
AN_HOUR: Final = 3_600_000


async def taken(inbox: Inbox) -> list[tuple[str, int]]:
    """Take what is there now; say what that is, and at which attempt."""
    delivery = await inbox.take(timeout=0)
    return [] if delivery is None else attempts([delivery])


async def failed(inbox: Inbox) -> Delivery:
    """Take a message, and fail in the block that handles it."""
    delivery = await inbox.take()
    with suppress(ZeroDivisionError):
        async with delivery:
            raise ZeroDivisionError
    return delivery


async def buried(pool: AgentPool, clock: ManualClock, attempts: int = 2) -> DeadLetter:
    """Fail at a message until it is put aside."""
    inbox = pool.inbox("run.b", max_attempts=attempts)
    for _ in range(attempts):
        await failed(inbox)
        clock.advance(AN_HOUR)
    [letter] = await inbox.dead()
    return letter


class PoolFailingTests(PoolKit):
    """``Delivery.nack`` without a delay, ``max_attempts``, and dead letters."""

    async def test_a_message_that_fails_comes_again_after_a_longer_and_longer_time(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", "run.b", clock=clock) as pool:
            await deliver(pool, 1)
            inbox = pool.inbox("run.b")
            for attempt, seconds in enumerate(DELAYS, 1):
                delivery = await inbox.take()
                assert delivery.attempt == attempt
                await delivery.nack()
                clock.advance(seconds * 1000 - 1)
                assert await taken(inbox) == []
                clock.advance(1)

    async def test_a_block_that_raises_gives_its_message_back_as_one_that_failed(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", "run.b", clock=clock) as pool:
            await deliver(pool, 1)
            inbox = pool.inbox("run.b")
            for seconds in DELAYS[:3]:
                await failed(inbox)
                clock.advance(seconds * 1000 - 1)
                assert await taken(inbox) == []
                clock.advance(1)
            assert await taken(inbox) == [("message.1", 4)]

    async def test_what_waits_behind_a_message_that_fails_is_handed_out_meanwhile(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", "run.b", clock=clock) as pool:
            sent = await deliver(pool, 5)
            inbox = pool.inbox("run.b")
            await failed(inbox)
            assert await acked(inbox, 4) == sent[1:]
            assert await peeked(inbox) == sent[:1]
            clock.advance(1000)
            assert await acked(inbox, 1) == sent[:1]

    async def test_a_delay_that_is_given_is_kept_at_every_attempt(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", "run.b", clock=clock) as pool:
            await deliver(pool, 1)
            inbox = pool.inbox("run.b")
            for attempt in range(1, 5):
                delivery = await inbox.take()
                assert delivery.attempt == attempt
                await delivery.nack(delay=0.5)
                clock.advance(499)
                assert await taken(inbox) == []
                clock.advance(1)

    async def test_a_message_that_was_tried_often_enough_is_put_aside(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", "run.b", "run.c", clock=clock) as pool:
            await pool.send(a_message("message.1", to=RunAddress.pool(pool.pool_id)))
            await pool.send(a_message("message.2"))
            inbox = pool.inbox("run.b", max_attempts=3)
            for _ in range(3):
                assert await inbox.dead() == ()
                delivery = await inbox.take()
                assert delivery.message.message_id == "message.1"
                await delivery.nack()
                await refusal(ClaimLostError, delivery.nack())
                clock.advance(AN_HOUR)
            [letter] = await inbox.dead()
            assert (letter.message.message_id, letter.attempts) == ("message.1", 3)
            assert await peeked(inbox) == ["message.2"]
            assert await acked(inbox, 1) == ["message.2"]
            assert await taken(pool.inbox("run.b")) == []
            assert await pool.inbox("run.c").dead() == ()
            assert await peeked(pool.inbox("run.c")) == ["message.1"]

    async def test_without_a_limit_no_message_is_put_aside(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            await deliver(pool, 1)
            inbox = pool.inbox("run.b")
            for _ in range(20):
                await (await inbox.take()).nack(delay=0)
            assert await inbox.dead() == ()
            assert await taken(inbox) == [("message.1", 21)]

    async def test_a_message_that_kills_its_consumers_is_put_aside_too(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", "run.b", clock=clock) as pool:
            await deliver(pool, 2)
            for attempt in (1, 2):
                assert (await claimed(pool, 1000)).attempt == attempt
                clock.advance(1000)
            inbox = pool.inbox("run.b", max_attempts=2)
            assert await taken(inbox) == [("message.2", 1)]
            [letter] = await inbox.dead()
            assert (letter.message.message_id, letter.attempts) == ("message.1", 2)

    async def test_a_dead_letter_that_is_tried_again_stands_where_it_stood(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", "run.b", clock=clock) as pool:
            await deliver(pool, 2)
            inbox = pool.inbox("run.b", max_attempts=2)
            letter = await buried(pool, clock)
            await inbox.retry(letter)
            assert await inbox.dead() == ()
            assert await peeked(inbox) == ["message.1", "message.2"]
            await refusal(InvalidTransitionError, inbox.retry(letter))
            # The attempts go on, for fencing, but those before do not count any more.
            for attempt, seconds in ((3, 1), (4, None)):
                delivery = await inbox.take()
                assert attempts([delivery]) == [("message.1", attempt)]
                await delivery.nack()
                clock.advance((seconds or 0) * 1000)
            [again] = await inbox.dead()
            assert again.attempts == 4

    async def test_a_dead_letter_that_is_tried_again_wakes_who_waits(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", "run.b", clock=clock) as pool:
            await deliver(pool, 1)
            letter = await buried(pool, clock)
            waiting = asyncio.ensure_future(pool.inbox("run.b").take())
            await pool.inbox("run.b").dead()  # the consumer has looked by then, and waits
            await pool.inbox("run.b").retry(letter)
            assert attempts([await waiting]) == [("message.1", 3)]

    async def test_an_old_claim_cannot_end_that_of_a_dead_letter_tried_again(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", "run.b", clock=clock) as pool:
            await deliver(pool, 1)
            old = await failed(pool.inbox("run.b", max_attempts=1))
            [letter] = await pool.inbox("run.b").dead()
            await pool.inbox("run.b").retry(letter)
            current = await pool.inbox("run.b").take()
            await refusal(ClaimLostError, old.ack())
            await current.ack()

    async def test_a_dead_letter_that_is_discarded_is_gone(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", "run.b", clock=clock) as pool:
            await deliver(pool, 1)
            inbox = pool.inbox("run.b")
            letter = await buried(pool, clock)
            await inbox.discard(letter)
            assert await inbox.dead() == ()
            assert await peeked(inbox) == []
            for call in (inbox.discard, inbox.retry):
                error = await refusal(InvalidTransitionError, call(letter))
                assert error.pool_id == pool.pool_id

    async def test_a_dead_letter_that_has_expired_is_kept_but_not_tried_again(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", "run.b", clock=clock) as pool:
            await pool.send(a_message("message.1", expires_at_millis=clock() + 1000))
            letter = await buried(pool, clock, attempts=1)
            clock.advance(AN_HOUR)
            inbox = pool.inbox("run.b")
            await refusal(InvalidTransitionError, inbox.retry(letter))
            assert await inbox.dead() == (letter,)
            await inbox.discard(letter)

    async def test_dead_letters_are_listed_in_order_of_the_log(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            sent = await deliver(pool, 150)
            inbox = pool.inbox("run.b", max_attempts=1)
            for _ in sent:
                await (await inbox.take()).nack()
            letters = await inbox.dead(1000)
            assert [each.message.message_id for each in letters] == sent
            assert await inbox.dead() == letters[:100]
            assert await inbox.dead(0) == ()

    async def test_what_a_member_gives_back_when_it_leaves_has_not_failed(self) -> None:
        async with self.opened("run.a", clock=ManualClock()) as pool:
            async with pool.member(a_member("run.b"), max_attempts=1) as me:
                await deliver(pool, 1)
                held = await me.inbox.take()
            async with pool.member(a_member("run.b"), max_attempts=1) as back:
                assert await taken(back.inbox) == [("message.1", 1)]
                assert await back.inbox.dead() == ()
            assert held.attempt == 1

    async def test_limits_that_make_no_sense_are_refused(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            for wrong in (0, -1, 1.5, "3", True):
                with suppress(InvalidValueError):
                    pool.inbox("run.b", max_attempts=wrong)  # type: ignore[arg-type]
                    raise AssertionError(wrong)
            for wrong in (0, -1, float("nan"), "3"):
                with suppress(InvalidValueError):
                    pool.inbox("run.b", claim_limit=wrong)  # type: ignore[arg-type]
                    raise AssertionError(wrong)
            inbox = pool.inbox("run.b")
            await refusal(InvalidValueError, inbox.retry("message.1"))  # type: ignore[arg-type]
            await refusal(InvalidValueError, inbox.discard(None))  # type: ignore[arg-type]
