"""Fork with an open store: ``fork.py PATH``. Child and parent print what the store tells them."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

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


async def opening(path: str) -> str:
    try:
        async with SqliteAgentPoolStore.open(path) as own:
            return await outcome(own)
    except AgentPoolError as error:
        return f"{type(error).__name__}, spawn: {'spawn' in str(error)}"


def fork(code: Callable[[], object]) -> int:
    """Run code in a child process, and give its exit code."""
    child = os.fork()
    if child == 0:
        asyncio.events._set_running_loop(None)
        try:
            code()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


async def in_child(store: SqliteAgentPoolStore, path: str) -> None:
    say(f"child: {await outcome(store)}")
    await store.aclose()
    say(f"child, opened again: {await opening(path)}")
    say(f"child, by a link: {await opening(f'{path}-link')}")
    say(f"child, another file: {await opening(f'{path}-other')}")


def in_grandchild(path: str) -> None:
    say(f"grandchild: {asyncio.run(opening(path))}")
    command = [sys.executable, "-c", AFTER_EXEC, path]
    say(f"after exec: {subprocess.run(command, check=False).returncode}")


AFTER_EXEC = """
import asyncio, sys, agentpool
asyncio.run(agentpool.SqliteAgentPoolStore.open(sys.argv[1]).__aenter__())
"""


async def main(path: str) -> None:
    async with SqliteAgentPoolStore.open(path):
        pass
    say(f"child, closed before: {fork(lambda: say(asyncio.run(opening(path))))}")
    async with SqliteAgentPoolStore.open(path) as store:
        say(f"parent: {await outcome(store)}")
        fork(lambda: asyncio.run(in_child(store, path)))
        fork(lambda: fork(lambda: in_grandchild(path)))
        say(f"parent, after the fork: {await outcome(store)}")


Path(f"{sys.argv[1]}-link").symlink_to(sys.argv[1])
asyncio.run(main(sys.argv[1]))
