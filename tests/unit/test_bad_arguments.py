"""An argument of a wrong type is refused by its name, with what it should be, and changes nothing.

By either store: what users call checks its arguments itself.
"""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from inspect import isawaitable
from pathlib import Path
from typing import Any

import pytest

from agentpool import (
    AgentPool,
    AgentPoolError,
    AgentPoolStore,
    EventFilter,
    EventKind,
    Include,
    InMemoryAgentPoolStore,
    InvalidValueError,
    MemberHandle,
    MessageStatus,
    RunAddress,
    RunMessage,
    SqliteAgentPoolStore,
    include,
)
from agentpool.rules.command import Row, RowKey
from agentpool.rules.rows import WakeCause, value_of
from agentpool.testing import a_member, a_message

POOL = "pool.x"
TO = RunAddress.run("run.b")
REF = "content.x"
ANY: Any = object()
"""What is of no type that anything takes."""

WRONG: Any = "x"
SEVEN: Any = 7
BYTES: Any = b"run.a"
ANY_BODY: Any = {"question": "Where is Dune?"}


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AgentPoolStore]:
    if request.param == "memory":
        async with InMemoryAgentPoolStore() as memory:
            yield memory
    else:
        async with SqliteAgentPoolStore.open(tmp_path / "pool.db") as sqlite:
            yield sqlite


@pytest.fixture
async def pool(store: AgentPoolStore) -> AsyncIterator[AgentPool]:
    async with AgentPool.open(store, POOL) as pool:
        await pool.join_run(a_member("run.a"))
        yield pool


async def outcome(call: Callable[[], object]) -> object:
    result = call()
    if isawaitable(result):
        return await result
    return await anext(result) if isinstance(result, AsyncIterator) else result


async def refused(store: AgentPoolStore, call: Callable[[], object], *words: str) -> None:
    """Expect a call to be refused in these words, when it is made or awaited."""
    before = await store.read(POOL)
    with pytest.raises(InvalidValueError) as caught:
        await outcome(call)
    assert [word for word in words if word not in str(caught.value)] == []
    assert await store.read(POOL) == before


POOL_CALLS: dict[str, tuple[Callable[[AgentPool], object], tuple[str, ...]]] = {
    "member": (lambda p: p.member(WRONG), ("member:", "AgentPoolMember", "str")),
    "member, an id": (lambda p: p.member(SEVEN), ("member:", "AgentPoolMember", "int")),
    "lease": (lambda p: p.member(a_member("run.c"), WRONG), ("lease:", "seconds", "'x'")),
    "lease, a truth": (lambda p: p.member(a_member("run.c"), True), ("lease:", "True")),
    "lease, too short": (lambda p: p.member(a_member("run.c"), 0), ("lease:", "0")),
    "claim_lease": (
        lambda p: p.member(a_member("run.c"), claim_lease=WRONG),
        ("claim_lease:", "seconds", "'x'"),
    ),
    "acting_as": (lambda p: p.acting_as(WRONG), ("member:", "AgentPoolMember", "str")),
    "acting_as, claim_lease": (
        lambda p: p.acting_as(a_member("run.a"), claim_lease=WRONG),
        ("claim_lease:", "seconds", "'x'"),
    ),
    "inbox": (lambda p: p.inbox(SEVEN), ("run_id:", "string", "int")),
    "inbox, lease": (lambda p: p.inbox("run.a", lease=WRONG), ("lease:", "seconds", "'x'")),
    "peek": (lambda p: p.inbox("run.a").peek(WRONG), ("limit:", "number", "'x'")),
    "join_run": (lambda p: p.join_run(WRONG), ("member:", "AgentPoolMember", "str")),
    "leave_run": (lambda p: p.leave_run(SEVEN), ("run_id:", "string", "int")),
    "send": (lambda p: p.send(WRONG), ("message:", "RunMessage", "str")),
    "ask": (lambda p: p.ask(WRONG), ("message:", "RunMessage", "str")),
    "record_message_status": (
        lambda p: p.record_message_status(WRONG, MessageStatus.DELIVERED),
        ("message:", "RunMessage", "str"),
    ),
    "status": (
        lambda p: p.record_message_status(a_message("m"), WRONG),
        ("status", "'x'"),
    ),
    "delivered_to": (
        lambda p: p.record_message_status(a_message("m"), MessageStatus.DELIVERED, SEVEN),
        ("delivered_to:", "sequence", "int"),
    ),
    "delivered_to, text as bytes": (
        lambda p: p.record_message_status(a_message("m"), MessageStatus.DELIVERED, BYTES),
        ("delivered_to:", "sequence", "bytes"),
    ),
    "suspend_until": (
        lambda p: p.suspend_until("run.a", WRONG),
        ("condition:", "WakeCondition", "str"),
    ),
    "suspend_until, run": (lambda p: p.suspend_until(SEVEN, WRONG), ("run_id:", "string", "int")),
    "poll_wake": (lambda p: p.poll_wake(SEVEN), ("condition_id:", "string", "int")),
    "cancel_wake": (lambda p: p.cancel_wake(SEVEN), ("condition_id:", "string", "int")),
    "wait": (lambda p: p.wait(SEVEN), ("condition_id:", "string", "int")),
    "publish": (lambda p: p.publish(WRONG), ("envelope:", "EventEnvelope", "str")),
    "subscribe": (lambda p: p.subscribe(WRONG), ("filter:", "EventFilter", "str")),
    "subscribe, cursor": (
        lambda p: p.subscribe(EventFilter(), WRONG),
        ("cursor:", "AgentPoolStoreCursor", "str"),
    ),
    "watch_pool": (lambda p: p.watch_pool(WRONG), ("cursor:", "AgentPoolStoreCursor", "str")),
    "scope_filter": (lambda p: p.scope_filter(WRONG), ("filter:", "EventFilter", "str")),
    "compile_scoped_filter": (
        lambda p: p.compile_scoped_filter(WRONG),
        ("filter:", "EventFilter", "str"),
    ),
}


