PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE agent_pool_event_seq (
        pool_id TEXT PRIMARY KEY,
        seq INTEGER NOT NULL
    );
INSERT INTO "agent_pool_event_seq" VALUES('pool.test',1);
CREATE TABLE agent_pool_records (
        pool_id TEXT NOT NULL,
        seq INTEGER NOT NULL,
        kind TEXT NOT NULL,
        payload_json TEXT NOT NULL,
        PRIMARY KEY (pool_id, seq)
    );
INSERT INTO "agent_pool_records" VALUES('pool.test',1,'pool_opened','{"type":"pool_opened","config":{"message_policy":{"include_sender_in_pool_broadcast":false},"wake_policy":{"envelope_only":true}}}');
INSERT INTO "agent_pool_records" VALUES('pool.test',2,'pool_created','{"type":"pool_created"}');
INSERT INTO "agent_pool_records" VALUES('pool.test',3,'member_joined','{"type":"member_joined","member":{"run_id":"run.a","agent_id":"agent.a"}}');
INSERT INTO "agent_pool_records" VALUES('pool.test',4,'member_joined','{"type":"member_joined","member":{"run_id":"run.b","agent_id":"agent.a"}}');
INSERT INTO "agent_pool_records" VALUES('pool.test',5,'run_message','{"type":"run_message","stored":{"message":{"message_id":"message.1","from":"run.a","to":{"target":{"type":"run","run_id":"run.b"},"destination_ref":{"kind":"agent","id":"run.b","privacy":"content_refs_only","retention":"host_policy"},"related_refs":[{"kind":"run","id":"run.b","privacy":"content_refs_only"}]},"content_ref":"content.1","correlation":{},"idempotency_key":"key.message.1"},"receipt":{"message_id":"message.1","status":"accepted","delivered_to":["run.b"]}}}');
INSERT INTO "agent_pool_records" VALUES('pool.test',6,'run_message','{"type":"run_message","stored":{"message":{"message_id":"message.1","from":"run.a","to":{"target":{"type":"run","run_id":"run.b"},"destination_ref":{"kind":"agent","id":"run.b","privacy":"content_refs_only","retention":"host_policy"},"related_refs":[{"kind":"run","id":"run.b","privacy":"content_refs_only"}]},"content_ref":"content.1","correlation":{},"idempotency_key":"key.message.1"},"receipt":{"message_id":"message.1","status":"delivered","delivered_to":["run.b"]}}}');
INSERT INTO "agent_pool_records" VALUES('pool.test',7,'wake','{"type":"wake","stored":{"condition":{"condition_id":"wake.1","run_id":"run.a","filter":{"run_ids":"any","session_ids":"any","agent_ids":"any","turn_ids":"any","families":"any","kinds":{"include":["run_completed"]},"source_kinds":"any","destination_kinds":"any","subject_kinds":"any","related_entity_kinds":"any","correlation_keys":"any","tags":"any","privacy_classes":"any","delivery_semantics":"any","terminal_only":false,"payload_access":"envelope_only","queue":{"capacity":64,"terminal_reserve":1,"overflow":"drop_non_terminal"}},"timeout_millis":60000,"resume_with":"matching_event_refs","idempotency_key":"key.wake.1"},"compiled_filter":{"filter_id":"filter.9769d79db90ec4b3b9ddaea40d2c6c0d33bfdbf50cdb3022379f1cda292499b5","filter_fingerprint":"sha256:af042b7a5779e117024e78f7d82e4457ba6d9c07eb05d2976f273d6f5edb62e4","indexed_fields":["event_kind"],"payload_access":"envelope_only","queue":{"capacity":64,"terminal_reserve":1,"overflow":"drop_non_terminal"},"criteria":{"run_ids":"any","session_ids":"any","agent_ids":"any","turn_ids":"any","families":"any","kinds":{"include":["run_completed"]},"source_kinds":"any","destination_kinds":"any","subject_kinds":"any","related_entity_kinds":"any","correlation_keys":"any","tags":"any","privacy_classes":"any","delivery_semantics":"any","terminal_only":false,"payload_access":"envelope_only","queue":{"capacity":64,"terminal_reserve":1,"overflow":"drop_non_terminal"}}},"registration":{"condition_id":"wake.1","run_id":"run.a","status":"registered"}}}');
INSERT INTO "agent_pool_records" VALUES('pool.test',8,'wake','{"type":"wake","stored":{"condition":{"condition_id":"wake.1","run_id":"run.a","filter":{"run_ids":"any","session_ids":"any","agent_ids":"any","turn_ids":"any","families":"any","kinds":{"include":["run_completed"]},"source_kinds":"any","destination_kinds":"any","subject_kinds":"any","related_entity_kinds":"any","correlation_keys":"any","tags":"any","privacy_classes":"any","delivery_semantics":"any","terminal_only":false,"payload_access":"envelope_only","queue":{"capacity":64,"terminal_reserve":1,"overflow":"drop_non_terminal"}},"timeout_millis":60000,"resume_with":"matching_event_refs","idempotency_key":"key.wake.1"},"compiled_filter":{"filter_id":"filter.9769d79db90ec4b3b9ddaea40d2c6c0d33bfdbf50cdb3022379f1cda292499b5","filter_fingerprint":"sha256:af042b7a5779e117024e78f7d82e4457ba6d9c07eb05d2976f273d6f5edb62e4","indexed_fields":["event_kind"],"payload_access":"envelope_only","queue":{"capacity":64,"terminal_reserve":1,"overflow":"drop_non_terminal"},"criteria":{"run_ids":"any","session_ids":"any","agent_ids":"any","turn_ids":"any","families":"any","kinds":{"include":["run_completed"]},"source_kinds":"any","destination_kinds":"any","subject_kinds":"any","related_entity_kinds":"any","correlation_keys":"any","tags":"any","privacy_classes":"any","delivery_semantics":"any","terminal_only":false,"payload_access":"envelope_only","queue":{"capacity":64,"terminal_reserve":1,"overflow":"drop_non_terminal"}}},"registration":{"condition_id":"wake.1","run_id":"run.a","status":"triggered"}}}');
INSERT INTO "agent_pool_records" VALUES('pool.test',9,'member_joined','{"type":"member_joined","member":{"run_id":"run.c","agent_id":"agent.a","topics":["topic.0"]}}');
INSERT INTO "agent_pool_records" VALUES('pool.test',10,'member_joined','{"type":"member_joined","member":{"run_id":"run.c","agent_id":"agent.a","topics":["topic.1"]}}');
INSERT INTO "agent_pool_records" VALUES('pool.test',11,'member_joined','{"type":"member_joined","member":{"run_id":"run.c","agent_id":"agent.a","topics":["topic.2"]}}');
INSERT INTO "agent_pool_records" VALUES('pool.test',12,'member_joined','{"type":"member_joined","member":{"run_id":"run.c","agent_id":"agent.a","topics":["topic.3"]}}');
INSERT INTO "agent_pool_records" VALUES('pool.test',13,'member_joined','{"type":"member_joined","member":{"run_id":"run.c","agent_id":"agent.a","topics":["topic.4"]}}');
INSERT INTO "agent_pool_records" VALUES('pool.test',14,'member_joined','{"type":"member_joined","member":{"run_id":"run.c","agent_id":"agent.a","topics":["topic.5"]}}');
INSERT INTO "agent_pool_records" VALUES('pool.test',15,'member_joined','{"type":"member_joined","member":{"run_id":"run.c","agent_id":"agent.a","topics":["topic.6"]}}');
INSERT INTO "agent_pool_records" VALUES('pool.test',16,'member_joined','{"type":"member_joined","member":{"run_id":"run.c","agent_id":"agent.a","topics":["topic.7"]}}');
INSERT INTO "agent_pool_records" VALUES('pool.test',17,'member_joined','{"type":"member_joined","member":{"run_id":"run.c","agent_id":"agent.a","topics":["topic.8"]}}');
INSERT INTO "agent_pool_records" VALUES('pool.test',18,'member_joined','{"type":"member_joined","member":{"run_id":"run.c","agent_id":"agent.a","topics":["topic.9"]}}');
INSERT INTO "agent_pool_records" VALUES('pool.test',19,'member_joined','{"type":"member_joined","member":{"run_id":"run.c","agent_id":"agent.a","topics":["topic.10"]}}');
INSERT INTO "agent_pool_records" VALUES('pool.test',20,'member_joined','{"type":"member_joined","member":{"run_id":"run.c","agent_id":"agent.a","topics":["topic.11"]}}');
INSERT INTO "agent_pool_records" VALUES('pool.test',21,'member_joined','{"type":"member_joined","member":{"run_id":"run.c","agent_id":"agent.a","topics":["topic.12"]}}');
INSERT INTO "agent_pool_records" VALUES('pool.test',22,'member_joined','{"type":"member_joined","member":{"run_id":"run.c","agent_id":"agent.a","topics":["topic.13"]}}');
INSERT INTO "agent_pool_records" VALUES('pool.test',23,'member_joined','{"type":"member_joined","member":{"run_id":"run.c","agent_id":"agent.a","topics":["topic.14"]}}');
INSERT INTO "agent_pool_records" VALUES('pool.test',24,'member_joined','{"type":"member_joined","member":{"run_id":"run.c","agent_id":"agent.a","topics":["topic.15"]}}');
INSERT INTO "agent_pool_records" VALUES('pool.test',25,'member_joined','{"type":"member_joined","member":{"run_id":"run.c","agent_id":"agent.a","topics":["topic.16"]}}');
INSERT INTO "agent_pool_records" VALUES('pool.test',26,'member_joined','{"type":"member_joined","member":{"run_id":"run.c","agent_id":"agent.a","topics":["topic.17"]}}');
INSERT INTO "agent_pool_records" VALUES('pool.test',27,'member_joined','{"type":"member_joined","member":{"run_id":"run.c","agent_id":"agent.a","topics":["topic.18"]}}');
INSERT INTO "agent_pool_records" VALUES('pool.test',28,'member_joined','{"type":"member_joined","member":{"run_id":"run.c","agent_id":"agent.a","topics":["topic.19"]}}');
INSERT INTO "agent_pool_records" VALUES('pool.test',29,'member_joined','{"type":"member_joined","member":{"run_id":"run.c","agent_id":"agent.a","topics":["topic.20"]}}');
INSERT INTO "agent_pool_records" VALUES('pool.test',30,'member_joined','{"type":"member_joined","member":{"run_id":"run.c","agent_id":"agent.a","topics":["topic.21"]}}');
INSERT INTO "agent_pool_records" VALUES('pool.test',31,'member_joined','{"type":"member_joined","member":{"run_id":"run.c","agent_id":"agent.a","topics":["topic.22"]}}');
INSERT INTO "agent_pool_records" VALUES('pool.test',32,'member_joined','{"type":"member_joined","member":{"run_id":"run.c","agent_id":"agent.a","topics":["topic.23"]}}');
INSERT INTO "agent_pool_records" VALUES('pool.test',33,'member_joined','{"type":"member_joined","member":{"run_id":"run.c","agent_id":"agent.a","topics":["topic.24"]}}');
INSERT INTO "agent_pool_records" VALUES('pool.test',34,'member_joined','{"type":"member_joined","member":{"run_id":"run.c","agent_id":"agent.a","topics":["topic.25"]}}');
INSERT INTO "agent_pool_records" VALUES('pool.test',35,'member_joined','{"type":"member_joined","member":{"run_id":"run.c","agent_id":"agent.a","topics":["topic.26"]}}');
INSERT INTO "agent_pool_records" VALUES('pool.test',36,'member_joined','{"type":"member_joined","member":{"run_id":"run.c","agent_id":"agent.a","topics":["topic.27"]}}');
INSERT INTO "agent_pool_records" VALUES('pool.test',37,'member_joined','{"type":"member_joined","member":{"run_id":"run.c","agent_id":"agent.a","topics":["topic.28"]}}');
INSERT INTO "agent_pool_records" VALUES('pool.test',38,'member_joined','{"type":"member_joined","member":{"run_id":"run.c","agent_id":"agent.a","topics":["topic.29"]}}');
INSERT INTO "agent_pool_records" VALUES('pool.test',39,'member_joined','{"type":"member_joined","member":{"run_id":"run.c","agent_id":"agent.a","topics":["topic.30"]}}');
INSERT INTO "agent_pool_records" VALUES('pool.test',40,'member_joined','{"type":"member_joined","member":{"run_id":"run.c","agent_id":"agent.a","topics":["topic.31"]}}');
INSERT INTO "agent_pool_records" VALUES('pool.test',41,'member_joined','{"type":"member_joined","member":{"run_id":"run.c","agent_id":"agent.a","topics":["topic.32"]}}');
INSERT INTO "agent_pool_records" VALUES('pool.test',42,'member_joined','{"type":"member_joined","member":{"run_id":"run.c","agent_id":"agent.a","topics":["topic.33"]}}');
CREATE TABLE agentpool_checkpoints (
        pool_id TEXT PRIMARY KEY,
        seq INTEGER NOT NULL,
        state_json TEXT NOT NULL
    );
