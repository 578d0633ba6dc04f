"""Waiting: nothing is missed, whoever is not concerned is left alone, and little is asked."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import pytest
from recording_store import Call, RecordingStore
from virtual_time import settled, virtual_time

from agentpool import (
    AgentPoolStoredMessage,
    MessageReceipt,
    MessageStatus,
    RunAddress,
    RunMessageRecorded,
    StoreClosedError,
)
from agentpool.rules.command import Decision
from agentpool.rules.sending import Send
from agentpool.rules.topics import (
    DEADLINES,
    LOG,
    Touched,
    message_topic,
    touch,
    touch_by_foreign,
    wake_topic,
)
from agentpool.runtime.waiting import Waiting
from agentpool.stores.turns import Ending
from agentpool.testing import a_member, a_message
from agentpool.wire.payload import seal

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
async def test_what_is_there_already_is_found_by_one_look() -> None:
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
    assert it.looks == [False]
    await it.record()
    assert await task == 4
    assert it.looks == [False, True]


@virtual_time
async def test_what_comes_during_the_first_look_is_found_by_a_second() -> None:
    it = await room()

    async def record_meanwhile(call: Call) -> None:
        if call.what == "query" and it.store.count("query") == 1:
            await it.record()

    it.store.after = record_meanwhile
    assert await it.wait() == 4
    assert it.looks == [False, True]


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


@pytest.mark.parametrize("what", ["pool", "store"])
@virtual_time
async def test_closing_ends_who_waits_without_a_complaint(
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
    assert list(it.store.tail.pool_ids) == []
    assert not caplog.records
    with pytest.raises(StoreClosedError):
        await it.wait()


def _touched(status: MessageStatus, *delivered_to: str, foreign: bool) -> Touched:
    receipt = MessageReceipt(FAILED.message_id, status, delivered_to=delivered_to)
    payload = RunMessageRecorded(AgentPoolStoredMessage(FAILED, receipt))
    touched: Touched = {}
    if foreign:
        touch_by_foreign(touched, payload)
    else:
        touch(touched, Decision(None, (seal(payload),)))
    return touched


@pytest.mark.parametrize("foreign", [False, True])
def test_a_record_touches_those_whom_it_concerns(foreign: bool) -> None:
    always = {LOG, DEADLINES} if foreign else {LOG}
    assert _touched(MessageStatus.ACCEPTED, foreign=foreign).keys() == always
    for status in set(MessageStatus) - {MessageStatus.ACCEPTED, MessageStatus.DELIVERED}:
        assert _touched(status, foreign=foreign).keys() == {TOPIC} | always
    inboxes = {"inbox run.a", "inbox run.b"} if foreign else set()  # ours when they are there
    found = _touched(MessageStatus.DELIVERED, "run.a", "run.b", foreign=foreign)
    assert found.keys() == inboxes | always
