"""What a pool lets a filter see: the runs that carry its policies, and how much of each event."""

from msgspec.structs import replace

from agentpool.rules.command import PoolView
from agentpool.rules.membership import carries_policies
from agentpool.rules.requirements import require_open
from agentpool.wire.events import EventEnvelope
from agentpool.wire.filters import EventFilter, PayloadAccessMode
from agentpool.wire.records import AgentPoolStoredWake
from agentpool.wire.struct import Include

__all__ = ("is_in_scope", "scoped")


def scoped(view: PoolView, wanted: EventFilter) -> EventFilter:
    """Narrow a filter to what a pool may see now: its runs in ascending order."""
    config = require_open(view)
    runs = sorted(
        run_id for run_id, member in view.state.members.items() if carries_policies(config, member)
    )
    if isinstance(wanted.run_ids, Include):
        asked = set(wanted.run_ids.include)
        runs = [run_id for run_id in runs if run_id in asked]
    narrowed = replace(wanted, run_ids=Include(include=tuple(runs)))
    if config.wake_policy.envelope_only:
        narrowed = replace(narrowed, payload_access=PayloadAccessMode.ENVELOPE_ONLY)
    return narrowed


def is_in_scope(
    view: PoolView, stored: AgentPoolStoredWake, registered_at: int, event: EventEnvelope, seq: int
) -> bool:
    """Say whether the run of an event is one that a wake was narrowed to, or has joined since.

    :param registered_at: the record that registered the wake
    :param seq: the record that the event is, or came after
    """
    runs = stored.compiled_filter.criteria.run_ids
    if not isinstance(runs, Include) or event.run_id in runs.include:
        return True
    joined = view.member_at(event.run_id, seq + 1)
    return joined is not None and joined.seq > registered_at
