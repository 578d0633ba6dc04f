"""What is no identifier, no value or no place is refused everywhere, and changes nothing."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from agentpool.errors import ContentNotFoundError, InvalidValueError, RetryClassification
from agentpool.stores.base import AgentPoolStore
from agentpool.testing.conformance.kit import (
    ABOUT_POOL,
    BODY,
    POOL,
    StoreKit,
    first_of,
    furnish,
    payloads,
    pieces,
    record,
    record_wake,
    refusal,
    refusals,
)
from agentpool.testing.values import (
    a_condition,
    a_config,
    a_member,
    a_message,
    a_receipt,
    a_registration,
)
from agentpool.wire.content import content_ref
from agentpool.wire.records import START, RunAddress

__all__ = ("RefusalTests",)

NO_IDENTIFIERS: Final[list[Any]] = [
    "",
    "x" * 513,
    "é" * 257,
    "a\nb",
    "a\x00b",
    "\x7f",
    "\x85",
    "\ud800",
    7,
    None,
]
UNUSUAL_IDENTIFIERS: Final = [
    "x" * 512,
    "é" * 256,
    " ",
    "%",
    "a'b\"c\\d/e",
    "null",
    "\u2028",
    "\U0001f600",
    "é",  # composed
    "e\u0301",  # and decomposed: not the same
    "A",
    "a",
]

BY_ID: Final[tuple[Callable[[AgentPoolStore, Any], Awaitable[object]], ...]] = (
    lambda store, bad: store.leave_member(POOL, bad),
    lambda store, bad: store.message_receipt(POOL, bad),
    lambda store, bad: store.wake_registration(POOL, bad),
    lambda store, bad: store.wake(POOL, bad),
)


def _forged(value: Any, **fields: Any) -> Any:
    """Make a value that no constructor would have let through."""
    return msgspec.structs.replace(value, **fields)


def _with_bad_identifier(store: AgentPoolStore, bad: Any) -> list[Awaitable[object]]:
    message, condition = a_message("new"), a_condition("new")
    receipt, registration = a_receipt(message), a_registration(condition)
    compiled = condition.filter.compile()
    return [
        store.open_pool("pool.new", _forged(a_config(), message_policy=bad)),
        store.join_member(POOL, _forged(a_member(), run_id=bad)),
        store.join_member(POOL, _forged(a_member(), topics=(bad,))),
        record(store, _forged(message, sender=bad)),
        record(store, _forged(message, idempotency_key=bad)),
        store.record_message(POOL, message, _forged(receipt, delivered_to=(bad,))),
        store.record_messages(POOL, [(message, receipt), (_forged(message, sender=bad), receipt)]),
        record_wake(store, _forged(condition, idempotency_key=bad)),
        store.record_wake(POOL, condition, compiled, _forged(registration, status=bad)),
        store.record_wake(POOL, condition, _forged(compiled, filter_id=7), registration),
    ]


def _with_bad_number(store: AgentPoolStore, bad: Any) -> list[Awaitable[object]]:
    return [
        record(store, _forged(a_message("new"), expires_at_millis=bad)),
        record_wake(store, _forged(a_condition("new"), timeout_millis=bad)),
    ]


def _with_another_type(store: AgentPoolStore, bad: Any) -> list[Awaitable[object]]:
    message, condition = a_message(), a_condition()
    compiled, registration = condition.filter.compile(), a_registration(condition)
    return [
        store.join_member(POOL, bad),
        store.record_message(POOL, bad, a_receipt(message)),
        store.record_message(POOL, message, bad),
        store.record_messages(POOL, [(message, a_receipt(message)), (message, bad)]),
        store.record_wake(POOL, bad, compiled, registration),
        store.record_wake(POOL, condition, bad, registration),
        store.record_wake(POOL, condition, compiled, bad),
    ]


class RefusalTests(StoreKit):
    """`InvalidValueError`, in every method."""

    async def test_a_pool_id_that_is_no_identifier_is_refused_by_every_method(self) -> None:
        async with self.empty() as store:
            for call in ABOUT_POOL.values():
                calls = (call(store, bad) for bad in NO_IDENTIFIERS)
                for error in await refusals(InvalidValueError, calls):
                    assert isinstance(error, ValueError)
                    assert error.retry is RetryClassification.NOT_RETRYABLE

    async def test_an_id_or_key_that_is_no_identifier_is_refused(self) -> None:
        async with self.opened() as store:
            await furnish(store)
            before = await payloads(store)
            for call in BY_ID:
                await refusals(InvalidValueError, (call(store, bad) for bad in NO_IDENTIFIERS))
            assert await payloads(store) == before

    async def test_a_value_that_could_not_be_read_back_is_never_written(self) -> None:
        async with self.empty() as store:
            await furnish(store)
            before = await payloads(store)
            for bad in NO_IDENTIFIERS:
                await refusals(InvalidValueError, _with_bad_identifier(store, bad))
            for bad in (-1, 1.5, True):
                await refusals(InvalidValueError, _with_bad_number(store, bad))
            assert await payloads(store) == before
            assert await store.message_receipt(POOL, "key.new") is None
            assert await store.wake(POOL, "new") is None

    async def test_something_that_is_no_such_value_is_refused(self) -> None:
        async with self.opened() as store:
            anything: list[Any] = [None, {}, "text", 1, a_config()]
            for bad in anything:
                await refusals(InvalidValueError, _with_another_type(store, bad))
            not_configs: list[Any] = ["text", 1, a_member()]
            calls = (store.open_pool(POOL, bad) for bad in not_configs)
            await refusals(InvalidValueError, calls)
            assert len(await payloads(store)) == 1

    async def test_a_ref_of_content_that_is_no_identifier_is_refused(self) -> None:
        async with self.empty() as store:
            refs: list[Any] = [*NO_IDENTIFIERS, b"sha256:", [BODY]]
            await refusals(InvalidValueError, (store.get_content(ref) for ref in refs))
            await refusals(InvalidValueError, (pieces(store, ref) for ref in refs))

    async def test_a_body_that_is_no_bytes_is_refused(self) -> None:
        async with self.empty() as store:
            bodies: list[Any] = ["text", None, 7, [1], a_config()]
            await refusals(InvalidValueError, (store.put_content(bad) for bad in bodies))
            media_types: list[Any] = [None, 7, b"text/plain", ["text/plain"], "\ud800"]
            calls = (store.put_content(b"body", media_type=bad) for bad in media_types)
            await refusals(InvalidValueError, calls)
            await refusal(ContentNotFoundError, store.get_content(content_ref(b"body")))

    async def test_a_place_that_is_none_is_refused(self) -> None:
        places: list[Any] = [1, "1", (1,), a_member(), _forged(START, sequence=-1)]
        limits: list[Any] = [-1, 1.0, "1", True]
        async with self.opened() as store:
            await refusals(InvalidValueError, (store.read(POOL, each) for each in places))
            await refusals(InvalidValueError, (first_of(store, POOL, each) for each in places))
            await refusals(InvalidValueError, (store.read(POOL, limit=each) for each in limits))

    async def test_every_identifier_is_kept_apart_and_given_back_as_it_was(self) -> None:
        async with self.opened() as store:
            for each in UNUSUAL_IDENTIFIERS:
                await store.join_member(POOL, a_member(each, topics=[each]))
                to = RunAddress.topic(each)
                await record(store, a_message(each, to=to, idempotency_key=each))
                await record_wake(store, a_condition(each, idempotency_key=each))
            for each in UNUSUAL_IDENTIFIERS:
                receipt = await store.message_receipt(POOL, each)
                registration = await store.wake_registration(POOL, each)
                wake = await store.wake(POOL, each)
                assert receipt is not None
                assert registration is not None
                assert wake is not None
                assert receipt.message_id == registration.condition_id == each
                assert wake.condition.condition_id == each
            assert list((await store.snapshot(POOL)).topics) == sorted(UNUSUAL_IDENTIFIERS)

    async def test_every_identifier_names_a_pool_of_its_own(self) -> None:
        async with self.opened(*UNUSUAL_IDENTIFIERS) as store:
            for number, each in enumerate(UNUSUAL_IDENTIFIERS):
                await store.join_member(each, a_member(f"run.{number}"))
                assert await store.next_event_sequence(each) == 1
            for number, each in enumerate(UNUSUAL_IDENTIFIERS):
                snapshot = await store.snapshot(each)
                assert snapshot.members == (a_member(f"run.{number}"),)
                assert len(await payloads(store, each)) == 2
