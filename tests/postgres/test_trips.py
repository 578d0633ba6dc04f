"""How often the store waits for its server: trips are what a server costs that is not at hand."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
from samples import condition, envelope, member, message, receipt

from agentpool import (
    AgentPool,
    AgentPoolStore,
    EventFilter,
    EventKind,
    MessageResponseContract,
    MessageStatus,
    RunAddress,
    RunMessage,
    include,
    open_store,
)
from agentpool.rules.asking import Asking
from agentpool.rules.claiming import ClaimMany, ClaimNext
from agentpool.rules.claims import Acknowledge, RenewClaims
from agentpool.rules.command import Command, LookUps, Question
from agentpool.rules.consequences import CatchUp
from agentpool.rules.history import EventCursor
from agentpool.rules.holding import AsHolder, EndHolding, Heartbeat, Holding
from agentpool.rules.host_events import NextEventSequence, Publish
from agentpool.rules.inboxes import next_available
from agentpool.rules.membership import HoldRun, JoinMember, JoinRun, LeaveMember
from agentpool.rules.messages import RecordMessage, RecordMessages
from agentpool.rules.pool_opening import OpenPool
from agentpool.rules.queues import MakeQueue
from agentpool.rules.redelivery import ReturnMessage
from agentpool.rules.sending import Send
from agentpool.rules.sending_many import SendMany
from agentpool.rules.waits import CancelWake, SuspendUntil
from agentpool.stores.batch.committer import BatchCommitter
from agentpool.stores.postgres import bell, statements
from agentpool.stores.postgres.engine import PostgresEngine
from agentpool.stores.postgres.pipeline import Answer, Pipeline, Statement
from agentpool.stores.postgres.store import PostgresAgentPoolStore
from agentpool.stores.postgres.worker import EngineWorker
from agentpool.wire.content import Content, content_ref

SIZES = (1, 8, 64)
RUNS = ("run.a", "run.b")
LEASE = 60_000


class Counted(NamedTuple):
    """What some work took: batches, and trips of the writer and the reader."""

    batches: int
    writer: int
    reader: int


class Counting:
    """A store whose trips and batches are counted.

    :ivar pool_id: the pool that commands go to
    """

    def __init__(self, store: PostgresAgentPoolStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store = store
        self.pool_id = "pool.0"
        self._batches = 0
        commit = BatchCommitter.commit

        def counted(*arguments: Any) -> Any:
            self._batches += 1
            return commit(*arguments)

        monkeypatch.setattr(BatchCommitter, "commit", counted)

    async def do(self, commands: Sequence[Command[Any]]) -> list[Any]:
        """Carry commands out in one batch, as it is when they come at once."""
        return await asyncio.gather(*(self.store.execute(self.pool_id, each) for each in commands))

    async def count(self, work: Callable[[], Awaitable[Any]]) -> Counted:
        before = self._counted()
        await work()
        return Counted(*(now - then for now, then in zip(self._counted(), before, strict=True)))

    def _counted(self) -> Counted:
        opened = self.store._opened
        writer, reader = opened.writer.engine.pipeline, opened.reader.engine.pipeline
        return Counted(self._batches, writer.trips, reader.trips)

    async def new_pool(self, pool_id: str) -> None:
        """Make a pool that is warm: what is cold is looked up first."""
        self.pool_id = pool_id
        await self.do([OpenPool(), CatchUp(), JoinRun(member("run.a")), JoinRun(member("run.b"))])
        await self.do([Send(fresh())])
        await self.store.query(pool_id, lambda view: len(view.state.members))


@pytest.fixture
async def counting(
    postgres_url: str, schema: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Counting]:
    async with open_store(postgres_url, schema=schema) as store:
        assert isinstance(store, PostgresAgentPoolStore)
        yield Counting(store, monkeypatch)


# --- the commands


def fresh(**fields: Any) -> RunMessage:
    """Make a message whose key is its id, as those have that the library makes."""
    name = uuid4().hex
    return message(name, **{"idempotency_key": name, **fields})


def question() -> RunMessage:
    return fresh(response_contract=MessageResponseContract(1, LEASE))


def wait() -> Any:
    name = uuid4().hex
    wanted = EventFilter(run_ids=include("run.b"), kinds=include(EventKind.RUN_FAILED))
    return condition(
        condition_id=name, run_id="run.a", idempotency_key=name, filter=wanted, timeout_millis=LEASE
    )


def holding(number: int) -> Holding:
    return Holding(member(f"run.held.{number}"), f"epoch.{number}", "process", LEASE)


def with_body() -> Send:
    body = uuid4().bytes
    kept = Content(content_ref(body), "text/plain", body)
    return Send(fresh(content_ref=kept.ref), (kept,))


def recorded() -> tuple[Any, Any]:
    sent = fresh()
    return sent, receipt(sent.message_id, MessageStatus.DELIVERED, delivered_to=("run.b",))


Prepare = Callable[[Counting, int], Awaitable[list[Command[Any]]]]


def each(make: Callable[[int], Command[Any]]) -> Prepare:
    """Make commands that need nothing before them."""

    async def prepare(_: Counting, size: int) -> list[Command[Any]]:
        return [make(number) for number in range(size)]

    return prepare


async def claimed(counting: Counting, size: int) -> list[Any]:
    await counting.do([Send(fresh()) for _ in range(size)])
    claims: list[Any] = []
    while len(claims) < size:
        claims += (await counting.do([ClaimMany("run.b", "test", LEASE, limit=64)]))[0] or ()
    return claims[:size]


def of_claims(make: Callable[[Any], Command[Any]]) -> Prepare:
    async def prepare(counting: Counting, size: int) -> list[Command[Any]]:
        return [make(claim) for claim in await claimed(counting, size)]

    return prepare


def of_messages(make: Callable[[], Command[Any]]) -> Prepare:
    async def prepare(counting: Counting, size: int) -> list[Command[Any]]:
        await counting.do([Send(fresh()) for _ in range(size)])
        return [make() for _ in range(size)]

    return prepare


async def take_many(counting: Counting, size: int) -> list[Command[Any]]:
    await counting.do([Send(fresh()) for _ in range(size)])
    return [ClaimMany("run.b", "test", LEASE, limit=size)]


def answers(asking: Asking | None) -> Prepare:
    async def prepare(counting: Counting, size: int) -> list[Command[Any]]:
        asked = [question() for _ in range(size)]
        await counting.do([Send(each, asking=asking) for each in asked])
        to = RunAddress.run("run.a")
        return [Send(fresh(sender="run.b", to=to, reply_to=each.message_id)) for each in asked]

    return prepare


async def held(counting: Counting, size: int) -> list[Holding]:
    holdings = [holding(number) for number in range(size)]
    await counting.do([HoldRun(each) for each in holdings])
    return holdings


def of_held(make: Callable[[Holding], Command[Any]]) -> Prepare:
    async def prepare(counting: Counting, size: int) -> list[Command[Any]]:
        return [make(each) for each in await held(counting, size)]

    return prepare


async def one_beat(counting: Counting, size: int) -> list[Command[Any]]:
    return [Heartbeat(await held(counting, size))]


async def beats_and_renewals(counting: Counting, size: int) -> list[Command[Any]]:
    claims = dict.fromkeys(await claimed(counting, size), LEASE)
    return [Heartbeat(await held(counting, size)), RenewClaims(claims)]


async def leave(counting: Counting, size: int) -> list[Command[Any]]:
    await counting.do([JoinRun(member(f"run.c.{number}"), LEASE) for number in range(size)])
    return [LeaveMember(f"run.c.{number}") for number in range(size)]


async def cancel(counting: Counting, size: int) -> list[Command[Any]]:
    waits = [wait() for _ in range(size)]
    await counting.do([SuspendUntil(each, EventCursor(0, 0)) for each in waits])
    return [CancelWake(each.condition_id) for each in waits]


def suspend(counting: Counting, size: int) -> Awaitable[list[Command[Any]]]:
    return counting.store.query(
        counting.pool_id,
        lambda view: [
            SuspendUntil(wait(), EventCursor(view.head, view.event_sequence)) for _ in range(size)
        ],
    )


COMMANDS: dict[str, Prepare] = {
    "record_message": each(lambda _: RecordMessage(*recorded())),
    "record_messages": each(lambda _: RecordMessages([recorded(), recorded()])),
    "send": each(lambda _: Send(fresh())),
    "send a body": each(lambda _: with_body()),
    "send, expiring": each(lambda _: Send(fresh(expires_at_millis=1 << 50))),
    "send, later": each(lambda _: Send(fresh(), deliver_in=LEASE)),
    "send_many": each(lambda _: SendMany([Send(fresh()), Send(fresh())])),
    "send as a holder": of_held(lambda each: AsHolder(Send(fresh(sender=each.run_id)), each)),
    "publish": each(lambda _: Publish(envelope(event_id=uuid4().hex, run_id="run.a"))),
    "take": of_messages(lambda: ClaimNext("run.b", "test", LEASE)),
    "take of an empty inbox": each(lambda _: Send(fresh())),
    "take_many": take_many,
    "ack": of_claims(Acknowledge),
    "nack": of_claims(lambda claim: ReturnMessage(claim, 0)),
    "nack, later": of_claims(lambda claim: ReturnMessage(claim, LEASE)),
    "ask": each(lambda _: Send(question(), asking=Asking())),
    "send a question": each(lambda _: Send(question())),
    "reply": answers(None),
    "reply to who asks": answers(Asking()),
    "heartbeat of many": one_beat,
    "heartbeats": of_held(lambda each: Heartbeat([each])),
    "heartbeats and renewals": beats_and_renewals,
    "join": each(lambda number: JoinMember(member(f"run.c.{number}"))),
    "join with a lease": each(lambda number: JoinRun(member(f"run.c.{number}"), LEASE)),
    "hold": each(lambda number: HoldRun(holding(number))),
    "let go": of_held(EndHolding),
    "leave": leave,
    "make a queue": each(lambda number: MakeQueue(f"queue.{number}")),
    "next_event_sequence": each(lambda _: NextEventSequence()),
    "register a wait": suspend,
    "cancel a wait": cancel,
}


@pytest.mark.parametrize("size", SIZES)
async def test_a_batch_takes_two_trips(counting: Counting, size: int) -> None:
    found: dict[str, Counted] = {}
    for name, prepare in COMMANDS.items():
        await counting.new_pool(name)
        commands = await prepare(counting, size)
        found[name] = await counting.count(partial(counting.do, commands))
    # So many together may be more than one transaction; each is two trips.
    assert {name: each for name, each in found.items() if each.writer != 2 * each.batches} == {}
    assert {name: each.batches for name, each in found.items() if each.batches > 3} == {}
    assert {name: each for name, each in found.items() if each.reader} == {}


async def test_a_batch_of_messages_is_seven_statements(
    counting: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each costs as much by itself as what it writes, on the server and here."""
    await counting.new_pool("pool.0")
    asked = asked_on(counting.store._opened.writer, monkeypatch)
    await counting.do([Send(fresh()) for _ in range(64)])
    assert asked == [
        *(statements.BEGIN_WRITING, statements.LOCK, statements.LOOK),
        *(statements.MESSAGES_BY_KEY, statements.ROWS_BY_KEY),
        *(statements.APPEND, statements.COMMIT),
        bell._NOTIFY,  # behind it, and not waited for
    ]


