"""The beginning of a pool: it is opened with a config, and it comes to life."""

from collections.abc import Sequence
from typing import Final, cast

from agentpool.errors import PoolConfigConflictError
from agentpool.rules.command import Command, Decision, PoolView, cursor_at
from agentpool.rules.requirements import checked_sequence, require_open, require_type
from agentpool.wire.payload import SealedPayload, seal
from agentpool.wire.records import (
    AgentPoolMessagePolicy,
    AgentPoolStoreConfig,
    AgentPoolStoreCursor,
    AgentPoolWakePolicy,
    PoolCreated,
    PoolOpened,
)
from agentpool.wire.refs import PolicyRef
from agentpool.wire.struct import trusted

__all__ = ("OpenPool", "RecordPoolCreated", "coming_to_life", "config_of")

_CREATED: Final = (seal(PoolCreated()),)


def config_of(
    message_policy: AgentPoolMessagePolicy | None,
    wake_policy: AgentPoolWakePolicy | None,
    policy_refs: Sequence[PolicyRef],
) -> AgentPoolStoreConfig | None:
    """Make the config that a pool is to be opened with; ``None``: whatever it has."""
    refs = checked_sequence(policy_refs, "policy_refs", PolicyRef)
    if message_policy is not None:
        require_type(message_policy, AgentPoolMessagePolicy, "message_policy")
    if wake_policy is not None:
        require_type(wake_policy, AgentPoolWakePolicy, "wake_policy")
    if message_policy is None and wake_policy is None and not refs:
        return None
    return AgentPoolStoreConfig(
        message_policy=message_policy or AgentPoolMessagePolicy(),
        wake_policy=wake_policy or AgentPoolWakePolicy(),
        policy_refs=refs,
    )


class OpenPool(Command[AgentPoolStoreConfig]):
    """Open a pool with a config; without one, with the default or the one that it has."""

    def __init__(self, config: AgentPoolStoreConfig | None = None) -> None:
        if config is not None:
            require_type(config, AgentPoolStoreConfig, "config")
        self._any = config is None
        self._record = seal(trusted(PoolOpened, config or AgentPoolStoreConfig()))
        self._config = cast("PoolOpened", self._record.payload).config

    def decide(self, view: PoolView) -> Decision[AgentPoolStoreConfig]:
        has = view.config
        # The first to open decides, for all: two configs in one log could not be replayed.
        if has is None:
            return Decision(self._config, (self._record,))
        if not self._any and self._config != has:
            msg = (
                f"the pool was opened before with other policies: {_differing(has, self._config)};"
                " open it with those that it has, or without any, which takes them"
            )
            raise PoolConfigConflictError(msg, pool_id=view.pool_id)
        return Decision(has)


def _differing(has: AgentPoolStoreConfig, wanted: AgentPoolStoreConfig) -> str:
    """List what differs, with what the pool has."""
    parts = zip(_parts(has), _parts(wanted), strict=True)
    return ", ".join(f"{name} is {shown}" for (name, shown), (_, other) in parts if shown != other)


def _parts(config: AgentPoolStoreConfig) -> tuple[tuple[str, str], ...]:
    messages, wakes = config.message_policy, config.wake_policy
    with_sender = messages.include_sender_in_pool_broadcast
    return (
        ("message_policy.required_policy_refs", _refs(messages.required_policy_refs)),
        ("message_policy.include_sender_in_pool_broadcast", str(with_sender)),
        ("wake_policy.envelope_only", str(wakes.envelope_only)),
        ("policy_refs", _refs(config.policy_refs)),
    )


def _refs(refs: Sequence[PolicyRef]) -> str:
    named = (f"{each.kind} {each.id!r} {each.version or ''}".rstrip() for each in refs)
    return f"[{', '.join(named)}]"


def coming_to_life(view: PoolView) -> tuple[SealedPayload, ...]:
    """Give the record that the pool came to life, if there is none yet: it is written once."""
    return _CREATED if view.state.created_at is None else ()


class RecordPoolCreated(Command[AgentPoolStoreCursor]):
    """Record once that the pool came to life."""

    def decide(self, view: PoolView) -> Decision[AgentPoolStoreCursor]:
        require_open(view)
        created_at = view.state.created_at or view.head + 1
        return Decision(cursor_at(created_at), coming_to_life(view))
