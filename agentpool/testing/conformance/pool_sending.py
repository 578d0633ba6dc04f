"""Sending: who receives a message, what is recorded of it, and what sending it again does."""

import asyncio
from typing import Any, Final

from msgspec.structs import replace

from agentpool.errors import IdempotencyConflictError, InvalidValueError, NotAMemberError
from agentpool.testing.conformance.kit import POOL, payloads, record, refusal
from agentpool.testing.conformance.pool_kit import ManualClock, PoolKit, message_log, peeked
from agentpool.testing.values import a_member, a_message
from agentpool.wire.records import (
    AgentPoolMessagePolicy,
    MessageReceipt,
    MessageStatus,
    RunAddress,
    RunMessage,
    RunMessageRecorded,
)
from agentpool.wire.refs import PolicyKind, PolicyRef

__all__ = ("PoolSendingTests",)

ACCEPTED, DELIVERED = MessageStatus.ACCEPTED, MessageStatus.DELIVERED
EXPIRED, FAILED = MessageStatus.EXPIRED, MessageStatus.FAILED
P1, P2 = PolicyRef(id="policy.1"), PolicyRef(id="policy.2")

CROWD: Final = (
    a_member("run.d", agent_id="agent.2"),
    a_member("run.b", agent_id="agent.1", topics=["topic.1", "topic.2"]),
    a_member("run.a", agent_id="agent.1", topics=["topic.1"]),
    a_member("run.c", agent_id="agent.2", topics=["topic.2", "topic.2"]),
)

# The target of a message from run.a, and who is to receive it.
TABLE: Final = (
    (RunAddress.run("run.b"), ("run.b",)),
    (RunAddress.run("run.a"), ("run.a",)),
    (RunAddress.run("run.unknown"), ()),
    (RunAddress.agent("agent.1"), ("run.a", "run.b")),
    (RunAddress.agent("agent.2"), ("run.c", "run.d")),
    (RunAddress.agent("agent.unknown"), ()),
    (RunAddress.topic("topic.1"), ("run.a", "run.b")),
    (RunAddress.topic("topic.2"), ("run.b", "run.c")),
    (RunAddress.topic("topic.unknown"), ()),
    (RunAddress.pool(POOL), ("run.b", "run.c", "run.d")),
    (RunAddress.pool("pool.other"), ()),
)