async def test_a_batch_of_several_kinds_in_several_pools_takes_two_trips(
    counting: Counting,
) -> None:
    pools = [f"pool.{number}" for number in range(4)]
    for pool_id in pools:
        await counting.new_pool(pool_id)

    async def everywhere() -> None:
        made = [(pool_id, each) for pool_id in pools for each in kinds()]
        await asyncio.gather(*(counting.store.execute(*each) for each in made))

    assert await counting.count(everywhere) == Counted(1, 2, 0)


def kinds() -> list[Command[Any]]:
    hosts = Publish(envelope(event_id=uuid4().hex, run_id="run.a"))
    return [Send(fresh()), hosts, Send(question()), NextEventSequence(), JoinRun(member("run.c"))]


# --- questions


QUESTIONS: dict[str, Callable[[AgentPoolStore, str], Awaitable[Any]]] = {
    "members": lambda store, pool_id: store.query(pool_id, lambda view: len(view.state.members)),
    "receipt": lambda store, pool_id: store.message_receipt(pool_id, "key"),
    "registration": lambda store, pool_id: store.wake_registration(pool_id, "key"),
    "wake": lambda store, pool_id: store.wake(pool_id, "wake"),
    "first in an inbox": lambda store, pool_id: store.query(
        pool_id,
        Question(lambda view: next_available(view, "run.b"), LookUps(inboxes=("run.b",))),
    ),
    "head": lambda store, pool_id: store.query(pool_id, lambda view: view.head),
    "a page": lambda store, pool_id: store.read_page(pool_id, 0, 100),
    "due": lambda store, pool_id: store.due([pool_id, *(f"pool.{each}" for each in range(100))]),
}