INSERT INTO "agentpool_checkpoints" VALUES('pool.test',37,'{"config":{"message_policy":{"include_sender_in_pool_broadcast":false},"wake_policy":{"envelope_only":true}},"created_at":2,"members":[{"joined_at":3,"member":{"run_id":"run.a","agent_id":"agent.a"}},{"joined_at":4,"member":{"run_id":"run.b","agent_id":"agent.a"}},{"joined_at":37,"member":{"run_id":"run.c","agent_id":"agent.a","topics":["topic.28"]}}],"open_wakes":[]}');
CREATE TABLE agentpool_content (
        sha256 TEXT PRIMARY KEY,
        media_type TEXT NOT NULL,
        data BLOB NOT NULL
    );
INSERT INTO "agentpool_content" VALUES('sha256:771824de42287642fa0fbe0b568b80cc3290e29b7d3cd6efbc7b1b8eb1037b04','application/octet-stream',X'6120626F6479');
CREATE TABLE agentpool_pools (
        pool_id TEXT PRIMARY KEY,
        projected INTEGER NOT NULL
    );
INSERT INTO "agentpool_pools" VALUES('pool.test',42);
CREATE TABLE agentpool_rows (
        pool_id TEXT NOT NULL,
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        number INTEGER NOT NULL,
        due_at INTEGER NOT NULL,
        value TEXT NOT NULL,
        PRIMARY KEY (pool_id, kind, name, number)
    ) WITHOUT ROWID
    ;
