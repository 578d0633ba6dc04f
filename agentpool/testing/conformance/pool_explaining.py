"""Explaining a message: whom it reached, why not the others, and what came of it."""

from typing import TypeVar

from agentpool.pool import AgentPool
from agentpool.rules.claiming import ClaimNext
from agentpool.rules.explaining.explanations import Explained, MessageExplanation, NothingFound
from agentpool.rules.explaining.finding import Explainable
from agentpool.rules.explaining.parts import Alike, NameKind, RecipientState
from agentpool.rules.recipients import WhyNot
from agentpool.support.process import process_name
from agentpool.testing.conformance.kit import POOL
from agentpool.testing.conformance.pool_asking import a_question, asked
from agentpool.testing.conformance.pool_kit import (
    ManualClock,
    PoolKit,
    a_reply,
    carry_out_due,
    deliver,
)
from agentpool.testing.values import a_member, a_message
from agentpool.wire.records import (
    AgentPoolMessagePolicy,
    MessageResponseContract,
    MessageStatus,
    RunAddress,
)
from agentpool.wire.refs import PolicyRef

__all__ = ("PoolExplainingTests", "explained")

E = TypeVar("E", bound=Explained)

P1, P2 = PolicyRef(id="policy.1"), PolicyRef(id="policy.2")
TO_BOOKS = RunAddress.topic("books")


async def explained(pool: AgentPool, what: Explainable, kind: type[E]) -> E:
    """Explain something, of which it is known what it is; it is told in words too."""
    found = await pool.explain(what)
    assert isinstance(found, kind)
    assert str(found).splitlines() == list(found.words) != []
    return found


async def message_seen(pool: AgentPool, what: Explainable = "key.message.1") -> MessageExplanation:
    """Explain a message."""
    return await explained(pool, what, MessageExplanation)


async def states(pool: AgentPool, what: Explainable = "key.message.1") -> dict[str, RecipientState]:
    """Say how a message stands with each who received it."""
    found = await message_seen(pool, what)
    assert found.recipients_in_all == len(found.recipients)
    return {each.run_id: each.state for each in found.recipients}


async def reasons(pool: AgentPool, what: Explainable = "key.message.1") -> dict[str, WhyNot]:
    """Say why others did not receive a message."""
    found = await message_seen(pool, what)
    assert found.missed_in_all == len(found.missed)
    return {each.run_id: each.why for each in found.missed}


