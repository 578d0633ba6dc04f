"""Every kind of event there is, which of them are terminal, and the families they belong to."""

from typing import Final

from agentpool.errors import CheckedEnum

__all__ = ("TERMINAL_EVENT_KINDS", "EventFamily", "EventKind", "family_of")


class EventFamily(CheckedEnum):
    """What part of an agent system an event comes from."""

    RUN = "run"
    TURN = "turn"
    MESSAGE = "message"
    MODEL = "model"
    TOOL = "tool"
    APPROVAL = "approval"
    HOOK = "hook"
    CONTEXT = "context"
    STREAM_RULE = "stream_rule"
    REALTIME = "realtime"
    ISOLATION = "isolation"
    CHILD_LIFECYCLE = "child_lifecycle"
    AGENT_POOL = "agent_pool"
    SUBAGENT = "subagent"
    EXTENSION = "extension"
    STRUCTURED_OUTPUT = "structured_output"
    OUTPUT = "output"
    OUTPUT_DELIVERY = "output_delivery"
    TELEMETRY = "telemetry"
    RECOVERY = "recovery"


class EventKind(CheckedEnum):
    """What happened."""

    RUN_STARTED = "run_started"
    RUN_COMPLETED = "run_completed"
    RUN_FAILED = "run_failed"
    RUN_CANCELLED = "run_cancelled"
    RUN_CHECKPOINTED = "run_checkpointed"
    RUN_CANCEL_REQUESTED = "run_cancel_requested"
    RUN_RESUME_REQUESTED = "run_resume_requested"
    RUN_RESUME_FAILED = "run_resume_failed"
    TURN_STARTED = "turn_started"
    TURN_COMPLETED = "turn_completed"
    TURN_FAILED = "turn_failed"
    MESSAGE_ACCEPTED = "message_accepted"
    MESSAGE_COMMITTED = "message_committed"
    PROVIDER_REQUEST_PROJECTED = "provider_request_projected"
    MODEL_ATTEMPT_STARTED = "model_attempt_started"
    MODEL_STREAM_DELTA = "model_stream_delta"
    MODEL_MESSAGE_COMPLETED = "model_message_completed"
    MODEL_ATTEMPT_FAILED = "model_attempt_failed"
    TOOL_REQUESTED = "tool_requested"
    TOOL_STARTED = "tool_started"
    TOOL_COMPLETED = "tool_completed"
    TOOL_FAILED = "tool_failed"
    TOOL_DENIED = "tool_denied"
    TOOL_RECOVERY_REQUIRED = "tool_recovery_required"
    APPROVAL_REQUESTED = "approval_requested"
    APPROVAL_DISPATCHED = "approval_dispatched"
    APPROVAL_DISPATCH_UNAVAILABLE = "approval_dispatch_unavailable"
    APPROVAL_RESPONDED = "approval_responded"
    APPROVAL_DENIED = "approval_denied"
    APPROVAL_TIMED_OUT = "approval_timed_out"
    APPROVAL_CANCELLED = "approval_cancelled"
    HOOK_REGISTERED = "hook_registered"
    HOOK_INVOKED = "hook_invoked"
    HOOK_COMPLETED = "hook_completed"
    HOOK_FAILED = "hook_failed"
    HOOK_TIMED_OUT = "hook_timed_out"
    HOOK_CANCELLED = "hook_cancelled"
    HOOK_RESPONSE_APPLIED = "hook_response_applied"
    HOOK_RESPONSE_REJECTED = "hook_response_rejected"
    CONTEXT_ASSEMBLED = "context_assembled"
    STREAM_RULE_REGISTERED = "stream_rule_registered"
    STREAM_RULE_COMPILE_FAILED = "stream_rule_compile_failed"
    STREAM_RULE_MATCHED = "stream_rule_matched"
    STREAM_INTERVENTION_REQUESTED = "stream_intervention_requested"
    STREAM_INTERVENTION_APPLIED = "stream_intervention_applied"
    STREAM_RULE_REPEAT_STATE_RECORDED = "stream_rule_repeat_state_recorded"
    REALTIME_CONNECT_REQUESTED = "realtime_connect_requested"
    REALTIME_CONNECTED = "realtime_connected"
    REALTIME_INPUT_SEND_REQUESTED = "realtime_input_send_requested"
    REALTIME_INPUT_SENT = "realtime_input_sent"
    REALTIME_OUTPUT_RECEIVE_REQUESTED = "realtime_output_receive_requested"
    REALTIME_OUTPUT_RECEIVED = "realtime_output_received"
    REALTIME_INTERRUPTED = "realtime_interrupted"
    REALTIME_RESTART_REQUESTED = "realtime_restart_requested"
    REALTIME_RESTART_STARTED = "realtime_restart_started"
    REALTIME_RESTART_COMPLETED = "realtime_restart_completed"
    REALTIME_RESTART_FAILED = "realtime_restart_failed"
    REALTIME_CLOSE_REQUESTED = "realtime_close_requested"
    REALTIME_CLOSED = "realtime_closed"
    REALTIME_BACKPRESSURE_APPLIED = "realtime_backpressure_applied"
    ISOLATION_REQUESTED = "isolation_requested"
    ISOLATION_ADAPTER_HEALTH_CHECKED = "isolation_adapter_health_checked"
    ISOLATION_CAPABILITY_MATCHED = "isolation_capability_matched"
    ISOLATION_DOWNGRADE_DENIED = "isolation_downgrade_denied"
    ISOLATION_DOWNGRADE_APPROVED = "isolation_downgrade_approved"
    ISOLATION_ENVIRONMENT_PREPARED = "isolation_environment_prepared"
    ISOLATION_PROCESS_STARTED = "isolation_process_started"
    ISOLATION_PROCESS_IO_CAPTURED = "isolation_process_io_captured"
    ISOLATION_PROCESS_STATS_RECORDED = "isolation_process_stats_recorded"
    ISOLATION_CLEANUP_STARTED = "isolation_cleanup_started"
    ISOLATION_CLEANUP_COMPLETED = "isolation_cleanup_completed"
    ISOLATION_CLEANUP_FAILED = "isolation_cleanup_failed"
    ISOLATION_FAILED = "isolation_failed"
    CHILD_LIFECYCLE_REQUESTED = "child_lifecycle_requested"
    CHILD_LIFECYCLE_COMPLETED = "child_lifecycle_completed"
    CHILD_LIFECYCLE_DETACHED = "child_lifecycle_detached"
    SUBAGENT_STARTED = "subagent_started"
    SUBAGENT_HANDOFF = "subagent_handoff"
    SUBAGENT_EVENT_WRAPPED = "subagent_event_wrapped"
    SUBAGENT_USAGE_ROLLED_UP = "subagent_usage_rolled_up"
    SUBAGENT_COMPLETED = "subagent_completed"
    EXTENSION_ACTION_SUBMITTED = "extension_action_submitted"
    EXTENSION_ACTION_STARTED = "extension_action_started"
    EXTENSION_ACTION_COMPLETED = "extension_action_completed"
    EXTENSION_ACTION_FAILED = "extension_action_failed"
    EXTENSION_ACTION_DENIED = "extension_action_denied"
    OUTPUT_DISPATCH_REQUESTED = "output_dispatch_requested"
    OUTPUT_DISPATCH_COMPLETED = "output_dispatch_completed"
    OUTPUT_DISPATCH_FAILED = "output_dispatch_failed"
    OUTPUT_DISPATCH_DEDUPED = "output_dispatch_deduped"
    STRUCTURED_OUTPUT_REQUESTED = "structured_output_requested"
    STRUCTURED_OUTPUT_VALIDATION_STARTED = "structured_output_validation_started"
    STRUCTURED_OUTPUT_VALIDATION_FAILED = "structured_output_validation_failed"
    STRUCTURED_OUTPUT_REPAIR_REQUESTED = "structured_output_repair_requested"
    STRUCTURED_OUTPUT_VALIDATED = "structured_output_validated"
    STRUCTURED_OUTPUT_FAILED = "structured_output_failed"
    TELEMETRY_SINK_FAILED = "telemetry_sink_failed"
    TELEMETRY_SINK_RECOVERED = "telemetry_sink_recovered"
    USAGE_RECORDED = "usage_recorded"
    COST_ESTIMATED = "cost_estimated"
    COST_CORRECTED = "cost_corrected"
    REPLAY_STARTED = "replay_started"
    REPLAY_COMPLETED = "replay_completed"
    REPLAY_FAILED = "replay_failed"
    AGENT_POOL_CREATED = "agent_pool_created"
    AGENT_POOL_RUN_JOINED = "agent_pool_run_joined"
    AGENT_POOL_RUN_LEFT = "agent_pool_run_left"
    RUN_MESSAGE_ACCEPTED = "run_message_accepted"
    RUN_MESSAGE_DELIVERED = "run_message_delivered"
    RUN_MESSAGE_RESPONDED = "run_message_responded"
    RUN_MESSAGE_FAILED = "run_message_failed"
    RUN_MESSAGE_TIMED_OUT = "run_message_timed_out"
    RUN_MESSAGE_EXPIRED = "run_message_expired"
    RUN_MESSAGE_CANCELLED = "run_message_cancelled"
    WAKE_CONDITION_REGISTERED = "wake_condition_registered"
    WAKE_CONDITION_TRIGGERED = "wake_condition_triggered"
    WAKE_CONDITION_TIMED_OUT = "wake_condition_timed_out"
    WAKE_CONDITION_CANCELLED = "wake_condition_cancelled"
    WAKE_CONDITION_FAILED = "wake_condition_failed"

    @property
    def is_terminal(self) -> bool:
        """Whether nothing more follows about the subject of such an event."""
        return self in TERMINAL_EVENT_KINDS


