"""What becomes due is recorded although the process that began it was killed."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from agentpool import (
    AgentPool,
    AgentPoolStoreRecordPayload,
    MemberLeft,
    MessageStatus,
    RunMessageRecorded,
    SqliteAgentPoolStore,
    WakeRecorded,
    WakeRegistrationStatus,
)

from .helpers import POOL, Clock, in_a_minute, next_record, payloads, process

LEASE_MILLIS: Final = 6_000


def is_timed_out_wake(payload: AgentPoolStoreRecordPayload) -> bool:
    return (
        isinstance(payload, WakeRecorded)
        and payload.stored.registration.status is WakeRegistrationStatus.TIMED_OUT
    )


def has_status(status: MessageStatus) -> Callable[[AgentPoolStoreRecordPayload], bool]:
    return lambda payload: (
        isinstance(payload, RunMessageRecorded) and payload.stored.receipt.status is status
    )


def is_lost_owner(payload: AgentPoolStoreRecordPayload) -> bool:
    return isinstance(payload, MemberLeft) and payload.member.run_id == "run.owner"


DUE: Final[dict[str, Callable[[AgentPoolStoreRecordPayload], bool]]] = {
    "wake": is_timed_out_wake,
    "response": has_status(MessageStatus.TIMED_OUT),
    "expiry": has_status(MessageStatus.EXPIRED),
    "lease": is_lost_owner,
}


async def begin_and_be_killed(path: Path, what: str, millis: int) -> None:
    async with process("owe.py", path, what, millis) as owner:
        assert await owner.line() == "owes"
        owner.kill()
        code, _, errors = await owner.finish()
        assert code == -9, errors


@pytest.mark.parametrize("what", DUE)
async def test_another_process_records_what_a_killed_one_began(
    pool: AgentPool, path: Path, what: str
) -> None:
    await begin_and_be_killed(path, what, 1_000)
    await next_record(pool, DUE[what])
    assert sum(map(DUE[what], await payloads(pool))) == 1


@pytest.mark.parametrize(
    "what", sorted(DUE.keys() - {"lease"})
)  # that is given time for a heartbeat
async def test_the_first_to_open_the_pool_after_a_crash_of_all_records_what_is_due(
    path: Path, what: str
) -> None:
    await begin_and_be_killed(path, what, 30_000)
    async with SqliteAgentPoolStore.open(path, clock=in_a_minute) as store:
        assert not any(DUE[what](record.payload) for record in await store.read(POOL))  # type: ignore[arg-type]
        async with AgentPool.open(store, POOL) as pool:
            assert sum(map(DUE[what], await payloads(pool))) == 1


async def test_a_wait_of_a_killed_process_ends_when_its_lease_does(path: Path) -> None:
    """The wake of a lost member fails, and its message stays in its inbox."""
    clock = Clock()
    async with (
        SqliteAgentPoolStore.open(path, clock=clock) as store,
        AgentPool.open(store, POOL) as pool,
    ):
        async with process("wait_and_hold.py", path, LEASE_MILLIS) as owner:
            assert await owner.line() == "waits"
            owner.kill()
            await owner.finish()
        clock.advance(LEASE_MILLIS)
        outcome = await pool.wait("wake.1")
        assert outcome.registration.status is WakeRegistrationStatus.FAILED
        assert "run.owner" not in {member.run_id for member in await pool.members()}
        [unread] = await pool.inbox("run.owner").peek()
        assert unread.message_id == "message.1"
