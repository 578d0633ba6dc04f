"""Values built in Python are checked and brought into one form, so that equal JSON is equal."""

import copy
import pickle
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest
from samples import member, message

from agentpool import (
    AgentPoolError,
    AgentPoolMember,
    AgentPoolMessagePolicy,
    AgentPoolStoreConfig,
    AgentPoolStoreCursor,
    AgentPoolStoreRecord,
    AgentPoolWakePolicy,
    DestinationKind,
    DestinationRef,
    EntityKind,
    EntityRef,
    EventCorrelation,
    EventFilter,
    EventKind,
    Include,
    InvalidValueError,
    MessageReceipt,
    MessageResponseContract,
    MessageStatus,
    PolicyKind,
    PolicyRef,
    PoolCreated,
    RunAddress,
    RunTarget,
    SubscriberQueueConfig,
    UnknownRecord,
    decode,
    encode,
    include,
)

ADDRESSES = {
    "run": (RunAddress.run, "run_id", "agent", "run"),
    "agent": (RunAddress.agent, "agent_id", "agent", "agent"),
    "topic": (RunAddress.topic, "topic_id", "topic", "topic"),
    "pool": (RunAddress.pool, "pool_id", "agent_pool", "agent_pool"),
}


P1 = PolicyRef(id="policy.1")
P2 = PolicyRef(kind=PolicyKind.PRIVACY, id="policy.2")


def test_a_member_is_built_up() -> None:
    plain = AgentPoolMember("run.a", "agent.a")
    built = plain.topic("topic.b").topic("topic.a").policy_ref(P2).policy_ref(P1)
    assert built == AgentPoolMember("run.a", "agent.a", (P2, P1), ("topic.b", "topic.a"))
    assert plain == AgentPoolMember("run.a", "agent.a")


def test_a_message_is_built_up() -> None:
    built = message(policy_refs=(P2,)).policy_ref(P1)
    assert built == message(policy_refs=(P2, P1))


def test_a_contract_for_one_answer() -> None:
    assert MessageResponseContract.one_response(500) == MessageResponseContract(1, 500)
    assert MessageResponseContract.one_response() == MessageResponseContract(1)


@pytest.mark.parametrize("kind", ADDRESSES)
def test_convenience_addresses(kind: str) -> None:
    make, field, destination, related = ADDRESSES[kind]
    assert encode(make("x.1")).decode() == (
        f'{{"target":{{"type":"{kind}","{field}":"x.1"}},'
        f'"destination_ref":{{"kind":"{destination}","id":"x.1",'
        '"privacy":"content_refs_only","retention":"host_policy"},'
        f'"related_refs":[{{"kind":"{related}","id":"x.1","privacy":"content_refs_only"}}]}}'
    )
    assert decode(encode(make("x.1")), RunAddress) == make("x.1")


@pytest.mark.parametrize("kind", ADDRESSES)
@pytest.mark.parametrize("bad", ["", "a\n", "é" * 257, 7, None])
def test_convenience_addresses_refuse_what_is_no_identifier(kind: str, bad: Any) -> None:
    with pytest.raises(InvalidValueError):
        ADDRESSES[kind][0](bad)


def test_an_address_may_be_put_together_by_hand() -> None:
    by_hand = RunAddress(
        RunTarget("run.b"),
        DestinationRef(DestinationKind.AGENT, "run.b"),
        [EntityRef(EntityKind.RUN, "run.b")],  # type: ignore[arg-type]
    )
    assert by_hand == RunAddress.run("run.b")


@pytest.mark.parametrize("topics", [["a", "b"], ("a", "b"), deque(["a", "b"])])
def test_any_sequence_becomes_a_tuple(topics: Any) -> None:
    value = member(topics=topics)
    assert value.topics == ("a", "b")
    assert value == member(topics=("a", "b"))


@pytest.mark.parametrize("topics", ["ab", b"ab", None, 7, {"a": "b"}, [1], ["a", None]])
def test_what_is_no_list_of_identifiers_is_refused(topics: Any) -> None:
    with pytest.raises(InvalidValueError, match=r"AgentPoolMember.*topics"):
        member(topics=topics)


def test_order_and_duplicates_are_kept() -> None:
    topics = ("b", "a", "b")
    assert member(topics=topics).topics == topics
    assert decode(encode(member(topics=topics)), AgentPoolMember).topics == topics


def test_plain_strings_become_members_of_enumerations() -> None:
    value = MessageReceipt("m", "delivered")  # type: ignore[arg-type]
    assert value.status is MessageStatus.DELIVERED
    assert PolicyRef(kind="sandbox", id="p").kind is PolicyKind.SANDBOX  # type: ignore[arg-type]


def test_what_a_filter_admits_is_brought_into_form() -> None:
    plain: Any = Include(["run_failed", "run_started"])  # type: ignore[arg-type]
    kinds = EventFilter(kinds=plain).kinds
    assert kinds == include(EventKind.RUN_FAILED, EventKind.RUN_STARTED)
    assert isinstance(kinds, Include)
    assert all(type(kind) is EventKind for kind in kinds.include)


