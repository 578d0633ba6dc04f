"""What a wake is narrowed to: in its record for every reader, and when an event comes."""

from agentpool.pool import AgentPool
from agentpool.testing.conformance.kit import POOL, payloads, record
from agentpool.testing.conformance.pool_kit import ManualClock, PoolKit, an_event, wake_log
from agentpool.testing.conformance.pool_wakes import a_wait
from agentpool.testing.values import a_condition, a_member, a_message, a_registration
from agentpool.wire.event_kinds import EventKind
from agentpool.wire.filters import EventFilter
from agentpool.wire.records import WakeRecorded, WakeRegistrationStatus
from agentpool.wire.refs import PolicyRef
from agentpool.wire.struct import Include, include

__all__ = ("PoolScopingTests",)

REGISTERED, TRIGGERED = WakeRegistrationStatus.REGISTERED, WakeRegistrationStatus.TRIGGERED
P1 = PolicyRef(id="policy.1")
MEMBERS = [
    a_member("run.b", policy_refs=[P1]),
    a_member("run.hidden"),
    a_member("run.é", policy_refs=[P1]),
    a_member("run.a", policy_refs=[P1]),
]
COMPLETED = include(EventKind.RUN_COMPLETED)
JOINED = include(EventKind.AGENT_POOL_RUN_JOINED)


async def complete(pool: AgentPool, run_id: str) -> None:
    """Publish that a run is completed."""
    await pool.publish(an_event(f"completed {run_id}", run_id=run_id))


class PoolScopingTests(PoolKit):
    """The filters of wakes."""

    async def test_the_record_of_a_wake_has_the_filter_narrowed_and_as_it_was_given(self) -> None:
        cases: list[tuple[EventFilter, tuple[str, ...]]] = [
            (EventFilter(kinds=COMPLETED), ("run.a", "run.b", "run.é")),
            (EventFilter.run("run.é", "run.hidden", "run.x", "run.a"), ("run.a", "run.é")),
            (EventFilter.run("run.hidden"), ()),
        ]
        async with self.opened(*MEMBERS, policy_refs=[P1]) as pool:
            for number, (wanted, runs) in enumerate(cases):
                condition = a_wait(f"wake.{number}", filter=wanted)
                head = (await pool.store.read(POOL))[-1].cursor
                await pool.suspend_until("run.a", condition, since=head)
                await pool.cancel_wake(condition.condition_id)
                narrowed = await pool.compile_scoped_filter(wanted)
                assert narrowed == (await pool.scope_filter(wanted)).compile()
                assert narrowed.criteria.run_ids == Include(include=runs)
                for each in (await payloads(pool.store))[-2:]:
                    assert isinstance(each, WakeRecorded)
                    assert each.stored.condition == condition
                    assert each.stored.compiled_filter == narrowed

    async def test_a_run_without_the_policies_ends_no_wait_that_names_it(self) -> None:
        async with self.opened(*MEMBERS, policy_refs=[P1]) as pool:
            await pool.suspend_until("run.a", a_wait(filter=EventFilter.run("run.hidden")))
            await complete(pool, "run.hidden")
            await pool.leave_run("run.hidden")
            assert await wake_log(pool) == [REGISTERED]

    async def test_a_run_that_joins_later_ends_a_wait(self) -> None:
        async with self.opened(*MEMBERS, policy_refs=[P1]) as pool:
            await pool.leave_run("run.b")
            wanted = {
                "wake.any": EventFilter(kinds=COMPLETED),
                "wake.named": EventFilter(kinds=COMPLETED, run_ids=include("run.b", "run.new")),
                "wake.leaving": EventFilter(kinds=include(EventKind.AGENT_POOL_RUN_LEFT)),
            }
            for name, each in wanted.items():
                since = (await pool.store.read(POOL))[-1].cursor
                await pool.suspend_until("run.a", a_wait(name, filter=each), since=since)
            await pool.join_run(a_member("run.new"))
            await complete(pool, "run.new")
            assert await wake_log(pool) == [REGISTERED] * 3
            await pool.join_run(MEMBERS[0])
            await complete(pool, "run.b")
            await pool.leave_run("run.b")
            for name in wanted:
                assert await wake_log(pool, name) == [REGISTERED, TRIGGERED]

    async def test_the_event_of_a_wait_that_another_ended_is_found_in_the_log(self) -> None:
        condition = a_condition(filter=EventFilter(kinds=JOINED))
        ended = a_registration(condition, TRIGGERED)
        async with self.open_store(ManualClock()) as store:
            # Nobody coordinates the pool yet, so nobody else ends the wait, nor keeps its event.
            await store.open_pool(POOL)
            for run_id in ("run.a", "run.b"):
                await store.join_member(POOL, a_member(run_id))
            narrowed = EventFilter(kinds=JOINED, run_ids=include("run.a", "run.b")).compile()
            await store.record_wake(POOL, condition, narrowed, a_registration(condition))
            for number in range(600):  # more than a page
                await record(store, a_message(f"message.{number}"))
            await store.join_member(POOL, a_member("run.c"))
            await store.record_wake(POOL, condition, narrowed, ended)
            await store.join_member(POOL, a_member("run.d"))
            async with AgentPool.open(store, POOL) as pool:
                outcome = await pool.wait("wake.1")
                assert outcome.registration == ended
                assert outcome.event_kind is EventKind.AGENT_POOL_RUN_JOINED
                assert outcome.subject_ref is not None
                assert outcome.subject_ref.id == "run.c"

    async def test_a_wake_that_another_narrowed_is_ended_by_what_it_was_narrowed_to(self) -> None:
        async with self.opened("run.a", "run.b", "run.c") as pool:
            wanted = EventFilter(kinds=COMPLETED)
            narrowed = EventFilter(kinds=COMPLETED, run_ids=include("run.a", "run.c")).compile()
            condition = a_condition(filter=wanted)
            await pool.store.record_wake(POOL, condition, narrowed, a_registration(condition))
            await complete(pool, "run.b")
            assert await wake_log(pool) == [REGISTERED]
            await complete(pool, "run.c")
            assert (await pool.wait("wake.1")).event_id == "completed run.c"
