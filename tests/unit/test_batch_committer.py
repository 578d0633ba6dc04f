"""Batches of commands on an engine that is no database."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import pytest
from plain_engine import PlainEngine, PlainError
from samples import condition, member, message, receipt, registration

from agentpool import (
    IdempotencyConflictError,
    MessageStatus,
    NotAMemberError,
    PoolConfigConflictError,
    PoolNotOpenError,
    RunAddress,
    StoreClosedError,
)
from agentpool.rules.claiming import ClaimNext
from agentpool.rules.claims import Acknowledge
from agentpool.rules.command import Command, Decision, LookUps, PoolView
from agentpool.rules.consequences import CatchUp
from agentpool.rules.holding import Heartbeat
from agentpool.rules.membership import JoinMember, JoinRun, LeaveMember
from agentpool.rules.messages import RecordMessage
from agentpool.rules.pool_opening import OpenPool
from agentpool.rules.rows import ACCEPTED, WAKE, deadline_key
from agentpool.rules.sending import Send
from agentpool.rules.topics import LOG, AllTouched
from agentpool.rules.wakes import RecordWake
from agentpool.stores.batch.committer import BatchCommitter, Outcome, Refusal, Request
from agentpool.stores.batch.group_commit import GroupCommit
from agentpool.testing import a_config
from agentpool.wire.payload import seal
from agentpool.wire.records import PoolOpened

A, B = "pool.a", "pool.b"
BOUND: Final = 60.0


class Store:
    """A committer and its engine, with pools that are open."""

    def __init__(self, *pool_ids: str) -> None:
        self.engine, self.committer = PlainEngine(), BatchCommitter()
        self.told: set[str] = set()
        for pool_id in pool_ids:
            self.do(pool_id, OpenPool())

    def commit(self, *requests: tuple[str, Command[Any]]) -> list[Outcome]:
        outcomes, touched = self.committer.commit(
            self.engine, [Request(*each) for each in requests]
        )
        self.told = set(touched)
        return outcomes

    def do(self, pool_id: str, *commands: Command[Any]) -> list[Outcome]:
        return self.commit(*((pool_id, command) for command in commands))

    def kinds(self, pool_id: str) -> list[str]:
        return [kind for _, kind, _ in self.engine.pools[pool_id].log]


def record(number: object, **fields: Any) -> RecordMessage:
    return RecordMessage(message(f"msg.{number}", **fields), receipt(f"msg.{number}"))


def wait(number: int) -> RecordWake:
    waits = condition(f"wake.{number}")
    return RecordWake(waits, waits.filter.compile(), registration(f"wake.{number}"))


class Deciding(Command[None]):
    """A command that does as a test says."""

    def __init__(self, decide: Callable[[PoolView], object]) -> None:
        self._decide = decide

    def decide(self, view: PoolView) -> Decision[None]:
        self._decide(view)
        return Decision(None)


class Bug(Exception):  # noqa: N818  # it stands for anything that nobody expects
    pass


def raising(error: BaseException) -> Deciding:
    def raise_it(_: PoolView) -> None:
        raise error

    return Deciding(raise_it)


def errors(outcomes: list[Outcome]) -> list[type[Exception] | None]:
    return [type(each.error) if isinstance(each, Refusal) else None for each in outcomes]


def test_a_batch_is_one_transaction_and_each_sees_those_before_it() -> None:
    store = Store(A)
    first, again, second = store.do(A, record(1), record(1), record(2))
    assert [each.sequence for each in (first, again, second)] == [2, 2, 3]
    assert store.engine.durable == [True, True]


def test_what_is_refused_fails_alone() -> None:
    store = Store(A)
    outcomes = store.commit(
        (A, record(1)),
        (A, LeaveMember("run.nobody")),
        (B, record(1)),
        (A, record(1, content_ref="something.else")),
        (A, record(2)),
    )
    refused = [NotAMemberError, PoolNotOpenError, IdempotencyConflictError]
    assert errors(outcomes) == [None, *refused, None]
    assert store.kinds(A) == ["pool_opened", "run_message", "run_message"]


def test_those_are_told_of_that_changed() -> None:
    store = Store(A, B)
    store.commit((A, record(1)), (B, LeaveMember("run.nobody")))
    assert store.told == {A}
    store.commit((A, record(1)), (B, Deciding(lambda view: view.head)))
    assert store.told == set()
    store.commit((B, record(1)), (A, record(2)), (B, record(2)))
    assert store.told == {A, B}


def test_what_is_declared_is_loaded_for_the_whole_batch_once() -> None:
    store = Store(B, A)
    store.commit((B, record(1)), (A, record(2)), (A, record(1)), (A, wait(1)), (A, record(2)))
    loaded = {each.pool_id: each.wanted for each in store.engine.sources}
    assert list(loaded) == [A, B]
    assert loaded[B] == LookUps(message_keys=("key.msg.1",))
    assert loaded[A] == LookUps(
        message_keys=("key.msg.2", "key.msg.1"),
        wake_keys=("key.wake.1",),
        condition_ids=("wake.1",),
        deadlines=(
            deadline_key(ACCEPTED, "key.msg.2"),
            deadline_key(ACCEPTED, "key.msg.1"),
            deadline_key(WAKE, "wake.1"),
        ),
    )


def test_what_is_due_after_the_last_command_is_not_loaded() -> None:
    store = Store(A)
    store.commit((A, wait(1)))
    [loaded] = store.engine.sources
    assert loaded.wanted.condition_ids == ("wake.1",)
    assert loaded.wanted.deadlines == ()


def test_an_error_of_the_engine_fails_all_and_leaves_nothing() -> None:
    store = Store(A)
    store.engine.fails = 1
    with pytest.raises(PlainError):
        store.do(A, record(1), JoinMember(member()))
    assert store.kinds(A) == ["pool_opened"]
    assert len(store.engine.durable) == 2
    assert errors(store.do(A, LeaveMember("run.a"), JoinMember(member()))) == [
        NotAMemberError,
        None,
    ]


def test_a_bug_fails_its_own_command_and_no_other() -> None:
    store = Store(A, B)
    outcomes = store.commit((A, JoinMember(member())), (A, raising(Bug())), (B, record(1)))
    assert errors(outcomes) == [None, Bug, None]
    assert store.told == {A, B}
    assert store.kinds(A) == ["pool_opened", "member_joined"]
    with pytest.raises(Bug):
        store.do(A, raising(Bug()))


def test_what_ends_the_thread_is_caught_by_nobody() -> None:
    store = Store(A)
    with pytest.raises(KeyboardInterrupt):
        store.do(A, record(1), raising(KeyboardInterrupt()))
    assert store.kinds(A) == ["pool_opened"]


class OpenAnew(Command[None]):
    """A command that is not refused, but whose record no state can take in."""

    def decide(self, view: PoolView) -> Decision[None]:
        assert view.state.config is not None
        return Decision(None, (seal(PoolOpened(a_config())),))


def test_a_consequence_that_cannot_be_carried_out_fails_what_it_follows_from() -> None:
    store = Store(A)
    outcomes = store.do(A, record(1), OpenAnew(), JoinMember(member()))
    assert errors(outcomes) == [None, PoolConfigConflictError, None]
    assert store.kinds(A) == ["pool_opened", "run_message", "member_joined"]
    with pytest.raises(PoolConfigConflictError):
        store.do(A, OpenAnew())


def test_an_engine_may_do_its_work_several_times() -> None:
    store = Store(A)
    store.engine.again = 2
    for number in range(50):
        outcomes = store.do(A, record(number), JoinMember(member(f"run.{number}")), wait(number))
        assert errors(outcomes) == [None] * 3
    assert len(store.kinds(A)) == 151
    [refused] = store.do(A, LeaveMember("run.nobody"))
    assert isinstance(refused.error, NotAMemberError)


def test_a_lease_need_not_survive_a_power_cut() -> None:
    store = Store(A)
    store.do(A, Heartbeat([]))
    store.do(A, Heartbeat([]), record(1))
    assert store.engine.durable[1:] == [False, True]


def test_messages_are_sent_and_taken_in_one_batch() -> None:
    store = Store(A)
    store.do(A, CatchUp(), JoinRun(member("run.a")), JoinRun(member("run.b")))
    store.do(A, *(Send(message(f"msg.{number}")) for number in range(50)))
    claims = store.do(A, *(ClaimNext("run.b", f"me.{number}", 1000) for number in range(60)))
    taken = [claim.message.message_id for claim in claims if claim is not None]
    assert taken == [f"msg.{number}" for number in range(50)]
    [source] = store.engine.sources
    assert source.asked["rows"] < 6
    assert source.asked["write"] == 1
    store.do(A, *(Acknowledge(claim) for claim in claims if claim is not None))
    assert [key for key in store.engine.pools[A].rows if key.kind == "inbox"] == []


def test_a_batch_ends_where_its_transaction_would_become_long() -> None:
    store = Store(A)
    store.do(A, CatchUp(), JoinRun(member("run.a")), JoinRun(member("run.b")))
    outcomes = store.do(A, *(Send(message(f"msg.{number}")) for number in range(500)))
    assert 1 < len(outcomes) < 200
    assert len(store.kinds(A)) == 4 + 2 * len(outcomes)


async def test_what_is_too_much_for_one_transaction_comes_first_in_the_next() -> None:
    store = Store(A)
    store.do(A, CatchUp(), JoinRun(member("run.a")), JoinRun(member("run.b")))

    async def commit(requests: list[Request]) -> tuple[list[Outcome], AllTouched]:
        await asyncio.sleep(0)
        return store.commit(*requests), {A: {LOG: 1}}

    commits = GroupCommit(commit, lambda _: None)
    sent = [commits.submit(Request(A, Send(message(f"msg.{number}")))) for number in range(300)]
    assert {receipt.status for receipt in await asyncio.gather(*sent)} == {MessageStatus.DELIVERED}
    claims = [commits.submit(Request(A, ClaimNext("run.b", "me", 1000))) for _ in range(300)]
    taken = [claim.message.message_id for claim in await asyncio.gather(*claims)]
    assert taken == [f"msg.{number}" for number in range(300)]
    await commits.close()


class ThreadEnded(BaseException):
    pass


async def test_nobody_waits_for_ever_when_the_work_on_a_batch_breaks() -> None:
    async def commit(requests: list[Request]) -> tuple[list[Outcome], AllTouched]:
        await asyncio.sleep(0)
        raise ThreadEnded(requests)

    commits = GroupCommit(commit, lambda _: None)
    first = [commits.submit(Request(A, record(number))) for number in range(2)]
    await asyncio.sleep(0)
    behind = commits.submit(Request(A, record(2)))
    done, _ = await asyncio.wait([*first, behind], timeout=BOUND)
    assert [type(each.exception()) for each in done] == [StoreClosedError] * 3
    assert commits.is_idle


async def test_only_who_asks_about_its_pool_waits_for_a_cancelled_command() -> None:
    store, go_on = Store(A, B), asyncio.Event()

    async def commit(requests: list[Request]) -> tuple[list[Outcome], AllTouched]:
        await go_on.wait()
        return store.commit(*requests), {}

    commits = GroupCommit(commit, lambda _: None)
    submitted = [commits.submit(Request(each, record(1))) for each in (A, B)]
    await asyncio.sleep(0)
    submitted[0].cancel()
    await asyncio.wait_for(commits.decided([B]), BOUND)
    asking = [
        asyncio.ensure_future(each) for each in (commits.decided([B, A]), commits.all_decided())
    ]
    await asyncio.sleep(0)
    assert not any(each.done() for each in asking)
    go_on.set()
    await asyncio.wait_for(asyncio.gather(*asking), BOUND)
    assert store.kinds(A) == store.kinds(B) == ["pool_opened", "run_message"]
    await commits.close()


async def test_tasks_share_the_commits_of_the_engine() -> None:
    store = Store(A)

    async def commit(requests: list[Request]) -> tuple[list[Outcome], AllTouched]:
        await asyncio.sleep(0)
        return store.commit(*requests), {A: {LOG: 1}}

    told: list[AllTouched] = []
    commits = GroupCommit(commit, told.append)
    sent = [commits.submit(Request(A, record(number))) for number in range(300)]
    places = [cursor.sequence for cursor in await asyncio.gather(*sent)]
    assert places == list(range(2, 302))
    assert len(store.engine.durable) <= 4
    await commits.close()
    assert len(told) == len(store.engine.durable) - 1  # the first one opened the pool


def test_a_status_is_checked_against_what_the_same_batch_appended() -> None:
    store = Store(A)
    sent = message("msg.1", to=RunAddress.run("run.b"))
    failed = RecordMessage(sent, receipt("msg.1", MessageStatus.FAILED))
    again = RecordMessage(sent, receipt("msg.1", MessageStatus.DELIVERED))
    outcomes = store.do(A, record(1), failed, again)
    assert [isinstance(each, Refusal) for each in outcomes] == [False, False, True]
