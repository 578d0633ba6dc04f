"""Following pools: who is told, when the store listens, and who shares a look with whom."""

import asyncio
from collections.abc import Callable
from contextlib import ExitStack, aclosing, suppress

import anyio
import pytest
from recording_store import Call, RecordingStore
from virtual_time import settled, virtual_time

from agentpool import StoreClosedError
from agentpool.rules.topics import ANY, LOG
from agentpool.stores.tail import Tail
from agentpool.testing import a_member

X, Y = "pool.x", "pool.y"


class Listening:
    """Counts how often a tail had its first follower, and its last one gone."""

    def __init__(self) -> None:
        self.first = self.last = 0
        self.tail = Tail(self._begin, self._end)

    def _begin(self) -> None:
        self.first += 1

    def _end(self) -> None:
        self.last += 1

    @property
    def counts(self) -> tuple[int, int]:
        return self.first, self.last


def test_the_store_listens_from_the_first_follower_of_any_pool_to_the_last() -> None:
    listening = Listening()
    tail = listening.tail
    with tail.changes(X):
        assert listening.counts == (1, 0)
        with tail.changes(X), tail.listening(Y, LOG, lambda _: None):
            assert set(tail.pool_ids) == {X, Y}
        assert (set(tail.pool_ids), listening.counts) == ({X}, (1, 0))
    assert (set(tail.pool_ids), listening.counts) == (set(), (1, 1))
    with suppress(ZeroDivisionError), tail.listening(Y, LOG, lambda _: None):
        assert listening.counts == (2, 1)
        raise ZeroDivisionError
    assert listening.counts == (2, 2)


def test_those_are_told_whose_pool_it_is_and_all_where_that_is_not_known() -> None:
    tail, told = Tail(), list[str]()
    with (
        tail.listening(X, LOG, lambda _: told.append("x1")),
        tail.listening(X, "other", lambda _: told.append("x2")),
        tail.listening(Y, LOG, lambda _: told.append("y")),
    ):
        tail.notify([X])
        assert told == ["x1", "x2"]
        tail.notify(["pool.nobody", Y])
        assert told == ["x1", "x2", "y"]
        tail.notify()
        assert told == 2 * ["x1", "x2", "y"]
        tail.notify([])
    tail.notify()
    assert len(told) == 6


def test_those_are_told_who_follow_what_was_touched_and_with_which_number() -> None:
    tail, told = Tail(), list[tuple[str, int | None]]()
    with (
        tail.listening(X, LOG, lambda number: told.append(("x log", number))),
        tail.listening(X, "other", lambda number: told.append(("x other", number))),
        tail.listening(Y, "other", lambda number: told.append(("y other", number))),
    ):
        tail.touch({X: {"other": 3, "nobody's": 1}, "pool.nobody": {LOG: 1}})
        assert told == [("x other", 3)]
        tail.touch({X: {ANY: 1, "other": 3}})
        assert told[1:] == [("x log", None), ("x other", None)]


def test_one_function_may_listen_twice_and_stop_once() -> None:
    tail, told = Tail(), list[str]()

    def tell(_number: int | None) -> None:
        told.append("x")

    with tail.listening(X, LOG, tell):
        with tail.listening(X, LOG, tell):
            tail.notify([X])
            assert len(told) == 2
        tail.notify([X])
        assert len(told) == 3


def test_whoever_is_told_may_stop_to_listen() -> None:
    tail, stack = Tail(), ExitStack()
    for pool_id in (X, X, Y):
        stack.enter_context(tail.listening(pool_id, LOG, lambda _: stack.close()))
    tail.notify()
    assert not list(tail.pool_ids)


class Looks:
    """Counts looks, each of which goes on until it is let go."""

    def __init__(self) -> None:
        self.begun = 0
        self.go_on = anyio.Event()

    async def __call__(self) -> int:
        self.begun += 1
        number = self.begun
        await self.go_on.wait()
        return number


async def results(tasks: "list[asyncio.Task[int]]") -> list[int]:
    return list(await asyncio.gather(*tasks))


@virtual_time
async def test_those_who_look_for_the_same_after_the_same_change_share_a_look() -> None:
    tail, looks = Tail(), Looks()

    def look(pool_id: str, what: object) -> "asyncio.Task[int]":
        return asyncio.create_task(tail.shared(pool_id, ("what", what), looks))

    with tail.changes(X), tail.changes(X), tail.changes(Y), tail.changes(Y):
        tasks = [look(X, 1), look(X, 1), look(X, 2), look(Y, 1)]
        await settled()
        tail.notify([Y])
        tasks.append(look(X, 1))
        await settled()
        tail.notify([X])
        tasks += [look(X, 1), look(X, 1)]
        await settled()
        looks.go_on.set()
        assert await results(tasks) == [1, 1, 2, 3, 1, 4, 4]


@virtual_time
async def test_a_look_that_is_over_is_not_shared_any_more() -> None:
    tail, looks = Tail(), Looks()
    looks.go_on.set()
    with tail.changes(X), tail.changes(X):
        assert [await tail.shared(X, 1, looks) for _ in range(2)] == [1, 2]


@virtual_time
async def test_alone_one_looks_oneself() -> None:
    """Without a task: the look is cancelled with who looks."""
    tail, looks = Tail(), Looks()

    async def cancelled_alone() -> None:
        before = asyncio.all_tasks()
        task = asyncio.create_task(tail.shared(X, 1, looks))
        await settled()
        assert asyncio.all_tasks() - before == {task}
        task.cancel()
        await asyncio.wait([task])

    await cancelled_alone()
    with tail.changes(X):
        with tail.changes(X):
            pass
        with tail.listening(X, LOG, lambda _: None):
            await cancelled_alone()