INSERT INTO "agentpool_rows" VALUES('pool.test','cause','wake.1',0,0,'{"event_id":"event.1","event_kind":"run_completed","subject_ref":{"kind":"run","id":"run.a","privacy":"content_refs_only","redacted_summary":"a run ended"},"related_refs":[{"kind":"artifact","id":"artifact.1","privacy":"content_refs_only"}]}');
INSERT INTO "agentpool_rows" VALUES('pool.test','event','',1,0,'{"after":7,"envelope":{"schema_version":1,"event_id":"event.1","event_seq":1,"event_family":"run","event_kind":"run_completed","payload_schema_version":1,"timestamp":"2030-01-01T00:00:00Z","recorded_at":"2030-01-01T00:00:00Z","run_id":"run.a","agent_id":"agent.a","trace_id":"trace.1","span_id":"span.1","subject_ref":{"kind":"run","id":"run.a","privacy":"content_refs_only","redacted_summary":"a run ended"},"related_refs":[{"kind":"artifact","id":"artifact.1","privacy":"content_refs_only"}],"correlation":{},"source":{"kind":"host","id":"host.1","trust":"host_provided","privacy":"content_refs_only"},"delivery_semantics":"journal_backed","privacy":"content_refs_only","content_capture":"off","redaction_policy_id":"redaction.1","runtime_package_fingerprint":"fingerprint.1"},"visible":true}');
INSERT INTO "agentpool_rows" VALUES('pool.test','event_id','event.1',0,0,'1');
INSERT INTO "agentpool_rows" VALUES('pool.test','inbox','run.b',6,0,'{"attempt":0}');
CREATE TABLE agentpool_times (
        pool_id TEXT NOT NULL,
        seq INTEGER NOT NULL,
        millis INTEGER NOT NULL,
        PRIMARY KEY (pool_id, seq)
    ) WITHOUT ROWID
    ;
