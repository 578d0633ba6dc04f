"""What the log of a pool means at one moment."""

from agentpool.errors import shown
from agentpool.wire.ids import AgentPoolId, TopicId
from agentpool.wire.records import (
    AgentPoolMember,
    AgentPoolMessagePolicy,
    AgentPoolStoreCursor,
    AgentPoolStoredMessage,
    AgentPoolStoredWake,
    AgentPoolWakePolicy,
)
from agentpool.wire.refs import PolicyRef
from agentpool.wire.struct import Wire

__all__ = ("AgentPoolSnapshot",)


class AgentPoolSnapshot(Wire, kw_only=True):
    """The state of a pool after the record at ``cursor``.

    Members, messages and wakes stand in ascending order of their ids, topics in ascending order
    and once, each by the bytes of its UTF-8.
    """

    pool_id: AgentPoolId
    created: bool
    members: tuple[AgentPoolMember, ...]
    topics: tuple[TopicId, ...]
    message_policy: AgentPoolMessagePolicy
    wake_policy: AgentPoolWakePolicy
    policy_refs: tuple[PolicyRef, ...] = ()
    messages: tuple[AgentPoolStoredMessage, ...] = ()
    wakes: tuple[AgentPoolStoredWake, ...] = ()
    cursor: AgentPoolStoreCursor | None = None

    def __repr__(self) -> str:
        cursor = self.cursor.sequence if self.cursor else 0
        counts = ", ".join(
            f"{len(values)} {name if len(values) == 1 else f'{name}s'}"
            for name, values in (
                ("member", self.members),
                ("message", self.messages),
                ("wake", self.wakes),
            )
        )
        return f"<AgentPoolSnapshot {shown(self.pool_id)} at {cursor}: {counts}>"