@pytest.mark.parametrize(("call", "words"), POOL_CALLS.values(), ids=POOL_CALLS)
async def test_a_pool_refuses(
    pool: AgentPool, call: Callable[[AgentPool], object], words: tuple[str, ...]
) -> None:
    await refused(pool.store, lambda: call(pool), *words)


async def test_one_run_that_a_message_was_delivered_to_stands_for_itself(pool: AgentPool) -> None:
    status, sent = MessageStatus.DELIVERED, a_message("m")
    receipt = await pool.record_message_status(sent, status, "run.a")
    assert receipt.delivered_to == ("run.a",)


MEMBER_CALLS: dict[str, tuple[Callable[[MemberHandle], object], tuple[str, ...]]] = {
    "write": (lambda m: m.write(ANY), ("body:", "object", "bytes")),
    "write, text that is none": (lambda m: m.write("\ud800"), ("body:", "UTF-8", "bytes")),
    "read": (lambda m: m.read(WRONG), ("of:", "RunMessage", "str")),
    "body": (lambda m: m.body(WRONG), ("of:", "RunMessage", "str")),
    "send": (lambda m: m.send(WRONG, REF), ("to:", "RunAddress", "str")),
    "send, body": (lambda m: m.send(TO, [ANY]), ("body:", "list", "object")),
    "send, nothing": (lambda m: m.send(TO), ("body:", "content_ref=")),
    "send, both": (lambda m: m.send(TO, "x", content_ref=REF), ("content_ref:", "one of the two")),
    "send, content_ref": (
        lambda m: m.send(TO, content_ref=SEVEN),
        ("content_ref:", "str", "int", "body"),
    ),
    "send, a sentence": (
        lambda m: m.send(TO, content_ref="Where is Dune?"),
        ("content_ref:", "give it as the body"),
    ),
    "send, idempotency_key": (
        lambda m: m.send(TO, REF, idempotency_key=SEVEN),
        ("idempotency_key", "str", "int"),
    ),
    "send, message_id": (
        lambda m: m.send(TO, REF, message_id=SEVEN),
        ("message_id", "str", "int"),
    ),
    "send, reply_to": (lambda m: m.send(TO, REF, reply_to=SEVEN), ("reply_to", "str", "int")),
    "send, correlation": (lambda m: m.send(TO, REF, correlation=WRONG), ("correlation", "str")),
    "send, expires_in": (
        lambda m: m.send(TO, REF, expires_in=WRONG),
        ("expires_in:", "seconds", "'x'"),
    ),
    "send, policy_refs": (
        lambda m: m.send(TO, REF, policy_refs=SEVEN),
        ("policy_refs:", "sequence", "int"),
    ),
    "send, policy_refs, none": (
        lambda m: m.send(TO, REF, policy_refs=None),  # type: ignore[arg-type]
        ("policy_refs:", "sequence", "NoneType"),
    ),
    "ask": (lambda m: m.ask(WRONG, REF), ("to:", "RunAddress", "str")),
    "ask, timeout": (lambda m: m.ask(TO, REF, timeout=WRONG), ("timeout:", "seconds", "'x'")),
    "ask, expected": (lambda m: m.ask(TO, REF, expected=WRONG), ("expected", "int", "str")),
    "reply": (lambda m: m.reply(WRONG, REF), ("message:", "RunMessage", "str")),
    "reply, content_ref": (
        lambda m: m.reply(a_message("m"), content_ref=SEVEN),
        ("content_ref", "str", "int"),
    ),
    "reply, policy_refs": (
        lambda m: m.reply(a_message("m"), REF, policy_refs=SEVEN),
        ("policy_refs:", "sequence", "int"),
    ),
    "send, an address as text": (lambda m: m.send(WRONG, "x"), ("to:", "RunAddress.run(")),
    "send_many, no pair": (lambda m: m.send_many([(TO,)]), ("messages:", "pairs")),  # type: ignore[list-item]
    "wait_until": (lambda m: m.wait_until(WRONG), ("filter:", "EventFilter", "str")),
    "wait_until, nothing included": (
        lambda m: m.wait_until(EventFilter(run_ids=Include(include=()))),
        ("filter:", "run_ids"),
    ),
    "wait_until, of wakes": (
        lambda m: m.wait_until(EventFilter(kinds=include(EventKind.WAKE_CONDITION_TRIGGERED))),
        ("filter:", "wake"),
    ),
    "wait_until, never terminal": (
        lambda m: m.wait_until(
            EventFilter(kinds=include(EventKind.RUN_STARTED), terminal_only=True)
        ),
        ("filter:", "terminal_only"),
    ),
    "wait_until, timeout": (
        lambda m: m.wait_until(EventFilter(), timeout=WRONG),
        ("timeout:", "seconds", "'x'"),
    ),
    "wait_until, since": (
        lambda m: m.wait_until(EventFilter(), since=WRONG),
        ("since:", "AgentPoolStoreCursor", "str"),
    ),
    "wait_until, resume_with": (
        lambda m: m.wait_until(EventFilter(), resume_with=WRONG),
        ("resume_with", "'x'"),
    ),
    "wait_until, idempotency_key": (
        lambda m: m.wait_until(EventFilter(), idempotency_key=SEVEN),
        ("idempotency_key:", "string", "int"),
    ),
}