INSERT INTO "agentpool_times" VALUES('pool.test',2,1000000);
INSERT INTO "agentpool_times" VALUES('pool.test',4,1000000);
INSERT INTO "agentpool_times" VALUES('pool.test',5,1000000);
INSERT INTO "agentpool_times" VALUES('pool.test',7,1000000);
INSERT INTO "agentpool_times" VALUES('pool.test',8,1000000);
INSERT INTO "agentpool_times" VALUES('pool.test',9,1000000);
INSERT INTO "agentpool_times" VALUES('pool.test',10,1000000);
INSERT INTO "agentpool_times" VALUES('pool.test',11,1000000);
INSERT INTO "agentpool_times" VALUES('pool.test',12,1000000);
INSERT INTO "agentpool_times" VALUES('pool.test',13,1000000);
INSERT INTO "agentpool_times" VALUES('pool.test',14,1000000);
INSERT INTO "agentpool_times" VALUES('pool.test',15,1000000);
INSERT INTO "agentpool_times" VALUES('pool.test',16,1000000);
INSERT INTO "agentpool_times" VALUES('pool.test',17,1000000);
INSERT INTO "agentpool_times" VALUES('pool.test',18,1000000);
INSERT INTO "agentpool_times" VALUES('pool.test',19,1000000);
INSERT INTO "agentpool_times" VALUES('pool.test',20,1000000);
INSERT INTO "agentpool_times" VALUES('pool.test',21,1000000);
INSERT INTO "agentpool_times" VALUES('pool.test',22,1000000);
INSERT INTO "agentpool_times" VALUES('pool.test',23,1000000);
INSERT INTO "agentpool_times" VALUES('pool.test',24,1000000);
INSERT INTO "agentpool_times" VALUES('pool.test',25,1000000);
INSERT INTO "agentpool_times" VALUES('pool.test',26,1000000);
INSERT INTO "agentpool_times" VALUES('pool.test',27,1000000);
INSERT INTO "agentpool_times" VALUES('pool.test',28,1000000);
INSERT INTO "agentpool_times" VALUES('pool.test',29,1000000);
INSERT INTO "agentpool_times" VALUES('pool.test',30,1000000);
INSERT INTO "agentpool_times" VALUES('pool.test',31,1000000);
INSERT INTO "agentpool_times" VALUES('pool.test',32,1000000);
INSERT INTO "agentpool_times" VALUES('pool.test',33,1000000);
INSERT INTO "agentpool_times" VALUES('pool.test',34,1000000);
INSERT INTO "agentpool_times" VALUES('pool.test',35,1000000);
INSERT INTO "agentpool_times" VALUES('pool.test',36,1000000);
INSERT INTO "agentpool_times" VALUES('pool.test',37,1000000);
INSERT INTO "agentpool_times" VALUES('pool.test',38,1000000);
INSERT INTO "agentpool_times" VALUES('pool.test',39,1000000);
INSERT INTO "agentpool_times" VALUES('pool.test',40,1000000);
INSERT INTO "agentpool_times" VALUES('pool.test',41,1000000);
INSERT INTO "agentpool_times" VALUES('pool.test',42,1000000);
CREATE INDEX agentpool_message_by_key ON agent_pool_records (pool_id, CASE WHEN json_valid(payload_json) THEN json_extract(payload_json, '$.stored.message.idempotency_key') END, seq)
    WHERE kind = 'run_message'
    ;
CREATE INDEX agentpool_wake_by_key ON agent_pool_records (pool_id, CASE WHEN json_valid(payload_json) THEN json_extract(payload_json, '$.stored.condition.idempotency_key') END, seq)
    WHERE kind = 'wake'
    ;
CREATE INDEX agentpool_wake_by_id ON agent_pool_records (pool_id, CASE WHEN json_valid(payload_json) THEN json_extract(payload_json, '$.stored.condition.condition_id') END, seq)
    WHERE kind = 'wake'
    ;
CREATE INDEX agentpool_joins_by_run ON agent_pool_records (pool_id, CASE WHEN json_valid(payload_json) THEN json_extract(payload_json, '$.member.run_id') END, seq)
    WHERE kind = 'member_joined'
    ;
CREATE INDEX agentpool_pool_records ON agent_pool_records (pool_id, seq) WHERE kind <> 'run_message';
CREATE INDEX agentpool_deadlines ON agentpool_rows (pool_id, due_at, name)
    WHERE kind = 'deadline'
    ;
CREATE INDEX agentpool_inboxes ON agentpool_rows (pool_id, name, due_at)
    WHERE kind = 'inbox'
    ;
COMMIT;
