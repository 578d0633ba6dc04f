"""The model of how many agents servers carry says what its assumptions mean."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.capacity import Costs, Load, limits, servers

ROOT = Path(__file__).parents[2]


def test_it_prints_what_ends_first() -> None:
    command = [sys.executable, "-m", "benchmarks.capacity"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    told = ran.stdout.splitlines()
    assert told[0].startswith("1,000,000 agents at 1 messages a minute each take ")
    assert told[2].startswith(limits(Load(), Costs())[0].what)


@pytest.mark.parametrize("agents", [1_000, 1_000_000, 10_000_000])
def test_so_many_servers_are_enough_and_one_less_is_not(agents: int) -> None:
    load, costs = replace(Load(), agents=agents), Costs()
    needed = servers(load, costs)
    found = limits(load, costs)
    for number in {needed, max(needed - 1, 1)}:
        used = [
            sum(each.on_each_of(number) for each in found if each.of == of)
            for of in ("CPU", "connections", "disk")
        ]
        assert (max(used) <= 1) == (number == needed)


def test_what_costs_more_carries_less() -> None:
    few = {each.what: each.agents(Load()) for each in limits(Load(), Costs())}
    dear = replace(Costs(), commit=2 * Costs().commit, notify=4 * Costs().notify)
    fewer = {each.what: each.agents(Load()) for each in limits(Load(), dear)}
    assert fewer["CPU of commands"] < few["CPU of commands"]
    assert fewer["CPU of NOTIFY"] == pytest.approx(few["CPU of NOTIFY"] / 2, abs=1)
    assert fewer["connections"] == few["connections"]
