"""The same verbs on a store on a server."""

from postgres.server import Server

from .conftest import POOL, Shell


def test_a_shell_works_in_a_pool_on_a_server(shell: Shell, postgres_url: str, schema: str) -> None:
    shell.set(STORE=postgres_url, SCHEMA=schema, POOL=POOL, RUN="run.me")
    missing = shell("members")
    assert (missing.code, "; `agentpool init` makes a store" in missing.err) == (3, True)
    assert "create=" not in missing.err
    assert shell("init --queue work").code == 0
    assert shell("send queue:work a").row["delivered_to"] == ["queue.work"]
    assert shell("wait --queue work --timeout 1m").row["came"]
    taken = shell("take --queue work").row
    assert taken["body"] == "a"
    assert shell(f"ack {taken['token']}").code == 0
    assert shell("pools --field pool").out == f"{POOL}\n"
    assert [each["run"] for each in shell("members").rows] == ["queue.work", "run.me"]
    assert shell("tail --last 1").row["event"] == "run_message_delivered"
    assert shell("explain queue.work").row["kind"] == "queue"
    assert shell("check").row["status"] == "OK"
    assert shell("backup copy.db").code == 2


def test_an_older_schema_is_refused_and_not_migrated(
    shell: Shell, postgres: Server, postgres_url: str, schema: str
) -> None:
    shell.set(STORE=postgres_url, SCHEMA=schema, POOL=POOL, RUN="run.me")
    assert shell("init").code == 0
    for version, code, said in ((0, 3, "has version 0"), (10**6, 3, "knows up to")):
        postgres.sql(f'UPDATE "{schema}".meta SET version = {version}')
        called = shell("members")
        assert (called.code, said in called.err) == (code, True)
        assert postgres.sql(f'SELECT version FROM "{schema}".meta') == [(version,)]
