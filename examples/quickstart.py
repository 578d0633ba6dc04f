"""Two agents of one program: one asks, the other answers, and neither can miss the other.

You learn to join a pool, to wait for another agent, to ask it, and to handle a message so that a
crash in the middle repeats it and loses nothing. In two processes the code would be the same.

Run it with ``python examples/quickstart.py``.
"""

import asyncio
import tempfile
from pathlib import Path

import agentpool as ap


async def librarian(pool: ap.AgentPool) -> None:
    """Join, and answer one question."""
    async with (
        pool.member(ap.AgentPoolMember("run.ada", "agent.librarian")) as me,
        await me.inbox.take() as delivery,  # ours for the block; done at its end, back if it fails
    ):
        key = f"{delivery.message.message_id}.re"  # answered once, should a crash repeat it
        await delivery.reply(f"{await delivery.text()} Shelf 42.", idempotency_key=key)


async def reader(pool: ap.AgentPool) -> str:
    """Join, wait for the librarian, and ask it."""
    async with pool.member(ap.AgentPoolMember("run.bob", "agent.reader")) as me:
        await pool.wait_for_members(agent="agent.librarian", timeout=10)
        librarians = ap.RunAddress.agent("agent.librarian")
        answer = await me.ask_one(librarians, "Where is Dune?", timeout=10)
        return await me.read(answer)


async def main(path: Path) -> None:
    """Let the two meet in a pool, which is one file."""
    async with (
        asyncio.timeout(30),
        ap.open_pool(path, "pool.library") as pool,
    ):
        answer, _ = await asyncio.gather(reader(pool), librarian(pool))
        print(answer)
        assert answer == "Where is Dune? Shelf 42."
        assert await pool.members() == ()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(main(Path(directory) / "pool.db"))
