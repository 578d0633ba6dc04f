"""Explaining runs, queues, agents, wakes and what is not there; and that it changes nothing."""

import asyncio

from agentpool.errors import InvalidValueError, StoreClosedError
from agentpool.pool import AgentPool
from agentpool.rules.claiming import ClaimNext
from agentpool.rules.command import INBOX, PoolView, Row
from agentpool.rules.explaining.explanations import (
    AgentExplanation,
    MessageExplanation,
    NothingFound,
    QueueExplanation,
    RunExplanation,
    WakeExplanation,
)
from agentpool.rules.explaining.parts import Alike, NameKind, Presence, WhyUnseen
from agentpool.rules.membership import JoinRun
from agentpool.rules.rows import NEVER
from agentpool.support.process import process_name
from agentpool.testing.conformance.kit import POOL, payloads, refusal
from agentpool.testing.conformance.pool_asking import TIMEOUT, a_question, asked
from agentpool.testing.conformance.pool_explaining import explained
from agentpool.testing.conformance.pool_kit import (
    ManualClock,
    PoolKit,
    a_reply,
    an_event,
    carry_out_due,
    deliver,
)
from agentpool.testing.conformance.pool_presence import run_out
from agentpool.testing.conformance.pool_wakes import a_wait, waiting
from agentpool.testing.values import a_member, a_message
from agentpool.wire.event_kinds import EventKind
from agentpool.wire.filters import EventFilter
from agentpool.wire.records import RunAddress, WakeRegistrationStatus
from agentpool.wire.refs import PolicyRef
from agentpool.wire.struct import include

__all__ = ("PoolExplainingWaitsTests",)

P1 = PolicyRef(id="policy.1")
COMPLETED = include(EventKind.RUN_COMPLETED)


def completed(*run_ids: str) -> EventFilter:
    """Want these runs to be completed."""
    return EventFilter(run_ids=include(*run_ids), kinds=COMPLETED)


async def run_seen(pool: AgentPool, run_id: str = "run.a") -> RunExplanation:
    """Explain a run."""
    return await explained(pool, run_id, RunExplanation)


async def wake_seen(pool: AgentPool, condition_id: str = "wake.1") -> WakeExplanation:
    """Explain a wake."""
    return await explained(pool, condition_id, WakeExplanation)


def all_rows(view: PoolView) -> list[Row]:
    """List the rows that deadlines and the inboxes of members are."""
    inboxes = (view.rows(INBOX, run_id, limit=100) for run_id in sorted(view.state.members))
    return [*view.deadlines(NEVER, 100), *(row for rows in inboxes for row in rows)]


