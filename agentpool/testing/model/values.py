"""Strategies for steps. Names are few, so that steps meet each other."""

from typing import Any, Final

from hypothesis import strategies as st

from agentpool.testing.conformance.pool_kit import an_event
from agentpool.testing.model.steps import PLAIN, POOL, Step
from agentpool.testing.values import a_condition, a_member, a_message
from agentpool.wire.content import content_ref
from agentpool.wire.event_kinds import EventFamily, EventKind
from agentpool.wire.filters import EventFilter
from agentpool.wire.records import (
    AgentPoolMessagePolicy,
    AgentPoolStoreConfig,
    AgentPoolWakePolicy,
    MessageResponseContract,
    MessageStatus,
    ResumeInputPolicy,
    RunAddress,
    RunMessage,
    WakeRegistrationStatus,
)
from agentpool.wire.refs import PolicyRef
from agentpool.wire.struct import include

__all__ = ("CONFIGS", "ENDINGS", "RUNS", "START_MILLIS", "STEPS", "STEPS_AT_ONCE")

START_MILLIS: Final = 1_000_000
_POLICY: Final = PolicyRef(id="policy.1")
_BODIES: Final = (b"", b"a body")

RUNS: Final = st.sampled_from(("run.a", "run.b", "run.c"))
_NUMBERS: Final = st.integers(0, 7)
_KEYS: Final = st.sampled_from([f"key.{n}" for n in range(8)])
_IDS: Final = st.sampled_from([f"message.{n}" for n in range(8)])
_WAKES: Final = st.sampled_from([f"wake.{n}" for n in range(4)])
_POLICIES: Final = st.sampled_from([(), (), (), (), (_POLICY,)])
_POOLS: Final = st.sampled_from((POOL, POOL, PLAIN))
_PLACES: Final = st.integers(0, 12)
_NOBODY_OR_SOME: Final = st.lists(RUNS, max_size=2, unique=True).map(
    lambda runs: tuple(sorted(runs))
)

CONFIGS: Final = st.builds(
    AgentPoolStoreConfig,
    message_policy=st.builds(
        AgentPoolMessagePolicy,
        required_policy_refs=_POLICIES,
        include_sender_in_pool_broadcast=st.booleans(),
    ),
    wake_policy=st.builds(AgentPoolWakePolicy, envelope_only=st.booleans()),
    policy_refs=_POLICIES,
)
_ADDRESSES: Final = st.one_of(
    RUNS.map(RunAddress.run),
    st.sampled_from(("agent.a", "agent.b")).map(RunAddress.agent),
    st.just(RunAddress.topic("topic.1")),
    _POOLS.map(RunAddress.pool),
)
_MEMBERS: Final = st.builds(
    a_member,
    RUNS,
    agent_id=st.sampled_from(("agent.a", "agent.b")),
    topics=st.sampled_from([(), ("topic.1",)]),
    policy_refs=_POLICIES,
)
_CONTRACTS: Final = st.builds(
    MessageResponseContract, st.integers(0, 2), st.sampled_from((None, 0, 300, 1_500))
)
_TIMES: Final = st.sampled_from(
    (None, None, None, START_MILLIS - 1, START_MILLIS + 400, START_MILLIS + 2_000)
)


@st.composite
def _messages(draw: st.DrawFn) -> RunMessage:
    """Make a message; most of those with one key are the same, or retries of each other."""
    number = draw(_NUMBERS)
    to = RunAddress.run("run.b") if number % 2 else RunAddress.run("run.a")
    odd = draw(st.integers(0, 5)) == 0
    return a_message(
        draw(_IDS) if odd else f"message.{number}",
        sender=draw(RUNS) if odd else ("run.b", "run.a")[number % 2],
        to=draw(_ADDRESSES) if odd or number > 5 else to,
        idempotency_key=f"key.{number}",
        reply_to=draw(st.none() | _IDS),
        response_contract=draw(st.none() | _CONTRACTS),
        expires_at_millis=draw(_TIMES),
        policy_refs=draw(_POLICIES),
    )


