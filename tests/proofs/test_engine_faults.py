"""Errors of the engine: the right error, nothing half done, and the handle goes on working."""

from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from agentpool import AgentPool, RunAddress, SqliteAgentPoolStore, StoreError, StoreFullError
from agentpool.testing import a_member, a_message
from agentpool.testing.faults import (
    DISK_FULL,
    FAULTS,
    Fault,
    disturb,
    disturb_opening,
    failing,
    failing_to_open,
)
from agentpool.testing.faults.cases import CASES, Case
from agentpool.testing.faults.damage import corrupt_pages, fill_disk
from agentpool.testing.faults.engine_faults import Tally

from .helpers import SEED

pytestmark = pytest.mark.slow


def some_faults(name: object) -> list[Fault]:
    """Choose other faults for each call, and for each seed."""
    return Random(f"{SEED} {name}").sample(FAULTS, 2)


@pytest.mark.parametrize("rolled_back", [False, True], ids=["open", "rolled back"])
@pytest.mark.parametrize("case", CASES, ids=str)
async def test_a_call_that_fails_at_any_step_has_done_nothing_by_halves(
    case: Case, rolled_back: bool, tmp_path: Path
) -> None:
    tally = Tally()
    for fault in some_faults(case):
        folder = tmp_path / fault.name
        folder.mkdir()
        await disturb(case, fault, tally, folder, rolled_back=rolled_back)
    assert tally.steps > 0
    assert tally.faults == []
    assert not tally.done


@pytest.mark.parametrize("rolled_back", [False, True], ids=["open", "rolled back"])
@pytest.mark.parametrize("fault", some_faults("open"), ids=str)
async def test_a_migration_that_fails_at_any_step_leaves_the_file_as_it_was(
    fault: Fault, rolled_back: bool, tmp_path: Path
) -> None:
    tally = Tally()
    await disturb_opening(fault, tally, tmp_path, rolled_back=rolled_back)
    assert tally.steps > 0
    assert tally.faults == []


async def test_a_call_that_finds_the_disk_full_has_done_nothing() -> None:
    assert (await fill_disk()).faults == []


async def test_a_damaged_page_gives_nobody_an_error_that_is_not_ours() -> None:
    damage = await corrupt_pages(10, Random(SEED))
    assert damage.faults == []
    assert damage.outcomes.total() > damage.outcomes["went through"] > 0


async def test_a_fault_hits_the_chosen_statement_and_no_other(tmp_path: Path) -> None:
    async with SqliteAgentPoolStore.open(tmp_path / "pool.db") as store:
        with failing(store, 0, DISK_FULL) as injected:
            with pytest.raises(StoreFullError):
                await store.next_event_sequence("pool.a")
            assert await store.next_event_sequence("pool.a") == 1
        assert injected.hit is not None
        assert await store.next_event_sequence("pool.a") == 2


async def test_rows_that_are_written_together_are_hit_too(tmp_path: Path) -> None:
    hits: list[str] = []
    async with (
        SqliteAgentPoolStore.open(tmp_path / "pool.db") as store,
        AgentPool.open(store, "pool.a") as pool,
    ):
        await pool.join_run(a_member("run.a"))
        for step in range(20):
            with failing(store, step, DISK_FULL) as injected, suppress(StoreFullError):
                await pool.send(a_message(to=RunAddress.run("run.a"), sender="run.a"))
            hits += [injected.hit] if injected.hit else []
    assert any("INTO agentpool_rows" in each for each in hits)


async def test_a_fault_beyond_the_last_statement_hits_nothing(tmp_path: Path) -> None:
    async with SqliteAgentPoolStore.open(tmp_path / "pool.db") as store:
        with failing(store, 1000, DISK_FULL) as injected:
            assert await store.next_event_sequence("pool.a") == 1
        assert injected.hit is None


async def test_opening_can_fail_at_the_connecting(tmp_path: Path) -> None:
    with failing_to_open(0, DISK_FULL) as injected, pytest.raises(StoreFullError):
        await SqliteAgentPoolStore.open(tmp_path / "pool.db")
    assert injected.hit == "connect"


async def test_a_damaged_schema_gives_an_error_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "pool.db"
    async with SqliteAgentPoolStore.open(path):
        pass
    path.write_bytes(path.read_bytes().replace(b"CREATE TABLE", b"CREATE \xd5\xd5\xd5\xd5\xd5"))
    with pytest.raises(StoreError):
        await SqliteAgentPoolStore.open(path)
