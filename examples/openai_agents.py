"""Agents of the OpenAI Agents SDK as members of a pool: one polls the others, they vote by a tool.

You learn to give an agent its place in the pool as ``context``, to make the actions of the pool its
tools, and to go on when enough have answered. The model is a small object of our own, offline.

Run it with ``python examples/openai_agents.py``; needs the extra ``examples``.
"""

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from agents import Agent, Model, ModelResponse, RunConfig, RunContextWrapper, Runner, Usage
from agents.tool import FunctionTool, function_tool
from openai.types.responses import ResponseFunctionToolCall

import agentpool as ap


@dataclass
class Seat:
    """An agent's place in a pool, and the message that it deals with."""

    me: ap.MemberHandle
    message: ap.RunMessage | None = None


@function_tool
async def poll(context: RunContextWrapper[Seat], question: str, quorum: int) -> str:
    """Ask all experts, and go on when so many have answered."""
    me = context.context.me
    experts = ap.RunAddress.agent("agent.expert")
    votes = await me.ask(experts, question, expected=quorum)
    return ", ".join([await me.read(vote) for vote in votes])


@function_tool
async def reply(context: RunContextWrapper[Seat], text: str) -> str:
    """Answer the message at hand."""
    seat = context.context
    assert seat.message
    return str((await seat.me.reply(seat.message, text)).status)


class OneCall(Model):
    """Stands in for a model: it calls one tool and has nothing else to say."""

    def __init__(self, tool: str, **arguments: str | int) -> None:
        self._call = ResponseFunctionToolCall(
            type="function_call", call_id="call.1", name=tool, arguments=json.dumps(arguments)
        )

    async def get_response(self, *_args: Any, **_kwargs: Any) -> ModelResponse:
        return ModelResponse([self._call], Usage(), response_id=None)

    def stream_response(self, *_args: Any, **_kwargs: Any) -> Any:
        raise NotImplementedError


async def run(seat: Seat, prompt: str, tool: FunctionTool, **arguments: str | int) -> str:
    """Run an agent whose work is one call of a tool, with what that returns as its output."""
    model = OneCall(tool.name, **arguments)
    agent = Agent[Seat]("agent", tools=[tool], model=model, tool_use_behavior="stop_on_first_tool")
    done = await Runner.run(
        agent, prompt, context=seat, run_config=RunConfig(tracing_disabled=True)
    )
    return str(done.final_output)


async def vote(me: ap.MemberHandle, opinion: str) -> None:
    """Run an agent on the first message that comes."""
    async with await me.inbox.take() as delivery:
        await run(Seat(me, delivery.message), await delivery.text(), reply, text=opinion)


async def main() -> None:
    """Seat a chair and three experts, one of whom stays silent; two of three are enough."""
    async with (
        asyncio.timeout(30),
        ap.open_pool("memory:", "pool.board") as pool,
        pool.member(ap.AgentPoolMember("run.chair", "agent.chair")) as chair,
        pool.member(ap.AgentPoolMember("run.a", "agent.expert")) as a,
        pool.member(ap.AgentPoolMember("run.b", "agent.expert")) as b,
        pool.member(ap.AgentPoolMember("run.c", "agent.expert")),
    ):
        asking = run(Seat(chair), "Find out.", poll, question="May we?", quorum=2)
        verdict, *_ = await asyncio.gather(asking, vote(a, "yes"), vote(b, "yes"))
        print(verdict)
        assert verdict == "yes, yes"


if __name__ == "__main__":
    asyncio.run(main())