_MESSAGES: Final = _messages()
_FILTERS: Final = st.sampled_from(
    (
        EventFilter(),
        EventFilter(kinds=include(EventKind.RUN_MESSAGE_DELIVERED)),
        EventFilter(kinds=include(EventKind.AGENT_POOL_RUN_LEFT, EventKind.RUN_COMPLETED)),
        EventFilter(run_ids=include("run.a")),
        EventFilter(run_ids=include("run.b", "run.c"), families=include(EventFamily.RUN)),
        EventFilter(terminal_only=True),
        EventFilter(tags=include("tag.1")),
    )
)
_CONDITIONS: Final = st.builds(
    a_condition,
    _WAKES,
    run_id=RUNS,
    filter=_FILTERS,
    timeout_millis=st.sampled_from((None, 0, 300, 1_500)),
    resume_with=st.sampled_from(ResumeInputPolicy),
    idempotency_key=st.sampled_from([f"key.{n}" for n in range(4)]),
)
_EVENTS: Final = st.builds(
    an_event,
    st.sampled_from(("event.1", "event.2", "event.3")),
    run_id=RUNS,
    event_kind=st.sampled_from((EventKind.RUN_COMPLETED, EventKind.RUN_STARTED)),
    tags=st.sampled_from([(), ("tag.1",)]),
)


def _step(do: str, *arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Step]:
    return st.builds(Step, st.just(do), st.tuples(*arguments))


_CHANGES: Final = (
    _step("send", _MESSAGES),
    _step("send", _MESSAGES),
    _step("join_run", _MEMBERS),
    _step("join_run", _MEMBERS),
    _step("join_for", _MEMBERS, st.sampled_from((200, 1_000))),
    _step("leave_run", RUNS),
    _step("record_message_status", _MESSAGES, st.sampled_from(MessageStatus), _NOBODY_OR_SOME),
    _step("claim", RUNS),
    _step("publish", _EVENTS),
    _step("suspend_until", _CONDITIONS, st.none() | _PLACES),
    _step("cancel_wake", _WAKES),
    _step("next_event_sequence", _POOLS),
    _step("record_pool_created", _POOLS),
    _step("join_member", _POOLS, _MEMBERS),
    _step("leave_member", _POOLS, RUNS),
    _step("record_message", _POOLS, _MESSAGES, st.sampled_from(MessageStatus), _NOBODY_OR_SOME),
    _step("record_wake", _POOLS, _CONDITIONS, st.sampled_from(WakeRegistrationStatus)),
    _step("put_content", st.sampled_from(_BODIES)),
)
_LOOKS: Final = (
    _step("open_pool", _POOLS, st.none() | CONFIGS),
    _step("look_up", _POOLS, _KEYS, _WAKES),
    _step("snapshot", _POOLS),
    _step("read", _POOLS, _PLACES, st.none() | st.integers(0, 5)),
    _step("watch", _POOLS, _PLACES, st.integers(0, 5)),
    _step("get_content", st.sampled_from([content_ref(body) for body in _BODIES])),
    _step("members"),
    _step("visit", _MEMBERS, _ADDRESSES, _IDS),
    _step("peek", RUNS, st.integers(0, 5)),
    _step("take_next", RUNS),
    _step("take_next", RUNS),
    _step("scope_filter", _FILTERS),
    _step("events", _FILTERS, _PLACES),
    _step("wait", _WAKES),
)

STEPS_AT_ONCE: Final = st.one_of(*_CHANGES)
STEPS: Final = st.one_of(*_CHANGES, *_LOOKS)
ENDINGS: Final = st.sampled_from((("ack", ()), ("ack", ()), ("nack", (0,)), ("nack", (0.4,))))
"""How a claim is ended, and with what beside it."""
