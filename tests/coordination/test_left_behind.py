"""What is left of all that has ended: its records, and what repeating the call needs."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from integration.helpers import sql

from agentpool import AgentPool, AgentPoolStoreCursor, EventFilter, MemberHandle, RunAddress
from agentpool.testing import a_member

from .helpers import POOL, amount, say, until

pytestmark = pytest.mark.slow

TIMES: Final = amount(30, 10_000)
AT_ONCE: Final = 10
OTHER: Final = RunAddress.run("run.b")


def rows(path: Path) -> Counter[str]:
    """Count the rows beside the log by their kinds."""
    with sql(path) as connection:
        found = connection.execute("SELECT kind, count(*) FROM agentpool_rows GROUP BY kind")
        return Counter(dict(found.fetchall()))


def size(path: Path) -> int:
    """Give the bytes of the file, with all that was written into it."""
    with sql(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        [pages] = connection.execute("PRAGMA page_count").fetchone()
        [bytes_] = connection.execute("PRAGMA page_size").fetchone()
        return int(pages) * int(bytes_)


def written(path: Path) -> Iterator[int]:
    """Give the bytes of what stands in the log, and in the rows beside it."""
    with sql(path) as connection:
        for what in (
            "length(payload_json)) FROM agent_pool_records",
            "length(name) + length(value)) FROM agentpool_rows",
        ):
            [bytes_] = connection.execute(f"SELECT sum({what}").fetchone()
            yield bytes_ or 0


class Two(NamedTuple):
    """Two members, and what they do with each other."""

    me: MemberHandle
    you: MemberHandle
    pool: AgentPool

    async def ask(self, number: int) -> None:
        async def answer() -> None:
            async with await self.you.inbox.take() as delivery:
                await delivery.reply(content_ref="content.answer")

        asking = self.me.ask(OTHER, content_ref=f"content.{number}", timeout=1000)
        answers, _ = await asyncio.gather(asking, answer())
        assert len(answers) == 1

    async def wait(self, number: int) -> None:
        assert await self._waited(f"call.{number}", 1000, self.you.publish(f"call.{number}"))

    async def wait_in_vain(self, number: int) -> None:
        assert not await self._waited(f"never.{number}", 0.001, asyncio.sleep(0))

    async def deliver(self, number: int) -> None:
        await self.me.send(OTHER, content_ref=f"content.{number}")
        async with await self.you.inbox.take():
            pass

    async def _waited(self, name: str, seconds: float, meanwhile: Awaitable[object]) -> bool:
        # Since now: it is not to look through all that happened in this test.
        place = AgentPoolStoreCursor(await self.pool.store.query(POOL, lambda view: view.head))
        waiting = self.me.wait_until(EventFilter.named(name), since=place, timeout=seconds)
        outcome, _ = await asyncio.gather(waiting, meanwhile)
        return outcome.triggered


Doing = Callable[[Two, int], Awaitable[None]]
LEFT: Final[dict[Doing, tuple[str, ...]]] = {
    Two.ask: ("asked",),
    Two.wait: ("cause", "event", "event_id"),  # the last two are of what was published
    Two.wait_in_vain: (),
    Two.deliver: (),
}


@pytest.mark.parametrize("doing", LEFT, ids=lambda doing: doing.__name__)
@pytest.mark.timeout(amount(300, 1800))
async def test_what_has_ended_leaves_only_what_repeating_it_needs(
    doing: Doing, pool: AgentPool, path: Path
) -> None:
    numbers = iter(range(TIMES))
    async with (
        pool.member(a_member("run.a"), lease=None) as me,
        pool.member(a_member("run.b"), lease=None) as you,
    ):
        two = Two(me, you, pool)

        async def do_some() -> None:
            for number in numbers:
                await doing(two, number)

        before, empty = rows(path), size(path)
        await asyncio.gather(*(do_some() for _ in range(AT_ONCE)))
        expected = before + Counter(dict.fromkeys(LEFT[doing], TIMES))

        async def is_left() -> bool:
            return rows(path) == expected

        await until(is_left)
        per_one = (bytes_ / TIMES for bytes_ in (size(path) - empty, *written(path)))
        say(
            "{}: {:.0f} bytes of the file, {:.0f} of records, {:.0f} of rows".format(
                doing.__name__, *per_one
            )
        )
