"""Who receives a message is who nothing speaks against, whatever it is addressed to."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rule_views import Pool, opened
from samples import POOL, member, message

from agentpool import (
    AgentPoolMember,
    AgentPoolMessagePolicy,
    AgentPoolStoreConfig,
    PolicyRef,
    RunAddress,
    RunMessage,
)
from agentpool.rules.membership import JoinMember
from agentpool.rules.recipients import Addressing, WhyNot, recipients

P1, P2 = PolicyRef(id="policy.1"), PolicyRef(id="policy.2")
POLICIES = st.lists(st.sampled_from([P1, P2]), unique=True).map(tuple)
MEMBERS = st.lists(
    st.builds(
        AgentPoolMember,
        st.sampled_from(["run.a", "run.b", "run.c", "queue.w"]),
        st.sampled_from(["agent.a", "agent.b"]),
        POLICIES,
        st.lists(st.sampled_from(["topic.1", "agentpool.queue"]), unique=True).map(tuple),
    ),
    max_size=4,
)
ADDRESSES = st.sampled_from(
    [
        RunAddress.run("run.b"),
        RunAddress.run("run.x"),
        RunAddress.agent("agent.a"),
        RunAddress.topic("topic.1"),
        RunAddress.pool(POOL),
        RunAddress.pool("pool.other"),
    ]
)
MESSAGES = st.builds(lambda to, refs: message(to=to, policy_refs=refs), ADDRESSES, POLICIES)
CONFIGS = st.builds(
    lambda refs, with_sender: AgentPoolStoreConfig(
        message_policy=AgentPoolMessagePolicy(refs, with_sender)
    ),
    st.sampled_from([(), (), (P1,)]),
    st.booleans(),
)


def with_members(config: AgentPoolStoreConfig, members: list[AgentPoolMember]) -> Pool:
    pool = opened(config)
    for each in members:
        pool.do(JoinMember(each))
    return pool


@given(config=CONFIGS, members=MEMBERS, sent=MESSAGES)
def test_recipients_are_those_who_nothing_speaks_against(
    config: AgentPoolStoreConfig, members: list[AgentPoolMember], sent: RunMessage
) -> None:
    pool = with_members(config, members)
    addressing = Addressing(config, POOL, sent)
    without = {
        run_id for run_id, each in pool.state.members.items() if addressing.why_not(each) is None
    }
    assert recipients(pool, sent) == tuple(sorted(without))


B1 = member("run.b", policy_refs=(P1,), topics=("topic.1",))
CASES: list[tuple[RunAddress, AgentPoolMember, WhyNot | None]] = [
    (RunAddress.run("run.b"), B1, None),
    (RunAddress.run("run.c"), B1, WhyNot.OTHER_RUN),
    (RunAddress.agent("agent.a"), B1, None),
    (RunAddress.agent("agent.b"), B1, WhyNot.OTHER_AGENT),
    (RunAddress.topic("topic.1"), B1, None),
    (RunAddress.topic("topic.2"), B1, WhyNot.LACKS_TOPIC),
    (RunAddress.pool(POOL), B1, None),
    (RunAddress.pool("pool.other"), B1, WhyNot.OTHER_POOL),
    (RunAddress.pool(POOL), member("run.a", policy_refs=(P1,)), WhyNot.IS_SENDER),
    (RunAddress.pool(POOL), member("queue.w", topics=("agentpool.queue",)), WhyNot.IS_QUEUE),
    (RunAddress.run("run.b"), member("run.b"), WhyNot.LACKS_POLICIES),
]


@pytest.mark.parametrize(("to", "who", "why"), CASES)
def test_why_a_member_does_not_receive_a_message(
    to: RunAddress, who: AgentPoolMember, why: WhyNot | None
) -> None:
    sent = message(to=to, policy_refs=(P1,))
    assert Addressing(AgentPoolStoreConfig(), POOL, sent).why_not(who) is why


def test_which_policies_are_lacking() -> None:
    required: Any = AgentPoolMessagePolicy(required_policy_refs=(P2, P1))
    addressing = Addressing(
        AgentPoolStoreConfig(message_policy=required), POOL, message(policy_refs=(P1,))
    )
    assert addressing.lacking == (P2,)
    assert addressing.why_not(B1) is WhyNot.MESSAGE_LACKS_POLICIES
    assert addressing.lacked_by(member()) == (P1,)
    assert addressing.lacked_by(B1) == ()