@pytest.mark.parametrize("size", SIZES)
async def test_a_question_takes_at_most_one_trip(counting: Counting, size: int) -> None:
    await counting.new_pool("pool.asked")
    found: dict[str, int] = {}
    for name, ask in QUESTIONS.items():

        async def together(ask: Any = ask) -> None:
            await asyncio.gather(*(ask(counting.store, "pool.asked") for _ in range(size)))

        await together()  # a config is read once
        found[name] = (await counting.count(together)).reader
    assert {name: trips for name, trips in found.items() if trips > size} == {}


async def test_the_news_of_a_pool_are_asked_for_again_only_when_its_state_is_looked_at(
    counting: Counting, postgres_url: str, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = counting.store
    asked = asked_on(store._opened.reader, monkeypatch)

    async def news_asked_for() -> int:
        asked.clear()
        await store.message_receipt("pool.0", "key")
        return asked.count(statements.NUMBERS_AND_NEWS)

    async def members() -> int:
        return await store.query("pool.0", lambda view: len(view.state.members))

    await counting.new_pool("pool.0")
    assert await news_asked_for() == 1
    async with open_store(postgres_url, schema=schema) as other:
        joining = (JoinRun(member(f"run.{number}")) for number in range(200))
        await asyncio.gather(*(other.execute("pool.0", each) for each in joining))
    assert [await news_asked_for() for _ in range(3)] == [1, 0, 0]
    assert await members() == 202
    assert [await news_asked_for() for _ in range(3)] == [1, 1, 1]


async def test_a_commit_in_another_pool_costs_who_waits_in_a_hundred_no_trip(
    counting: Counting, postgres_url: str, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bell, "NET_SECONDS", 3600)  # nobody looks by time
    store, waiting = counting.store, [f"pool.{number}" for number in range(100)]
    asked = asked_of(store, monkeypatch)
    await counting.new_pool("pool.elsewhere")
    async with AsyncExitStack() as stack:
        other = await stack.enter_async_context(open_store(postgres_url, schema=schema))
        pools = [await stack.enter_async_context(AgentPool.open(store, each)) for each in waiting]
        await asyncio.gather(*(pool.join_run(member(run)) for pool in pools for run in RUNS))
        taking = [asyncio.ensure_future(pool.inbox("run.b").take()) for pool in pools]
        # Whoever is told of a commit was told of all before it, and has looked where there is any.
        await other.execute("pool.0", Send(fresh()))
        await taking[0]
        await store.query("pool.0", lambda view: view.head)
        asked.clear()
        for _ in range(20):
            await other.execute("pool.elsewhere", Send(fresh()))
        await other.execute("pool.1", Send(fresh()))
        await taking[1]
        assert asked
        assert [each for each in asked if "pool.1" not in each] == []
        for each in taking[2:]:
            each.cancel()
        await asyncio.wait(taking)


@pytest.mark.parametrize("beyond", [-1, 0, 1, statements.MOST_NEWS, 5 * statements.MOST_NEWS])
async def test_all_that_others_have_done_is_known_however_much_it_is(
    counting: Counting, postgres_url: str, schema: str, beyond: int
) -> None:
    """Also where it is as much as is asked for at once, one more, or one less."""
    await counting.new_pool("pool.0")
    store, count = counting.store, statements.MOST_NEWS + beyond
    async with open_store(postgres_url, schema=schema) as other:
        for turn in ("read", "written"):
            runs = [f"run.{turn}.{number}" for number in range(count)]
            await asyncio.gather(*(other.execute("pool.0", JoinRun(member(run))) for run in runs))
            if turn == "read":
                known = await store.query("pool.0", lambda view: set(view.state.members))
                assert known.issuperset(runs)
            else:
                await asyncio.gather(
                    *(store.execute("pool.0", LeaveMember(run)) for run in (runs[0], runs[-1]))
                )
    members = (await store.snapshot("pool.0")).members
    assert len(members) == 2 + 2 * count - 2


def asked_on(worker: EngineWorker, monkeypatch: pytest.MonkeyPatch) -> list[Statement]:
    """Note from now on what is asked on a connection, when it is sent."""
    asked, send = list[Statement](), Pipeline._send

    def noted(pipeline: Pipeline, answer: Answer, values: Any) -> None:
        if pipeline is worker.engine.pipeline:
            asked.append(answer.statement)
        send(pipeline, answer, values)

    monkeypatch.setattr(Pipeline, "_send", noted)
    return asked


def asked_of(store: PostgresAgentPoolStore, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Note from now on about which pools a store asks its server, but for looks by time."""
    asked: list[list[str]] = []
    source, due = PostgresEngine.source, PostgresAgentPoolStore.due

    def source_noted(engine: PostgresEngine, pool_id: str) -> Any:
        if engine in {store._opened.writer.engine, store._opened.reader.engine}:
            asked.append([pool_id])
        return source(engine, pool_id)

    async def due_noted(self: PostgresAgentPoolStore, pool_ids: Sequence[str]) -> Any:
        if self is store:
            asked.append(list(pool_ids))
        return await due(self, pool_ids)

    monkeypatch.setattr(PostgresEngine, "source", source_noted)
    monkeypatch.setattr(PostgresAgentPoolStore, "due", due_noted)
    return asked
