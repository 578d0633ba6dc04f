"""Opening, creating, joining, leaving, and numbers for events: what each command decides."""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace
from rule_views import Pool, opened
from samples import POOL, condition, member, message, receipt, registration

from agentpool import (
    AgentPoolMember,
    AgentPoolStoreConfig,
    AgentPoolStoreCursor,
    AgentPoolWakePolicy,
    InvalidValueError,
    NotAMemberError,
    PolicyRef,
    PoolConfigConflictError,
    PoolNotOpenError,
)
from agentpool.rules.command import Command, LookUps
from agentpool.rules.host_events import NextEventSequence
from agentpool.rules.membership import JoinMember, LeaveMember
from agentpool.rules.messages import RecordMessage
from agentpool.rules.pool_opening import OpenPool, RecordPoolCreated
from agentpool.rules.requirements import checked_cursor, require_open
from agentpool.rules.wakes import RecordWake
from agentpool.wire.struct import trusted

OTHER = AgentPoolStoreConfig(wake_policy=AgentPoolWakePolicy(envelope_only=False))

NEED_AN_OPEN_POOL: dict[str, Callable[[], Command[Any]]] = {
    "created": RecordPoolCreated,
    "join": lambda: JoinMember(member()),
    "leave": lambda: LeaveMember("run.a"),
    "message": lambda: RecordMessage(message(), receipt()),
    "wake": lambda: RecordWake(condition(), condition().filter.compile(), registration()),
}


@pytest.mark.parametrize("make", NEED_AN_OPEN_POOL.values(), ids=NEED_AN_OPEN_POOL)
def test_needs_an_opened_pool(make: Callable[[], Command[Any]]) -> None:
    with pytest.raises(PoolNotOpenError) as caught:
        make().decide(Pool())
    assert caught.value.pool_id == POOL


@pytest.mark.parametrize("make", NEED_AN_OPEN_POOL.values(), ids=NEED_AN_OPEN_POOL)
def test_deciding_changes_nothing(make: Callable[[], Command[Any]]) -> None:
    pool = opened()
    pool.do(JoinMember(member(agent_id="agent.b")))
    before = pool.state.snapshot()
    assert make().decide(pool) == make().decide(pool)
    assert pool.state.snapshot() == before


@pytest.mark.parametrize("sequence", ["1", 1.0, None, -1])
def test_a_cursor_that_is_no_place_is_refused(sequence: Any) -> None:
    with pytest.raises(InvalidValueError, match="is no place in a log"):
        checked_cursor(trusted(AgentPoolStoreCursor, sequence))


def test_require_open_gives_the_config() -> None:
    assert require_open(opened(OTHER)) == OTHER


@pytest.mark.parametrize("config", [None, AgentPoolStoreConfig(), OTHER])
def test_opening_a_new_pool_records_its_config(config: AgentPoolStoreConfig | None) -> None:
    pool = Pool()
    assert pool.do(OpenPool(config)) == (config or AgentPoolStoreConfig())
    assert pool.kinds == ["PoolOpened"]
    assert pool.state.config == (config or AgentPoolStoreConfig())


@pytest.mark.parametrize("config", [None, OTHER])
def test_opening_again_with_none_or_the_same_appends_nothing(
    config: AgentPoolStoreConfig | None,
) -> None:
    pool = opened(OTHER)
    assert pool.do(OpenPool(config)) == OTHER
    assert pool.kinds == ["PoolOpened"]


def test_opening_again_with_another_config_is_a_conflict() -> None:
    with pytest.raises(PoolConfigConflictError) as caught:
        opened(OTHER).do(OpenPool(AgentPoolStoreConfig()))
    assert caught.value.pool_id == POOL


def test_creation_is_recorded_once() -> None:
    pool = opened()
    assert pool.do(RecordPoolCreated()) == AgentPoolStoreCursor(2)
    pool.do(JoinMember(member()))
    assert pool.do(RecordPoolCreated()) == AgentPoolStoreCursor(2)
    assert pool.kinds == ["PoolOpened", "PoolCreated", "MemberJoined"]


def test_joining_appends_a_record_and_gives_its_place() -> None:
    pool = opened()
    assert pool.do(JoinMember(member("run.a"))) == AgentPoolStoreCursor(2)
    assert pool.do(JoinMember(member("run.b"))) == AgentPoolStoreCursor(3)
    assert pool.state.members == {"run.a": member("run.a"), "run.b": member("run.b")}