REFUSED: dict[str, Any] = {
    "unknown enum value": lambda: PolicyRef(kind="HOST", id="p"),  # type: ignore[arg-type]
    "unknown enum value in a filter": lambda: EventFilter(kinds=include("no")),  # type: ignore[arg-type]
    "list for a filter set": lambda: EventFilter(kinds=["run_failed"]),  # type: ignore[arg-type]
    "another word for any": lambda: EventFilter(kinds="all"),  # type: ignore[arg-type]
    "text for what a filter admits": lambda: Include("abc"),  # type: ignore[arg-type]
    "bool for an integer": lambda: AgentPoolStoreCursor(True),
    "float for an integer": lambda: AgentPoolStoreCursor(1.0),  # type: ignore[arg-type]
    "text for an integer": lambda: AgentPoolStoreCursor("1"),  # type: ignore[arg-type]
    "None for an integer": lambda: AgentPoolStoreCursor(None),  # type: ignore[arg-type]
    "text for a capacity": lambda: SubscriberQueueConfig(capacity="1"),  # type: ignore[arg-type]
    "negative": lambda: AgentPoolStoreCursor(-1),
    "u64 overflow": lambda: AgentPoolStoreCursor(2**64),
    "u64 overflow in an optional": lambda: MessageResponseContract(1, 2**64),
    "u64 overflow of an expiry": lambda: message(expires_at_millis=2**64),
    "u32 overflow": lambda: MessageResponseContract(2**32),
    "capacity 0": lambda: SubscriberQueueConfig(capacity=0),
    "terminal reserve 0": lambda: SubscriberQueueConfig(terminal_reserve=0),
    "capacity overflow": lambda: SubscriberQueueConfig(capacity=2**64),
    "integer for a bool": lambda: AgentPoolWakePolicy(1),  # type: ignore[arg-type]
    "None for a struct": lambda: AgentPoolStoreConfig(None),  # type: ignore[arg-type]
    "struct of another type": lambda: AgentPoolStoreConfig(AgentPoolWakePolicy()),  # type: ignore[arg-type]
    "lone surrogate in a text": lambda: PolicyRef(id="p", version="\ud800"),
    "lone surrogate in a tag": lambda: EventFilter(tags=include("\ud800")),
}


@pytest.mark.parametrize("make", REFUSED.values(), ids=REFUSED)
def test_refuses(make: Any) -> None:
    with pytest.raises(InvalidValueError):
        make()


def test_texts_that_are_no_identifiers_may_be_anything() -> None:
    ref = PolicyRef(id="p", version="\x00\x7f" + "x" * 600)
    assert decode(encode(ref), PolicyRef) == ref
    assert EventFilter(tags=include("", "\n")).tags == include("", "\n")


class _Name(str):
    """A string of a type of its own, as some libraries have for their ids."""

    __slots__ = ()


NAMED: dict[str, Callable[[], Any]] = {
    "identifier": lambda: member(_Name("r")),
    "identifier in a list": lambda: member(topics=["t", _Name("t")]),
    "identifier in a filter": lambda: EventFilter(run_ids=include(_Name("r"))),
    "text": lambda: PolicyRef(id="p", version=_Name("v")),
    "text in a filter": lambda: EventFilter(tags=include(_Name("t"))),
    "enum value for an identifier": lambda: member(MessageStatus.FAILED),
    "enum value in a list of identifiers": lambda: member(topics=[MessageStatus.FAILED]),
}


@pytest.mark.parametrize("make", NAMED.values(), ids=NAMED)
def test_a_string_of_another_type_is_refused_since_it_could_not_be_written(
    make: Callable[[], Any],
) -> None:
    with pytest.raises(InvalidValueError, match="not a plain string"):
        make()


def test_whatever_can_be_built_can_be_written() -> None:
    ref = PolicyRef(kind=_Name("sandbox"), id="p", version=MessageStatus.FAILED)  # type: ignore[arg-type]
    assert encode(ref) == b'{"kind":"sandbox","id":"p","version":"failed"}'
    assert decode(encode(ref), PolicyRef) == ref
    tagged = EventFilter(tags=include(MessageStatus.FAILED))
    assert decode(encode(tagged), EventFilter) == tagged


def test_the_default_config() -> None:
    assert AgentPoolStoreConfig() == AgentPoolStoreConfig(
        AgentPoolMessagePolicy((), include_sender_in_pool_broadcast=False),
        AgentPoolWakePolicy(envelope_only=True),
        (),
    )
    assert message().correlation == EventCorrelation()


def test_values_are_frozen_and_hashable() -> None:
    value = member(topics=["t"])
    with pytest.raises(AttributeError):
        value.run_id = "other"
    assert {value: 1}[member(topics=("t",))] == 1


def test_values_can_be_copied_and_pickled() -> None:
    value = message(policy_refs=[PolicyRef(id="p")])
    assert copy.deepcopy(value) == value
    assert pickle.loads(pickle.dumps(value)) == value  # noqa: S301  # made here


@pytest.mark.parametrize("payload", [PoolCreated(), UnknownRecord("new_kind", "{}")])
def test_a_record_can_be_built(payload: Any) -> None:
    record = AgentPoolStoreRecord("pool", AgentPoolStoreCursor(1), payload)
    assert record.payload == payload


def test_a_record_round_trips() -> None:
    record = AgentPoolStoreRecord("pool", AgentPoolStoreCursor(1), PoolCreated())
    raw = b'{"pool_id":"pool","cursor":{"sequence":1},"payload":{"type":"pool_created"}}'
    assert encode(record) == raw
    assert decode(raw, AgentPoolStoreRecord) == record


def test_a_missing_argument_is_a_mistake_of_the_program() -> None:
    with pytest.raises(TypeError) as caught:
        AgentPoolMember("r")  # type: ignore[call-arg]
    assert not isinstance(caught.value, AgentPoolError)
