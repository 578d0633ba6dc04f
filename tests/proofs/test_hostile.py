"""A hostile writer harms nothing but what it writes to, and brings out no error but ours."""

from typing import Any

import pytest

from agentpool.testing.faults.attacks import ATTACKS, HARMED
from agentpool.testing.faults.hostile import Hostility, Judge, attack
from agentpool.testing.faults.victim import OTHER

AT_ONCE = {
    "no JSON",
    "a deep record",
    "a long message",
    "the largest number",
    "deadlines of nothing",
    "a trigger on agentpool_rows that takes away",
}


@pytest.mark.slow
async def test_many_attacks_at_once_harm_only_the_pool_that_they_are_on() -> None:
    tally = Hostility()
    await attack([each for each in ATTACKS if each.name in AT_ONCE], tally, 1)
    assert tally.faults == []
    assert set(tally.attacks) == AT_ONCE
    assert tally.outcomes["ok"]
    assert tally.outcomes.total() > tally.outcomes["ok"]


def made(**what: object) -> dict[str, Any]:
    return {"pool": HARMED, "call": "send", "outcome": "ok", "seconds": 0.1, "sent": "k", **what}


FINE = {
    "a call that ends well": made(),
    "an error of ours in the pool that is harmed": made(outcome="StoreError"),
    "rest": {"rested": 0.01, "peak": 50},
}
FAULTS = {
    "an error that is not ours": made(outcome="foreign TypeError: x"),
    "a call that does not end": made(outcome="too slow"),
    "an error in the other pool": made(pool=OTHER, outcome="StoreError"),
    "work for nothing": {"rested": 0.9, "peak": 50},
    "too much memory": {"rested": 0.01, "peak": 101},
}


@pytest.mark.parametrize("name", [*FINE, *FAULTS])
def test_what_is_said_is_judged(name: str) -> None:
    tally = Hostility()
    Judge(tally, "an attack: ", memory=100).take_in([(FINE | FAULTS)[name]], {OTHER})
    assert bool(tally.faults) == (name in FAULTS)
