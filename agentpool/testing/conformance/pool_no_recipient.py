"""Messages that reach nobody: their senders are told, and may try again under the same key."""

import asyncio
import copy

from agentpool.errors import NotAMemberError, RetryClassification
from agentpool.testing.conformance.kit import payloads, refusal
from agentpool.testing.conformance.pool_kit import ManualClock, PoolKit, message_log, peeked
from agentpool.testing.values import a_member, a_message
from agentpool.wire.records import AgentPoolMember, MessageReceipt, MessageStatus, RunAddress
from agentpool.wire.refs import PolicyRef
from agentpool.wire.refused import NoRecipientError

__all__ = ("PoolNoRecipientTests",)

LATER = RunAddress.run("run.later")
POLICY = PolicyRef(id="policy.1")
ACCEPTED, DELIVERED = MessageStatus.ACCEPTED, MessageStatus.DELIVERED
EXPIRED, FAILED = MessageStatus.EXPIRED, MessageStatus.FAILED


class PoolNoRecipientTests(PoolKit):
    """``me.send`` to nobody, and sending again what reached nobody."""

    async def test_a_run_or_an_agent_that_is_not_there_is_an_error_with_the_receipt(self) -> None:
        async with self.opened("run.a") as pool:
            me = pool.acting_as(a_member("run.a"))
            for name, to in (
                ("run.x", RunAddress.run("run.x")),
                ("agent.x", RunAddress.agent("agent.x")),
            ):
                error = await refusal(NoRecipientError, me.send(to, "hello", message_id=name))
                assert error.receipt == MessageReceipt(name, FAILED)
                assert error.copy().receipt == copy.copy(error).receipt == error.receipt
                assert error.retry is RetryClassification.RETRYABLE
                assert error.pool_id == pool.pool_id
                assert repr(name) in str(error)
                assert await message_log(pool, name) == [FAILED]

    async def test_a_member_that_may_not_receive_it_is_nobody(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            me = pool.acting_as(a_member("run.a"))
            sending = me.send(RunAddress.run("run.b"), "hello", policy_refs=(POLICY,))
            await refusal(NoRecipientError, sending)

    async def test_a_topic_or_a_pool_without_listeners_is_no_error(self) -> None:
        async with self.opened("run.a") as pool:
            me = pool.acting_as(a_member("run.a"))
            for to in (RunAddress.topic("topic.x"), RunAddress.pool(pool.pool_id)):
                assert (await me.send(to, "hello")).status is FAILED

    async def test_an_answer_to_who_has_gone_is_no_error(self) -> None:
        async with self.opened("run.a") as pool:
            me = pool.acting_as(a_member("run.a"))
            assert (await me.reply(a_message(sender="run.gone"), "late")).status is FAILED

    async def test_what_expires_is_no_error(self) -> None:
        async with self.opened("run.a") as pool:
            me = pool.acting_as(a_member("run.a"))
            assert (await me.send(LATER, "hello", expires_in=0)).status is EXPIRED

    async def test_the_pool_gives_the_receipt(self) -> None:
        async with self.opened("run.a") as pool:
            assert await pool.send(a_message(to=LATER)) == MessageReceipt("message.1", FAILED)

    async def test_the_same_key_is_resolved_anew_once_somebody_is_there(self) -> None:
        async with self.opened("run.a") as pool:
            me = pool.acting_as(a_member("run.a"))
            for _ in range(2):
                await refusal(NoRecipientError, me.send(LATER, "hello", idempotency_key="key"))
            assert await message_log(pool) == [FAILED]
            await pool.join_run(a_member("run.later"))
            receipt = await me.send(LATER, "hello", idempotency_key="key", message_id="second")
            assert receipt == MessageReceipt("second", DELIVERED, ("run.later",))
            assert await message_log(pool) == [FAILED, ACCEPTED, DELIVERED]
            assert await pool.store.message_receipt(pool.pool_id, "key") == receipt
            assert await peeked(pool.inbox("run.later")) == ["second"]
            before = await payloads(pool.store)
            assert await me.send(LATER, "hello", idempotency_key="key") == receipt
            assert await payloads(pool.store) == before

    async def test_under_its_own_id_too_and_by_the_pool(self) -> None:
        async with self.opened("run.a") as pool:
            message = a_message(to=LATER)
            await pool.send(message)
            await pool.join_run(a_member("run.later"))
            receipt = await pool.send(message)
            assert receipt == MessageReceipt("message.1", DELIVERED, ("run.later",))
            assert await peeked(pool.inbox("run.later")) == ["message.1"]
            [stored] = (await pool.snapshot()).messages
            assert stored.receipt == receipt

    async def test_a_question_that_reached_nobody_can_be_asked_again(self) -> None:
        async with self.opened("run.a") as pool:
            me = pool.acting_as(a_member("run.a"))
            answers = await me.ask(LATER, "hello?", idempotency_key="key")
            assert len(answers) == 0
            await pool.join_run(a_member("run.later"))
            asking = asyncio.ensure_future(me.ask(LATER, "hello?", idempotency_key="key"))
            async with await pool.inbox("run.later").take() as delivery:
                await delivery.reply("yes")
            [answer] = await asking
            assert await me.read(answer) == "yes"

    async def test_what_has_expired_meanwhile_is_not_sent(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", clock=clock) as pool:
            message = a_message(to=LATER, expires_at_millis=clock() + 1)
            assert (await pool.send(message)).status is FAILED
            clock.advance(1)
            await pool.join_run(a_member("run.later"))
            assert (await pool.send(message)).status is EXPIRED
            assert await peeked(pool.inbox("run.later")) == []
            assert await message_log(pool) == [FAILED, EXPIRED]

    async def test_to_be_sent_again_its_sender_has_to_be_a_member(self) -> None:
        async with self.opened("run.a") as pool:
            await pool.send(a_message(to=LATER))
            await pool.leave_run("run.a")
            await pool.join_run(a_member("run.later"))
            before = await payloads(pool.store)
            await refusal(NotAMemberError, pool.send(a_message(to=LATER)))
            assert await payloads(pool.store) == before

    async def test_a_key_that_many_send_again_at_once_is_delivered_once(self) -> None:
        async with self.opened("run.a") as pool:
            me = pool.acting_as(a_member("run.a"))
            await refusal(NoRecipientError, me.send(LATER, "hello", idempotency_key="key"))
            await pool.join_run(AgentPoolMember("run.later", "agent.later"))
            sending = (me.send(LATER, "hello", idempotency_key="key") for _ in range(20))
            assert len(set(await asyncio.gather(*sending))) == 1
            assert await message_log(pool) == [FAILED, ACCEPTED, DELIVERED]
