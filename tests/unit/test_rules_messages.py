"""Recording messages: retries, conflicts and every step from one status to another."""

from typing import Any

import pytest
from msgspec.structs import replace
from rule_views import Pool, opened
from samples import POOL, message, receipt

from agentpool import (
    AgentPoolStoreCursor,
    CorrelationEntry,
    EventCorrelation,
    IdempotencyConflictError,
    InvalidTransitionError,
    InvalidValueError,
    MessageStatus,
    PolicyRef,
    RunAddress,
)
from agentpool.rules.messages import RecordMessage, earlier_message

ACCEPTED, DELIVERED = MessageStatus.ACCEPTED, MessageStatus.DELIVERED
FINAL = set(MessageStatus) - {ACCEPTED, DELIVERED}
MAY_FOLLOW = {
    ACCEPTED: {DELIVERED} | FINAL,
    DELIVERED: FINAL,
}


def record(status: MessageStatus = ACCEPTED, **fields: Any) -> RecordMessage:
    sent = message(**fields)
    return RecordMessage(sent, receipt(sent.message_id, status))


def with_one(status: MessageStatus = ACCEPTED) -> Pool:
    pool = opened()
    pool.do(record(status))
    return pool


@pytest.mark.parametrize("status", MessageStatus)
def test_a_new_message_may_have_any_status(status: MessageStatus) -> None:
    pool = opened()
    assert pool.do(record(status)) == AgentPoolStoreCursor(2)
    placed = pool.message_by_key("key.msg.1")
    assert placed is not None
    assert (placed.seq, placed.stored.receipt.status) == (2, status)


@pytest.mark.parametrize("after", MessageStatus)
@pytest.mark.parametrize("before", MessageStatus)
def test_each_step_from_status_to_status(before: MessageStatus, after: MessageStatus) -> None:
    pool = with_one(before)
    if after is before:
        assert pool.do(record(after)) == AgentPoolStoreCursor(2)
        assert len(pool.log) == 2
    elif after in MAY_FOLLOW.get(before, ()):
        assert pool.do(record(after)) == AgentPoolStoreCursor(3)
    else:
        with pytest.raises(InvalidTransitionError, match=f"{before}.*{after}") as caught:
            pool.do(record(after))
        assert (caught.value.pool_id, caught.value.seq) == (POOL, 2)
        assert len(pool.log) == 2


@pytest.mark.parametrize("status", MessageStatus)
def test_the_same_status_with_another_receipt_is_no_step(status: MessageStatus) -> None:
    pool = with_one(status)
    with pytest.raises(InvalidTransitionError):
        pool.do(RecordMessage(message(), receipt("msg.1", status, delivered_to=["run.b"])))


def test_the_same_again_gives_the_latest_place() -> None:
    pool = with_one()
    pool.do(record(DELIVERED))
    pool.do(record(message_id="msg.2"))
    assert pool.do(record(DELIVERED)) == AgentPoolStoreCursor(3)
    assert len(pool.log) == 4


@pytest.mark.parametrize("status", MessageStatus)
def test_a_retry_with_a_new_message_id_gives_the_place_of_the_first(status: MessageStatus) -> None:
    pool = with_one(DELIVERED)
    retry = record(status, message_id="msg.retry", idempotency_key="key.msg.1")
    assert pool.do(retry) == AgentPoolStoreCursor(2)
    assert len(pool.log) == 2


SAME_MATTER: dict[str, dict[str, Any]] = {
    "correlation": {"correlation": EventCorrelation((CorrelationEntry("k", "v"),))},
    "expiry": {"expires_at_millis": 1},
    "answer to": {"reply_to": "msg.0"},
    "policies": {"policy_refs": [PolicyRef(id="p")]},
}


@pytest.mark.parametrize("fields", SAME_MATTER.values(), ids=SAME_MATTER)
def test_only_sender_target_and_content_make_another_message(fields: dict[str, Any]) -> None:
    pool = with_one()
    retry = record(message_id="msg.retry", idempotency_key="key.msg.1", **fields)
    assert pool.do(retry) == AgentPoolStoreCursor(2)


OTHER_MATTER: dict[str, dict[str, Any]] = {
    "sender": {"sender": "run.z"},
    "target": {"to": RunAddress.run("run.z")},
    "kind of target": {"to": RunAddress.agent("run.b")},
    "content": {"content_ref": "content.z"},
}


@pytest.mark.parametrize("message_id", ["msg.1", "msg.retry"])
@pytest.mark.parametrize("fields", OTHER_MATTER.values(), ids=OTHER_MATTER)
def test_a_key_used_for_something_else_is_a_conflict(
    message_id: str, fields: dict[str, Any]
) -> None:
    pool = with_one()
    other = record(message_id=message_id, idempotency_key="key.msg.1", **fields)
    with pytest.raises(IdempotencyConflictError) as caught:
        pool.do(other)
    assert (caught.value.pool_id, caught.value.seq) == (POOL, 2)
    assert "content." not in str(caught.value)
    assert len(pool.log) == 2


def test_the_key_alone_says_which_message_it_is() -> None:
    pool = with_one()
    assert pool.do(record(idempotency_key="key.other")) == AgentPoolStoreCursor(3)
    assert pool.do(record()) == AgentPoolStoreCursor(2)


def test_a_receipt_for_another_message_is_refused() -> None:
    with pytest.raises(InvalidValueError, match=r"another message than 'msg\.1'"):
        RecordMessage(message("msg.1"), receipt("msg.2"))


def test_values_are_compared_in_the_form_that_they_are_written_in() -> None:
    pool = opened()
    given = RecordMessage(message(), replace(receipt(), delivered_to=["run.b"]))
    assert pool.do(given) == pool.do(given) == AgentPoolStoreCursor(2)


def test_messages_with_different_keys_do_not_touch_each_other() -> None:
    pool = with_one(MessageStatus.FAILED)
    assert pool.do(record(message_id="msg.2")) == AgentPoolStoreCursor(3)


def test_earlier_message_finds_nothing_for_a_new_key() -> None:
    assert earlier_message(with_one(), message("msg.2")) is None


def test_says_what_it_will_look_up() -> None:
    assert record().looks_up.message_keys == ("key.msg.1",)
    assert record().looks_up.wake_keys == record().looks_up.condition_ids == ()
