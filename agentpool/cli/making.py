"""Making a store and a pool on purpose, joining and leaving: init, join, leave."""

from argparse import ArgumentParser, Namespace
from typing import Final

from agentpool import AgentPoolMember, open_pool
from agentpool.cli.arguments import Verb, acting, chosen_run, in_pool
from agentpool.cli.opening import a_pool, run_of, where
from agentpool.cli.printing import Printer
from agentpool.errors import InvalidValueError
from agentpool.opening import StoreOptions

__all__ = ("VERBS",)


def _init_arguments(parser: ArgumentParser) -> None:
    in_pool(parser)
    parser.add_argument("--queue", action="append", default=[], metavar="NAME", help="make a queue")


async def _init(options: Namespace, out: Printer) -> int:
    if not options.pool:
        msg = "which pool? give --pool ID, or set AGENTPOOL_POOL"
        raise InvalidValueError(msg)
    how = StoreOptions(schema=options.schema) if options.schema else StoreOptions()
    async with open_pool(where(options), options.pool, **how) as pool:
        for name in options.queue:
            await pool.queue(name)
    out.say(f"pool {options.pool} is there")
    return 0


def _join_arguments(parser: ArgumentParser) -> None:
    acting(parser)
    parser.add_argument("--topic", action="append", default=[], help="a topic that it hears")


async def _join(options: Namespace, out: Printer) -> int:
    member = AgentPoolMember(run_of(options), options.agent, topics=tuple(options.topic))
    async with a_pool(options) as pool:
        await pool.join_run(member)
    out.say(f"{member.run_id} is a member, as {member.agent_id}")
    return 0


def _leave_arguments(parser: ArgumentParser) -> None:
    in_pool(parser)
    chosen_run(parser, "the run that leaves")


async def _leave(options: Namespace, out: Printer) -> int:
    async with a_pool(options) as pool:
        member = await pool.leave_run(run_of(options))
    out.say(f"{member.run_id} has left")
    return 0


VERBS: Final = (
    Verb(
        "init",
        "make a store and a pool in it, or bring an older store to this version",
        "agentpool init --store pool.db --pool pool.library\nagentpool init --queue work",
        _init_arguments,
        _init,
    ),
    Verb(
        "join",
        "let a run join, which stays until it leaves",
        "agentpool join --as run.me --agent agent.me --topic topic.news",
        _join_arguments,
        _join,
    ),
    Verb(
        "leave",
        "let a run leave; its messages stay for its return",
        "agentpool leave --as run.me",
        _leave_arguments,
        _leave,
    ),
)
