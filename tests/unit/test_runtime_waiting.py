"""Waiting: nothing is missed, whoever is not concerned is left alone, and little is asked."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

import anyio
import pytest
from recording_store import Call, RecordingStore
from virtual_time import settled, virtual_time

from agentpool import (
    AgentPoolStoredMessage,
    MessageReceipt,
    MessageStatus,
    RunAddress,
    RunMessageRecorded,
    StoreBusyError,
    StoreClosedError,
)
from agentpool.rules.sending import Send
from agentpool.runtime import waiting as waiting_module
from agentpool.runtime.waiting import Waiting, message_topic, wake_topic
from agentpool.stores.tail import Ending
from agentpool.testing import a_member, a_message

POOL: Final = "pool.test"
FAILED: Final = a_message("nobody", to=RunAddress.run("run.nobody"))
"""A message that concerns only who waits for its own status."""
BUSY: Final = "busy"
TOPIC: Final = message_topic(FAILED.idempotency_key)

Look = Callable[[bool], Awaitable[int | None]]


class Room:
    """A waiting room over a store that remembers its calls."""

    def __init__(self) -> None:
        self.store = RecordingStore()
        self.ending = Ending("the pool is closed", POOL)
        self.waiting = Waiting(self.store, POOL, self.ending)
        self.looks: list[bool] = []

    async def open(self) -> None:
        await self.store.open_pool(POOL)
        for run_id in ("run.a", "run.b"):
            await self.store.join_member(POOL, a_member(run_id))
        self.store.calls.clear()

    async def record(self) -> None:
        """Record what touches the topic."""
        await self.store.execute(POOL, Send(FAILED))

    async def look(self, touched: bool) -> int | None:
        """Look for that; whether the topic was touched is remembered."""
        self.looks.append(touched)
        return await self.store.query(POOL, lambda view: _recorded(view.records(0, 2000)))

    async def never(self, touched: bool) -> int | None:
        """Look in vain."""
        self.looks.append(touched)
        await asyncio.sleep(0)
        return None

    def wait(self, topic: str = TOPIC, look: Look | None = None) -> "asyncio.Task[int]":
        return asyncio.create_task(self.waiting.until(topic, look or self.look))

    async def waits(self, topic: str = TOPIC, look: Look | None = None) -> "asyncio.Task[int]":
        """Wait in a task, of which it is clear that it does not end by itself."""
        task = self.wait(topic, look)
        await settled()
        assert not task.done()
        return task


def _recorded(records: object) -> int | None:
    assert isinstance(records, list)
    found = [seq for seq, each in records if isinstance(each, RunMessageRecorded)]
    return found[-1] if found else None


async def room() -> Room:
    made = Room()
    await made.open()
    return made


async def cancel(*tasks: "asyncio.Task[int]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


@virtual_time
async def test_what_is_there_already_is_found_by_one_look_and_needs_no_follower() -> None:
    it = await room()
    await it.record()
    it.store.calls.clear()
    assert await it.wait() == 4
    assert [call.what for call in it.store.calls] == ["query"]
    assert it.looks == [False]


@virtual_time
async def test_what_comes_later_is_found_when_it_touches_the_topic() -> None:
    it = await room()
    task = await it.waits()
    assert it.looks == [False, False]
    await it.record()
    assert await task == 4
    assert it.looks == [False, False, True]


@virtual_time
async def test_what_comes_between_the_first_look_and_the_place_of_the_follower_is_found() -> None:
    it = await room()

    async def record_before_the_follower_has_its_place(call: Call) -> None:
        if call.what == "query" and it.store.count("query") == 2:
            await it.record()

    it.store.before = record_before_the_follower_has_its_place
    assert await it.wait() == 4
    assert it.looks == [False, False]


@virtual_time
async def test_a_look_that_began_before_there_was_a_follower_counts_for_nothing() -> None:
    """Another has started one meanwhile, whose place is after what the look did not see."""
    it = await room()
    go_on = anyio.Event()

    async def old_answer(touched: bool) -> int | None:
        found = await it.look(touched)
        if len(it.looks) == 1:
            await go_on.wait()
        return found

    task = await it.waits(look=old_answer)
    await it.record()
    other = await it.waits(wake_topic("other"), it.never)
    go_on.set()
    await settled()
    assert task.done()
    assert task.result() == 4
    await cancel(other)


@virtual_time
async def test_whoever_waits_while_somebody_follows_looks_once_and_then_when_touched() -> None:
    it = await room()
    other = await it.waits(wake_topic("other"), it.never)
    it.looks.clear()
    task = await it.waits()
    assert it.looks == [False]
    await it.record()
    assert await task == 4
    assert it.looks == [False, True]
    await cancel(other)


@virtual_time
async def test_those_wait_on_whom_a_record_does_not_concern() -> None:
    it = await room()
    others = [
        await it.waits(topic, it.never)
        for topic in (
            wake_topic("other"),
            message_topic("other"),
            "inbox run.a",
            "inbox run.nobody",
        )
    ]
    everybody = [await it.waits() for _ in range(3)]
    it.looks.clear()
    await it.record()
    assert await asyncio.gather(*everybody) == [4, 4, 4]
    await settled()
    assert it.looks == [True] * 3
    await cancel(*others)


@virtual_time
async def test_one_follower_reads_for_all_and_only_while_somebody_waits() -> None:
    it = await room()
    tasks = [await it.waits() for _ in range(5)]
    assert it.store.abouts("read_page") == [(POOL,)]
    await cancel(*tasks[1:])
    await settled()
    assert list(it.store.tail.pool_ids) == [POOL]
    await cancel(tasks[0])
    await settled()
    assert list(it.store.tail.pool_ids) == []
    it.store.calls.clear()
    await it.record()
    await asyncio.sleep(100)
    assert [call.what for call in it.store.calls] == ["Send"]


@virtual_time
async def test_whoever_comes_after_the_follower_has_ended_gets_another() -> None:
    it = await room()
    for _ in range(3):
        await cancel(await it.waits(look=it.never))
        await settled()
    task = await it.waits()
    await it.record()
    assert await task == 4


@virtual_time
async def test_whoever_comes_just_as_the_follower_ends_gets_another() -> None:
    """At whichever step between the last one's leaving and the follower's end."""
    for steps in range(12):
        it = await room()
        await cancel(await it.waits(look=it.never))
        for _ in range(steps):
            await asyncio.sleep(0)
        task = it.wait()
        await settled()
        await it.record()
        await settled()
        assert task.done(), steps
        assert task.result() == 4


@virtual_time
async def test_an_error_of_the_follower_is_told_and_interrupts_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    it = await room()
    task = await it.waits()
    it.looks.clear()

    async def fail_once(call: Call) -> None:
        if call.what == "read_page":
            it.store.before = nothing
            raise StoreBusyError(BUSY)

    it.store.before = fail_once
    await it.store.join_member(POOL, a_member("run.c"))
    await settled()
    assert [record.message for record in caplog.records] == ["waiting was interrupted: busy"]
    assert caplog.records[0].levelno == logging.WARNING
    # Once because it was told of the end, and once more when the next follower had its place.
    assert it.looks == [True, False]
    await it.record()
    assert await task == 5


async def nothing(_call: Call) -> None:
    pass


@virtual_time
async def test_an_error_before_the_follower_has_its_place_is_the_one_of_who_waits() -> None:
    """The follower fails, and the look fails in the same way."""
    it = await room()

    async def fail(call: Call) -> None:
        if call.what == "query" and it.store.count("query") > 1:
            raise StoreBusyError(BUSY)

    it.store.before = fail
    with pytest.raises(StoreBusyError):
        await it.wait()
    await it.waiting.settle()


@pytest.mark.parametrize("what", ["pool", "store"])
@virtual_time
async def test_closing_ends_who_waits_and_the_follower_without_a_complaint(
    what: str, caplog: pytest.LogCaptureFixture
) -> None:
    it = await room()
    task = await it.waits()
    if what == "pool":
        it.ending.close()
    else:
        await it.store.aclose()
    with pytest.raises(StoreClosedError) as caught:
        await task
    assert caught.value.pool_id == (POOL if what == "pool" else None)
    await it.waiting.settle()
    assert list(it.store.tail.pool_ids) == []
    assert not caplog.records
    with pytest.raises(StoreClosedError):
        await it.wait()


@virtual_time
async def test_settling_waits_for_the_end_of_the_follower() -> None:
    it = await room()
    await it.waiting.settle()
    task = await it.waits()
    go_on = anyio.Event()

    async def hold(_call: Call) -> None:
        await go_on.wait()

    it.store.before = hold
    it.store.notify([POOL])
    await settled()
    it.ending.close()
    settling = asyncio.create_task(it.waiting.settle())
    await settled()
    assert not settling.done()
    go_on.set()
    await settling
    assert list(it.store.tail.pool_ids) == []
    await asyncio.wait([task])


@virtual_time
async def test_a_page_that_is_full_is_followed_by_the_next_at_once() -> None:
    it = await room()
    task = await it.waits()
    go_on = anyio.Event()

    async def hold(call: Call) -> None:
        if call.what == "read_page":
            await go_on.wait()

    it.store.before = hold
    it.store.notify([POOL])
    await settled()
    for number in range(1000):
        await it.store.join_member(POOL, a_member(f"run.{number}"))
    await it.record()
    before = asyncio.get_running_loop().time()
    it.store.before = nothing
    go_on.set()
    assert await task == 1004
    # Not by way of the bound after which it looks again.
    assert asyncio.get_running_loop().time() == before


def _message(status: MessageStatus, *delivered_to: str) -> RunMessageRecorded:
    receipt = MessageReceipt(FAILED.message_id, status, delivered_to=delivered_to)
    return RunMessageRecorded(AgentPoolStoredMessage(FAILED, receipt))


def test_a_record_touches_those_whom_it_concerns() -> None:
    topics = waiting_module._topics
    assert topics(_message(MessageStatus.ACCEPTED)) == []
    assert topics(_message(MessageStatus.DELIVERED, "run.a", "run.b")) == [
        "inbox run.a",
        "inbox run.b",
    ]
    for status in set(MessageStatus) - {MessageStatus.ACCEPTED, MessageStatus.DELIVERED}:
        assert topics(_message(status)) == [TOPIC]
