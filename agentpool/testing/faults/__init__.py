"""Faults, and what has to be so after them. For authors of programs and of stores on SQLite.

`failing` lets a chosen statement of an open store fail with an error of the engine. The three
proofs run long by ``python -m agentpool.testing kills``, ``powercut`` or ``engine``, beside
``moves`` and ``hostile``:

- `kill_matrix` kills processes at random instants while they do everything that can be done;
- `power_cuts` replays what a process wrote, up to a random point, losing what was not synced;
- `disturb` raises each error of the engine at each step of each call.
"""

# Killing
# Errors of the engine
from agentpool.testing.faults.engine import (
    DISK_FULL,
    FAULTS,
    Fault,
    Injected,
    failing,
    failing_to_open,
)
from agentpool.testing.faults.engine_faults import disturb, disturb_opening
from agentpool.testing.faults.kills import kill_matrix

# Cutting the power
from agentpool.testing.faults.power_cut import power_cuts

__all__ = (
    "DISK_FULL",
    "FAULTS",
    "Fault",
    "Injected",
    "disturb",
    "disturb_opening",
    "failing",
    "failing_to_open",
    "kill_matrix",
    "power_cuts",
)
