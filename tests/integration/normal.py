"""What the tests of ``synchronous="NORMAL"`` share."""

from pathlib import Path
from typing import Any

from agentpool import SqliteAgentPoolStore

from .helpers import send, sql


def normal(path: Path) -> Any:
    return SqliteAgentPoolStore.open(path, synchronous="NORMAL")


async def append(path: Path, label: str, count: int = 1) -> None:
    """Open a store, append so many records, and close it."""
    async with normal(path) as store:
        for number in range(count):
            await send(store, f"{label}.{number}")


def promised(path: Path) -> list[tuple[int, int]]:
    """List what was promised in the last boot that promised, and in those before it."""
    with sql(path) as connection:
        return connection.execute("SELECT promised, former FROM agentpool_promises").fetchall()