TERMINAL_EVENT_KINDS: Final = frozenset(
    {
        EventKind.RUN_COMPLETED,
        EventKind.RUN_FAILED,
        EventKind.RUN_CANCELLED,
        EventKind.TURN_COMPLETED,
        EventKind.TURN_FAILED,
        EventKind.MODEL_MESSAGE_COMPLETED,
        EventKind.MODEL_ATTEMPT_FAILED,
        EventKind.TOOL_COMPLETED,
        EventKind.TOOL_FAILED,
        EventKind.TOOL_DENIED,
        EventKind.TOOL_RECOVERY_REQUIRED,
        EventKind.APPROVAL_RESPONDED,
        EventKind.OUTPUT_DISPATCH_COMPLETED,
        EventKind.OUTPUT_DISPATCH_FAILED,
        EventKind.OUTPUT_DISPATCH_DEDUPED,
        EventKind.APPROVAL_DENIED,
        EventKind.APPROVAL_TIMED_OUT,
        EventKind.APPROVAL_CANCELLED,
        EventKind.APPROVAL_DISPATCH_UNAVAILABLE,
        EventKind.HOOK_COMPLETED,
        EventKind.HOOK_FAILED,
        EventKind.HOOK_TIMED_OUT,
        EventKind.HOOK_CANCELLED,
        EventKind.HOOK_RESPONSE_APPLIED,
        EventKind.HOOK_RESPONSE_REJECTED,
        EventKind.REALTIME_RESTART_FAILED,
        EventKind.REALTIME_CLOSED,
        EventKind.ISOLATION_CLEANUP_COMPLETED,
        EventKind.ISOLATION_CLEANUP_FAILED,
        EventKind.ISOLATION_FAILED,
        EventKind.CHILD_LIFECYCLE_COMPLETED,
        EventKind.CHILD_LIFECYCLE_DETACHED,
        EventKind.SUBAGENT_COMPLETED,
        EventKind.EXTENSION_ACTION_COMPLETED,
        EventKind.EXTENSION_ACTION_FAILED,
        EventKind.EXTENSION_ACTION_DENIED,
        EventKind.STRUCTURED_OUTPUT_VALIDATED,
        EventKind.STRUCTURED_OUTPUT_FAILED,
        EventKind.REPLAY_COMPLETED,
        EventKind.REPLAY_FAILED,
        EventKind.RUN_MESSAGE_RESPONDED,
        EventKind.RUN_MESSAGE_FAILED,
        EventKind.RUN_MESSAGE_TIMED_OUT,
        EventKind.RUN_MESSAGE_EXPIRED,
        EventKind.RUN_MESSAGE_CANCELLED,
        EventKind.WAKE_CONDITION_TRIGGERED,
        EventKind.WAKE_CONDITION_TIMED_OUT,
        EventKind.WAKE_CONDITION_CANCELLED,
        EventKind.WAKE_CONDITION_FAILED,
    }
)
"""The kinds after which nothing more follows about their subject."""


