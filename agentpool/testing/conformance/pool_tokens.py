"""Acknowledging by token and many at once: all or nothing, and only by claims that are current."""

from typing import Final

from agentpool.errors import ClaimLostError, InvalidValueError
from agentpool.pool import AgentPool
from agentpool.testing.conformance.kit import POOL, refusal
from agentpool.testing.conformance.pool_kit import (
    ManualClock,
    PoolKit,
    attempts,
    deliver,
    peeked,
)
from agentpool.testing.values import a_member, a_message
from agentpool.wire.records import RunAddress

__all__ = ("PoolTokenTests",)

LEASE: Final = 30_000


class PoolTokenTests(PoolKit):
    """``Delivery.token``, ``Inbox.ack`` and ``Inbox.ack_many``."""

    async def test_a_claim_is_ended_by_its_token_from_elsewhere(self) -> None:
        async with self.opened("run.a", "run.b") as pool, AgentPool.open(pool.store, POOL) as other:
            await deliver(pool, 2)
            delivery = await pool.inbox("run.b").take()
            assert type(delivery.token) is str
            await other.inbox("run.b").ack(delivery.token)
            assert await peeked(pool.inbox("run.b")) == ["message.2"]
            await refusal(ClaimLostError, delivery.ack())
            await refusal(ClaimLostError, other.inbox("run.b").ack(delivery.token))

    async def test_a_message_is_given_back_by_its_token_from_elsewhere(self) -> None:
        clock = ManualClock()
        async with (
            self.opened("run.a", "run.b", clock=clock) as pool,
            AgentPool.open(pool.store, POOL) as other,
        ):
            await deliver(pool, 1)
            inbox, elsewhere = pool.inbox("run.b"), other.inbox("run.b", max_attempts=2)
            first = await inbox.take()
            await elsewhere.nack(first.token, 5)
            await refusal(ClaimLostError, elsewhere.nack(first.token))
            await refusal(ClaimLostError, first.ack())
            assert await inbox.take(timeout=0) is None
            clock.advance(5000)
            second = await inbox.take()
            await refusal(InvalidValueError, pool.inbox("run.a").nack(second.token))
            await refusal(InvalidValueError, elsewhere.nack(second.token, -1))
            await elsewhere.nack(second.token)
            assert [each.attempts for each in await inbox.dead()] == [2]

    async def test_a_block_whose_message_its_own_inbox_gave_back_leaves_it_at_that(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            await deliver(pool, 1)
            inbox = pool.inbox("run.b")
            async with await inbox.take() as delivery:
                await inbox.nack(delivery.token, 0)
            assert (await inbox.take()).attempt == 2

    async def test_a_block_whose_claim_its_own_inbox_ended_leaves_it_at_that(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            await deliver(pool, 3)
            inbox = pool.inbox("run.b")
            async with await inbox.take() as delivery:
                await inbox.ack(delivery.token)
            async with await inbox.take() as delivery:
                await pool.inbox("run.b").ack_many([delivery])
            async with await inbox.take() as delivery:
                await inbox.ack_many([delivery.token])
            assert await peeked(inbox) == []

    async def test_a_token_of_a_claim_that_ran_out_changes_nothing(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", "run.b", clock=clock) as pool:
            await deliver(pool, 1)
            inbox = pool.inbox("run.b")
            stale = (await inbox.take()).token
            clock.advance(LEASE)
            await refusal(ClaimLostError, inbox.ack(stale))
            current = await inbox.take()
            error = await refusal(ClaimLostError, inbox.ack(stale))
            assert (error.pool_id, error.seq) == (POOL, current.claim.seq)
            assert await peeked(inbox) == ["message.1"]
            await inbox.ack(current.token)
            assert await peeked(inbox) == []

    async def test_a_token_of_what_was_given_back_does_not_end_the_next_claim(self) -> None:
        async with self.opened("run.a") as pool:
            async with pool.member(a_member("run.b")) as me:
                await deliver(pool, 1)
                held = await me.inbox.take()
                token = held.token
            async with pool.member(a_member("run.b")) as back:
                again = await back.inbox.take()
                assert attempts([again]) == [("message.1", 1)]
                await refusal(ClaimLostError, back.inbox.ack(token))
                assert again.token != token
                await again.ack()

    async def test_what_is_no_token_of_this_inbox_is_refused(self) -> None:
        async with (
            self.opened("run.a", "run.b", "run.c") as pool,
            AgentPool.open(pool.store, "pool.other") as foreign,
        ):
            await pool.send(a_message("message.1", to=RunAddress.pool(POOL)))
            inbox = pool.inbox("run.b")
            delivery, other = await inbox.take(), await pool.inbox("run.c").take()
            token = delivery.token
            wrong: list[object] = ["", "x", token[:-1], token + "0", "0" + token, f" {token}"]
            wrong += [token.upper() + "\n", other.token, None, 1, token.encode(), delivery.claim]
            for each in wrong:
                await refusal(InvalidValueError, inbox.ack(each))  # type: ignore[arg-type]
                many = inbox.ack_many([delivery, each])  # type: ignore[list-item]
                await refusal(InvalidValueError, many)
            await refusal(InvalidValueError, foreign.inbox("run.b").ack(token))
            await refusal(InvalidValueError, inbox.ack_many([delivery, other]))
            await refusal(InvalidValueError, inbox.ack_many(token))
            await inbox.ack_many([token])

    async def test_many_are_acknowledged_at_once(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            await deliver(pool, 5)
            inbox = pool.inbox("run.b")
            taken = await inbox.take_many(4)
            await inbox.ack_many([taken[0], taken[1].token, taken[2], taken[0]])
            assert await peeked(inbox) == ["message.4", "message.5"]
            await inbox.ack_many(())
            await inbox.ack_many(taken[3:])
            assert await peeked(inbox) == ["message.5"]

    async def test_where_one_of_many_is_lost_none_is_acknowledged(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            sent = await deliver(pool, 3)
            inbox = pool.inbox("run.b")
            lost, *held = await inbox.take_many(3)
            await lost.nack()
            await refusal(ClaimLostError, inbox.ack_many([held[0], lost, held[1]]))
            assert await peeked(inbox) == sent
            await inbox.ack_many(held)
            assert await peeked(inbox) == sent[:1]
