"""Bodies: sent with their message, in one transaction, and read as what they were sent as."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from msgspec import Struct

from agentpool.errors import (
    AgentPoolError,
    ContentNotFoundError,
    IdempotencyConflictError,
    InvalidValueError,
    NotAMemberError,
)
from agentpool.inbox import Delivery
from agentpool.member import MemberHandle
from agentpool.pool import AgentPool
from agentpool.testing.cancellation import Moment, cancel_at
from agentpool.testing.conformance.kit import payloads, refusal
from agentpool.testing.conformance.pool_kit import PoolKit
from agentpool.testing.values import a_member
from agentpool.wire.codec import encode
from agentpool.wire.content import MAX_BODY, content_ref
from agentpool.wire.records import RunAddress

__all__ = ("PoolBodyTests",)

TO_A, TO_B = RunAddress.run("run.a"), RunAddress.run("run.b")
HIDDEN: Final = "s3cr3t"
LARGE: Final = 3 * 2**20

TEXT, OCTETS = "text/plain; charset=utf-8", "application/octet-stream"
JSON: Final = "application/json"


class Plan(Struct):
    """What agents say to each other."""

    goal: str
    steps: list[int] = []


@dataclass
class Point:
    """What else they may say."""

    x: int
    y: int


class Case(NamedTuple):
    """What is sent, as what it is kept, and of what type it is read."""

    body: Any
    data: bytes
    media_type: str
    type_: Any = None


CASES: Final = (
    Case("Where is Dune?", b"Where is Dune?", TEXT),
    Case("", b"", TEXT),
    Case("é\u2028\U0001f600", "é\u2028\U0001f600".encode(), TEXT),
    Case("sha256:none", b"sha256:none", TEXT),
    Case(b"\xff\x00", b"\xff\x00", OCTETS),
    Case(bytearray(b"ab"), b"ab", OCTETS),
    Case(memoryview(b"abcd")[::2], b"ac", OCTETS),
    Case(None, b"null", JSON, type(None)),
    Case(7, b"7", JSON, int),
    Case(True, b"true", JSON, bool),
    Case([1, "two"], b'[1,"two"]', JSON, list),
    Case({"b": 1, "a": [2]}, b'{"a":[2],"b":1}', JSON, dict),
    Case({2: "b", 1: {3: "c"}}, b'{"2":"b","1":{"3":"c"}}', JSON, dict[int, dict[int, str] | str]),
    Case({"x", "y"}, b'["x","y"]', JSON, set),
    Case(Plan("win", [1, 2]), b'{"goal":"win","steps":[1,2]}', JSON, Plan),
    Case(Point(1, 2), b'{"x":1,"y":2}', JSON, Point),
)


class PoolBodyTests(PoolKit):
    """``send``, ``ask`` and ``reply`` with a body, ``write``, and what reads bodies."""

    async def test_a_body_is_read_as_it_was_sent(self) -> None:
        async with self._two() as (_, me, other):
            for case in CASES:
                await me.send(TO_B, case.body)
                async with await other.inbox.take() as delivery:
                    await _check(delivery, case)

    async def test_messages_answers_and_what_is_peeked_at_are_read_alike(self) -> None:
        async with self._two() as (pool, me, other):
            for case in CASES:
                asking = asyncio.ensure_future(me.ask(TO_B, case.body))
                async with await other.inbox.take() as delivery:
                    [peeked_at] = await other.inbox.peek()
                    for holder in (me, other, pool):
                        body = holder.body(peeked_at)
                        assert await body.bytes() == case.data
                        assert await body.media_type() == case.media_type
                    await delivery.reply(case.body)
                [answer] = await asking
                assert await me.body(answer).bytes() == case.data
                if case.media_type == TEXT:
                    assert await me.read(answer) == await me.body(answer).text() == case.body

    async def test_an_answer_is_of_the_run_whose_inbox_it_was(self) -> None:
        async with self._two() as (pool, me, other):
            for name in ("by the member", "by the delivery", "by an inbox of the pool"):
                asking = asyncio.ensure_future(me.ask(TO_B, name))
                if name == "by the member":
                    async with await other.inbox.take() as delivery:
                        await other.reply(delivery.message, name)
                else:
                    inbox = other.inbox if name == "by the delivery" else pool.inbox("run.b")
                    async with await inbox.take() as delivery:
                        await delivery.reply(name)
                [answer] = await asking
                assert (answer.sender, await me.read(answer)) == ("run.b", name)

    async def test_the_same_value_is_the_same_content(self) -> None:
        async with self._two() as (pool, me, _):
            pairs: list[tuple[object, object]] = [
                ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
                ("text", "text"),
                ({1, 2, 3}, {3, 2, 1}),
            ]
            for number, (first, second) in enumerate(pairs):
                key = f"key.{number}"
                receipt = await me.send(TO_B, first, idempotency_key=key)
                before = await payloads(pool.store)
                assert await me.send(TO_B, second, idempotency_key=key) == receipt
                assert await payloads(pool.store) == before
                sending = me.send(TO_B, "another", idempotency_key=key)
                await refusal(IdempotencyConflictError, sending)

    async def test_a_body_is_kept_also_where_its_message_is_known(self) -> None:
        async with self._two() as (_, me, other):
            await me.send(TO_B, content_ref=content_ref(b"late"), idempotency_key="key")
            async with await other.inbox.take() as delivery:
                await refusal(ContentNotFoundError, delivery.text())
                await me.send(TO_B, "late", idempotency_key="key")
                assert await delivery.text() == "late"

    async def test_what_is_refused_keeps_no_body(self) -> None:
        async with self._two() as (pool, me, _):
            stranger = pool.acting_as(a_member("run.stranger"))
            await refusal(NotAMemberError, stranger.send(TO_B, "refused"))
            await me.send(TO_B, "sent", idempotency_key="key")
            await refusal(IdempotencyConflictError, me.send(TO_B, "refused", idempotency_key="key"))
            await refusal(ContentNotFoundError, pool.store.get_content(content_ref(b"refused")))

    async def test_a_large_body_is_sent_too_and_one_that_is_too_large_is_not(self) -> None:
        async with self._two() as (pool, me, other):
            body = bytes(LARGE)
            await me.send(TO_B, body)
            async with await other.inbox.take() as delivery:
                assert await delivery.bytes() == body
                assert await delivery.media_type() == OCTETS
            before = await payloads(pool.store)
            for too_large in (bytes(MAX_BODY + 1), "x" * (MAX_BODY + 1)):
                for sending in (me.send(TO_B, too_large), me.write(too_large)):
                    error = await refusal(InvalidValueError, sending)
                    assert "body: " in str(error)
                    assert len(str(error)) < 300
            assert await payloads(pool.store) == before

    async def test_a_ref_of_ones_own_is_sent_as_it_is(self) -> None:
        async with self._two() as (_, me, other):
            for ref in ("s3://bucket/a key", "content.1", content_ref(b"never put")):
                await me.send(TO_B, content_ref=ref)
                async with await other.inbox.take() as delivery:
                    assert delivery.message.content_ref == ref
                    for reading in (delivery.text(), delivery.json(), delivery.media_type()):
                        await refusal(ContentNotFoundError, reading)

    async def test_what_was_written_ahead_is_sent_in_place_of_the_body(self) -> None:
        async with self._two() as (_, me, other):
            for case in CASES:
                kept = await me.write(case.body)
                await me.send(TO_B, kept)
                await me.send(TO_B, content_ref=kept)
                for _ in range(2):
                    async with await other.inbox.take() as delivery:
                        await _check(delivery, case)

    async def test_a_body_that_is_not_of_the_type_is_refused(self) -> None:
        async with self._two() as (_, me, other):
            for body in ({"goal": 7, HIDDEN: HIDDEN}, {}, [HIDDEN], HIDDEN, b"\xff" + b"s3cr3t"):
                await me.send(TO_B, body)
                async with await other.inbox.take() as delivery:
                    error = await refusal(InvalidValueError, delivery.json(Plan))
                    _tells_nothing(error, delivery)
                    if isinstance(body, bytes):
                        _tells_nothing(await refusal(InvalidValueError, delivery.text()), delivery)

    async def test_bodies_stand_in_no_record_and_in_no_error(self) -> None:
        async with self._two() as (pool, me, _):
            await me.send(TO_B, HIDDEN, idempotency_key="key")
            await me.send(TO_B, {"secret": HIDDEN})
            log = b"".join(encode(each) for each in await payloads(pool.store))
            assert HIDDEN.encode() not in log
            known = me.send(TO_B, HIDDEN + "!", idempotency_key="key")
            assert HIDDEN not in str(await refusal(IdempotencyConflictError, known))
            wrong: list[dict[str, Any]] = [
                {"body": [object(), HIDDEN]},
                {"body": f"{HIDDEN}\ud800"},
                {"content_ref": f"{HIDDEN} is no ref"},
                {"body": HIDDEN, "content_ref": "content.1"},
            ]
            for arguments in wrong:
                error = await refusal(InvalidValueError, me.send(TO_B, **arguments))
                assert HIDDEN not in str(error)

    async def test_a_cancelled_send_has_kept_both_or_neither(self) -> None:
        for moment in Moment:
            async with self._two() as (pool, me, _):
                suspension, reached = 0, True
                while reached:
                    body, key = f"body {suspension}", f"key.{suspension}"
                    reached = await cancel_at(
                        suspension,
                        lambda: me.send(TO_B, body, idempotency_key=key),  # noqa: B023  # run here
                        moment=moment,
                    )
                    receipt = await pool.store.message_receipt(pool.pool_id, key)
                    if receipt is None:
                        ref = content_ref(body.encode())
                        await refusal(ContentNotFoundError, pool.store.get_content(ref))
                    await me.send(TO_B, body, idempotency_key=key)
                    suspension += 1
                sent = await pool.inbox("run.b").peek()
                assert [await me.read(each) for each in sent] == [
                    f"body {number}" for number in range(suspension)
                ]

    async def test_many_bodies_sent_at_once_are_all_there(self) -> None:
        async with self._two() as (pool, me, _):
            await asyncio.gather(*(me.send(TO_B, f"body {number % 20}") for number in range(100)))
            sent = await pool.inbox("run.b").peek()
            bodies = await asyncio.gather(*(me.read(each) for each in sent))
            assert sorted(bodies) == sorted(f"body {number % 20}" for number in range(100))

    @asynccontextmanager
    async def _two(self) -> AsyncIterator[tuple[AgentPool, MemberHandle, MemberHandle]]:
        async with self.opened("run.a", "run.b") as pool:
            yield pool, pool.acting_as(a_member("run.a")), pool.acting_as(a_member("run.b"))


async def _check(delivery: Delivery, case: Case) -> None:
    assert await delivery.bytes() == case.data
    assert await delivery.media_type() == case.media_type
    if case.media_type == TEXT:
        assert await delivery.text() == case.body
    if case.media_type == JSON:
        assert await delivery.json(case.type_) == case.body
        assert await delivery.json() is not ...


def _tells_nothing(error: AgentPoolError, delivery: Delivery) -> None:
    assert delivery.message.message_id in str(error)
    assert HIDDEN not in str(error)
    assert HIDDEN not in repr(error.__cause__)
