"""The suite itself: it knows every method, and a store that breaks a promise fails it."""

import asyncio
import itertools
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, TypeVar

import pytest

from agentpool import AgentPoolStore, InMemoryAgentPoolStore, NotAMemberError
from agentpool.rules.command import Command, Decision, PoolView
from agentpool.testing import (
    Moment,
    PoolConformance,
    SharedStoreConformance,
    StoreConformance,
    cancel_at,
    tasks_left,
)
from agentpool.testing.conformance.kit import EVERY_CALL
from agentpool.wire.content import Content

R = TypeVar("R")


def test_the_suite_calls_every_public_method() -> None:
    public = {name for name in dir(AgentPoolStore) if not name.startswith("_")}
    for_builders = {
        *("execute", "query", "read_page", "pool_ids", "due", "finish", "store_of"),
        *(
            "listen",
            "listen_to",
            "stop_listening",
            "notify",
            "refuse_closed",
            "refuse_elsewhere",
            "is_closed",
            "companion",
            "spawn",
        ),
    }
    assert public - for_builders - {"aclose"} == set(EVERY_CALL)


@pytest.mark.parametrize("suite", [StoreConformance, PoolConformance, SharedStoreConformance])
def test_no_test_of_a_suite_hides_another(suite: type) -> None:
    names = [name for part in suite.__mro__ for name in vars(part) if name.startswith("test_")]
    assert len(names) == len(set(names))


class LosesRetries(InMemoryAgentPoolStore):
    async def message_receipt(self, pool_id: str, idempotency_key: str) -> Any:
        await super().message_receipt(pool_id, idempotency_key)


class ReadsBeyondLimit(InMemoryAgentPoolStore):
    async def read(self, pool_id: str, cursor: Any = None, **options: Any) -> Any:
        return await super().read(pool_id, cursor, **{**options, "limit": None})


class ForgivesLeaving(InMemoryAgentPoolStore):
    async def leave_member(self, pool_id: str, run_id: str) -> Any:
        try:
            return await super().leave_member(pool_id, run_id)
        except NotAMemberError:
            return None


class Decided(Command[Any]):
    def __init__(self, decision: Decision[Any]) -> None:
        self._decision = decision

    def decide(self, _view: PoolView) -> Decision[Any]:
        return self._decision


class ChecksThenAppends(InMemoryAgentPoolStore):
    async def execute(self, pool_id: str, command: Any) -> Any:
        decision = await self.query(pool_id, command.decide)
        await asyncio.sleep(0)
        await super().execute(pool_id, Decided(decision))
        return decision.result


class MakesRefsAnew(InMemoryAgentPoolStore):
    async def put_content(self, data: bytes, **options: Any) -> str:
        ref = f"{await super().put_content(data, **options)}#{next(self._numbers)}"
        self._content[ref] = Content(ref, "text/plain", data)
        return ref

    _numbers = itertools.count()


class TellsEverybody(InMemoryAgentPoolStore):
    async def execute(self, pool_id: str, command: Command[R]) -> R:
        result = await super().execute(pool_id, command)
        self.notify()
        return result


class ClosesLate(InMemoryAgentPoolStore):
    async def aclose(self) -> None:
        await asyncio.sleep(0)
        await super().aclose()


@pytest.mark.parametrize(
    ("store", "test"),
    [
        (LosesRetries, "test_the_receipt_is_the_latest_one"),
        (ReadsBeyondLimit, "test_a_limit_takes_the_first_records_after_the_cursor"),
        (ForgivesLeaving, "test_leaving_twice_is_refused"),
        (ChecksThenAppends, "test_one_key_is_recorded_once_however_many_tasks_send_it"),
        (MakesRefsAnew, "test_a_body_put_twice_has_one_ref"),
        (TellsEverybody, "test_a_change_of_another_pool_brings_no_turn"),
        (ClosesLate, "test_a_cancelled_close_closes_all_the_same"),
    ],
)
async def test_a_store_that_breaks_a_promise_fails(
    store: type[InMemoryAgentPoolStore], test: str
) -> None:
    class Suite(StoreConformance):
        def open_store(self) -> AbstractAsyncContextManager[AgentPoolStore]:
            return store()

    with pytest.raises(AssertionError):
        await getattr(Suite(), test)()


@pytest.mark.parametrize("moment", Moment)
async def test_a_coroutine_is_cancelled_at_each_suspension(moment: Moment) -> None:
    async def three_waits(done: list[str]) -> None:
        await asyncio.sleep(0)
        done.append("sleep")
        await asyncio.sleep(0.05)
        done.append("result")
        await asyncio.sleep(0)
        done.append("end")

    reached = []
    for suspension in itertools.count():
        done: list[str] = []
        was_reached = await cancel_at(suspension, partial(three_waits, done), moment=moment)
        reached.append(done)
        if not was_reached:
            break
    assert reached == [[], ["sleep"], ["sleep", "result"], ["sleep", "result", "end"]]


async def test_an_error_of_the_coroutine_is_passed_on() -> None:
    async def fail() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        await cancel_at(0, fail)


async def test_a_task_that_does_not_end_is_named() -> None:
    before = asyncio.all_tasks()
    task = asyncio.create_task(asyncio.Event().wait(), name="stays")
    [left] = await tasks_left(before, patience=0.05)
    assert "stays" in left
    task.cancel()
    assert not await tasks_left(before)
