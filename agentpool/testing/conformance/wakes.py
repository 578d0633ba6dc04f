"""Recording wakes: one idempotency key, one wake, and the first final status stays."""

from agentpool.errors import (
    IdempotencyConflictError,
    InvalidTransitionError,
    InvalidValueError,
    RetryClassification,
)
from agentpool.testing.conformance.kit import POOL, StoreKit, payloads, record_wake, refusal
from agentpool.testing.values import a_condition, a_registration
from agentpool.wire.event_kinds import EventKind
from agentpool.wire.filters import EventFilter, SubscriberQueueConfig
from agentpool.wire.records import (
    AgentPoolStoreCursor,
    AgentPoolStoredWake,
    ResumeInputPolicy,
    WakeRecorded,
    WakeRegistrationStatus,
)
from agentpool.wire.refs import PolicyRef
from agentpool.wire.struct import include

__all__ = ("WakeTests",)

REGISTERED = WakeRegistrationStatus.REGISTERED
FINAL = tuple(status for status in WakeRegistrationStatus if status is not REGISTERED)
ONLY_FAILED_RUNS = EventFilter(kinds=include(EventKind.RUN_FAILED))


class WakeTests(StoreKit):
    """``record_wake``, ``wake`` and ``wake_registration``."""

    async def test_a_wake_is_recorded_whole(self) -> None:
        condition = a_condition(
            filter=EventFilter(
                run_ids=include("run.b"), queue=SubscriberQueueConfig(capacity=2**64 - 1)
            ),
            timeout_millis=2**64 - 1,
            resume_with=ResumeInputPolicy.NONE,
            policy_refs=[PolicyRef(id="policy.1")],
        )
        stored = AgentPoolStoredWake(
            condition,
            condition.filter.compile(),
            a_registration(condition, journal_cursor="journal.1"),
        )
        async with self.opened() as store:
            cursor = await record_wake(store, condition, journal_cursor="journal.1")
            assert cursor == AgentPoolStoreCursor(2)
            assert (await payloads(store))[1:] == [WakeRecorded(stored)]
            assert (await store.snapshot(POOL)).wakes == (stored,)
            assert await store.wake(POOL, "wake.1") == stored
            assert await store.wake_registration(POOL, "key.wake.1") == stored.registration

    async def test_there_is_nothing_for_an_unknown_key_or_condition(self) -> None:
        async with self.opened() as store:
            assert await store.wake(POOL, "wake.1") is None
            await record_wake(store, a_condition("wake.1"))
            assert await store.wake(POOL, "wake.2") is None
            assert await store.wake(POOL, "key.wake.1") is None
            assert await store.wake_registration(POOL, "key.wake.2") is None
            assert await store.wake_registration(POOL, "wake.1") is None

    async def test_the_registration_is_the_latest_one(self) -> None:
        async with self.opened() as store:
            for status in FINAL:
                condition = a_condition(f"wake.{status}")
                await record_wake(store, condition)
                await record_wake(store, condition, status)
                registration = await store.wake_registration(POOL, condition.idempotency_key)
                assert registration == a_registration(condition, status)
                stored = await store.wake(POOL, condition.condition_id)
                assert stored is not None
                assert stored.registration == registration
            assert len((await store.snapshot(POOL)).wakes) == len(FINAL)

    async def test_the_same_wake_again_appends_nothing_and_gives_its_place(self) -> None:
        async with self.opened() as store:
            for status in (REGISTERED, WakeRegistrationStatus.TRIGGERED):
                first = await record_wake(store, a_condition(), status)
                await record_wake(store, a_condition(f"wake.{status}"))
                assert await record_wake(store, a_condition(), status) == first
            assert len(await payloads(store)) == 5

    async def test_a_wake_may_start_with_any_status(self) -> None:
        async with self.opened() as store:
            for status in WakeRegistrationStatus:
                condition = a_condition(f"wake.{status}")
                await record_wake(store, condition, status)
                stored = await store.wake(POOL, condition.condition_id)
                assert stored is not None
                assert stored.registration.status is status

    async def test_a_wake_past_its_end_stays_as_it_is(self) -> None:
        async with self.opened() as store:
            for end in FINAL:
                condition = a_condition(f"wake.{end}")
                await record_wake(store, condition)
                at_end = await record_wake(store, condition, end)
                for later in set(WakeRegistrationStatus) - {end}:
                    call = record_wake(store, condition, later)
                    error = await refusal(InvalidTransitionError, call)
                    assert (error.pool_id, error.seq) == (POOL, at_end.sequence)
                    assert error.retry is RetryClassification.NOT_RETRYABLE
                registration = await store.wake_registration(POOL, condition.idempotency_key)
                assert registration == a_registration(condition, end)
            assert len(await payloads(store)) == 1 + 2 * len(FINAL)

    async def test_the_same_status_with_another_registration_is_refused(self) -> None:
        async with self.opened() as store:
            await record_wake(store, a_condition())
            call = record_wake(store, a_condition(), journal_cursor="journal.1")
            await refusal(InvalidTransitionError, call)
            assert len(await payloads(store)) == 2

    async def test_a_retry_with_a_new_condition_id_gets_the_place_of_the_first(self) -> None:
        async with self.opened() as store:
            first = await record_wake(store, a_condition("wake.1", idempotency_key="key"))
            retry = a_condition("wake.2", idempotency_key="key", timeout_millis=5)
            assert await record_wake(store, retry) == first
            assert await record_wake(store, retry, WakeRegistrationStatus.FAILED) == first
            assert await store.wake(POOL, "wake.2") is None
            assert len(await payloads(store)) == 2

    async def test_the_same_key_for_another_wake_is_a_conflict(self) -> None:
        others = {
            "run": a_condition(run_id="run.b"),
            "filter": a_condition(filter=ONLY_FAILED_RUNS),
            "all": a_condition("wake.2", run_id="run.b", idempotency_key="key.wake.1"),
        }
        async with self.opened() as store:
            first = await record_wake(store, a_condition())
            for what, other in others.items():
                for status in (REGISTERED, WakeRegistrationStatus.CANCELLED):
                    call = record_wake(store, other, status)
                    error = await refusal(IdempotencyConflictError, call)
                    assert (error.pool_id, error.seq) == (POOL, first.sequence), what
                    assert error.retry is RetryClassification.NOT_RETRYABLE
            assert len(await payloads(store)) == 2

    async def test_the_same_condition_id_with_another_key_is_a_conflict(self) -> None:
        async with self.opened() as store:
            await record_wake(store, a_condition())
            other = a_condition(idempotency_key="key.other")
            await refusal(IdempotencyConflictError, record_wake(store, other))
            assert len(await payloads(store)) == 2
            assert await store.wake_registration(POOL, "key.other") is None

    async def test_a_registration_for_another_wake_is_refused(self) -> None:
        condition = a_condition()
        async with self.opened() as store:
            for other in (a_condition("wake.2"), a_condition(run_id="run.b")):
                call = store.record_wake(
                    POOL, condition, condition.filter.compile(), a_registration(other)
                )
                await refusal(InvalidValueError, call)
            assert len(await payloads(store)) == 1

    async def test_wakes_and_messages_do_not_share_their_keys(self) -> None:
        async with self.opened() as store:
            await record_wake(store, a_condition(idempotency_key="key"))
            assert await store.message_receipt(POOL, "key") is None

    async def test_wakes_are_listed_in_the_order_of_the_bytes_of_their_ids(self) -> None:
        ascending = ["w.10", "w.9", "w.B", "w.a", "w.é", "w.\uffff", "w.\U00010000"]
        async with self.opened() as store:
            for condition_id in reversed(ascending):
                await record_wake(store, a_condition(condition_id))
            wakes = (await store.snapshot(POOL)).wakes
            assert [stored.condition.condition_id for stored in wakes] == ascending
