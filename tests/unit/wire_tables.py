"""The tables of the wire format, written out a second time: what the library is checked against.

A field reads `name`, with `?` where it is left out when null, `[]` where when empty.
"""

from typing import Final

ENUMS: Final = {
    "MessageStatus": """
        accepted delivered responded failed timed_out expired cancelled
    """,
    "WakeRegistrationStatus": """
        registered triggered timed_out cancelled failed
    """,
    "ResumeInputPolicy": """
        matching_event_refs redacted_summary none
    """,
    "PolicyKind": """
        approval permission sandbox context privacy retention redaction runtime_package host
    """,
    "EntityKind": """
        run turn attempt agent agent_pool topic event message wake_condition
        context_contribution context_item context_projection content artifact capability
        package_sidecar runtime_package policy_decision effect effect_intent effect_result
        tool_call approval_request stream_rule realtime_session hook execution_environment
        child_artifact subagent_run extension_action output_delivery
    """,
    "SourceKind": """
        sdk host user system developer memory compaction hook extension tool remote_channel
        scheduled_task subagent external_runtime replay
    """,
    "DestinationKind": """
        agent agent_pool topic provider context_projection journal event_stream telemetry
        output_sink host user remote_channel tool extension subagent external_runtime
    """,
    "TrustClass": """
        trusted sdk_generated host_provided user_provided external untrusted
    """,
    "PrivacyClass": """
        public internal content_refs_only sensitive secret
    """,
    "RetentionClass": """
        ephemeral run_scoped session_scoped durable persistent host_policy
    """,
    "EventFamily": """
        run turn message model tool approval hook context stream_rule realtime isolation
        child_lifecycle agent_pool subagent extension structured_output output
        output_delivery telemetry recovery
    """,
    "EventDeliverySemantics": """
        best_effort_live journal_backed derived_replay diagnostic_only
    """,
    "PayloadAccessMode": """
        envelope_only redacted_summary payload_refs full_payload_if_policy_allows
    """,
    "ContentCaptureMode": """
        off metadata_only redacted_summary payload_refs raw_content
    """,
    "SubscriberOverflowPolicy": """
        drop_non_terminal drop_progress summarize_and_continue backpressure_caller
        fail_subscriber
    """,
    "EventIndexField": """
        run_id session_id agent_id turn_id event_family event_kind source destination
        subject_kind related_entity_kind correlation_key tag privacy delivery_semantics
    """,
    "EventKind": """
        run_started run_completed run_failed run_cancelled run_checkpointed
        run_cancel_requested run_resume_requested run_resume_failed turn_started
        turn_completed turn_failed message_accepted message_committed
        provider_request_projected model_attempt_started model_stream_delta
        model_message_completed model_attempt_failed tool_requested tool_started
        tool_completed tool_failed tool_denied tool_recovery_required approval_requested
        approval_dispatched approval_dispatch_unavailable approval_responded approval_denied
        approval_timed_out approval_cancelled hook_registered hook_invoked hook_completed
        hook_failed hook_timed_out hook_cancelled hook_response_applied
        hook_response_rejected context_assembled stream_rule_registered
        stream_rule_compile_failed stream_rule_matched stream_intervention_requested
        stream_intervention_applied stream_rule_repeat_state_recorded
        realtime_connect_requested realtime_connected realtime_input_send_requested
        realtime_input_sent realtime_output_receive_requested realtime_output_received
        realtime_interrupted realtime_restart_requested realtime_restart_started
        realtime_restart_completed realtime_restart_failed realtime_close_requested
        realtime_closed realtime_backpressure_applied isolation_requested
        isolation_adapter_health_checked isolation_capability_matched
        isolation_downgrade_denied isolation_downgrade_approved
        isolation_environment_prepared isolation_process_started
        isolation_process_io_captured isolation_process_stats_recorded
        isolation_cleanup_started isolation_cleanup_completed isolation_cleanup_failed
        isolation_failed child_lifecycle_requested child_lifecycle_completed
        child_lifecycle_detached subagent_started subagent_handoff subagent_event_wrapped
        subagent_usage_rolled_up subagent_completed extension_action_submitted
        extension_action_started extension_action_completed extension_action_failed
        extension_action_denied output_dispatch_requested output_dispatch_completed
        output_dispatch_failed output_dispatch_deduped structured_output_requested
        structured_output_validation_started structured_output_validation_failed
        structured_output_repair_requested structured_output_validated
        structured_output_failed telemetry_sink_failed telemetry_sink_recovered
        usage_recorded cost_estimated cost_corrected replay_started replay_completed
        replay_failed agent_pool_created agent_pool_run_joined agent_pool_run_left
        run_message_accepted run_message_delivered run_message_responded run_message_failed
        run_message_timed_out run_message_expired run_message_cancelled
        wake_condition_registered wake_condition_triggered wake_condition_timed_out
        wake_condition_cancelled wake_condition_failed
    """,
}

