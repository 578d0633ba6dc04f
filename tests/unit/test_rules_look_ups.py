"""Every command declares what it is going to look up by key, and no more."""

from collections.abc import Callable
from inspect import isabstract
from typing import Any

import pytest
from package_tree import is_below
from rule_views import Pool
from samples import condition, envelope, member, message, receipt, registration

from agentpool import (
    EventFilter,
    EventKind,
    MessageResponseContract,
    MessageStatus,
    RunAddress,
    RunMessage,
    include,
)
from agentpool.rules.asking import Asking, Withdraw
from agentpool.rules.claiming import ClaimMany, ClaimNext
from agentpool.rules.claims import Acknowledge, RenewClaims
from agentpool.rules.command import DEADLINE, Command, Decision, LookUps, Placed, Row, RowKey
from agentpool.rules.consequences import CatchUp, carry_out
from agentpool.rules.dead import Discard, Retry
from agentpool.rules.deadlines import CarryOutDue
from agentpool.rules.holding import AsHolder, EndHolding, Heartbeat, Holding
from agentpool.rules.host_events import NextEventSequence, Publish
from agentpool.rules.membership import HoldRun, JoinMember, JoinRun, LeaveMember
from agentpool.rules.messages import RecordMessage, RecordMessages, RecordStatus
from agentpool.rules.pool_opening import OpenPool, RecordPoolCreated
from agentpool.rules.queues import MakeQueue
from agentpool.rules.redelivery import ReturnMessage, Unclaim
from agentpool.rules.rows import EVENT, OWING, OWING_LEFT, WAKE, deadline_key
from agentpool.rules.sending import Send
from agentpool.rules.sending_many import SendMany
from agentpool.rules.waits import CancelWake, PollWake, SuspendUntil
from agentpool.rules.wakes import RecordWake


class Noting(Pool):
    """A coordinated pool that notes what is looked up in it by key."""

    def __init__(self) -> None:
        super().__init__()
        self.noted: set[Any] = set()
        self.changed_deadlines: set[RowKey] = set()
        self.answered = False

    def message_by_key(self, key: str) -> Placed[Any] | None:
        self.noted.add(("message", key))
        return super().message_by_key(key)

    def wake_by_key(self, key: str) -> Placed[Any] | None:
        self.noted.add(("wake", key))
        return super().wake_by_key(key)

    def wake(self, condition_id: str) -> Placed[Any] | None:
        self.noted.add(("condition", condition_id))
        return super().wake(condition_id)

    def row(self, key: RowKey) -> Row | None:
        # What a recipient owes is numbered by the record that delivered the question, which shows
        # only with its answer; so what it owes is listed.
        of_question = key.kind in {OWING, OWING_LEFT} and self.answered
        self.noted.add(("listing", key.kind, key.name) if of_question else key)
        return super().row(key)

    def rows(self, kind: str, name: str, **which: Any) -> Any:
        if kind != EVENT:  # from where on they are listed, only a cursor between events says
            self.noted.add(("listing", kind, name))
        return super().rows(kind, name, **which)

    def next_due(self, name: str) -> int | None:
        self.noted.add(("inbox", name))
        return super().next_due(name)

    def due(self, name: str, **which: Any) -> Any:
        self.noted.add(("inbox", name))
        return super().due(name, **which)

    def apply(self, decision: Decision[Any]) -> None:
        changed = {*(row.key for row in decision.puts), *decision.deletes}
        self.changed_deadlines |= {key for key in changed if key.kind == DEADLINE}
        super().apply(decision)

    def do(self, command: Command[Any]) -> Any:
        """Carry out a command with its consequences, and note what that looks up."""
        self.noted.clear()
        self.changed_deadlines.clear()
        return carry_out(self, command)


def coordinated() -> Noting:
    pool = Noting()
    for command in (CatchUp(), OpenPool(), JoinRun(member()), JoinRun(member("run.b"), 1000)):
        pool.do(command)
    return pool


def declared(looks_up: LookUps) -> set[Any]:
    return {
        *(("message", key) for key in looks_up.message_keys),
        *(("wake", key) for key in looks_up.wake_keys),
        *(("condition", key) for key in looks_up.condition_ids),
        *(("inbox", run_id) for run_id in looks_up.inboxes),
        *(("listing", key.kind, key.name) for key in looks_up.listings),
        *looks_up.rows,
    }


def likely(looks_up: LookUps) -> set[Any]:
    return {("message", key) for key in looks_up.likely_keys}


def question(message_id: str = "msg.q", expected: int = 2) -> RunMessage:
    contract = MessageResponseContract(expected, 1000)
    return message(
        message_id,
        to=RunAddress.agent("agent.a"),
        response_contract=contract,
        idempotency_key=message_id,
    )


def answer(message_id: str = "msg.r") -> RunMessage:
    return message(message_id, sender="run.b", to=RunAddress.run("run.a"), reply_to="msg.q")


DELIVERED = MessageStatus.DELIVERED


def delivered(sent: RunMessage, to: str = "run.b") -> RecordMessage:
    return RecordMessage(sent, receipt(sent.message_id, DELIVERED, delivered_to=(to,)))


def recorded_wake() -> RecordWake:
    return RecordWake(condition(), condition().filter.compile(), registration())


def claimed(pool: Noting) -> Any:
    pool.do(Send(message("msg.claimed")))
    return pool.do(ClaimNext("run.b", "test", 1000))


