"""Stops itself, as a debugger would, while it holds a pool: URL, schema, pool, seconds."""

import asyncio
import signal
import sys
import threading
from typing import Any

from agentpool import AgentPoolMember
from agentpool.stores.postgres import PostgresAgentPoolStore, session
from agentpool.stores.postgres.engine import PostgresEngine

put = PostgresEngine._put


def stop(engine: PostgresEngine, **options: Any) -> None:
    PostgresEngine._put = put  # type: ignore[method-assign]
    signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)  # before it does anything more
    put(engine, **options)


async def main(url: str, schema: str, pool_id: str) -> None:
    async with PostgresAgentPoolStore.open(url, schema=schema, busy_timeout=200) as store:
        PostgresEngine._put = stop  # type: ignore[method-assign,assignment]
        await store.join_member(pool_id, AgentPoolMember("run.stopped", "agent.a"))
        _, cursor = await store.leave_member(pool_id, "run.stopped")
        sys.stdout.write(f"{cursor.sequence}\n")


if __name__ == "__main__":
    *where, seconds = sys.argv[1:]
    session._SETTINGS["idle_in_transaction_session_timeout"] = f"{seconds}s"
    session._FOR_SESSION = session._settings(is_local=False)  # type: ignore[misc]
    asyncio.run(main(*where))