@pytest.mark.parametrize(("call", "words"), MEMBER_CALLS.values(), ids=MEMBER_CALLS)
async def test_a_member_refuses(
    pool: AgentPool, call: Callable[[MemberHandle], object], words: tuple[str, ...]
) -> None:
    me = pool.acting_as(a_member("run.a"))
    await refused(pool.store, lambda: call(me), *words)


VALUES: dict[str, tuple[Callable[[], object], tuple[str, ...]]] = {
    "one run as text": (
        lambda: EventFilter(run_ids="run.a"),  # type: ignore[arg-type]
        ("EventFilter.run_ids:", "run_ids=include('run.a')"),
    ),
    "runs as a list": (
        lambda: EventFilter(run_ids=["run.a"]),  # type: ignore[arg-type]
        ("EventFilter.run_ids:", "include(", "list"),
    ),
    "one kind": (
        lambda: EventFilter(kinds=EventKind.RUN_FAILED),  # type: ignore[arg-type]
        ("EventFilter.kinds:", "include("),
    ),
    "include of nothing": (include, ("values:", "leave the field")),
    "include of a list": (lambda: include(["run.a"]), ("values:", "include(*values)")),
    "an address as text": (
        lambda: RunMessage(
            message_id="m", sender="a", to=WRONG, content_ref="x", idempotency_key="k"
        ),
        ("RunMessage.to:", "RunAddress.run("),
    ),
    "a body as a ref": (
        lambda: RunMessage(
            message_id="m", sender="a", to=TO, content_ref=ANY_BODY, idempotency_key="k"
        ),
        ("RunMessage.content_ref:", "body"),
    ),
}


@pytest.mark.parametrize(("make", "words"), VALUES.values(), ids=VALUES)
def test_a_value_says_what_to_write(make: Callable[[], object], words: tuple[str, ...]) -> None:
    with pytest.raises(InvalidValueError) as caught:
        make()
    assert [word for word in words if word not in str(caught.value)] == []


async def test_a_message_that_is_given_back_waits_for_a_number(pool: AgentPool) -> None:
    await pool.send(a_message("m", sender="run.a", to=RunAddress.run("run.a")))
    delivery = await pool.inbox("run.a").take()
    await refused(pool.store, lambda: delivery.nack(WRONG), "delay:", "seconds", "'x'")
    await delivery.ack()


