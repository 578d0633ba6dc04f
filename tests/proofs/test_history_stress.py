"""Processes that share a file tell the same story as the file, whatever is done to them."""

from pathlib import Path

import pytest

from agentpool.testing.history import Round, run_round

pytestmark = pytest.mark.slow


@pytest.mark.timeout(700)
@pytest.mark.parametrize(
    "plan",
    [
        Round(seed=11, processes=2, tasks=8, calls=30, kills=1),
        Round(seed=12, processes=6, tasks=2, calls=14, kills=2, pauses=3, jumps=6),
    ],
    ids=str,
)
async def test_what_callers_were_told_is_what_the_file_says(tmp_path: Path, plan: Round) -> None:
    verdict = await run_round(tmp_path, plan)
    assert verdict.violations == []
    every = {"append", "send", "join", "leave", "take", "ack", "suspend", "publish", "watch"}
    every |= {"hold", "part", "kill"} | ({"pause", "jump"} if plan.jumps else set())
    assert {do for do in every if not verdict.counts[f"{do} ok"]} == set()
    assert verdict.counts["seen by watchers"] > verdict.counts["records"]
