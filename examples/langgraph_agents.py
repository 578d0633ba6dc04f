"""A LangGraph graph that suspends, ends with its process, and is resumed by another process.

You learn to ask and to send in nodes, and to wait for days without a process: the pool keeps the
wait under a key of its own, LangGraph's checkpoints keep the graph. The nodes are plain functions.

Run it with ``python examples/langgraph_agents.py``; needs the extra ``examples``.
"""

import asyncio
import sys
import tempfile
from functools import partial
from typing import Any, TypedDict

from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command, interrupt

import agentpool as ap

AUTHOR = ap.AgentPoolMember("run.author", "agent.author")
EDITOR = ap.RunAddress.run("run.editor")
REVIEW = ap.EventCorrelation((ap.CorrelationEntry("review", "draft 1"),))
REVIEWED = ap.EventFilter(run_ids=ap.include("run.editor"), correlation_keys=ap.include("review"))
VERDICT = ap.WakeCondition(
    condition_id="wake.1", run_id=AUTHOR.run_id, filter=REVIEWED, idempotency_key="verdict-1"
)
THREAD: Any = {"configurable": {"thread_id": "draft 1"}}


class State(TypedDict):
    """What the graph knows."""

    text: str


def nodes(pool: ap.AgentPool, me: ap.MemberHandle) -> list[Any]:
    """Make the nodes. One that runs again after a crash finds, by its key, what it did."""

    async def ask(_: State) -> State:
        (answer,) = await me.ask(EDITOR, "What about?", timeout=20, idempotency_key="topic-1")
        return {"text": await me.read(answer)}

    async def submit(state: State) -> State:
        await me.send(EDITOR, state["text"], idempotency_key="draft-1", correlation=REVIEW)
        return state

    async def review(state: State) -> State:
        await pool.suspend_until(me.run_id, VERDICT)
        verdict = interrupt(VERDICT.condition_id)  # the wait goes out, what ended it comes in
        return {"text": f"{state['text']}: {verdict}"}

    return [ask, submit, review]


async def author(pool: ap.AgentPool, path: str) -> None:
    """Run the graph from where it is: to the wait or, resumed, to its end."""
    await pool.join_run(AUTHOR)  # and stay a member when the process ends
    me = pool.acting_as(AUTHOR)
    async with AsyncSqliteSaver.from_conn_string(f"{path}.graph") as db:
        graph = StateGraph(State).add_sequence(nodes(pool, me)).add_edge(START, "ask").compile(db)
        suspended = (await graph.aget_state(THREAD)).interrupts
        if not suspended:
            await graph.ainvoke({"text": ""}, THREAD)
        else:
            await pool.wait(suspended[0].value)
            async with await me.inbox.take() as delivery:
                state = await graph.ainvoke(Command(resume=await delivery.text()), THREAD)
            print(state["text"])
            assert state["text"] == "tea: print it"


async def editor(pool: ap.AgentPool, path: str) -> None:
    """Answer a question while the author waits, and its draft while no process of it runs."""
    async with pool.member(ap.AgentPoolMember("run.editor", "agent.editor")) as me:
        start = partial(asyncio.create_subprocess_exec, sys.executable, __file__, path)
        process = await start()
        for answer in ("tea", "print it"):
            async with await me.inbox.take() as delivery:
                await delivery.reply(answer)
            assert await process.wait() == 0  # suspended
        assert await (await start()).wait() == 0


async def main(path: str) -> None:
    """Be the editor, or one of the two processes of the author that it starts."""
    async with (
        asyncio.timeout(45),
        ap.open_pool(path, "pool.press") as pool,
    ):
        await (author if sys.argv[1:] else editor)(pool, path)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(main(*sys.argv[1:] or [f"{directory}/pool.db"]))
