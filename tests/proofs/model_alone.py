"""SQLite behaves as the store in memory does, whatever is done to both; see `agentpool.testing`."""

from typing import Final

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from msgspec.structs import replace

from agentpool.rules.claims import Claim
from agentpool.testing.model.machine import ModelMachine
from agentpool.testing.model.steps import Actor
from agentpool.wire.records import MessageReceipt, RunMessage

SHORT: Final = settings(
    max_examples=28,
    stateful_step_count=25,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def run(machine: type[ModelMachine]) -> None:
    run_state_machine_as_test(machine, settings=SHORT)


@pytest.mark.timeout(700)
def test_sqlite_cannot_be_told_from_the_store_in_memory() -> None:
    ModelMachine.counts.clear()
    run(ModelMachine)
    steps = {"send", "take_next", "ack", "suspend_until", "publish", "catch_up", "ask", "snapshot"}
    assert {do for do in steps if not ModelMachine.counts[f"{do} ok"]} == set()
    assert ModelMachine.counts["steps at once"]


class Deaf(Actor):
    """Acknowledges nothing."""

    async def ack(self, claim: Claim) -> None:
        pass


class Doubling(Actor):
    """Sends everything twice."""

    async def send(self, message: RunMessage) -> MessageReceipt:
        twin = f"twin.{message.message_id}"
        await super().send(replace(message, message_id=twin, idempotency_key=twin))
        return await super().send(message)


@pytest.mark.timeout(700)
@pytest.mark.parametrize("broken", [Deaf, Doubling])
def test_a_store_that_behaves_otherwise_is_found_out(broken: type[Actor]) -> None:
    class Machine(ModelMachine):
        actor = broken

    with pytest.raises(AssertionError, match=r"the store|no order explains"):
        run(Machine)