def test_joining_again_the_same_way_appends_nothing() -> None:
    pool = opened()
    pool.do(JoinMember(member("run.a", topics=["t"])))
    pool.do(JoinMember(member("run.b")))
    assert pool.do(JoinMember(member("run.a", topics=["t"]))) == AgentPoolStoreCursor(2)
    assert len(pool.log) == 3


@pytest.mark.parametrize(
    "changed",
    [member(agent_id="agent.b"), member(topics=["t", "t"]), member(topics=["t", "u"])],
)
def test_joining_again_another_way_replaces(changed: AgentPoolMember) -> None:
    pool = opened()
    pool.do(JoinMember(member(topics=["t"])))
    assert pool.do(JoinMember(changed)) == AgentPoolStoreCursor(3)
    assert pool.state.members == {"run.a": changed}


def test_leaving_gives_the_member_as_it_joined() -> None:
    pool = opened()
    pool.do(JoinMember(member(topics=["t"])))
    assert pool.do(LeaveMember("run.a")) == (member(topics=["t"]), AgentPoolStoreCursor(3))
    assert pool.kinds == ["PoolOpened", "MemberJoined", "MemberLeft"]
    assert pool.state.members == {}


@pytest.mark.parametrize("times", [0, 1])
def test_who_is_no_member_cannot_leave(times: int) -> None:
    pool = opened()
    for _ in range(times):
        pool.do(JoinMember(member()))
        pool.do(LeaveMember("run.a"))
    with pytest.raises(NotAMemberError, match=r"run\.a") as caught:
        pool.do(LeaveMember("run.a"))
    assert caught.value.pool_id == POOL


def test_a_run_may_come_back() -> None:
    pool = opened()
    for _ in range(2):
        pool.do(JoinMember(member()))
        pool.do(LeaveMember("run.a"))
    assert pool.do(JoinMember(member())) == AgentPoolStoreCursor(6)


@pytest.mark.parametrize("run_id", ["", "a\n", "é" * 257, None, 7])
def test_leaving_refuses_what_is_no_identifier(run_id: Any) -> None:
    with pytest.raises(InvalidValueError, match="run_id"):
        LeaveMember(run_id)


REFUSED: dict[str, Callable[[], Any]] = {
    "config": lambda: OpenPool("config"),  # type: ignore[arg-type]
    "config of another struct": lambda: OpenPool(member()),  # type: ignore[arg-type]
    "empty dictionary for a config": lambda: OpenPool({}),  # type: ignore[arg-type]
    "zero for a config": lambda: OpenPool(0),  # type: ignore[arg-type]
    "dictionary for a member": lambda: JoinMember({"run_id": "r", "agent_id": "a"}),  # type: ignore[arg-type]
    "member": lambda: JoinMember("run.a"),  # type: ignore[arg-type]
    "no member": lambda: JoinMember(None),  # type: ignore[arg-type]
    "message": lambda: RecordMessage("m", receipt()),  # type: ignore[arg-type]
    "receipt": lambda: RecordMessage(message(), None),  # type: ignore[arg-type]
    "condition": lambda: RecordWake(None, condition().filter.compile(), registration()),  # type: ignore[arg-type]
    "filter": lambda: RecordWake(condition(), condition().filter, registration()),  # type: ignore[arg-type]
    "registration": lambda: RecordWake(condition(), condition().filter.compile(), None),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("make", REFUSED.values(), ids=REFUSED)
def test_commands_refuse_values_of_other_types(make: Callable[[], Any]) -> None:
    with pytest.raises(InvalidValueError):
        make()


def test_values_are_compared_in_the_form_that_they_are_written_in() -> None:
    policies: Any = [PolicyRef(id="p")]
    config = replace(AgentPoolStoreConfig(), policy_refs=policies)
    pool = opened(config)
    assert pool.do(OpenPool(config)) == AgentPoolStoreConfig(policy_refs=policies)
    joined = JoinMember(replace(member(), topics=["t"]))
    assert pool.do(joined) == pool.do(joined) == AgentPoolStoreCursor(2)


def test_event_numbers_count_up_and_need_no_opened_pool() -> None:
    pool = Pool()
    assert [pool.do(NextEventSequence()) for _ in range(3)] == [1, 2, 3]
    assert pool.log == []
    assert pool.event_sequence == 3


@pytest.mark.parametrize("command", [NextEventSequence(), RecordPoolCreated(), OpenPool()])
def test_most_commands_look_nothing_up(command: Command[Any]) -> None:
    assert command.looks_up == LookUps()
