"""What is counted and measured of operations, under the names of the conventions."""

from typing import Any, Final

import pytest
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from agentpool import MemberHandle, NoRecipientError, RunAddress

from .helpers import POOL, answering, measured

TO_BOB: Final = RunAddress.run("run.bob")
SENT: Final = "messaging.client.sent.messages"
CONSUMED: Final = "messaging.client.consumed.messages"
DURATION: Final = "messaging.client.operation.duration"
PROCESS: Final = "messaging.process.duration"

pytestmark = pytest.mark.usefixtures("spans")


def dimensions(name: str, type_: str, **more: str) -> dict[str, Any]:
    return {
        "messaging.system": "agentpool",
        "messaging.operation.name": name,
        "messaging.operation.type": type_,
        "messaging.destination.name": POOL,
        **{key.replace("_", "."): value for key, value in more.items()},
    }


async def test_what_is_counted_and_measured(
    reader: InMemoryMetricReader, ada: MemberHandle, bob: MemberHandle
) -> None:
    await ada.send(TO_BOB, "hello")
    await ada.send_many([(TO_BOB, "one"), (TO_BOB, "two")])
    async with await bob.inbox.take():
        pass
    await bob.inbox.ack_many(await bob.inbox.take_many(5))
    found = measured(reader)
    assert [(of, point.value) for of, point in found[SENT]] == [(dimensions("send", "send"), 3)]
    assert [(of, point.value) for of, point in found[CONSUMED]] == [
        (dimensions("receive", "receive"), 3)
    ]
    assert [(of, point.count) for of, point in found[DURATION]] == [
        (dimensions("send", "send"), 2),
        (dimensions("receive", "receive"), 2),
        (dimensions("ack", "settle"), 2),
    ]
    assert [(of, point.count) for of, point in found[PROCESS]] == [
        (dimensions("process", "process"), 1)
    ]


async def test_durations_are_in_seconds_and_finely_divided(
    reader: InMemoryMetricReader, ada: MemberHandle, bob: MemberHandle
) -> None:
    assert bob.run_id
    await ada.send(TO_BOB, "hello")
    [(_, point)] = measured(reader)[DURATION]
    assert point.explicit_bounds[0] == 0.005
    assert point.explicit_bounds[-1] == 10
    assert 0 < point.sum < 60


async def test_what_fails_is_counted_by_its_error(
    reader: InMemoryMetricReader, ada: MemberHandle
) -> None:
    with pytest.raises(NoRecipientError):
        await ada.send(RunAddress.run("run.gone"), "hello")
    await ada.send(RunAddress.run("run.ada"), "hello")
    with pytest.raises(ZeroDivisionError):
        async with await ada.inbox.take():
            raise ZeroDivisionError
    found = measured(reader)
    nobody = dimensions("send", "send", error_type="NoRecipientError")
    assert [of for of, _ in found[SENT]] == [nobody, dimensions("send", "send")]
    assert [of for of, _ in found[PROCESS]] == [
        dimensions("process", "process", error_type="ZeroDivisionError")
    ]


async def test_answers_are_consumed_by_who_asked(
    reader: InMemoryMetricReader, ada: MemberHandle, bob: MemberHandle
) -> None:
    async with answering(bob):
        await ada.ask_one(TO_BOB, "Where is Dune?")
    [(_, point)] = measured(reader)[CONSUMED]
    assert point.value == 2  # the question, and the answer
