"""Bodies of messages, which are kept once, beside the log, under a ref made of what they say."""

import asyncio
import itertools
from contextlib import aclosing
from functools import partial
from typing import Final

from agentpool.errors import (
    ContentNotFoundError,
    InvalidValueError,
    PoolNotOpenError,
    RetryClassification,
    StoreClosedError,
)
from agentpool.testing.cancellation import Moment, cancel_at, tasks_left
from agentpool.testing.conformance.kit import (
    BODY,
    POOL,
    StoreKit,
    append_many,
    furnish,
    outcome_of,
    payloads,
    pieces,
    record,
    refusal,
    refusals,
)
from agentpool.testing.values import a_message
from agentpool.wire.codec import encode
from agentpool.wire.content import MAX_BODY, PIECE, content_ref
from agentpool.wire.ids import check_identifier

__all__ = ("ContentTests",)

BODIES: Final = [
    b"",
    b"\x00",
    b"\xff\xfe",
    bytes(range(256)),
    b"'; DROP TABLE x; --",
    "é\u2028\U0001f600".encode(),
    b"x" * PIECE,
    b"x" * (PIECE + 1),
    b"x" * 2**20,
]
LARGE: Final = bytes(range(256)) * (PIECE // 256) + b"the end"
UNKNOWN_REFS: Final = [
    f"sha256:{'0' * 64}",
    "sha256:",
    "s3://bucket/key",
    "content.1",
    "é\U0001f600",
    "%",
]


class ContentTests(StoreKit):
    """``put_content``, ``get_content`` and ``open_content``."""

    async def test_a_body_is_given_back_as_it_was_put(self) -> None:
        async with self.empty() as store:
            refs = [await store.put_content(body) for body in BODIES]
            given = [await store.get_content(ref) for ref in refs]
            assert given == BODIES
            assert all(type(body) is bytes for body in given)
            assert [await store.put_content(body) for body in BODIES] == refs

    async def test_a_body_is_read_in_pieces_that_are_not_large(self) -> None:
        async with self.empty() as store:
            for body in (*BODIES, LARGE):
                given = await pieces(store, await store.put_content(body))
                assert b"".join(given) == body
                assert all(type(piece) is bytes and 0 < len(piece) <= PIECE for piece in given)

    async def test_many_read_in_pieces_at_once_and_some_leave(self) -> None:
        async with self.opened() as store:
            ref = await store.put_content(LARGE)

            async def read_one() -> bytes:
                async with aclosing(store.open_content(ref)) as body:
                    return await anext(body)

            whole, first, _ = await asyncio.gather(
                asyncio.gather(*(pieces(store, ref) for _ in range(5))),
                asyncio.gather(*(read_one() for _ in range(5))),
                append_many(store, 20),
            )
            assert all(b"".join(each) == LARGE for each in whole)
            assert all(LARGE.startswith(each) for each in first)

    async def test_who_reads_in_pieces_is_refused_when_the_store_is_closed(self) -> None:
        async with self.empty() as store:
            body = store.open_content(await store.put_content(LARGE))
            assert LARGE.startswith(await anext(body))
            await store.aclose()
            await refusal(StoreClosedError, anext(body))

    async def test_a_body_put_twice_has_one_ref(self) -> None:
        async with self.empty() as store:
            first = await store.put_content(BODY)
            assert await store.put_content(BODY) == first
            assert await store.put_content(bytes(bytearray(BODY))) == first
            assert await store.get_content(first) == BODY

    async def test_different_bodies_have_different_refs(self) -> None:
        async with self.empty() as store:
            refs = [await store.put_content(body) for body in (*BODIES, BODY, BODY + b"\n")]
            assert len(set(refs)) == len(refs)

    async def test_a_ref_is_the_same_in_every_store(self) -> None:
        async with self.empty() as store, self.empty() as other:
            ref = await store.put_content(BODY)
            await refusal(ContentNotFoundError, other.get_content(ref))
            assert await other.put_content(BODY) == ref

    async def test_the_media_type_does_not_make_another_body(self) -> None:
        async with self.empty() as store:
            ref = await store.put_content(BODY, media_type="text/plain; charset=utf-8")
            assert await store.put_content(BODY) == ref
            assert await store.get_content(ref) == BODY

    async def test_the_media_type_of_the_first_is_kept(self) -> None:
        async with self.empty() as store:
            ref = await store.put_content(BODY, media_type="text/plain")
            await store.put_content(BODY, media_type="text/html")
            octets = await store.put_content(b"octets")
            assert await store.content_type(ref) == "text/plain"
            assert await store.content_type(octets) == "application/octet-stream"
            calls = (store.content_type(each) for each in UNKNOWN_REFS)
            await refusals(ContentNotFoundError, calls)

    async def test_a_body_that_is_too_large_is_refused_without_being_shown(self) -> None:
        async with self.empty() as store:
            body = bytes(MAX_BODY)
            assert await store.get_content(await store.put_content(body)) == body
            error = await refusal(InvalidValueError, store.put_content(body + b"x"))
            assert "data: " in str(error)
            assert len(str(error)) < 300

    async def test_what_was_never_put_is_not_found(self) -> None:
        async with self.empty() as store:
            await store.put_content(BODY)
            for calls in (
                (store.get_content(ref) for ref in UNKNOWN_REFS),
                (anext(store.open_content(ref)) for ref in UNKNOWN_REFS),
            ):
                errors = await refusals(ContentNotFoundError, calls)
                for error, ref in zip(errors, UNKNOWN_REFS, strict=True):
                    assert error.retry is RetryClassification.NOT_RETRYABLE
                    assert repr(ref) in str(error)

    async def test_content_needs_no_pool_and_opens_none(self) -> None:
        async with self.empty() as store:
            assert await store.get_content(await store.put_content(BODY)) == BODY
            await refusal(PoolNotOpenError, store.read(POOL))

    async def test_a_ref_can_stand_in_a_message_and_the_body_is_in_no_record(self) -> None:
        async with self.empty() as store:
            await furnish(store)
            ref = await store.put_content(BODY)
            check_identifier(ref, "ref")
            await record(store, a_message("with.body", content_ref=ref))
            [*_, last] = await payloads(store)
            assert getattr(last, "stored").message.content_ref == ref  # noqa: B009  # of a union
            assert not any(BODY in encode(each) for each in await payloads(store))
            assert await store.get_content(ref) == BODY

    async def test_putting_appends_nothing_to_any_log(self) -> None:
        async with self.empty() as store:
            await furnish(store)
            before = await payloads(store)
            await store.put_content(b"another body")
            assert await payloads(store) == before
            assert await store.next_event_sequence(POOL) == 1

    async def test_many_tasks_put_and_get_at_once(self) -> None:
        bodies = [f"body {number % 10}".encode() for number in range(50)]
        async with self.opened() as store:
            refs, _ = await asyncio.gather(
                asyncio.gather(*(store.put_content(body) for body in bodies)),
                append_many(store, 50),
            )
            assert len(set(refs)) == 10
            given = await asyncio.gather(*(store.get_content(ref) for ref in refs))
            assert list(given) == bodies
            assert len(await payloads(store)) == 51

    async def test_a_cancelled_put_has_kept_the_whole_body_or_nothing(self) -> None:
        for moment, filling in itertools.product(Moment, (b" " * 5000, LARGE)):
            async with self.empty() as store:
                before = asyncio.all_tasks()
                for suspension in itertools.count():
                    body = f"body {suspension}".encode() + filling
                    reached = await cancel_at(
                        suspension,
                        lambda: store.put_content(body),  # noqa: B023  # run here
                        moment=moment,
                    )
                    assert not await tasks_left(before)
                    kept = await outcome_of(store.get_content(content_ref(body)))
                    assert kept == body or type(kept) is ContentNotFoundError
                    ref = await store.put_content(body)
                    assert await store.get_content(ref) == body
                    if not reached:
                        break

    async def test_a_cancelled_get_leaves_the_body_where_it_is(self) -> None:
        for moment, body in itertools.product(Moment, (BODY, LARGE)):
            async with self.empty() as store:
                ref = await store.put_content(body)
                before = asyncio.all_tasks()
                for suspension in itertools.count():
                    reached = False
                    for read in (store.get_content, partial(pieces, store)):
                        reached |= await cancel_at(
                            suspension,
                            lambda: read(ref),  # noqa: B023  # run here
                            moment=moment,
                        )
                    assert not await tasks_left(before)
                    assert await store.get_content(ref) == body
                    if not reached:
                        break

    async def test_a_refusal_does_not_tell_what_bodies_say(self) -> None:
        async with self.empty() as store:
            ref = await store.put_content(b"a secret")
            await store.aclose()
            for call in (store.put_content(b"a secret"), store.get_content(ref)):
                assert "secret" not in str(await outcome_of(call))