@pytest.mark.parametrize(
    "ask",
    [
        lambda p: p.wait("wake.none"),
        lambda p: p.cancel_wake("wake.none"),
        lambda p: p.store.query(POOL, lambda _: value_of(Row(RowKey("cause", "x")), WakeCause)),
    ],
    ids=["a question", "a command", "a damaged row"],
)
async def test_what_a_pool_refuses_names_the_pool(
    pool: AgentPool, ask: Callable[[AgentPool], Awaitable[object]]
) -> None:
    with pytest.raises(AgentPoolError) as caught:
        await ask(pool)
    assert caught.value.pool_id == POOL


STORE_CALLS: dict[str, tuple[Callable[[AgentPoolStore], object], tuple[str, ...]]] = {
    "open_pool": (lambda s: s.open_pool(SEVEN), ("pool_id:", "string", "int")),
    "config": (lambda s: s.open_pool(POOL, WRONG), ("config:", "AgentPoolStoreConfig", "str")),
    "read": (lambda s: s.read(POOL, SEVEN), ("cursor:", "AgentPoolStoreCursor", "int")),
    "limit": (lambda s: s.read(POOL, limit=WRONG), ("limit:", "number", "'x'")),
    "watch": (lambda s: s.watch(POOL, SEVEN), ("cursor:", "AgentPoolStoreCursor", "int")),
    "put_content": (lambda s: s.put_content(SEVEN), ("data:", "bytes", "int")),
    "media_type": (
        lambda s: s.put_content(b"x", media_type=SEVEN),
        ("media_type:", "string", "int"),
    ),
    "get_content": (lambda s: s.get_content(SEVEN), ("ref:", "string", "int")),
    "open_content": (lambda s: s.open_content(SEVEN), ("ref:", "string", "int")),
    "AgentPool.open": (lambda s: AgentPool.open(s, SEVEN), ("pool_id:", "string", "int")),
    "message_policy": (
        lambda s: AgentPool.open(s, POOL, message_policy=SEVEN),
        ("message_policy", "int"),
    ),
    "policy_refs": (
        lambda s: AgentPool.open(s, POOL, policy_refs=SEVEN),
        ("policy_refs:", "sequence", "int"),
    ),
    "policy_refs, one": (
        lambda s: AgentPool.open(s, POOL, policy_refs=WRONG),
        ("policy_refs:", "sequence", "str"),
    ),
}


@pytest.mark.parametrize(("call", "words"), STORE_CALLS.values(), ids=STORE_CALLS)
async def test_a_store_refuses(
    pool: AgentPool, call: Callable[[AgentPoolStore], object], words: tuple[str, ...]
) -> None:
    await refused(pool.store, lambda: call(pool.store), *words)


@pytest.mark.parametrize("given", [None, WRONG, ANY, InMemoryAgentPoolStore])
def test_a_pool_is_opened_on_a_store(given: Any) -> None:
    with pytest.raises(InvalidValueError, match="store: expected AgentPoolStore, got "):
        AgentPool.open(given, POOL)


def test_a_clock_can_be_called() -> None:
    with pytest.raises(InvalidValueError, match=r"clock: expected a function .*, got int"):
        InMemoryAgentPoolStore(clock=SEVEN)


class BytesPath(os.PathLike[Any]):
    """A path that is bytes."""

    def __fspath__(self) -> bytes:
        return b"pool.db"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (None, ("NoneType",)),
        (7, ("int",)),
        (b"pool.db", ("bytes",)),
        (BytesPath(), ("BytesPath",)),
        ("a\0b", (r"'a\x00b'",)),
        ("\ud800.db", (r"'\ud800.db'",)),
        ("", ("InMemoryAgentPoolStore",)),
        (":memory:", ("InMemoryAgentPoolStore",)),
        (Path("/"), ("'/'",)),
    ],
)
def test_a_path_is_one_of_a_file(path: Any, words: tuple[str, ...]) -> None:
    with pytest.raises(InvalidValueError) as caught:
        SqliteAgentPoolStore.open(path)
    assert [word for word in ("path:", *words) if word not in str(caught.value)] == []


OPTIONS: dict[str, list[Any]] = {
    "busy_timeout": ["x", None, True, float("nan"), float("inf"), -1, 10**400, [1]],
    "synchronous": [3, None, "OFF", "full", ["FULL"]],
    "allow_unsafe_mount": ["yes", None, 1],
    "allow_foreign_tables": ["yes", None, 1],
    "migrate": ["yes", None, 1],
    "clock": [7, None],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in OPTIONS.items() for value in values]
)
def test_an_option_is_refused_by_its_name_when_open_is_called(
    name: str, value: Any, tmp_path: Path
) -> None:
    with pytest.raises(InvalidValueError, match=f"^{name}: expected .*, got "):
        SqliteAgentPoolStore.open(tmp_path / "pool.db", **{name: value})
    assert list(tmp_path.iterdir()) == []
