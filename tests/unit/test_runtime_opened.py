"""What an opened pool does with its store, where the conformance suite cannot see it."""

from samples import POOL

from agentpool import (
    AgentPool,
    EventFilter,
    InMemoryAgentPoolStore,
    WakeRegistrationStatus,
    include,
)
from agentpool.rules.command import Decision
from agentpool.rules.consequences import PIECE
from agentpool.testing import a_condition, a_member, a_message
from agentpool.testing.conformance.kit import message_record
from agentpool.testing.conformance.pool_kit import ManualClock
from agentpool.wire.payload import seal

NEVER = EventFilter(run_ids=include("run.nobody"))
TIMEOUT = 1_000


async def test_a_wake_that_is_due_is_ended_however_much_others_have_appended() -> None:
    clock = ManualClock()
    async with InMemoryAgentPoolStore(clock=clock) as store, AgentPool.open(store, POOL) as pool:
        await pool.join_run(a_member("run.a"))
        condition = a_condition(filter=NEVER, timeout_millis=TIMEOUT)
        await pool.suspend_until("run.a", condition)
        foreign = tuple(seal(message_record(a_message(f"foreign.{n}"))) for n in range(3 * PIECE))
        store._pools[POOL].apply(Decision(None, foreign))
        clock.advance(TIMEOUT)
        assert (await pool.poll_wake("wake.1")).status is WakeRegistrationStatus.TIMED_OUT