@virtual_time
async def test_a_shared_look_goes_on_when_one_of_those_who_share_it_is_cancelled() -> None:
    tail, looks = Tail(), Looks()
    with tail.changes(X), tail.changes(X):
        tasks = [asyncio.create_task(tail.shared(X, 1, looks)) for _ in range(3)]
        await settled()
        tasks[0].cancel()
        await asyncio.wait(tasks[:1])
        tasks.append(asyncio.create_task(tail.shared(X, 1, looks)))
        await settled()
        looks.go_on.set()
        assert await results(tasks[1:]) == [1, 1, 1]


@virtual_time
async def test_an_error_of_a_shared_look_reaches_all_and_troubles_nobody_else() -> None:
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: complaints.append(what))
    tail, go_on = Tail(), anyio.Event()

    async def fail() -> None:
        await go_on.wait()
        raise LookupError

    with tail.changes(X), tail.changes(X):
        tasks = [asyncio.create_task(tail.shared(X, what, fail)) for what in (1, 1, 2)]
        await settled()
        tasks[2].cancel()
        await settled()
        go_on.set()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        kinds = [type(each) for each in found]
        assert kinds == [LookupError, LookupError, asyncio.CancelledError]
        await settled()
    del tasks, found
    await settled()
    assert complaints == []


def watchers(store: RecordingStore, seen: list[list[int]]) -> "list[asyncio.Task[None]]":
    """Let some watch the log from its start, each in a task, and note what they see."""

    async def watch(numbers: list[int]) -> None:
        async with aclosing(store.watch(X)) as records:
            async for record in records:
                numbers.append(record.cursor.sequence)  # noqa: PERF401  # as they come

    return [asyncio.create_task(watch(numbers)) for numbers in seen]


async def cancel(tasks: "list[asyncio.Task[None]]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


@pytest.mark.parametrize("followed", [True, False])
@virtual_time
async def test_closing_a_store_waits_for_the_looks_of_those_who_are_gone(followed: bool) -> None:
    """The engine below them must not be taken away; be their pool followed still or not."""
    store, go_on, order = RecordingStore(), anyio.Event(), list[str]()
    await store.open_pool(X)
    tasks = watchers(store, [[], []])
    await settled()
    before = store.count("read_page")

    async def hold(call: Call) -> None:
        if call.what == "read_page":
            await go_on.wait()
            order.append("looked")

    async def finish() -> None:
        order.append("finished")

    store.before, store.finish = hold, finish  # type: ignore[method-assign]
    with ExitStack() as stack:
        if followed:
            stack.enter_context(store.tail.listening(X, LOG, lambda _: None))
        await store.join_member(X, a_member())
        await settled()
        assert store.count("read_page") == before + 1
        await cancel(tasks)
        closing = asyncio.create_task(store.aclose())
        await settled()
        assert order == []
        go_on.set()
        await closing
    assert order == ["looked", "finished"]


@virtual_time
async def test_three_watchers_at_one_place_share_one_read() -> None:
    async with RecordingStore() as store:
        await store.open_pool(X)
        seen: list[list[int]] = [[], [], []]
        tasks = watchers(store, seen)
        await settled()
        before = store.count("read_page")
        for number in range(2, 5):
            await store.join_member(X, a_member(f"run.{number}"))
            await settled()
            assert seen == [[*range(1, number + 1)]] * 3
            assert store.count("read_page") == before + number - 1
        await asyncio.sleep(100)
        assert store.count("read_page") == before + 3
        await cancel(tasks)


@virtual_time
async def test_a_watcher_that_is_told_of_a_change_joins_no_look_that_may_miss_it() -> None:
    """One looks, and its answer is old by the time it comes; the other is told meanwhile."""
    async with RecordingStore() as store:
        await store.open_pool(X)
        go_on = anyio.Event()

        async def hold_first(_call: Call) -> None:
            if store.count("read_page") == 1:
                await go_on.wait()

        store.after = hold_first
        async with aclosing(store.watch(X)) as slow, aclosing(store.watch(X)) as other:
            first = asyncio.ensure_future(anext(slow))
            await settled()
            store.calls.append(store.calls[-1])  # only the first answer is held up
            await store.join_member(X, a_member())
            assert [(await anext(other)).cursor.sequence for _ in range(2)] == [1, 2]
            go_on.set()
            assert (await first).cursor.sequence == 1
            assert (await anext(slow)).cursor.sequence == 2


@pytest.mark.parametrize("step", ["records", "wait"])
@virtual_time
async def test_a_watch_ends_with_its_store_wherever_it_is(step: str) -> None:
    store = RecordingStore()
    await store.open_pool(X)
    await store.join_member(X, a_member())
    async with aclosing(store.watch(X)) as watch:
        for _ in range({"records": 1, "wait": 2}[step]):
            await anext(watch)
        waiting = asyncio.ensure_future(anext(watch)) if step == "wait" else None
        await settled()
        await store.aclose()
        with pytest.raises(StoreClosedError):
            await (waiting or anext(watch))


def closed_calls(store: RecordingStore) -> list[Callable[[], object]]:
    return [lambda: store.changes(X), lambda: store.watch(X), store.refuse_closed]


@virtual_time
async def test_nothing_is_followed_in_a_closed_store() -> None:
    store = RecordingStore()
    await store.open_pool(X)
    for call in closed_calls(store):
        call()
    await store.aclose()
    assert store.is_closed
    for call in closed_calls(store):
        with pytest.raises(StoreClosedError):
            call()
    with pytest.raises(StoreClosedError), store.tail.changes(X):
        raise AssertionError
