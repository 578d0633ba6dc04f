"""Three talk in a room, and an observer who is none of them writes the minutes.

You learn to send to a topic, which all hear who joined with it, the sender too; and to watch a pool
without being a member: whoever has it open sees everything, in the order in which it happened.

Run it with ``python examples/chat_room.py``.
"""

import asyncio

import agentpool as ap

ROOM = "topic.room"
NAMES = ("ada", "bob", "cid")
REPLIES = {  # to what is heard, by whom
    "Who has read Dune?": ("bob", "I have."),
    "I have.": ("cid", "How does it end?"),
    "How does it end?": ("ada", "In the desert. Good night!"),
}


async def talk(pool: ap.AgentPool, name: str) -> None:
    """Enter the room, reply to what is heard there, and leave when it ends."""
    member = ap.AgentPoolMember(f"run.{name}", f"agent.{name}", topics=(ROOM,))
    async with pool.member(member) as me:
        await pool.wait_for_members(topic=ROOM, count=len(NAMES), timeout=10)
        if name == NAMES[0]:
            await me.send(ap.RunAddress.topic(ROOM), next(iter(REPLIES)))
        async for delivery in me.inbox:
            async with delivery:
                speaker, reply = REPLIES.get(await delivery.text(), ("", ""))
                if speaker == name:
                    await me.send(ap.RunAddress.topic(ROOM), reply)
                if not reply:
                    return


async def observe(pool: ap.AgentPool) -> None:
    """Print what is said, by whom, until the last one has left."""
    present = set[str]()
    async for record in pool.watch_pool():
        match record.payload:
            case ap.MemberJoined(member):
                present.add(member.run_id)
            case ap.RunMessageRecorded(stored) if stored.receipt.status == "delivered":
                print(stored.message.sender, await pool.body(stored.message).text())
            case ap.MemberLeft(member):
                present.remove(member.run_id)
                if not present:
                    return


async def main() -> None:
    """Let all of them run at the same time, here in one program and in memory."""
    async with asyncio.timeout(20), ap.open_pool("memory:", "pool.chat") as pool:
        await asyncio.gather(observe(pool), *(talk(pool, name) for name in NAMES))


if __name__ == "__main__":
    asyncio.run(main())