_FAMILY_BY_BEGINNING: Final = {
    "run_message_": EventFamily.AGENT_POOL,
    "wake_condition_": EventFamily.AGENT_POOL,
    "agent_pool_": EventFamily.AGENT_POOL,
    "run_": EventFamily.RUN,
    "turn_": EventFamily.TURN,
    "message_": EventFamily.MESSAGE,
    "provider_": EventFamily.MODEL,
    "model_": EventFamily.MODEL,
    "tool_": EventFamily.TOOL,
    "approval_": EventFamily.APPROVAL,
    "hook_": EventFamily.HOOK,
    "context_": EventFamily.CONTEXT,
    "stream_": EventFamily.STREAM_RULE,
    "realtime_": EventFamily.REALTIME,
    "isolation_": EventFamily.ISOLATION,
    "child_lifecycle_": EventFamily.CHILD_LIFECYCLE,
    "subagent_": EventFamily.SUBAGENT,
    "extension_": EventFamily.EXTENSION,
    "output_dispatch_": EventFamily.OUTPUT_DELIVERY,
    "structured_output_": EventFamily.STRUCTURED_OUTPUT,
    "telemetry_": EventFamily.TELEMETRY,
    "usage_": EventFamily.TELEMETRY,
    "cost_": EventFamily.TELEMETRY,
    "replay_": EventFamily.RECOVERY,
}
"""The first that a kind begins with says its family."""


def family_of(kind: EventKind) -> EventFamily:
    """Say to which family a kind of event belongs."""
    return next(family for start, family in _FAMILY_BY_BEGINNING.items() if kind.startswith(start))
