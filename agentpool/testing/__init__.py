"""For authors of stores and of programs that use one. Needs no test framework.

`StoreConformance` and `PoolConformance` are the suites that every store has to pass, and
`SharedStoreConformance` is that of stores that can be opened again, or from elsewhere. `cancel_at`
and `interrupt_at` disturb a coroutine at each place where it waits. The functions called ``a_...``
build valid values.
"""

# Disturbing coroutines
from agentpool.testing.cancellation import Moment, cancel_at, interrupt_at, tasks_left

# The suites
from agentpool.testing.conformance import StoreConformance
from agentpool.testing.conformance.pools import PoolConformance
from agentpool.testing.conformance.shared import SharedStoreConformance

# Values
from agentpool.testing.values import (
    a_condition,
    a_config,
    a_member,
    a_message,
    a_receipt,
    a_registration,
)

__all__ = (
    "Moment",
    "PoolConformance",
    "SharedStoreConformance",
    "StoreConformance",
    "a_condition",
    "a_config",
    "a_member",
    "a_message",
    "a_receipt",
    "a_registration",
    "cancel_at",
    "interrupt_at",
    "tasks_left",
)
