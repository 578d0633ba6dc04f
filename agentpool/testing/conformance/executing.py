"""``execute`` and ``query``, on which every method rests, and whatever is built on a store."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from agentpool.errors import ClaimLostError, NotAMemberError
from agentpool.rules.command import Command, Decision, PoolView
from agentpool.stores.base import AgentPoolStore
from agentpool.testing.cancellation import tasks_left
from agentpool.testing.conformance.kit import (
    POOL,
    StoreKit,
    append_many,
    furnish,
    payloads,
    refusal,
    refusals,
)
from agentpool.testing.values import a_member
from agentpool.wire.payload import seal
from agentpool.wire.records import MemberJoined, MemberLeft

__all__ = (
    "Ask",
    "ExecutingTests",
)

R = TypeVar("R")


class Ask(Command[R]):
    """A command that decides what it is told to."""

    def __init__(self, decide: Callable[[PoolView], Decision[R]]) -> None:
        self._decide = decide

    def decide(self, view: PoolView) -> Decision[R]:
        return self._decide(view)


class Companion:
    """Something that goes with a handle."""

    def __init__(self, store: AgentPoolStore) -> None:
        self.store = store


class AnotherCompanion(Companion):
    """Of another kind."""


class BrokenError(Exception):
    """An error that no store knows."""


async def _wait_for_ever() -> None:
    await asyncio.Event().wait()


def _fail(_view: PoolView) -> Decision[None]:
    raise BrokenError


def _refuse(_view: PoolView) -> Decision[None]:
    msg = "whoever wrote this did not know the pool"
    raise ClaimLostError(msg)


def _swap(view: PoolView) -> Decision[int]:
    """Let one member leave and another join, in one step."""
    [member] = view.state.members.values()
    other = a_member("run.b" if member.run_id == "run.a" else "run.a")
    return Decision(view.state.sequence, (seal(MemberLeft(member)), seal(MemberJoined(other))), 7)


class ExecutingTests(StoreKit):
    """``execute`` and ``query``."""

    async def test_a_command_appends_all_its_records_one_after_another(self) -> None:
        async with self.opened() as store:
            await store.join_member(POOL, a_member("run.a"))
            assert await store.execute(POOL, Ask(_swap)) == 2
            assert (await payloads(store))[2:] == [
                MemberLeft(a_member("run.a")),
                MemberJoined(a_member("run.b")),
            ]
            assert await store.next_event_sequence(POOL) == 8

    async def test_each_command_sees_the_effect_of_those_before_it(self) -> None:
        async with self.opened() as store:
            await store.join_member(POOL, a_member("run.a"))
            places = await asyncio.gather(*(store.execute(POOL, Ask(_swap)) for _ in range(20)))
            assert sorted(places) == list(range(2, 42, 2))
            joined_and_left = (await payloads(store))[1:]
            assert len(joined_and_left) == 41
            assert (await store.snapshot(POOL)).members == (a_member("run.a"),)

    async def test_a_command_that_appends_nothing_gives_its_result(self) -> None:
        async with self.opened() as store:
            assert await store.execute(POOL, Ask(lambda view: Decision(view.state.pool_id))) == POOL
            assert len(await payloads(store)) == 1

    async def test_a_command_that_fails_changes_nothing_and_harms_no_other(self) -> None:
        async with self.opened() as store:
            outcomes = await asyncio.gather(
                *(store.execute(POOL, Ask(_fail)) for _ in range(5)),
                append_many(store, 20),
                *(store.execute(POOL, Ask(_fail)) for _ in range(5)),
                return_exceptions=True,
            )
            failed = [each for each in outcomes if isinstance(each, BaseException)]
            assert [type(each) for each in failed] == [BrokenError] * 10
            assert len(await payloads(store)) == 21

    async def test_a_question_sees_what_was_appended_before_it(self) -> None:
        async with self.empty() as store:
            await furnish(store)
            sequence, members, message, wake = await store.query(
                POOL,
                lambda view: (
                    view.state.sequence,
                    sorted(view.state.members),
                    view.message_by_key("key.message.1"),
                    view.wake_by_key("key.wake.1"),
                ),
            )
            assert (sequence, members) == (5, ["run.a", "run.b"])
            assert message is not None
            assert wake is not None
            assert (message.seq, wake.seq) == (4, 5)

    async def test_a_question_that_fails_passes_its_error_on(self) -> None:
        async with self.empty() as store:
            await furnish(store)
            for _ in range(3):
                try:
                    await store.query(POOL, _fail)
                except BrokenError:
                    continue
                raise AssertionError
            assert len(await payloads(store)) == 5
            await refusal(NotAMemberError, store.leave_member(POOL, "run.c"))

    async def test_an_error_of_ours_names_the_pool(self) -> None:
        async with self.opened() as store:
            asking, doing = store.query(POOL, _refuse), store.execute(POOL, Ask(_refuse))
            errors = await refusals(ClaimLostError, [asking, doing])
            assert [each.pool_id for each in errors] == [POOL, POOL]

    async def test_the_companion_of_a_kind_is_made_once_for_each_handle(self) -> None:
        async with self.empty() as store, self.empty() as other:
            mine = store.companion(Companion)
            assert mine.store is store
            assert store.companion(Companion) is mine
            assert other.companion(Companion) is not mine
            assert store.companion(AnotherCompanion) is not mine

    async def test_what_runs_in_the_background_ends_with_the_store_at_the_latest(self) -> None:
        before = asyncio.all_tasks()
        async with self.opened() as store:
            done = store.spawn(asyncio.sleep(0))
            running = [store.spawn(_wait_for_ever()) for _ in range(3)]
            await done
            assert not any(task.done() for task in running)
            await store.aclose()
            assert all(task.cancelled() for task in running)
        assert not await tasks_left(before)

    async def test_what_runs_in_the_background_can_use_the_store_until_it_is_cancelled(
        self,
    ) -> None:
        joined = asyncio.Event()

        async def join_then_wait(store: AgentPoolStore) -> None:
            await store.join_member(POOL, a_member("run.a"))
            joined.set()
            try:
                await _wait_for_ever()
            finally:
                cleaned_up.append("yes")

        cleaned_up: list[str] = []
        async with self.opened() as store:
            store.spawn(join_then_wait(store))
            await joined.wait()
            assert len(await payloads(store)) == 2
            assert cleaned_up == []
        assert cleaned_up == ["yes"]