class PoolExplainingWaitsTests(PoolKit):
    """``AgentPool.explain`` of what is no message."""

    # --- runs

    async def test_a_run_that_is_here_and_what_it_holds(self) -> None:
        clock = ManualClock()
        async with (
            self.opened("run.b", clock=clock) as pool,
            pool.member(a_member(topics=["books"]), lease=30, claim_lease=20) as me,
        ):
            joined_at = clock()
            clock.advance(1000)
            queue = await pool.queue("work")
            for number, to in enumerate(("run.a", "run.a", queue.run_id)):
                await pool.send(a_message(f"m.{number}", sender="run.b", to=RunAddress.run(to)))
            own, work = await me.inbox.take(), await me.queue("work").take()
            found = await run_seen(pool)
            assert (found.presence, found.process) == (Presence.HERE, process_name())
            assert (found.since, found.topics) == (joined_at, ("books",))
            assert found.lease_until is not None
            assert joined_at + 30_000 <= found.lease_until <= clock() + 30_000
            assert (found.inbox.unread, found.inbox.claimed, found.inbox.waiting) == (2, 1, 1)
            assert [(each.inbox, each.message_id) for each in found.claims] == [
                ("run.a", "m.0"),
                ("queue.work", "m.2"),
            ]
            assert {each.until for each in found.claims} == {clock() + 20_000}
            del own, work

    async def test_a_run_that_is_away_or_has_left_or_that_no_process_holds(self) -> None:
        clock = ManualClock()
        async with self.opened("run.b", clock=clock) as pool:
            async with pool.member(a_member(), lease=0.3, rejoin=False):
                await run_out(pool)
                found = await run_seen(pool)
                assert (found.presence, found.process) == (Presence.AWAY, process_name())
                assert found.since == clock()
            assert (await run_seen(pool)).presence is Presence.LEFT
            clock.advance(5)
            await pool.leave_run("run.b")
            left = await run_seen(pool, "run.b")
            assert (left.presence, left.since) == (Presence.LEFT, clock())
            await pool.join_run(a_member("run.b"))
            assert (await run_seen(pool, "run.b")).presence is Presence.UNHELD
            await pool.store.execute(POOL, JoinRun(a_member("run.c"), 9000))
            unheld = await run_seen(pool, "run.c")
            assert (unheld.presence, unheld.lease_until) == (Presence.UNHELD, clock() + 9000)

    async def test_who_waits_for_whom(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", "run.b", "run.c", clock=clock) as pool:
            question = a_question(expected=2)
            asking = await asked(pool, question)
            await pool.send(a_reply(question, "run.b"))
            await waiting(pool, filter=completed("run.c", "run.x"), timeout_millis=70)
            found = await run_seen(pool)
            assert [
                (each.run_id, each.message_id, each.condition_id, each.is_member, each.until)
                for each in found.waits_for
            ] == [
                ("run.c", "question", None, True, clock() + TIMEOUT),
                ("run.c", None, "wake.1", True, clock() + 70),
                ("run.x", None, "wake.1", False, clock() + 70),
            ]
            assert found.waits_for_in_all == 3
            assert [(each.condition_id, each.until) for each in found.waits] == [
                ("wake.1", clock() + 70)
            ]
            owing = await run_seen(pool, "run.c")
            assert [(each.message_id, each.asker, each.until) for each in owing.owes] == [
                ("question", "run.a", clock() + TIMEOUT)
            ]
            assert ((await run_seen(pool, "run.b")).owes, owing.waits_for) == ((), ())
            await pool.send(a_reply(question, "run.c"))
            await asking
            assert len((await run_seen(pool)).waits_for) == 2

    async def test_a_question_that_was_only_sent_is_waited_for_too(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            await pool.send(a_question(timeout_millis=None))
            [awaited] = (await run_seen(pool)).waits_for
            assert (awaited.run_id, awaited.message_id, awaited.until) == (
                "run.b",
                "question",
                None,
            )

    async def test_the_runs_of_an_agent(self) -> None:
        other = a_member("run.c", agent_id="agent.c")
        async with self.opened("run.a", "run.b", other) as pool:
            found = await explained(pool, "agent.a", AgentExplanation)
            assert [each.run_id for each in found.runs] == ["run.b", "run.a"]
            assert found.runs_in_all == 2

    async def test_a_queue(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", clock=clock) as pool:
            queue = await pool.queue("work")
            await pool.send(a_message("m.1", to=queue.address))
            sent_at = clock()
            clock.advance(500)
            await deliver(pool, 2, to=queue.address)
            await pool.store.execute(POOL, ClaimNext("queue.work", "host:1", 30_000))
            for what in ("work", "queue.work", queue):
                found = await explained(pool, what, QueueExplanation)
                assert (found.name, found.run_id, found.is_member) == ("work", "queue.work", True)
                assert (found.inbox.waiting, found.inbox.claimed, found.inbox.dead) == (2, 1, 0)
                assert found.inbox.oldest is not None
                assert (found.inbox.oldest.message_id, found.inbox.oldest.at) == ("m.1", sent_at)
                [claim] = found.claims
                assert (claim.process, claim.attempt, claim.message_id) == ("host:1", 1, "m.1")

    # --- wakes

    async def test_a_wake_that_waits_and_by_which_fields_events_were_refused(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", "run.b", clock=clock) as pool:
            await pool.publish(an_event("before", run_id="run.b"))
            wanted = EventFilter(
                run_ids=include("run.b", "run.bb"), kinds=COMPLETED, tags=include("mine")
            )
            start = (await pool.store.read(POOL))[-1].cursor
            await pool.suspend_until("run.a", a_wait(filter=wanted, timeout_millis=90), since=start)
            await pool.publish(an_event("far", run_id="run.a", event_kind=EventKind.RUN_FAILED))
            await pool.publish(an_event("near", run_id="run.b"))
            await pool.publish(an_event("run", run_id="run.a", tags=["mine"]))
            await pool.send(a_message())
            found = await wake_seen(pool)
            assert (found.status, found.deadline) == (
                WakeRegistrationStatus.REGISTERED,
                clock() + 90,
            )
            near = {each.event_id: (each.refused_by, each.unseen) for each in found.near}
            assert near["near"] == (("tags",), None)
            assert near["run"] == (("run_ids",), None)
            assert near["far"] == (("run_ids", "kinds", "tags"), None)
            assert "before" not in near
            assert {each.event_id for each in found.near[:2]} == {"near", "run"}
            assert {each.by: each.events for each in found.refused} == {
                "run_ids": 4,
                "kinds": 3,
                "tags": 4,
            }
            [unseen] = found.unseen
            assert (unseen.name, unseen.why) == ("run.bb", WhyUnseen.NOT_A_MEMBER)
            assert unseen.alike == ("run.b",)
            assert found.presence is Presence.UNHELD

    async def test_what_the_policies_hide_from_a_wake(self) -> None:
        members = [a_member(policy_refs=[P1]), a_member("run.hidden")]
        async with self.opened(*members, policy_refs=[P1]) as pool:
            await waiting(pool, filter=EventFilter.run("run.hidden"))
            await pool.publish(an_event("hidden", run_id="run.hidden"))
            found = await wake_seen(pool)
            [near] = [each for each in found.near if each.event_id == "hidden"]
            assert (near.refused_by, near.unseen) == ((), WhyUnseen.LACKS_POLICIES)
            [unseen] = found.unseen
            assert (unseen.why, unseen.policy_refs) == (WhyUnseen.LACKS_POLICIES, (P1,))
            assert (await run_seen(pool, "run.hidden")).lacks == (P1,)

    async def test_a_wake_that_has_ended(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", "run.b", clock=clock) as pool:
            await waiting(pool, filter=EventFilter(kinds=COMPLETED))
            await waiting(pool, "wake.2", filter=EventFilter(kinds=COMPLETED), timeout_millis=10)
            clock.advance(10)
            await carry_out_due(pool)
            await pool.publish(an_event("it", run_id="run.b"))
            await pool.publish(an_event("after", run_id="run.b"))
            found = await wake_seen(pool)
            assert (found.status, found.ended_by) == (WakeRegistrationStatus.TRIGGERED, "it")
            assert (found.ended_at, found.deadline, found.unseen) == (clock(), None, ())
            assert not {"it", "after"} & {each.event_id for each in found.near}
            late = await wake_seen(pool, "key.wake.2")
            assert (late.status, late.ended_by) == (WakeRegistrationStatus.TIMED_OUT, None)

    # --- names

    async def test_what_is_not_there_has_the_names_that_are_near(self) -> None:
        async with self.opened("run.alice", "run.\u00e9ve") as pool:
            await pool.send(a_message("message.1", sender="run.alice"))
            await waiting(pool, "wake.daily", run_id="run.alice")
            for what, alike in {
                "run.alise": Alike(NameKind.RUN, "run.alice"),
                "run.e\u0301ve": Alike(NameKind.RUN, "run.\u00e9ve", same_look=True),
                "agent.aa": Alike(NameKind.AGENT, "agent.a"),
                "message.12": Alike(NameKind.MESSAGE, "message.1"),
                "wake.dayly": Alike(NameKind.WAKE, "wake.daily"),
            }.items():
                found = await explained(pool, what, NothingFound)
                assert (found.what, found.alike[0]) == (what, alike)

    async def test_another_that_looks_the_same_is_pointed_at(self) -> None:
        async with self.opened("run.a", "run.a\u200b") as pool:
            same = Alike(NameKind.RUN, "run.a\u200b", same_look=True)
            assert (await run_seen(pool)).alike == (same,)
            assert "run.a\\u200b" in str(await run_seen(pool))

    async def test_a_message_by_its_key_its_id_or_itself(self) -> None:
        async with self.opened("run.a", "run.b") as pool:
            message = a_message()
            receipt = await pool.send(message)
            for what in ("key.message.1", "message.1", message, receipt):
                found = await explained(pool, what, MessageExplanation)
                assert found.message_id == "message.1"

    async def test_a_name_that_several_have_is_that_of_the_run(self) -> None:
        async with self.opened("same", "run.b") as pool:
            await pool.send(a_message(sender="same", idempotency_key="same"))
            found = await run_seen(pool, "same")
            assert found.also == (NameKind.MESSAGE,)

    async def test_what_is_no_name_is_refused(self) -> None:
        async with self.opened() as pool:
            for what in ("", "a\0b", "x" * 513):
                error = await refusal(InvalidValueError, pool.explain(what))
                assert str(error).startswith("what: ")
            await pool.aclose()
            await refusal(StoreClosedError, pool.explain("run.a"))

    # --- it only reads

    async def test_it_changes_nothing_and_tells_nobody(self) -> None:
        clock = ManualClock()
        async with self.opened("run.a", "run.b", clock=clock) as pool:
            queue = await pool.queue("work")
            await pool.send(a_message("old", expires_at_millis=clock() + 5))
            await pool.send(a_question(timeout_millis=5))
            await waiting(pool, filter=completed("run.b"), timeout_millis=5)
            taking = asyncio.ensure_future(pool.inbox("queue.work").take())
            before = await payloads(pool.store), await pool.store.query(POOL, all_rows)
            for what in ("run.a", "agent.a", queue, "key.old", "question", "wake.1", "nothing"):
                await pool.explain(what)
            assert (await payloads(pool.store), await pool.store.query(POOL, all_rows)) == before
            assert not taking.done()
            taking.cancel()
            await asyncio.wait([taking])