class PoolExplainingTests(PoolKit):
    """``AgentPool.explain`` of a message."""

    # --- whom it reached

    async def test_a_message_to_a_topic_and_why_others_miss_it(self) -> None:
        members = [
            a_member(),
            a_member("run.b", topics=["books"], policy_refs=[P1]),
            a_member("run.c", topics=["books"], policy_refs=[P2]),
            a_member("run.d", topics=["films"], policy_refs=[P1]),
        ]
        async with self.opened(*members) as pool:
            await pool.leave_run("run.d")
            await pool.join_run(a_member("run.d", topics=["films"]))
            await pool.send(a_message(to=TO_BOOKS, policy_refs=[P1]))
            await pool.join_run(a_member("run.e", topics=["books"], policy_refs=[P1]))
            found = await message_seen(pool)
            assert [each.run_id for each in found.recipients] == ["run.b"]
            assert await reasons(pool) == {
                "run.a": WhyNot.LACKS_TOPIC,
                "run.c": WhyNot.LACKS_POLICIES,
                "run.d": WhyNot.LACKS_TOPIC,
                "run.e": WhyNot.NOT_A_MEMBER,
            }
            assert {each.policy_refs for each in found.missed if each.run_id == "run.c"} == {(P1,)}
            assert found.left_until is None

    async def test_who_has_left_since_is_told_of_too(self) -> None:
        async with self.opened("run.a", "run.b", "run.c", "run.d") as pool:
            await pool.leave_run("run.c")
            await pool.send(a_message())
            await pool.leave_run("run.b")
            await pool.leave_run("run.d")
            found = await message_seen(pool)
            assert [(each.run_id, each.is_member) for each in found.recipients] == [
                ("run.b", False)
            ]
            assert await reasons(pool) == {"run.a": WhyNot.OTHER_RUN, "run.d": WhyNot.OTHER_RUN}

    async def test_one_that_had_left_and_came_back_was_no_member(self) -> None:
        with_books = a_member("run.b", topics=["books"])
        async with self.opened("run.a", with_books, "run.c", "run.d") as pool:
            await pool.leave_run("run.c")
            await pool.send(a_message(to=TO_BOOKS))
            await pool.join_run(a_member("run.c", topics=["books"]))
            await pool.join_run(a_member("run.d", topics=["books"]))
            assert await reasons(pool) == {
                "run.a": WhyNot.LACKS_TOPIC,
                "run.c": WhyNot.NOT_A_MEMBER,
                "run.d": WhyNot.LACKS_TOPIC,
            }

    async def test_a_broadcast_passes_by_the_sender_and_queues(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            await pool.queue("work")
            await pool.send(a_message(to=RunAddress.pool(POOL)))
            assert await reasons(pool) == {
                "run.a": WhyNot.IS_SENDER,
                "queue.work": WhyNot.IS_QUEUE,
            }
            await pool.send(a_message("other", to=RunAddress.pool("pool.other")))
            assert set((await reasons(pool, "other")).values()) == {WhyNot.OTHER_POOL}

    async def test_a_message_without_the_policies_of_the_pool_reaches_nobody(self) -> None:
        policy = AgentPoolMessagePolicy(required_policy_refs=(P1, P2))
        member = a_member("run.b", policy_refs=[P1, P2])
        async with self.opened("run.a", member, message_policy=policy) as pool:
            await pool.send(a_message(policy_refs=[P1]))
            found = await message_seen(pool)
            assert (found.status, found.recipients) == (MessageStatus.FAILED, ())
            assert {(each.why, each.policy_refs) for each in found.missed} == {
                (WhyNot.MESSAGE_LACKS_POLICIES, (P2,))
            }

    async def test_what_reached_nobody_names_who_may_be_meant(self) -> None:
        async with self.opened("run.a", "run.bob", "run.b\u200bo") as pool:
            await pool.send(a_message(to=RunAddress.run("run.bo")))
            found = await message_seen(pool)
            assert found.alike[:2] == (
                Alike(NameKind.RUN, "run.b\u200bo", same_look=True),
                Alike(NameKind.RUN, "run.bob"),
            )
            assert (await reasons(pool))["run.bo"] is WhyNot.NOT_A_MEMBER
            assert next(each.alike for each in found.missed) == "run.b\u200bo"
            assert "run.b\\u200bo" in str(found)

    async def test_a_message_that_is_sent_again_is_explained_as_it_went_at_last(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", clock=clock) as pool:
            await pool.send(a_message())
            assert await states(pool) == {}
            clock.advance(1000)
            await pool.join_run(a_member("run.b"))
            await pool.send(a_message())
            found = await message_seen(pool)
            assert [(each.status, each.at) for each in found.statuses] == [
                (MessageStatus.FAILED, clock() - 1000),
                (MessageStatus.ACCEPTED, clock()),
                (MessageStatus.DELIVERED, clock()),
            ]
            assert await states(pool) == {"run.b": RecipientState.WAITING}
            assert await reasons(pool) == {"run.a": WhyNot.OTHER_RUN}

    # --- what came of it

    async def test_a_message_from_the_inbox_to_its_end(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", "run.b", clock=clock) as pool:
            await deliver(pool, 1)
            inbox = pool.inbox("run.b", lease=30, max_attempts=2)
            assert await states(pool) == {"run.b": RecipientState.WAITING}
            first = await inbox.take()
            [claimed] = (await message_seen(pool)).recipients
            assert claimed.state is RecipientState.CLAIMED
            assert (claimed.process, claimed.attempts) == (process_name(), 1)
            assert claimed.until == clock() + 30_000
            await first.nack()
            [back] = (await message_seen(pool)).recipients
            assert (back.state, back.until) == (RecipientState.BACKING_OFF, clock() + 1000)
            clock.advance(1000)
            assert await states(pool) == {"run.b": RecipientState.WAITING}
            await (await inbox.take()).nack()
            [dead] = (await message_seen(pool)).recipients
            assert (dead.state, dead.attempts) == (RecipientState.DEAD, 2)
            await inbox.retry((await inbox.dead())[0])
            await (await inbox.take()).ack()
            assert await states(pool) == {"run.b": RecipientState.ACKED}

    async def test_a_claim_that_ran_out_is_waiting_again(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", "run.b", clock=clock) as pool:
            await deliver(pool, 1)
            await pool.store.execute(POOL, ClaimNext("run.b", "host:1", 30_000))
            clock.advance(30_001)
            [found] = (await message_seen(pool)).recipients
            assert found.state is RecipientState.WAITING
            assert (found.process, found.attempts) == ("host:1", 1)

    async def test_a_message_that_comes_later(self) -> None:
        clock = ManualClock()
        async with self.opened("run.b", clock=clock) as pool:
            me = pool.acting_as(a_member("run.a"))
            await pool.join_run(me.member)
            receipt = await me.send(RunAddress.run("run.b"), "hello", deliver_in=5)
            [found] = (await message_seen(pool, receipt)).recipients
            assert (found.state, found.until) == (RecipientState.DELAYED, clock() + 5000)

    async def test_a_message_that_expired_or_was_cancelled(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", "run.b", clock=clock) as pool:
            await pool.send(a_message("old", expires_at_millis=clock() + 10))
            await pool.send(a_message("off"))
            clock.advance(20)
            assert await states(pool, "old") in (
                {"run.b": RecipientState.EXPIRING},
                {"run.b": RecipientState.WITHDRAWN},
            )
            await carry_out_due(pool)
            assert await states(pool, "old") == {"run.b": RecipientState.WITHDRAWN}
            await pool.record_message_status(a_message("off"), MessageStatus.CANCELLED)
            assert await states(pool, "off") == {"run.b": RecipientState.WITHDRAWN}

    # --- its answers

    async def test_a_question_and_its_answers(self) -> None:
        clock = ManualClock()
        members = [a_member(each) for each in ("run.b", "run.c", "run.d")]
        async with self.opened("run.z", *members, clock=clock) as pool:
            question = a_question(
                sender="run.z",
                to=RunAddress.agent("agent.a"),
                response_contract=MessageResponseContract(3, 5000),
            )
            await pool.send(question)
            await pool.send(a_reply(question, "run.b"))
            await pool.leave_run("run.d")
            answers = (await message_seen(pool, question)).answers
            assert answers is not None
            assert (answers.expected, answers.is_open) == (3, True)
            assert answers.deadline == clock() + 5000
            assert answers.answered == ("run.b",)
            assert (answers.missing, answers.left) == (("run.c", "run.z"), ("run.d",))
            clock.advance(5000)
            await carry_out_due(pool)
            answers = (await message_seen(pool, question)).answers
            assert answers is not None
            assert (answers.is_open, answers.deadline) == (False, None)

    async def test_a_question_that_was_asked_knows_its_answers_after_its_end(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            question = a_question()
            asking = await asked(pool, question)
            await pool.send(a_reply(question, "run.b"))
            await asking
            await pool.send(a_reply(question, "run.b", 2))
            found = await message_seen(pool, question)
            [recipient] = found.recipients
            assert (recipient.answered, recipient.answer) == (True, "reply.question.run.b.1")
            assert found.answers is not None
            assert (found.answers.answered, found.answers.missing) == (("run.b",), ())
            assert found.answers.late == 1
            for number in (1, 2):
                answer = f"reply.question.run.b.{number}"
                assert await states(pool, answer) == {"run.a": RecipientState.KEPT}

    # --- by which name

    async def test_an_id_that_is_no_key_is_found_however_many_came_since(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            sent = await pool.send(a_message())
            me = pool.acting_as(a_member("run.a"))
            await me.send_many([(RunAddress.run("run.b"), "no matter")] * 150)
            names: tuple[Explainable, ...] = (sent.message_id, sent)
            for what in names:
                assert (await message_seen(pool, what)).idempotency_key == "key.message.1"
            found = await explained(pool, "message.none", NothingFound)
            assert found.searched_after == 0

    async def test_the_id_of_a_message_is_not_taken_for_the_key_of_another(self) -> None:
        async with self.opened("run.a", "run.b", "run.c") as pool:
            sent = await pool.send(a_message())
            other = a_message("message.2", sender="run.c", idempotency_key="message.1")
            await pool.send(other)
            names: dict[str, tuple[Explainable, ...]] = {
                "run.a": ("message.1", sent, "key.message.1"),
                "run.c": ("message.2", other),
            }
            for sender, named in names.items():
                for each in named:
                    assert (await message_seen(pool, each)).sender == sender