class PoolSendingTests(PoolKit):
    """``send``."""

    async def test_each_kind_of_target_reaches_its_members(self) -> None:
        async with self.opened(*CROWD) as pool:
            for number, (to, expected) in enumerate(TABLE):
                message = a_message(f"message.{number}", to=to)
                status = DELIVERED if expected else FAILED
                receipt = await pool.send(message)
                assert receipt == MessageReceipt(message.message_id, status, expected), to
                for member in CROWD:
                    inbox = await peeked(pool.inbox(member.run_id))
                    assert (message.message_id in inbox) == (member.run_id in expected), to

    async def test_a_pool_broadcast_includes_its_sender_where_the_policy_says_so(self) -> None:
        policy = AgentPoolMessagePolicy(include_sender_in_pool_broadcast=True)
        async with self.opened(*CROWD, message_policy=policy) as pool:
            receipt = await pool.send(a_message(to=RunAddress.pool(POOL)))
            assert receipt.delivered_to == ("run.a", "run.b", "run.c", "run.d")
            elsewhere = await pool.send(a_message("message.2", to=RunAddress.pool("other")))
            assert elsewhere.delivered_to == ()

    async def test_a_pool_broadcast_of_the_only_member_reaches_nobody(self) -> None:
        async with self.opened("run.a") as pool:
            receipt = await pool.send(a_message(to=RunAddress.pool(POOL)))
            assert receipt == MessageReceipt("message.1", FAILED)

    async def test_only_members_with_every_policy_of_the_message_receive_it(self) -> None:
        members = (
            a_member("run.a"),
            a_member("run.b", policy_refs=[P1]),
            a_member("run.c", policy_refs=[P2, P1]),
            a_member("run.d", policy_refs=[replace(P1, version="2")]),
            a_member("run.e", policy_refs=[replace(P1, kind=PolicyKind.PRIVACY)]),
        )
        cases: list[tuple[list[PolicyRef], tuple[str, ...]]] = [
            ([], ("run.b", "run.c", "run.d", "run.e")),
            ([P1], ("run.b", "run.c")),
            ([P1, P2], ("run.c",)),
            ([PolicyRef(id="policy.3")], ()),
        ]
        async with self.opened(*members) as pool:
            for number, (refs, expected) in enumerate(cases):
                message = a_message(str(number), to=RunAddress.pool(POOL), policy_refs=refs)
                assert (await pool.send(message)).delivered_to == expected
            direct = a_message("direct", to=RunAddress.run("run.b"), policy_refs=[P2])
            assert (await pool.send(direct)).status is FAILED

    async def test_without_the_required_policies_of_the_pool_nobody_receives_it(self) -> None:
        policy = AgentPoolMessagePolicy(required_policy_refs=(P1,))
        members = (a_member("run.a"), a_member("run.b", policy_refs=[P1, P2]))
        async with self.opened(*members, message_policy=policy) as pool:
            cases: list[tuple[list[PolicyRef], bool]] = [
                ([], False),
                ([P2], False),
                ([P1], True),
                ([P2, P1], True),
            ]
            for number, (refs, reaches) in enumerate(cases):
                receipt = await pool.send(a_message(str(number), policy_refs=refs))
                assert receipt.status is (DELIVERED if reaches else FAILED)
                assert len(await message_log(pool, str(number))) == (2 if reaches else 1)

    async def test_what_a_message_of_another_class_adds_is_not_recorded(self) -> None:
        class Annotated(RunMessage):
            note: str = "private"

        async with self.opened("run.a", "run.b") as pool:
            plain = a_message()
            sent = Annotated(**{each: getattr(plain, each) for each in plain.__struct_fields__})
            await pool.send(sent)
            recorded = [
                each for each in await payloads(pool.store) if isinstance(each, RunMessageRecorded)
            ]
            assert [each.stored.message for each in recorded] == [plain, plain]

    async def test_the_recipients_are_fixed_when_it_is_sent(self) -> None:
        async with self.opened("run.a", "run.b", "run.c") as pool:
            message = a_message(to=RunAddress.agent("agent.a"))
            receipt = await pool.send(message)
            await pool.join_run(a_member("run.d"))
            await pool.leave_run("run.b")
            assert await pool.send(message) == receipt
            assert receipt.delivered_to == ("run.a", "run.b", "run.c")
            assert await peeked(pool.inbox("run.d")) == []

    async def test_a_sender_that_is_no_member_is_refused_and_nothing_recorded(self) -> None:
        async with self.opened("run.b") as pool:
            before = await payloads(pool.store)
            await refusal(NotAMemberError, pool.send(a_message()))
            await refusal(NotAMemberError, pool.send(a_message(expires_at_millis=0)))
            assert await payloads(pool.store) == before
            assert await pool.store.message_receipt(POOL, "key.message.1") is None
            await pool.join_run(a_member("run.a"))
            assert (await pool.send(a_message())).status is DELIVERED

    async def test_a_delivered_message_is_two_records_side_by_side(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            before = len(await payloads(pool.store))
            messages = [a_message(f"message.{number}") for number in range(20)]
            await asyncio.gather(*(pool.send(each) for each in messages))
            records = (await payloads(pool.store))[before:]
            assert len(records) == 40
            for first, second in zip(records[::2], records[1::2], strict=True):
                assert isinstance(first, RunMessageRecorded)
                assert isinstance(second, RunMessageRecorded)
                assert first.stored.message == second.stored.message
                statuses = (first.stored.receipt.status, second.stored.receipt.status)
                assert statuses == (ACCEPTED, DELIVERED)
                assert second.stored.receipt.delivered_to == ("run.b",)

    async def test_a_message_that_is_due_is_one_record_and_reaches_nobody(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", "run.b", clock=clock) as pool:
            for name, expires_at in (("past", clock() - 1), ("now", clock()), ("zero", 0)):
                receipt = await pool.send(a_message(name, expires_at_millis=expires_at))
                assert receipt == MessageReceipt(name, EXPIRED)
                assert await message_log(pool, name) == [EXPIRED]
            assert await peeked(pool.inbox("run.b")) == []

    async def test_a_message_that_is_not_yet_due_is_delivered(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", "run.b", clock=clock) as pool:
            for name, expires_at in (("soon", clock() + 1), ("late", 2**64 - 1)):
                receipt = await pool.send(a_message(name, expires_at_millis=expires_at))
                assert receipt == MessageReceipt(name, DELIVERED, ("run.b",))
                assert await message_log(pool, name) == [ACCEPTED, DELIVERED]

    async def test_due_comes_before_having_no_recipient(self) -> None:
        async with self.opened("run.a") as pool:
            assert (await pool.send(a_message(expires_at_millis=0))).status is EXPIRED

    async def test_a_message_without_recipient_is_one_record(self) -> None:
        async with self.opened("run.a") as pool:
            assert await pool.send(a_message()) == MessageReceipt("message.1", FAILED)
            assert await message_log(pool) == [FAILED]

    async def test_each_outcome_is_final_for_its_key(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", "run.b", clock=clock) as pool:
            ended = a_message("ended")
            await pool.send(ended)
            await pool.record_message_status(ended, FAILED)
            expired = a_message("expired", expires_at_millis=clock())
            messages = (a_message("delivered"), expired, ended)
            receipts = [await pool.send(each) for each in messages]
            assert [each.status for each in receipts] == [DELIVERED, EXPIRED, FAILED]
            await pool.join_run(a_member("run.later"))
            await pool.leave_run("run.a")
            before = await payloads(pool.store)
            assert [await pool.send(each) for each in messages] == receipts
            assert await payloads(pool.store) == before

    async def test_a_retry_under_a_new_message_id_gets_the_first_receipt(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            receipt = await pool.send(a_message("message.1", idempotency_key="key"))
            before = await payloads(pool.store)
            assert await pool.send(a_message("message.2", idempotency_key="key")) == receipt
            assert await payloads(pool.store) == before
            assert await peeked(pool.inbox("run.b")) == ["message.1"]

    async def test_a_key_cannot_be_used_for_another_sender_target_or_content(self) -> None:
        others: list[dict[str, Any]] = [
            {"sender": "run.b"},
            {"to": RunAddress.run("run.c")},
            {"to": RunAddress.agent("run.b")},
            {"content_ref": "content.2"},
        ]
        async with self.opened("run.a", "run.b", "run.c") as pool:
            await pool.send(a_message())
            before = await payloads(pool.store)
            for fields in others:
                await refusal(IdempotencyConflictError, pool.send(a_message(**fields)))
            assert await payloads(pool.store) == before

    async def test_a_key_sent_by_many_at_once_is_sent_once(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            messages = [a_message(f"m.{number}", idempotency_key="key") for number in range(30)]
            receipts = await asyncio.gather(*(pool.send(each) for each in messages))
            assert len(set(receipts)) == 1
            assert len(await message_log(pool)) == 2
            assert len(await peeked(pool.inbox("run.b"))) == 1

    async def test_what_was_only_accepted_is_delivered_by_sending_it_again(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            await record(pool.store, a_message(), ACCEPTED)
            assert await peeked(pool.inbox("run.b")) == []
            receipt = await pool.send(a_message())
            assert receipt == MessageReceipt("message.1", DELIVERED, ("run.b",))
            assert await peeked(pool.inbox("run.b")) == ["message.1"]

    async def test_what_is_no_message_is_refused(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            before = await payloads(pool.store)
            await refusal(InvalidValueError, pool.send("message"))  # type: ignore[arg-type]
            for fields in ({"content_ref": ""}, {"expires_at_millis": -1}):
                await refusal(InvalidValueError, pool.send(replace(a_message(), **fields)))
            assert await payloads(pool.store) == before
