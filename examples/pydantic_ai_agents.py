"""Agents of pydantic-ai as members of a pool: one asks the other and notes the answer, by tools.

You learn to give an agent its place in the pool as ``deps``, to make the actions of the pool its
tools, and to let an agent answer its inbox. The models are pydantic-ai's own offline test models.

Run it with ``python examples/pydantic_ai_agents.py``; needs the extra ``examples``.
"""

import asyncio
import tempfile

from pydantic_ai import Agent, ModelMessage, ModelResponse, RunContext, TextPart, ToolCallPart
from pydantic_ai.messages import ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.test import TestModel

import agentpool as ap


async def ask(context: RunContext[ap.MemberHandle], agent: str, question: str) -> str:
    """Ask another agent, and wait for its answer."""
    me = context.deps
    answers = await me.ask(ap.RunAddress.agent(agent), question, timeout=10)
    return "\n".join([await me.read(answer) for answer in answers]) or "no answer"


async def send(context: RunContext[ap.MemberHandle], agent: str, text: str) -> str:
    """Send a message to another agent, and do not wait."""
    me = context.deps
    return str((await me.send(ap.RunAddress.agent(agent), text)).status)


def barometer() -> str:
    """Read the barometer."""
    return "falling"


async def serve(agent: Agent[ap.MemberHandle, str], me: ap.MemberHandle) -> None:
    """Run an agent on each message that comes, and answer with what it says."""
    async for delivery in me.inbox:
        async with delivery:
            result = await agent.run(await delivery.text(), deps=me)
            await delivery.reply(result.output)


def plan(messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
    """Stand in for a model: ask, write it down, conclude."""
    parts = [part for message in messages for part in message.parts]
    results = [str(part.content) for part in parts if isinstance(part, ToolReturnPart)]
    steps = (
        ToolCallPart("ask", {"agent": "agent.forecaster", "question": "Rain in Oslo?"}),
        ToolCallPart("send", {"agent": "agent.archive", "text": " ".join(results)}),
        TextPart(", ".join(results)),
    )
    return ModelResponse([steps[len(results)]])


planner = Agent(FunctionModel(plan), deps_type=ap.MemberHandle, tools=[ask, send])
forecaster = Agent(TestModel(), deps_type=ap.MemberHandle, tools=[barometer])


async def main(path: str) -> None:
    """Seat a planner, a forecaster and an archive, and let the planner run."""
    async with (
        asyncio.timeout(30),
        ap.open_pool(path, "pool.weather") as pool,
        pool.member(ap.AgentPoolMember("run.planner", "agent.planner")) as me,
        pool.member(ap.AgentPoolMember("run.forecaster", "agent.forecaster")) as other,
        pool.member(ap.AgentPoolMember("run.archive", "agent.archive")) as archive,
        asyncio.TaskGroup() as tasks,
    ):
        serving = tasks.create_task(serve(forecaster, other))
        result = await planner.run("Do I need an umbrella?", deps=me)
        (note,) = await archive.inbox.peek()
        serving.cancel()
        print(result.output)
        assert result.output == '{"barometer":"falling"}, delivered'
        assert await archive.read(note) == '{"barometer":"falling"}'


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(main(f"{directory}/pool.db"))