def dead(pool: Noting) -> tuple[str, int]:
    claim = claimed(pool)
    pool.do(ReturnMessage(claim, 0, max_attempts=1))
    return claim.run_id, claim.seq


def waiting(pool: Noting) -> str:
    pool.do(SuspendUntil(condition(filter=EventFilter(kinds=include(EventKind.RUN_FAILED)))))
    return "wake.1"


HELD = Holding(member("run.a"), "1", "test", 1000)


def held(pool: Noting) -> Holding:
    pool.do(HoldRun(HELD))
    return HELD


def after_question(make: Callable[[], Command[Any]]) -> Callable[[Noting], Command[Any]]:
    """Make a command on a pool where somebody waits for the answers to a question."""

    def prepare(pool: Noting) -> Command[Any]:
        pool.do(Send(question(), asking=Asking()))
        command = make()
        pool.answered = ("message", "key.msg.r") in declared(command.looks_up)
        return command

    return prepare


COMMANDS: dict[str, Callable[[Noting], Command[Any]]] = {
    "open": lambda _: OpenPool(),
    "created": lambda _: RecordPoolCreated(),
    "number": lambda _: NextEventSequence(),
    "catch up": lambda _: CatchUp(),
    "join member": lambda _: JoinMember(member("run.c")),
    "join run": lambda _: JoinRun(member("run.c"), 1000),
    "hold run": lambda _: HoldRun(HELD._replace(member=member("run.c"))),
    "as holder": lambda pool: AsHolder(Send(message("msg.held")), held(pool)),
    "end holding": lambda pool: EndHolding(held(pool)),
    "leave": lambda _: LeaveMember("run.a"),
    "heartbeat": lambda pool: Heartbeat([held(pool)]),
    "record a message": lambda _: delivered(message()),
    "record messages": lambda _: RecordMessages(
        [(each, receipt(each.message_id)) for each in (message("msg.1"), message("msg.2"))]
    ),
    "record a question": lambda _: delivered(question()),
    "record an answer": after_question(lambda: delivered(answer(), "run.a")),
    "record an ending": lambda _: RecordStatus(message(), MessageStatus.FAILED, ()),
    "record a delivery": lambda _: RecordStatus(question(), DELIVERED, ("run.b",)),
    "send": lambda _: Send(message()),
    "send later": lambda _: Send(message(), deliver_in=1),
    "send many": lambda _: SendMany([Send(message("msg.1")), Send(message("msg.2"))]),
    "send a question": lambda _: Send(question()),
    "send an answer": after_question(lambda: Send(answer())),
    "ask": lambda _: Send(question(), asking=Asking()),
    "ask again": after_question(lambda: Send(question(), asking=Asking())),
    "claim nothing": lambda _: ClaimNext("run.b", "test", 1000),
    "make a queue": lambda _: MakeQueue("work"),
    "claim many": lambda _: ClaimMany("run.b", "test", 1000, limit=1),
    "acknowledge": lambda pool: Acknowledge(claimed(pool)),
    "return": lambda pool: ReturnMessage(claimed(pool), 0),
    "put aside": lambda pool: ReturnMessage(claimed(pool), 0, max_attempts=1),
    "unclaim": lambda pool: Unclaim(claimed(pool)),
    "retry": lambda pool: Retry(*dead(pool), "key.msg.claimed"),
    "discard": lambda pool: Discard(*dead(pool)),
    "renew claims": lambda pool: RenewClaims({claimed(pool): 1000}),
    "withdraw": lambda _: Withdraw("msg.q"),
    "record a wake": lambda _: recorded_wake(),
    "suspend": lambda _: SuspendUntil(condition()),
    "poll a wait": lambda pool: PollWake(waiting(pool)),
    "cancel a wait": lambda pool: CancelWake(waiting(pool)),
    "end what is due": lambda _: CarryOutDue(deadline_key(WAKE, "wake.1")),
    "publish": lambda _: Publish(envelope()),
}
"""Commands by what they do, made after preparing a pool for them."""


@pytest.mark.parametrize("prepare", COMMANDS.values(), ids=COMMANDS)
def test_all_that_is_looked_up_was_declared(prepare: Callable[[Noting], Command[Any]]) -> None:
    pool = coordinated()
    command = prepare(pool)
    pool.do(command)
    assert pool.noted <= declared(command.looks_up) | likely(command.looks_up)


@pytest.mark.parametrize("prepare", COMMANDS.values(), ids=COMMANDS)
def test_all_deadlines_that_change_were_declared(prepare: Callable[[Noting], Command[Any]]) -> None:
    pool = coordinated()
    command = prepare(pool)
    pool.do(command)
    assert pool.changed_deadlines <= set(command.looks_up.deadlines)


ASKING = {"ask", "ask again"}
"""Whether it is for the first time shows only then; each time looks up half of what it declares."""


@pytest.mark.parametrize("name", sorted(COMMANDS.keys() - ASKING))
def test_nothing_is_declared_in_vain(name: str) -> None:
    pool = coordinated()
    command = COMMANDS[name](pool)
    pool.do(command)
    assert declared(command.looks_up) <= pool.noted


def test_every_command_is_here() -> None:
    here = {type(prepare(coordinated())) for prepare in COMMANDS.values()}
    of_ours = {each for each in below(Command) if is_below(each.__module__, "agentpool.rules")}
    assert here == {each for each in of_ours if not isabstract(each)}


def below(type_: type) -> set[type]:
    direct: list[type] = type_.__subclasses__()
    return set(direct).union(*map(below, direct))
