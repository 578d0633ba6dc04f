"""The doctor of the live page: who asks while he looks, waits for what he says then."""

import asyncio
from subprocess import CompletedProcess

import anyio
import pytest

from agentpool.web.examining import Examining


class Doctors:
    """Doctors that look until they may end."""

    def __init__(self) -> None:
        self.came = 0
        self.may_end = anyio.Event()

    async def run(self, *_call: object, **_how: object) -> CompletedProcess[bytes]:
        self.came += 1
        number = self.came
        await self.may_end.wait()
        return CompletedProcess([], 0, f"said the doctor {number}".encode())


@pytest.fixture
def doctors(monkeypatch: pytest.MonkeyPatch) -> Doctors:
    doctors = Doctors()
    monkeypatch.setattr(anyio, "run_process", doctors.run)
    return doctors


async def test_who_asks_meanwhile_shares_the_examination_that_runs(doctors: Doctors) -> None:
    examining = Examining("pool.db", None)
    asking = [asyncio.create_task(examining.said()) for _ in range(5)]
    await anyio.wait_all_tasks_blocked()
    doctors.may_end.set()
    assert set(await asyncio.gather(*asking)) == {"said the doctor 1"}
    assert await examining.said() == "said the doctor 2"  # who asks later has it anew


async def test_where_who_asked_first_goes_the_next_has_the_store_examined(
    doctors: Doctors,
) -> None:
    examining = Examining("pool.db", None)
    first, *others = [asyncio.create_task(examining.said()) for _ in range(3)]
    await anyio.wait_all_tasks_blocked()
    first.cancel()
    await anyio.wait_all_tasks_blocked()
    doctors.may_end.set()
    assert await asyncio.gather(*others) == ["said the doctor 2"] * 2
