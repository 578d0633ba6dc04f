"""Questions and waits: calls are bounded, and go on by an id, in a new server too."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any, NamedTuple

import pytest

from agentpool import (
    AgentPool,
    AgentPoolMember,
    AgentPoolSnapshot,
    InMemoryAgentPoolStore,
    MemberHandle,
    PolicyRef,
    RunAddress,
)
from agentpool.mcp import Seat

from .conftest import ADA, BOUND, POOL, Host, ended, hosted

TO_ADA = RunAddress.run("run.ada")
PATIENCE = 0.05


def impatient(pool: AgentPool) -> Seat:
    return Seat(pool, ADA, patience=PATIENCE)


async def answer_once(bob: MemberHandle, text: str) -> None:
    async with asyncio.timeout(BOUND), await bob.inbox.take() as delivery:
        await delivery.reply(text)


async def test_a_question_that_is_answered_in_time_gives_the_answer(
    ada: Host, bob: MemberHandle
) -> None:
    asking = asyncio.create_task(ada("ask", to="agent.reviewer", text="Where?", timeout=BOUND))
    await answer_once(bob, "Shelf 42.")
    [answer] = (await asking)["answers"]
    assert (answer["from"], answer["text"]) == ("run.bob", "Shelf 42.")


async def test_answers_go_on_in_a_new_server(pool: AgentPool, bob: MemberHandle) -> None:
    async with hosted(impatient(pool)) as host:
        first = await host("ask", to="run.bob", text="Where?", timeout=BOUND)
    assert first.keys() == {"wait_id", "next"}
    async with hosted(impatient(pool)) as host:
        again = await host.wait(first["wait_id"])
        assert again == first
        await answer_once(bob, "Shelf 42.")
        answers = await ended(host, again)
        assert [each["text"] for each in answers["answers"]] == ["Shelf 42."]
        assert await host.wait(first["wait_id"]) == answers
    senders = [each.message.sender for each in (await pool.snapshot()).messages]
    assert senders.count("run.ada") == 1


async def test_all_who_receive_it_may_be_expected(pool: AgentPool, bob: MemberHandle) -> None:
    await pool.join_run(AgentPoolMember("run.eve", "agent.reviewer"))
    async with hosted(impatient(pool)) as host:
        asked = await host("ask", to="agent.reviewer", text="Ready?", expect="all", timeout=BOUND)
        await answer_once(bob, "yes")
        assert "wait_id" in await host.wait(asked["wait_id"])
        await answer_once(pool.acting_as(AgentPoolMember("run.eve", "agent.reviewer")), "no")
        answers = await ended(host, asked)
    assert [each["text"] for each in answers["answers"]] == ["yes", "no"]


@pytest.mark.usefixtures("bob")
async def test_a_question_without_an_answer_says_so(pool: AgentPool) -> None:
    async with hosted(impatient(pool)) as host:
        asked = await host("ask", to="run.bob", text="Where?", timeout=2 * PATIENCE)
        answers = await ended(host, asked)
    assert answers == {"outcome": "timed_out", "no_answer_of": ["run.bob"]}


async def test_a_question_whose_call_was_lost_is_asked_again_under_its_key(
    pool: AgentPool, bob: MemberHandle
) -> None:
    given = {"to": "run.bob", "text": "Where?", "key": "key.q", "timeout": BOUND}
    async with hosted(Seat(pool, ADA)) as host:
        asking = asyncio.create_task(host("ask", **given))
        await until(pool, _wait_is_open)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
    async with hosted(impatient(pool)) as host:
        first = await host("ask", **given)
        assert first == await host("ask", **given) == await host.wait(first["wait_id"])
        await answer_once(bob, "Shelf 42.")
        answers = await ended(host, first)
        assert [each["text"] for each in answers["answers"]] == ["Shelf 42."]
        assert await host("ask", **given) == answers
        assert "another sender, target or content" in await host.refusal(
            "ask", **{**given, "text": "When?"}
        )
    asked = [each.message for each in (await pool.snapshot()).messages]
    assert [each.idempotency_key for each in asked if each.sender == "run.ada"] == ["key.q"]


async def test_a_question_goes_on_under_its_key_though_whom_it_reached_has_left(
    pool: AgentPool, bob: MemberHandle
) -> None:
    given = {"to": "agent.reviewer", "text": "Where?", "key": "key.q", "timeout": BOUND}
    async with hosted(impatient(pool)) as host:
        await host("ask", **given)
    await answer_once(bob, "Shelf 42.")
    await pool.leave_run("run.bob")
    async with hosted(Seat(pool, ADA)) as host:
        [answer] = (await host("ask", **given))["answers"]
    assert answer["text"] == "Shelf 42."


async def test_what_the_run_has_asked_by_other_means_goes_on(
    pool: AgentPool, bob: MemberHandle
) -> None:
    await pool.join_run(ADA)
    me, to = pool.acting_as(ADA), RunAddress.run("run.bob")
    async with asyncio.TaskGroup() as tasks, hosted(impatient(pool)) as host:
        tasks.create_task(me.ask(to, "Where?", idempotency_key="key.q"))
        await until(pool, _wait_is_open)
        first = await host("ask", to="run.bob", text="Where?", key="key.q")
        assert first["wait_id"].startswith("message.")
        await answer_once(bob, "Shelf 42.")
        assert [each["text"] for each in (await ended(host, first))["answers"]] == ["Shelf 42."]
        await me.ask(to, "When?", timeout=0, message_id="own", idempotency_key="key.own")
        words = await host.refusal("ask", to="run.bob", text="When?", key="key.own")
        assert "an id of its own" in words
        sent = await me.send(to, "no question")
        assert "has asked nothing" in await host.refusal("wait", **{"for": sent.message_id})


async def test_what_is_answered_too_late_or_once_more_is_taken(
    pool: AgentPool, bob: MemberHandle
) -> None:
    async with hosted(impatient(pool)) as host:
        asked = await host("ask", to="run.bob", text="Deploy?", timeout=0)
        assert (await ended(host, asked))["outcome"] == "timed_out"
        [question] = [each.message for each in (await pool.snapshot()).messages]
        for text in ("yes", "no, do not"):
            await bob.reply(question, text)
        assert [each["text"] for each in (await host("take"))["messages"]] == ["yes", "no, do not"]


async def test_what_a_program_has_kept_that_came_too_late_is_shown(
    pool: AgentPool, bob: MemberHandle
) -> None:
    await pool.join_run(ADA)
    key = f"ask.{0:028x}"
    to = RunAddress.run("run.bob")
    await pool.acting_as(ADA).ask(to, "Deploy?", timeout=0, message_id=key)
    [question] = [each.message for each in (await pool.snapshot()).messages]
    await bob.reply(question, "no, do not")
    async with hosted(impatient(pool)) as host:
        answers = await host.wait(key)
    [answer] = answers["answers"]
    assert (answer["text"], answer["late"], answers["outcome"]) == ("no, do not", True, "timed_out")


async def test_a_question_that_nobody_receives_says_so(ada: Host) -> None:
    assert await ada("ask", to="run:run.nobody", text="Where?") == {"outcome": "nobody"}


async def until(pool: AgentPool, holds: Callable[[AgentPoolSnapshot], bool]) -> None:
    """Wait for what a record brings about."""
    async with asyncio.timeout(BOUND), aclosing(pool.watch_pool()) as records:
        async for _ in records:
            if holds(await pool.snapshot()):
                return


def _wait_is_open(seen: AgentPoolSnapshot) -> bool:
    wakes = [each.registration.status for each in seen.wakes]
    asked = [each.receipt.status for each in seen.messages]
    return "registered" in wakes or "delivered" in asked


def _nothing_is_open(seen: AgentPoolSnapshot) -> bool:
    return not _wait_is_open(seen)


Happens = Callable[[AgentPool, MemberHandle], Awaitable[object]]


async def _mail(_: AgentPool, bob: MemberHandle) -> None:
    await bob.send(TO_ADA, "hi")


async def _event(_: AgentPool, bob: MemberHandle) -> None:
    await bob.publish("build.done", "all green")


async def _member(pool: AgentPool, _: MemberHandle) -> None:
    await pool.join_run(AgentPoolMember("run.eve", "agent.tester"))


class Waited(NamedTuple):
    """What is waited for, how it happens, and what more the answer tells."""

    what: str
    happens: Happens
    more: tuple[str, ...]


WAITS = pytest.mark.parametrize(
    "waited",
    [
        Waited("mail", _mail, ()),
        Waited("event:build.done", _event, ("content_ref",)),
        Waited("member:run:run.eve", _member, ("runs",)),
        Waited("member:agent:agent.tester", _member, ("runs",)),
    ],
    ids=lambda waited: waited.what,
)


@WAITS
async def test_a_wait_ends_when_it_happens(
    ada: Host, pool: AgentPool, bob: MemberHandle, waited: Waited
) -> None:
    await ada("take")
    waiting = asyncio.create_task(ada.wait(waited.what))
    await until(pool, _wait_is_open)
    await waited.happens(pool, bob)
    answer = await waiting
    assert (answer["came"], answer["for"]) == (True, waited.what)
    assert tuple(answer)[2:] == waited.more
    assert answer.get("runs", ["run.eve"]) == ["run.eve"]


@WAITS
async def test_a_wait_goes_on_in_a_new_server(
    pool: AgentPool, bob: MemberHandle, waited: Waited
) -> None:
    async with hosted(impatient(pool)) as host:
        first = await host.wait(waited.what)
    assert first.keys() == {"wait_id", "next"}
    await waited.happens(pool, bob)
    for _ in range(2):
        async with hosted(impatient(pool)) as host:
            answer = await ended(host, first)
            assert answer["came"]
            assert tuple(answer)[2:] == waited.more
        if waited.what == "mail":
            await pool.inbox("run.ada").take(0)  # it has come, whatever becomes of it


async def test_what_is_there_already_is_not_waited_for(
    ada: Host, pool: AgentPool, bob: MemberHandle
) -> None:
    await ada("take")
    await _mail(pool, bob)
    assert await ada.wait("mail") == {"came": True, "for": "mail"}
    there = await ada.wait("member:agent:agent.reviewer")
    assert there == {"came": True, "for": "member:agent:agent.reviewer", "runs": ["run.bob"]}
    assert (await pool.snapshot()).wakes == ()


@pytest.mark.parametrize("what", ["mail", "event:build.done", "member:run:run.eve"])
async def test_a_wait_whose_time_is_up_says_so(pool: AgentPool, what: str) -> None:
    async with hosted(impatient(pool)) as host:
        answer = await ended(host, await host.wait(what, 2 * PATIENCE))
        assert answer == {"came": False, "for": what, "why": "the time is up"}
        assert not (await host.wait(what, 0))["came"]


async def test_the_waits_of_others_are_not_told_of(pool: AgentPool, bob: MemberHandle) -> None:
    async with hosted(impatient(pool)) as host:
        ids = [
            (await host.wait("mail"))["wait_id"],
            (await host("ask", to="run.bob", text="?"))["wait_id"],
        ]
    async with hosted(Seat(pool, bob.member)) as other:
        for each in ids:
            assert "under the id" in await other.refusal("wait", **{"for": each})


async def test_a_wait_of_a_run_that_left_has_ended(pool: AgentPool) -> None:
    async with hosted(impatient(pool)) as host:
        first = await host.wait("event:build.done")
        await pool.leave_run("run.ada")
        answer = await ended(host, first)
    assert answer["why"] == "the run has left the pool"


@pytest.mark.parametrize(
    ("tool", "given"), [("wait", {"for": "event:x"}), ("ask", {"to": "run.bob", "text": "?"})]
)
@pytest.mark.usefixtures("bob")
async def test_a_call_that_is_cancelled_leaves_nothing_that_waits(
    pool: AgentPool, tool: str, given: dict[str, Any]
) -> None:
    async with hosted(Seat(pool, ADA)) as host:
        calling = asyncio.create_task(host(tool, **given))
        await until(pool, _wait_is_open)
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        await until(pool, _nothing_is_open)


async def test_mail_is_told_of_where_policies_hide_events() -> None:
    """The end of such a wait is seen by nobody then; that there is mail, by who looks."""
    async with (
        InMemoryAgentPoolStore() as store,
        AgentPool.open(store, POOL, policy_refs=[PolicyRef(id="policy.team")]) as pool,
        hosted(impatient(pool)) as host,
    ):
        first = await host.wait("mail")
        await host("send", to="run.ada", text="to myself")
        for _ in range(2):
            assert await ended(host, first) == {"came": True, "for": "mail"}
