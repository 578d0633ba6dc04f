"""One asks all, in two processes; some of them leave without an answer."""

import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import pytest

from agentpool import AgentPool, AskOutcome, RunAddress
from agentpool.testing import a_member

from .helpers import BOUND, POOL, SEED, amount, process, say

pytestmark = pytest.mark.slow

VOTERS: Final = amount(5, 25)
LEAVING: Final = amount((1, 1), (3, 2))


async def test_asking_all_ends_when_the_last_has_answered_or_left(
    pool: AgentPool, path: Path
) -> None:
    async with AsyncExitStack() as stack:
        me = await stack.enter_async_context(pool.member(a_member("run.me"), lease=None))
        workers = [
            await stack.enter_async_context(
                process("vote.py", path, 100 + number * VOTERS, VOTERS, leaving, SEED + number)
            )
            for number, leaving in enumerate(LEAVING)
        ]
        for worker in workers:
            assert await worker.line() == "ready"
        answers = await me.ask(
            RunAddress.pool(POOL), "Shall we?", expected="all", timeout=10 * BOUND
        )
        ended = time.monotonic_ns()
        last = max([int(await worker.line()) for worker in workers])
        for worker in workers:
            worker.tell("end")
            code, _, errors = await worker.finish()
            assert code == 0, errors
    there = [f"run.{100 + number}" for number in range(2 * VOTERS)]
    gone = {
        run_id
        for number, leaving in enumerate(LEAVING)
        for run_id in there[(number + 1) * VOTERS - leaving : (number + 1) * VOTERS]
    }
    assert answers.outcome is AskOutcome.INCOMPLETE
    assert {*answers.missing} == gone
    assert sorted(each.sender for each in answers) == sorted({*there} - gone)
    say(f"{len(there)} asked, {len(gone)} left, over {(ended - last) / 1e6:.1f} ms after the last")
