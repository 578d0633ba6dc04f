"""Valid values to build tests from; any field can be given by name.

Values with different ids have different idempotency keys, so ``a_message("m.1")`` and
``a_message("m.2")`` are two messages, not one and its retry.
"""

from typing import Any

from agentpool.wire.filters import EventFilter
from agentpool.wire.records import (
    AgentPoolMember,
    AgentPoolMessagePolicy,
    AgentPoolStoreConfig,
    MessageReceipt,
    MessageStatus,
    RunAddress,
    RunMessage,
    WakeCondition,
    WakeRegistration,
    WakeRegistrationStatus,
)

__all__ = ("a_condition", "a_config", "a_member", "a_message", "a_receipt", "a_registration")


def a_config(**fields: Any) -> AgentPoolStoreConfig:
    """Build a config that is not the default one."""
    policy = AgentPoolMessagePolicy(include_sender_in_pool_broadcast=True)
    return AgentPoolStoreConfig(**{"message_policy": policy, **fields})


def a_member(run_id: str = "run.a", **fields: Any) -> AgentPoolMember:
    """Build a member without topics."""
    return AgentPoolMember(**{"run_id": run_id, "agent_id": "agent.a", **fields})


def a_message(message_id: str = "message.1", **fields: Any) -> RunMessage:
    """Build a message from ``run.a`` to ``run.b``."""
    defaults = {
        "message_id": message_id,
        "sender": "run.a",
        "to": RunAddress.run("run.b"),
        "content_ref": "content.1",
        "idempotency_key": f"key.{message_id}",
    }
    return RunMessage(**{**defaults, **fields})


def a_receipt(
    message: RunMessage, status: MessageStatus = MessageStatus.ACCEPTED, **fields: Any
) -> MessageReceipt:
    """Build a receipt for a message."""
    return MessageReceipt(**{"message_id": message.message_id, "status": status, **fields})


def a_condition(condition_id: str = "wake.1", **fields: Any) -> WakeCondition:
    """Build the condition of a wake of ``run.a``, on any event."""
    defaults = {
        "condition_id": condition_id,
        "run_id": "run.a",
        "filter": EventFilter(),
        "idempotency_key": f"key.{condition_id}",
    }
    return WakeCondition(**{**defaults, **fields})


def a_registration(
    condition: WakeCondition,
    status: WakeRegistrationStatus = WakeRegistrationStatus.REGISTERED,
    **fields: Any,
) -> WakeRegistration:
    """Build a registration for a condition."""
    defaults = {"condition_id": condition.condition_id, "run_id": condition.run_id}
    return WakeRegistration(**{**defaults, "status": status, **fields})
