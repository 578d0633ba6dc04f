"""Fork with an open store: ``fork.py PATH``. Child and parent print what the store tells them."""

import asyncio
import os
import sys

from agentpool import AgentPoolError, SqliteAgentPoolStore

POOL = "pool.test"


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def outcome(store: SqliteAgentPoolStore) -> str:
    try:
        await store.next_event_sequence(POOL)
        await store.open_pool(POOL)
    except AgentPoolError as error:
        return type(error).__name__
    return "ok"


async def in_child(store: SqliteAgentPoolStore, path: str) -> None:
    say(f"child: {await outcome(store)}")
    await store.aclose()
    async with SqliteAgentPoolStore.open(path) as own:
        say(f"child, opened again: {await outcome(own)}")


def fork(store: SqliteAgentPoolStore, path: str) -> int:
    """Use the store in a child process, and give its exit code."""
    child = os.fork()
    if child == 0:
        asyncio.events._set_running_loop(None)
        asyncio.run(in_child(store, path))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


async def main(path: str) -> None:
    async with SqliteAgentPoolStore.open(path) as store:
        say(f"parent: {await outcome(store)}")
        say(f"child ended: {fork(store, path)}")
        say(f"parent, after the fork: {await outcome(store)}")


asyncio.run(main(*sys.argv[1:]))
