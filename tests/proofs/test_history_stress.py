"""Processes that share a file and are killed tell the same story as the file."""

from pathlib import Path

import pytest

from agentpool.testing.history import Round, run_round

pytestmark = pytest.mark.slow


@pytest.mark.timeout(700)
@pytest.mark.parametrize(
    "plan",
    [
        Round(seed=11, processes=3, tasks=4, calls=30, kills=2),
        Round(seed=12, processes=2, tasks=8, calls=30, kills=1),
    ],
    ids=str,
)
async def test_what_callers_were_told_is_what_the_file_says(tmp_path: Path, plan: Round) -> None:
    verdict = await run_round(tmp_path, plan)
    assert verdict.violations == []
    every = {"append", "send", "join", "leave", "take", "ack", "suspend", "publish", "watch"}
    assert {do for do in every if not verdict.counts[f"{do} ok"]} == set()
    assert verdict.counts["kills"]
    assert verdict.counts["seen by watchers"] > verdict.counts["records"]
