"""Reading the log, and what it means."""

from collections.abc import Awaitable, Callable

from agentpool.rules.replay import replay
from agentpool.testing.conformance.kit import (
    POOL,
    StoreKit,
    as_stream,
    furnish,
    lengthen,
    payloads,
    record,
    record_wake,
)
from agentpool.testing.values import a_condition, a_member, a_message
from agentpool.wire.records import (
    START,
    AgentPoolStoreCursor,
    MemberJoined,
    MessageStatus,
    PoolOpened,
    RunMessageRecorded,
    WakeRecorded,
    WakeRegistrationStatus,
)

__all__ = ("ReadingTests",)

MANY = 1203
"""More records than any store should read at once."""


class ReadingTests(StoreKit):
    """``read`` and ``snapshot``."""

    async def test_records_are_read_in_the_order_in_which_they_were_appended(self) -> None:
        async with self.empty() as store:
            await furnish(store)
            kinds = [type(payload) for payload in await payloads(store)]
            assert kinds == [
                PoolOpened,
                MemberJoined,
                MemberJoined,
                RunMessageRecorded,
                WakeRecorded,
            ]

    async def test_a_returned_cursor_is_the_place_of_the_record(self) -> None:
        async with self.opened() as store:
            cursors = [
                await store.join_member(POOL, a_member()),
                await record(store, a_message()),
                await record_wake(store, a_condition()),
                (await store.leave_member(POOL, "run.a"))[1],
                await store.record_pool_created(POOL),
            ]
            records = await store.read(POOL)
            assert [each.cursor for each in records[1:]] == cursors

    async def test_reading_goes_on_after_the_cursor(self) -> None:
        async with self.empty() as store:
            await furnish(store)
            records = await store.read(POOL)
            assert await store.read(POOL, None) == await store.read(POOL, START) == records
            for index, each in enumerate(records):
                assert await store.read(POOL, each.cursor) == records[index + 1 :]

    async def test_there_is_nothing_after_the_end(self) -> None:
        async with self.empty() as store:
            await furnish(store)
            for beyond in (5, 6, 1000, 2**63, 2**64 - 1):
                assert await store.read(POOL, AgentPoolStoreCursor(beyond)) == []
                assert await store.read(POOL, AgentPoolStoreCursor(beyond), limit=1) == []

    async def test_a_limit_takes_the_first_records_after_the_cursor(self) -> None:
        async with self.empty() as store:
            await furnish(store)
            records = await store.read(POOL)
            for limit in range(7):
                assert await store.read(POOL, limit=limit) == records[:limit]
                after_second = await store.read(POOL, AgentPoolStoreCursor(2), limit=limit)
                assert after_second == records[2 : 2 + limit]

    async def test_a_long_log_is_read_whole_and_by_any_pages(self) -> None:
        async with self.opened() as store:
            await lengthen(store, MANY)
            records = await store.read(POOL)
            assert len(await payloads(store)) == len(records) == 1 + MANY
            for size in (499, 500, 501, 1000, 1001, 1204, 5000):
                pages, cursor = [], START
                while page := await store.read(POOL, cursor, limit=size):
                    pages += page
                    cursor = page[-1].cursor
                assert pages == records

    async def test_what_was_read_once_stays_so(self) -> None:
        async with self.opened() as store:
            before = await store.read(POOL)
            await furnish(store)
            assert before == (await store.read(POOL))[:1]
            assert len(before) == 1

    async def test_asking_to_keep_what_is_unknown_changes_nothing_where_all_is_known(self) -> None:
        async with self.empty() as store:
            await furnish(store)
            assert await store.read(POOL, keep_unknown=True) == await store.read(POOL)

    async def test_a_snapshot_is_what_the_log_means(self) -> None:
        async with self.opened() as store:
            await furnish(store)
            snapshot = await store.snapshot(POOL)
            assert snapshot == await replay(as_stream(await store.read(POOL)), pool_id=POOL)
            assert snapshot.cursor == AgentPoolStoreCursor(5)

    async def test_every_snapshot_is_what_the_log_means_by_then(self) -> None:
        message, condition = a_message(), a_condition()
        async with self.empty() as store:
            await furnish(store)
            changes: list[Callable[[], Awaitable[object]]] = [
                lambda: store.record_pool_created(POOL),
                lambda: store.join_member(POOL, a_member("run.0", topics=["t"])),
                lambda: store.leave_member(POOL, "run.b"),
                lambda: record(store, message, MessageStatus.DELIVERED),
                lambda: record(store, a_message("message.0")),
                lambda: record_wake(store, condition, WakeRegistrationStatus.TRIGGERED),
                lambda: record_wake(store, a_condition("wake.0")),
            ]
            for change in changes:
                await change()
                records = await store.read(POOL)
                snapshot = await store.snapshot(POOL)
                assert snapshot == await replay(as_stream(records), pool_id=POOL)
                assert snapshot.cursor == records[-1].cursor

    async def test_an_earlier_snapshot_does_not_change(self) -> None:
        async with self.opened() as store:
            await furnish(store)
            earlier = await store.snapshot(POOL)
            then = await replay(as_stream(await store.read(POOL)), pool_id=POOL)
            await store.leave_member(POOL, "run.a")
            await record(store, a_message(), MessageStatus.FAILED)
            assert earlier == then
            assert await store.snapshot(POOL) != earlier

    async def test_a_snapshot_of_a_long_log_is_what_it_means(self) -> None:
        async with self.opened() as store:
            await lengthen(store, MANY, name="first")
            await store.snapshot(POOL)
            await lengthen(store, MANY, name="second")
            snapshot = await store.snapshot(POOL)
            assert len(snapshot.messages) == 2 * MANY
            await record(store, a_message("message.first.7"), MessageStatus.DELIVERED)
            await record(store, a_message("message.in.between"))
            snapshot = await store.snapshot(POOL)
            assert snapshot == await replay(as_stream(await store.read(POOL)), pool_id=POOL)