TERMINAL_EVENT_KINDS: Final = """
        run_completed run_failed run_cancelled turn_completed turn_failed
        model_message_completed model_attempt_failed tool_completed tool_failed tool_denied
        tool_recovery_required approval_responded output_dispatch_completed
        output_dispatch_failed output_dispatch_deduped approval_denied approval_timed_out
        approval_cancelled approval_dispatch_unavailable hook_completed hook_failed
        hook_timed_out hook_cancelled hook_response_applied hook_response_rejected
        realtime_restart_failed realtime_closed isolation_cleanup_completed
        isolation_cleanup_failed isolation_failed child_lifecycle_completed
        child_lifecycle_detached subagent_completed extension_action_completed
        extension_action_failed extension_action_denied structured_output_validated
        structured_output_failed replay_completed replay_failed run_message_responded
        run_message_failed run_message_timed_out run_message_expired run_message_cancelled
        wake_condition_triggered wake_condition_timed_out wake_condition_cancelled
        wake_condition_failed
"""

STRUCTS: Final = {
    "AgentPoolStoreConfig": "message_policy wake_policy policy_refs[]",
    "AgentPoolMessagePolicy": "required_policy_refs[] include_sender_in_pool_broadcast=false",
    "AgentPoolWakePolicy": "envelope_only=true",
    "AgentPoolMember": "run_id agent_id policy_refs[] topics[]",
    "AgentPoolStoredMessage": "message receipt",
    "RunMessage": """
        message_id from to content_ref correlation reply_to? response_contract?
        expires_at_millis? idempotency_key policy_refs[]
    """,
    "RunAddress": "target destination_ref related_refs[]",
    "MessageResponseContract": "expected_responses timeout_millis?",
    "MessageReceipt": "message_id status delivered_to[] journal_cursor?",
    "AgentPoolStoredWake": "condition compiled_filter registration",
    "WakeCondition": """
        condition_id run_id filter timeout_millis? resume_with=matching_event_refs
        idempotency_key policy_refs[]
    """,
    "WakeRegistration": "condition_id run_id status journal_cursor?",
    "PolicyRef": "kind=host id version?",
    "EntityRef": "kind id source? privacy=content_refs_only redacted_summary?",
    "SourceRef": """
        kind id trust=host_provided privacy=content_refs_only correlation[] redacted_summary?
    """,
    "DestinationRef": """
        kind id privacy=content_refs_only retention=host_policy correlation[] redacted_summary?
    """,
    "EventCorrelation": "entries[]",
    "CorrelationEntry": "key value",
    "EventFilter": """
        run_ids session_ids agent_ids turn_ids families kinds source_kinds destination_kinds
        subject_kinds related_entity_kinds correlation_keys tags privacy_classes
        delivery_semantics terminal_only payload_access queue
    """,
    "SubscriberQueueConfig": "capacity=64 terminal_reserve=1 overflow=drop_non_terminal",
    "CompiledEventFilter": """
        filter_id filter_fingerprint indexed_fields payload_access queue criteria
    """,
    "AgentPoolStoreCursor": "sequence",
    "AgentPoolStoreRecord": "pool_id cursor payload",
    "AgentPoolSnapshot": """
        pool_id created members topics message_policy wake_policy policy_refs[] messages[]
        wakes[] cursor?
    """,
    "EventEnvelope": """
        schema_version event_id event_seq event_family event_kind payload_schema_version
        timestamp recorded_at run_id session_id? agent_id turn_id? attempt_id? message_id?
        context_item_id? trace_id span_id parent_event_id? caused_by? subject_ref
        related_refs[] causal_refs[] correlation tags[] source destination? policy_refs[]
        journal_cursor? state_before? state_after? delivery_semantics privacy content_capture
        redaction_policy_id runtime_package_fingerprint
    """,
    "CausalRef": "event_id? subject_ref reason?",
}

IDENTIFIER_FIELDS: Final = {
    "AgentPoolMember": "run_id agent_id topics",
    "RunTarget": "run_id",
    "AgentTarget": "agent_id",
    "TopicTarget": "topic_id",
    "PoolTarget": "pool_id",
    "RunMessage": "message_id sender content_ref reply_to idempotency_key",
    "MessageReceipt": "message_id delivered_to journal_cursor",
    "WakeCondition": "condition_id run_id idempotency_key",
    "WakeRegistration": "condition_id run_id journal_cursor",
    "PolicyRef": "id",
    "EntityRef": "id",
    "SourceRef": "id",
    "DestinationRef": "id",
    "CorrelationEntry": "key value",
    "EventFilter": "run_ids session_ids agent_ids turn_ids correlation_keys",
    "AgentPoolStoreRecord": "pool_id",
    "AgentPoolSnapshot": "pool_id topics",
    "EventEnvelope": """
        event_id run_id session_id agent_id turn_id attempt_id message_id context_item_id
        trace_id span_id parent_event_id journal_cursor
    """,
    "CausalRef": "event_id",
}

COORDINATOR_IDENTIFIER_FIELDS: Final = {
    "WakeOutcome": "event_id",
}
