"""Messages that are recorded now and are in the inboxes later."""

import asyncio

from agentpool.errors import InvalidValueError
from agentpool.support.clock import wall_clock
from agentpool.testing.conformance.kit import PATIENCE, payloads, refusal
from agentpool.testing.conformance.pool_kit import (
    ManualClock,
    PoolKit,
    acked,
    attempts,
    carry_out_due,
    message_log,
    peeked,
)
from agentpool.testing.values import a_member, a_message
from agentpool.wire.records import MessageReceipt, MessageStatus, RunAddress

__all__ = ("PoolDeferredTests",)

TO_B = RunAddress.run("run.b")
ACCEPTED, DELIVERED = MessageStatus.ACCEPTED, MessageStatus.DELIVERED
EXPIRED = MessageStatus.EXPIRED


class PoolDeferredTests(PoolKit):
    """``deliver_in``."""

    async def test_it_is_recorded_now_and_in_the_inbox_only_then(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", "run.b", clock=clock) as pool:
            me, inbox = pool.acting_as(a_member("run.a")), pool.inbox("run.b")
            receipt = await me.send(TO_B, "later", message_id="later", deliver_in=2.5)
            assert receipt == MessageReceipt("later", DELIVERED, ("run.b",))
            assert await message_log(pool) == [ACCEPTED, DELIVERED]
            await me.send(TO_B, "now", message_id="now")
            assert await peeked(inbox) == ["now"]
            assert await acked(inbox, 1) == ["now"]
            clock.advance(2499)
            await carry_out_due(pool)
            assert await peeked(inbox) == []
            assert await inbox.take(0) is None
            clock.advance(1)
            assert await peeked(inbox) == ["later"]
            async with await inbox.take() as delivery:
                assert attempts([delivery]) == [("later", 1)]
                assert await delivery.text() == "later"
            assert await peeked(inbox) == []

    async def test_once_it_is_there_it_is_in_its_place_in_the_log(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", "run.b", clock=clock) as pool:
            me, inbox = pool.acting_as(a_member("run.a")), pool.inbox("run.b")
            for number, delay in enumerate((3, 1, 2, 0)):
                await me.send(TO_B, "x", message_id=f"{number}", deliver_in=delay)
            clock.advance(3000)
            assert await peeked(inbox) == ["0", "1", "2", "3"]
            assert await acked(inbox, 4) == ["0", "1", "2", "3"]

    async def test_whom_it_is_for_is_fixed_when_it_is_sent(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", "run.b", clock=clock) as pool:
            me = pool.acting_as(a_member("run.a"))
            await me.send(RunAddress.pool(pool.pool_id), "x", message_id="m", deliver_in=1)
            await pool.leave_run("run.b")
            await pool.join_run(a_member("run.c"))
            clock.advance(1000)
            await pool.join_run(a_member("run.b"))
            assert await peeked(pool.inbox("run.b")) == ["m"]
            assert await peeked(pool.inbox("run.c")) == []

    async def test_sent_again_it_keeps_its_time(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", "run.b", clock=clock) as pool:
            me, inbox = pool.acting_as(a_member("run.a")), pool.inbox("run.b")
            receipt = await me.send(TO_B, "x", idempotency_key="key", deliver_in=2)
            before = await payloads(pool.store)
            clock.advance(1000)
            for delay in (0, 2):
                again = await me.send(TO_B, "x", idempotency_key="key", deliver_in=delay)
                assert again == receipt
            assert await payloads(pool.store) == before
            assert await peeked(inbox) == []
            clock.advance(1000)
            assert len(await peeked(inbox)) == 1

    async def test_what_expires_or_is_withdrawn_before_it_comes_never_comes(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", "run.b", clock=clock) as pool:
            me, inbox = pool.acting_as(a_member("run.a")), pool.inbox("run.b")
            message = a_message("m")
            await me.send(
                TO_B,
                content_ref=message.content_ref,
                message_id="m",
                idempotency_key=message.idempotency_key,
                deliver_in=1,
            )
            await pool.record_message_status(message, MessageStatus.CANCELLED)
            await me.send(TO_B, "x", message_id="expires", deliver_in=1, expires_in=2)
            clock.advance(2000)
            await carry_out_due(pool)
            assert await message_log(pool, "expires") == [ACCEPTED, DELIVERED, EXPIRED]
            assert await peeked(inbox) == []
            assert await inbox.take(0) is None

    async def test_what_can_never_be_received_is_refused(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            me = pool.acting_as(a_member("run.a"))
            sending = me.send(TO_B, "x", deliver_in=2, expires_in=2)
            assert "deliver_in" in str(await refusal(InvalidValueError, sending))
            answering = me.send(TO_B, "x", deliver_in=2, reply_to="message.1")
            assert "deliver_in" in str(await refusal(InvalidValueError, answering))
            assert await message_log(pool) == []

    async def test_who_waits_for_it_gets_it(self) -> None:
        async with self.opened("run.a", "run.b", clock=wall_clock) as pool:
            me, inbox = pool.acting_as(a_member("run.a")), pool.inbox("run.b")
            taking = asyncio.ensure_future(inbox.take())
            await asyncio.wait([taking], timeout=0.02)
            began = pool.store.clock()
            await me.send(TO_B, "x", deliver_in=0.2)
            async with asyncio.timeout(PATIENCE):
                async with await taking as delivery:
                    assert pool.store.clock() - began >= 200
                    assert await delivery.text() == "x"

    async def test_it_is_deferred_also_behind_what_is_not_worked_in_yet(self) -> None:
        clock = ManualClock()
        crowd = [f"run.{number}" for number in range(40)]
        async with self.opened("run.a", "run.b", *crowd, clock=clock) as pool:
            me, inbox = pool.acting_as(a_member("run.a")), pool.inbox("run.b")
            to_all = RunAddress.pool(pool.pool_id)
            await asyncio.gather(
                *(me.send(to_all, "x") for _ in range(30)),
                *(me.send(TO_B, "x", message_id=f"m.{n}", deliver_in=1) for n in range(30)),
                *(me.send(to_all, "x") for _ in range(30)),
            )
            await carry_out_due(pool)
            assert len(await acked(inbox, 60)) == 60
            assert await peeked(inbox) == []
            clock.advance(1000)
            assert sorted(await peeked(inbox)) == sorted(f"m.{number}" for number in range(30))
