"""Two processes on one file: one asks, the other answers, is killed in the middle and goes on.

You learn to send messages, to tail a pool with ``watch()`` from a saved cursor, and why a key that
is derived from what is answered makes that safe: after a crash some questions are met again, yet
each is answered once, and so are those that came while nobody listened.

Run it with ``python examples/two_processes.py``.
"""

import asyncio
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

import agentpool as ap

POOL = "pool.example"
DIRECTOR, ASKER, ANSWERER = "run.director", "run.asker", "run.answerer"
QUESTIONS = 20
SECONDS = 60  # nothing here waits longer than this


async def send(
    store: ap.AgentPoolStore, sender: str, to: str, name: str, reply_to: str | None = None
) -> None:
    """Send a message whose id and key follow from its name: sent again, it changes nothing."""
    message = ap.RunMessage(
        message_id=f"message.{name}",
        sender=sender,
        to=ap.RunAddress.run(to),
        content_ref=f"content.{name}",
        reply_to=reply_to,
        idempotency_key=f"key.{name}",
    )
    receipt = ap.MessageReceipt(message.message_id, ap.MessageStatus.DELIVERED, (to,))
    await store.record_message(POOL, message, receipt)


async def sent(store: ap.AgentPoolStore, sender: str, count: int) -> None:
    """Wait until the pool holds so many messages of a sender."""
    async for record in store.watch(POOL):
        match record.payload:
            case ap.RunMessageRecorded(stored) if stored.message.sender == sender:
                count -= 1
        if count == 0:
            return


async def ask(store: ap.AgentPoolStore) -> None:
    """Join, ask one half of the questions, the other half when told to; wait for the answers."""
    await store.join_member(POOL, ap.AgentPoolMember(ASKER, "agent.asker"))
    for number in range(QUESTIONS):
        if number == QUESTIONS // 2:
            await sent(store, DIRECTOR, 1)
        await send(store, ASKER, ANSWERER, f"question-{number}")
    await sent(store, ANSWERER, QUESTIONS)
    await store.leave_member(POOL, ASKER)


async def answer(store: ap.AgentPoolStore, place: Path) -> None:
    """Join, and answer what comes after the saved cursor, until the asker leaves."""
    await store.join_member(POOL, ap.AgentPoolMember(ANSWERER, "agent.answerer"))
    async for record in store.watch(POOL, load(place)):
        match record.payload:
            case ap.RunMessageRecorded(stored) if stored.message.sender == ASKER:
                await asyncio.sleep(0.02)  # an agent thinks
                question = stored.message.message_id
                await send(store, ANSWERER, ASKER, f"answer-to-{question}", reply_to=question)
            case ap.MemberLeft():
                return
        if record.cursor.sequence % 4 == 0:  # seldom, so that a crash can come in between
            save(place, record.cursor)


def load(place: Path) -> ap.AgentPoolStoreCursor:
    """Read the saved cursor."""
    return ap.AgentPoolStoreCursor(int(place.read_text())) if place.exists() else ap.START


def save(place: Path, cursor: ap.AgentPoolStoreCursor) -> None:
    """Save a cursor in one step: a crash leaves the old one or the new one."""
    new = place.with_suffix(".new")
    new.write_text(str(cursor.sequence))
    new.replace(place)


async def play(role: str, path: Path) -> None:
    """Be one of the two processes."""
    async with asyncio.timeout(SECONDS), ap.SqliteAgentPoolStore.open(path) as store:
        await (ask(store) if role == "ask" else answer(store, path.with_suffix(".cursor")))


async def direct(path: Path) -> bool:
    """Kill the answering process in the middle, start it again, and check how it all ended."""
    async with (
        asyncio.timeout(SECONDS),
        ap.SqliteAgentPoolStore.open(path) as store,
        AsyncExitStack() as stack,
    ):
        await store.open_pool(POOL)
        asker, answerer = await start("ask", path, stack), await start("answer", path, stack)
        await sent(store, ANSWERER, 7)
        await kill(answerer)
        await report(store, "killed the answering process")
        await send(store, DIRECTOR, ASKER, "go-on")
        await sent(store, ASKER, QUESTIONS)
        await report(store, "nobody listened meanwhile")
        answerer = await start("answer", path, stack)
        codes = await asker.wait(), await answerer.wait()
        asked, answered = await report(store, "started it again, to the end")
    return codes == (0, 0) and len(set(asked)) == QUESTIONS and sorted(asked) == sorted(answered)


async def start(role: str, path: Path, stack: AsyncExitStack) -> asyncio.subprocess.Process:
    """Start one of the two processes; whatever happens, it does not outlive the stack."""
    process = await asyncio.create_subprocess_exec(sys.executable, __file__, role, str(path))
    stack.push_async_callback(kill, process)
    return process


async def kill(process: asyncio.subprocess.Process) -> None:
    """Kill a process with SIGKILL, unless it has ended."""
    if process.returncode is None:
        process.kill()
        await process.wait()


async def report(store: ap.AgentPoolStore, when: str) -> tuple[list[str], list[str]]:
    """Print how far it is; give the ids of the questions, and of those that were answered."""
    payloads = [record.payload for record in await store.read(POOL)]
    messages = [p.stored.message for p in payloads if isinstance(p, ap.RunMessageRecorded)]
    asked = [message.message_id for message in messages if message.sender == ASKER]
    answered = [message.reply_to for message in messages if message.reply_to]
    print(f"{when}: {len(asked)} questions, {len(answered)} answers")
    return asked, answered


def main() -> int:
    """Direct the two processes; be one of them when told which, and where the file is."""
    if len(sys.argv) > 1:
        asyncio.run(play(sys.argv[1], Path(sys.argv[2])))
        return 0
    with tempfile.TemporaryDirectory() as directory:
        complete = asyncio.run(direct(Path(directory) / "pool.db"))
    print("nothing lost, nothing twice" if complete else "FAILED: see the counts above")
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main())
