"""Recording wakes: retries, conflicts and every step from one status to another."""

from typing import Any

import pytest
from msgspec.structs import replace
from rule_views import Pool, opened
from samples import POOL, condition, registration

from agentpool import (
    AgentPoolStoreCursor,
    EventFilter,
    EventKind,
    IdempotencyConflictError,
    InvalidTransitionError,
    InvalidValueError,
    PolicyRef,
    ResumeInputPolicy,
    WakeRegistrationStatus,
    include,
)
from agentpool.rules.wakes import RecordWake, earlier_wake

REGISTERED = WakeRegistrationStatus.REGISTERED


def record(status: WakeRegistrationStatus = REGISTERED, **fields: Any) -> RecordWake:
    wake = condition(**fields)
    registered = registration(wake.condition_id, status, wake.run_id)
    return RecordWake(wake, wake.filter.compile(), registered)


def with_one(status: WakeRegistrationStatus = REGISTERED) -> Pool:
    pool = opened()
    pool.do(record(status))
    return pool


@pytest.mark.parametrize("status", WakeRegistrationStatus)
def test_a_new_wake_may_have_any_status(status: WakeRegistrationStatus) -> None:
    pool = opened()
    assert pool.do(record(status)) == AgentPoolStoreCursor(2)
    placed = pool.wake("wake.1")
    assert placed is not None
    assert placed == pool.wake_by_key("key.wake.1")
    assert (placed.seq, placed.stored.registration.status) == (2, status)


@pytest.mark.parametrize("after", WakeRegistrationStatus)
@pytest.mark.parametrize("before", WakeRegistrationStatus)
def test_each_step_from_status_to_status(
    before: WakeRegistrationStatus, after: WakeRegistrationStatus
) -> None:
    pool = with_one(before)
    if after is before:
        assert pool.do(record(after)) == AgentPoolStoreCursor(2)
        assert len(pool.log) == 2
    elif before is REGISTERED:
        assert pool.do(record(after)) == AgentPoolStoreCursor(3)
    else:
        with pytest.raises(InvalidTransitionError, match=f"{before}.*{after}") as caught:
            pool.do(record(after))
        assert (caught.value.pool_id, caught.value.seq) == (POOL, 2)
        assert len(pool.log) == 2


def test_the_first_final_status_stays() -> None:
    pool = with_one()
    pool.do(record(WakeRegistrationStatus.TRIGGERED))
    with pytest.raises(InvalidTransitionError):
        pool.do(record(WakeRegistrationStatus.CANCELLED))
    placed = pool.wake("wake.1")
    assert placed is not None
    assert placed.stored.registration.status is WakeRegistrationStatus.TRIGGERED


@pytest.mark.parametrize("status", WakeRegistrationStatus)
def test_a_retry_with_a_new_condition_id_gives_the_place_of_the_first(
    status: WakeRegistrationStatus,
) -> None:
    pool = with_one()
    retry = record(status, condition_id="wake.retry", idempotency_key="key.wake.1")
    assert pool.do(retry) == AgentPoolStoreCursor(2)
    assert pool.wake("wake.retry") is None


SAME_MATTER: dict[str, dict[str, Any]] = {
    "timeout": {"timeout_millis": 5},
    "input": {"resume_with": ResumeInputPolicy.NONE},
    "policies": {"policy_refs": [PolicyRef(id="p")]},
}


@pytest.mark.parametrize("fields", SAME_MATTER.values(), ids=SAME_MATTER)
def test_only_run_and_filter_make_another_wake(fields: dict[str, Any]) -> None:
    pool = with_one()
    retry = record(condition_id="wake.retry", idempotency_key="key.wake.1", **fields)
    assert pool.do(retry) == AgentPoolStoreCursor(2)


OTHER_MATTER: dict[str, dict[str, Any]] = {
    "run": {"run_id": "run.z"},
    "filter": {"filter": EventFilter(kinds=include(EventKind.RUN_FAILED))},
}


@pytest.mark.parametrize("condition_id", ["wake.1", "wake.retry"])
@pytest.mark.parametrize("fields", OTHER_MATTER.values(), ids=OTHER_MATTER)
def test_a_key_used_for_something_else_is_a_conflict(
    condition_id: str, fields: dict[str, Any]
) -> None:
    pool = with_one()
    with pytest.raises(IdempotencyConflictError) as caught:
        pool.do(record(condition_id=condition_id, idempotency_key="key.wake.1", **fields))
    assert (caught.value.pool_id, caught.value.seq) == (POOL, 2)
    assert len(pool.log) == 2


def test_a_condition_id_with_another_key_is_a_conflict() -> None:
    with pytest.raises(IdempotencyConflictError, match=r"wake\.1.*another idempotency key"):
        with_one().do(record(idempotency_key="key.other"))


@pytest.mark.parametrize("other", [registration("wake.2"), registration(run_id="run.z")])
def test_a_registration_for_another_wake_is_refused(other: Any) -> None:
    with pytest.raises(InvalidValueError, match=r"another wake than 'wake\.1'"):
        RecordWake(condition(), condition().filter.compile(), other)


def test_values_are_compared_in_the_form_that_they_are_written_in() -> None:
    pool = opened()
    plain: Any = "registered"
    wake = replace(condition(), policy_refs=[PolicyRef(id="p")])
    given = RecordWake(wake, wake.filter.compile(), replace(registration(), status=plain))
    assert pool.do(given) == pool.do(given) == AgentPoolStoreCursor(2)


def test_wakes_with_different_keys_do_not_touch_each_other() -> None:
    pool = with_one(WakeRegistrationStatus.FAILED)
    assert pool.do(record(condition_id="wake.2")) == AgentPoolStoreCursor(3)


def test_earlier_wake_finds_nothing_for_a_new_key() -> None:
    assert earlier_wake(with_one(), condition("wake.2")) is None


def test_says_what_it_will_look_up() -> None:
    assert record().looks_up.wake_keys == ("key.wake.1",)
    assert record().looks_up.condition_ids == ("wake.1",)
    assert record().looks_up.message_keys == ()
