"""Mistakes that everybody makes once: the error says what is wrong, where, and what to do."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import pytest
from msgspec import Struct

from agentpool import (
    AgentPool,
    AgentPoolError,
    AgentPoolMessagePolicy,
    AgentPoolWakePolicy,
    AskOutcome,
    Draft,
    EventFilter,
    EventKind,
    IdempotencyConflictError,
    Include,
    InMemoryAgentPoolStore,
    InvalidValueError,
    MemberHandle,
    MembershipLostError,
    NoAnswerError,
    NoRecipientError,
    NotEnoughMembersError,
    PolicyRef,
    PoolConfigConflictError,
    Queue,
    RunAddress,
    RunMessage,
    WakeCondition,
    include,
    open_pool,
    open_store,
)
from agentpool.testing import a_member

A, TO_NOBODY = a_member("run.a"), RunAddress.run("run.nobody")
STRING: Any = "run.b"
QUEUE: Any = Queue("builds", "queue.builds")
ADDRESS: Any = TO_NOBODY
PAIR: Any = (TO_NOBODY, "hello")
NAME: Any = "build.done"
KIND: Any = EventKind.RUN_FAILED
DICT: Any = {"text": "hello"}
SENTENCE = "please summarise the report"

Mistake: TypeAlias = Callable[[MemberHandle], object]
Case: TypeAlias = tuple[Mistake, type[AgentPoolError], tuple[str, ...]]


def to_b(content_ref: str, to: RunAddress | None = None) -> RunMessage:
    return RunMessage(
        message_id="message.1",
        sender="run.a",
        to=RunAddress.run("run.b") if to is None else to,
        content_ref=content_ref,
        idempotency_key="key.1",
    )


MISTAKES: dict[str, Case] = {
    "a run where a filter has several": (
        lambda _: EventFilter(run_ids=STRING),
        InvalidValueError,
        ("EventFilter.run_ids", "write run_ids=include('run.b')"),
    ),
    "a string where an address is needed": (
        lambda me: me.send(STRING, "hello"),
        InvalidValueError,
        ("to: expected RunAddress, got str", "write RunAddress.run(id)"),
    ),
    "a queue where an address is needed": (
        lambda me: me.send(QUEUE, "hello"),
        InvalidValueError,
        ("to: expected RunAddress, got Queue", "write queue.address"),
    ),
    "a queue where a question goes to": (
        lambda me: me.ask(QUEUE, "hello"),
        InvalidValueError,
        ("to: expected RunAddress, got Queue", "write queue.address"),
    ),
    "a queue where one of many messages goes to": (
        lambda me: me.send_many([(QUEUE, "hello")]),
        InvalidValueError,
        ("to: expected RunAddress, got Queue", "write queue.address"),
    ),
    "a queue where a draft goes to": (
        lambda me: me.send_many([Draft(QUEUE, "hello")]),
        InvalidValueError,
        ("to: expected RunAddress, got Queue", "write queue.address"),
    ),
    "a queue where a message goes to": (
        lambda _: to_b("content.1", to=QUEUE),
        InvalidValueError,
        ("RunMessage.to: expected RunAddress, got Queue", "write queue.address"),
    ),
    "a string where a question goes to": (
        lambda me: me.ask(STRING, "hello"),
        InvalidValueError,
        ("to: expected RunAddress, got str", "write RunAddress.run(id)"),
    ),
    "a string where a message goes to": (
        lambda _: to_b("content.1", to=STRING),
        InvalidValueError,
        ("RunMessage.to: expected RunAddress, got str", "write RunAddress.run(id)"),
    ),
    "a dict where the ref of a body is": (
        lambda me: me.send(TO_NOBODY, content_ref=DICT),
        InvalidValueError,
        ("content_ref: expected str, got dict", "what is to be said is the body"),
    ),
    "a dict where a message has the ref of its body": (
        lambda _: to_b(DICT),
        InvalidValueError,
        ("RunMessage.content_ref: expected str, got dict", "is the body of `send`"),
    ),
    "include of nothing": (
        lambda _: include(),
        InvalidValueError,
        ("values: there are none", "leave the field of the filter out"),
    ),
    "the events of no run": (
        lambda _: EventFilter.run(),
        InvalidValueError,
        ("run_ids: name at least one", "EventFilter() wants all"),
    ),
    "a sentence where a ref is": (
        lambda me: me.send(TO_NOBODY, content_ref=SENTENCE),
        InvalidValueError,
        ("content_ref: that is a text and no ref", "give it as the body"),
    ),
    "a filter that admits nothing": (
        lambda me: me.wait_until(EventFilter(run_ids=Include(include=()))),
        InvalidValueError,
        ("filter: run_ids admits nothing", "leave it out"),
    ),
    "the name of an event where a filter is": (
        lambda me: me.wait_until(NAME),
        InvalidValueError,
        ("filter: expected EventFilter, got str", "write EventFilter.named('build.done')"),
    ),
    "the kind of an event where a filter is": (
        lambda me: me.wait_until(KIND),
        InvalidValueError,
        ("got EventKind", "write EventFilter(kinds=include(EventKind.RUN_FAILED))"),
    ),
    "the name of an event where a condition has its filter": (
        lambda _: WakeCondition(
            condition_id="wake.1", run_id="run.a", filter=NAME, idempotency_key="key.1"
        ),
        InvalidValueError,
        ("WakeCondition.filter: expected", "write EventFilter.named('build.done')"),
    ),
    "no path where a store is opened": (
        lambda _: open_store(""),
        InvalidValueError,
        ("path: '' is no file", "for memory, give open_store or open_pool 'memory:'"),
    ),
    "memory as SQLite calls it where a pool is opened": (
        lambda _: open_pool("sqlite:///:memory:", "pool.test"),
        InvalidValueError,
        ("path: ':memory:' is no file", "for memory, give open_store or open_pool 'memory:'"),
    ),
    "addresses where many messages are": (
        lambda me: me.send_many([ADDRESS]),
        InvalidValueError,
        ("messages: expected pairs of an address and a body, or Draft, got RunAddress",),
    ),
    "one pair where many messages are": (
        lambda me: me.send_many(PAIR),
        InvalidValueError,
        ("messages: expected pairs of an address and a body, or Draft, got RunAddress",),
    ),
    "queues where many messages are": (
        lambda me: me.send_many([QUEUE]),
        InvalidValueError,
        ("messages: expected pairs of an address and a body, or Draft, got Queue",),
    ),
    "three values where a pair is": (
        lambda me: me.send_many([(*PAIR, "there")]),
        InvalidValueError,
        ("messages: expected pairs of an address and a body, or Draft, got 3 values",),
    ),
    "a filter of what never ends a wait": (
        lambda me: me.wait_until(EventFilter(kinds=include(EventKind.WAKE_CONDITION_FAILED))),
        InvalidValueError,
        ("filter: what becomes of a wake ends no wait", "wait for what ended that wake"),
    ),
    "asking one with nobody there": (
        lambda me: me.ask_one(TO_NOBODY, "hello"),
        NoAnswerError,
        ("nobody received the question", "wait for them to join, and ask again"),
    ),
    "sending with nobody there": (
        lambda me: me.send(TO_NOBODY, "hello"),
        NoRecipientError,
        ("run 'run.nobody' is no member; once it is, send it again",),
    ),
    "sending under a key with nobody there": (
        lambda me: me.send(TO_NOBODY, "hello", idempotency_key="key"),
        NoRecipientError,
        ("'run.nobody' is no member", "send it again under the same idempotency key"),
    ),
    "sending to a queue that is not there": (
        lambda me: me.send(RunAddress.run("queue.work"), "hello"),
        NoRecipientError,
        ("there is no queue 'work'; once it is made, by pool.queue('work') or",),
    ),
}


@pytest.fixture
async def pool() -> AsyncIterator[AgentPool]:
    async with open_pool("memory:", "pool.test") as pool:
        await pool.join_run(A)
        yield pool


async def done(call: Callable[[], object]) -> None:
    made = call()
    if isinstance(made, Awaitable):
        await made


async def error_of(call: Callable[[], object]) -> AgentPoolError:
    with pytest.raises(AgentPoolError) as caught:
        await done(call)
    return caught.value


@pytest.mark.parametrize(("mistake", "type_", "words"), MISTAKES.values(), ids=MISTAKES)
async def test_a_mistake_is_told_with_what_to_do(
    pool: AgentPool, mistake: Mistake, type_: type[AgentPoolError], words: tuple[str, ...]
) -> None:
    error = await error_of(lambda: mistake(pool.acting_as(A)))
    assert type(error) is type_
    assert [each for each in words if each not in str(error)] == []
    assert SENTENCE not in str(error)


TO_A = RunAddress.run("run.a")
QUESTION = RunMessage(
    message_id="message.1",
    sender="run.a",
    to=TO_A,
    content_ref="content.1",
    idempotency_key="key.1",
)
NOT_EXPECTED: tuple[Any, ...] = (-1, True, 1.0, None, "two", 2**32)
NO_IDS: tuple[Any, ...] = ("", 5, "key\n", "\ud800")
TAKE_IDS: dict[str, Callable[[MemberHandle, Any], object]] = {
    "idempotency_key": lambda me, id_: me.send(TO_A, "hello", idempotency_key=id_),
    "idempotency_key of a question": lambda me, id_: me.ask(TO_A, "hello", idempotency_key=id_),
    "idempotency_key of an answer": lambda me, id_: me.reply(QUESTION, "hi", idempotency_key=id_),
    "idempotency_key of an event": lambda me, id_: me.publish("done", idempotency_key=id_),
    "message_id": lambda me, id_: me.send(TO_A, "hello", message_id=id_),
    "message_id of a question": lambda me, id_: me.ask_one(TO_A, "hello", message_id=id_),
    "reply_to": lambda me, id_: me.send(TO_A, "hello", reply_to=id_),
    "content_ref": lambda me, id_: me.send(TO_A, content_ref=id_),
    "content_ref of a question": lambda me, id_: me.ask(TO_A, content_ref=id_),
    "content_ref of an answer": lambda me, id_: me.reply(QUESTION, content_ref=id_),
    "run_id": lambda _, id_: RunAddress.run(id_),
    "agent_id": lambda _, id_: RunAddress.agent(id_),
    "topic_id": lambda _, id_: RunAddress.topic(id_),
    "pool_id": lambda _, id_: RunAddress.pool(id_),
}


@pytest.mark.parametrize("argument", TAKE_IDS)
async def test_an_argument_that_is_no_id_is_named_as_the_caller_names_it(
    pool: AgentPool, argument: str
) -> None:
    me = pool.acting_as(A)
    for id_ in NO_IDS:
        error = await error_of(lambda: TAKE_IDS[argument](me, id_))  # noqa: B023
        assert type(error) is InvalidValueError
        assert str(error).startswith(f"{argument.split(maxsplit=1)[0]}: ")


@pytest.mark.parametrize("expected", NOT_EXPECTED)
async def test_what_is_no_number_of_answers_is_told_by_the_name_of_the_argument(
    pool: AgentPool, expected: Any
) -> None:
    error = await error_of(lambda: pool.acting_as(A).ask(TO_A, "hello", expected=expected))
    assert type(error) is InvalidValueError
    assert str(error).startswith("expected: ")


async def test_a_message_that_policies_keep_from_its_recipient_is_told_which() -> None:
    required, own = PolicyRef(id="policy.required"), PolicyRef(id="policy.own")
    policy = AgentPoolMessagePolicy(required_policy_refs=(required,))
    async with open_pool("memory:", "pool.test", message_policy=policy) as pool:
        await pool.join_run(A)
        await pool.join_run(a_member("run.b").policy_ref(required))
        me = pool.acting_as(A)
        for to in RunAddress.run("run.b"), RunAddress.agent(a_member("run.b").agent_id):
            key = f"key.{to.destination_ref.id}"

            async def send(*refs: PolicyRef) -> object:
                return await me.send(to, "hi", idempotency_key=key, policy_refs=refs)  # noqa: B023

            error = await error_of(send)
            assert "it lacks policy 'policy.required', required in this pool" in str(error)
            assert "under the same idempotency key, with that in policy_refs=" in str(error)
            error = await error_of(lambda: send(required, own))
            assert type(error) is NoRecipientError
            assert "is there, but without policy 'policy.own' of the message" in str(error)
            await send(required)  # what was told helps


ONE, TWO = PolicyRef(id="policy.1"), PolicyRef(id="policy.2", version="2")
OTHER_POLICIES: dict[str, tuple[Any, ...]] = {
    "message_policy.required_policy_refs is [host 'policy.1', host 'policy.2' 2]": (
        AgentPoolMessagePolicy((TWO, ONE)),
        AgentPoolWakePolicy(),
        (ONE,),
    ),
    "message_policy.include_sender_in_pool_broadcast is False": (
        AgentPoolMessagePolicy((ONE, TWO), include_sender_in_pool_broadcast=True),
        AgentPoolWakePolicy(),
        (ONE,),
    ),
    "wake_policy.envelope_only is True, policy_refs is [host 'policy.1']": (
        AgentPoolMessagePolicy((ONE, TWO)),
        AgentPoolWakePolicy(envelope_only=False),
        (),
    ),
}


@pytest.mark.parametrize("differs", OTHER_POLICIES)
async def test_a_pool_opened_with_other_policies_is_told_what_differs(differs: str) -> None:
    async with InMemoryAgentPoolStore() as store:
        policy = AgentPoolMessagePolicy((ONE, TWO))
        async with AgentPool.open(store, "pool.x", message_policy=policy, policy_refs=(ONE,)):
            pass
        message, wake, refs = OTHER_POLICIES[differs]

        async def open_again() -> None:
            async with AgentPool.open(
                store, "pool.x", message_policy=message, wake_policy=wake, policy_refs=refs
            ):
                pass

        error = await error_of(open_again)
        assert type(error) is PoolConfigConflictError
        assert f"with other policies: {differs}; open it with" in str(error)
        assert "or without any" in str(error)


@pytest.mark.parametrize("body", [None, "two"])
async def test_a_key_of_another_event_is_told_as_it_was_given(
    pool: AgentPool, body: str | None
) -> None:
    me = pool.acting_as(A)
    await me.publish("build.done", "one", idempotency_key="build.42")
    error = await error_of(lambda: me.publish("build.done", body, idempotency_key="build.42"))
    assert type(error) is IdempotencyConflictError
    assert "idempotency key 'build.42' was used for another event of run 'run.a'" in str(error)
    assert "event.own." not in str(error)


async def test_the_name_of_an_event_is_no_subscription_but_a_filter_of_it_is(
    pool: AgentPool,
) -> None:
    for call in (lambda: anext(pool.subscribe(NAME)), lambda: pool.scope_filter(NAME)):
        error = await error_of(call)
        assert type(error) is InvalidValueError
        assert "write EventFilter.named('build.done')" in str(error)


class Plan(Struct):
    """What a body is not."""

    step: int


async def test_a_body_of_another_type_is_told_the_name_of_the_type(pool: AgentPool) -> None:
    await pool.acting_as(A).send(TO_A, {"step": "first"})
    async with await pool.acting_as(A).inbox.take() as delivery:
        error = await error_of(lambda: delivery.json(Plan))
        assert type(error) is InvalidValueError
        assert " is no Plan: Expected `int`" in str(error)
        error = await error_of(lambda: delivery.json(list[int]))
        assert " is no list[int]: Expected `array`" in str(error)


async def test_a_quorum_that_cannot_be_reached_is_told_at_once(pool: AgentPool) -> None:
    await pool.join_run(a_member("run.b"))
    me = pool.acting_as(A)
    to = RunAddress.run("run.b")
    answers = await me.ask(to, "hello", expected=3, idempotency_key="key.1")
    assert (answers.outcome, answers.missing) == (AskOutcome.INCOMPLETE, ("run.b",))
    assert repr(answers) == "<Answers incomplete: 0, missing 1; expected 3, 1 received it>"
    again = await error_of(lambda: me.ask_one(to, "hello", idempotency_key="key.1"))
    assert type(again) is NoAnswerError
    assert "expected 3, 1 received it; ask again, under another key" in str(again)
    nobody = await me.ask(TO_NOBODY, "hello")
    assert (nobody.outcome, nobody.missing) == (AskOutcome.NOBODY, ())
    too_many = await error_of(lambda: pool.wait_for_members(count=3, timeout=0))
    assert type(too_many) is NotEnoughMembersError


async def test_the_first_of_two_blocks_for_a_run_is_told_what_to_do_in_whatever_it_does() -> None:
    async with (
        InMemoryAgentPoolStore() as store,
        AgentPool.open(store, "pool.test") as pool,
        pool.member(A) as first,
        pool.member(A),
    ):
        does: list[Callable[[], object]] = [
            lambda: first.send(RunAddress.run("run.a"), "hello"),
            lambda: first.ask(RunAddress.run("run.a"), "hello"),
            lambda: first.publish("build.done"),
            lambda: first.wait_until(EventFilter.named("build.done")),
            first.inbox.take,
        ]
        for each in does:
            error = await error_of(each)
            assert type(error) is MembershipLostError
            for words in ("'run.a'", "process", "let this one end", "a run id of its own"):
                assert words in str(error)
