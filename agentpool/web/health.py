"""The view *Health*: whether somebody has to look after the store, and how it grows."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import anyio

from agentpool import AgentPool
from agentpool.cli.health import MAX_AGE, findings
from agentpool.doctor import Finding, Level
from agentpool.doctor.quick import glance as glance_at_file
from agentpool.doctor.report import broken, in_bytes
from agentpool.errors import CorruptRecordError, UnknownRecordError
from agentpool.rules.command import PoolView
from agentpool.rules.explaining.overview import without_members
from agentpool.stores.sqlite.place import beside
from agentpool.web.entries import before_time
from agentpool.web.html import Content, Html, el, join
from agentpool.web.inside import Inside, ask
from agentpool.web.parts import facts, link, section, table, url

__all__ = ("health_of",)

_SECOND: Final = 1000
_SPANS: Final = {"minute": 60, "hour": 3600, "day": 86_400, "week": 604_800}
_LOOK: Final = 0.5


async def health_of(inside: Inside, pool: AgentPool, *, examined: bool) -> Html:
    """Write how the store is, and the pool.

    :param examined: also what the doctor says, who reads all of it
    """
    found = await _found(inside, pool)
    if inside.file is not None:
        found += await anyio.to_thread.run_sync(glance_at_file, inside.file)
    return join(
        [
            section("checks", "Checks", _findings("what agentpool check says", found)),
            section("growth", "Growth", await _growth(inside, pool)),
            section("doctor", "Doctor", await _doctor(inside, pool, examined=examined)),
        ]
    )


async def _found(inside: Inside, pool: AgentPool) -> list[Finding]:
    survey = inside.survey(pool)
    try:
        await survey.go_on(_LOOK)
        seen = await ask(pool, without_members)
    except (CorruptRecordError, UnknownRecordError) as error:
        return [broken("records", str(error), "see what the doctor says")]
    seen = seen._replace(members=tuple(each.seen for each in survey.seen))
    return list(findings(seen, MAX_AGE, 0))


def _findings(caption: str, found: Sequence[Finding]) -> Html:
    rows = [(_level(each.level), each.check, each.what, each.advice) for each in found]
    return table(caption, ("how it is", "check", "what was found", "what to do"), rows)


def _level(level: Level) -> Content:
    return "well" if level is Level.OK else el("strong", str(level).lower(), class_="bad")


# --- growth


def _came(view: PoolView) -> dict[str, int]:
    return {
        name: view.head - before_time(view, view.now - seconds * _SECOND).sequence
        for name, seconds in _SPANS.items()
    }


async def _growth(inside: Inside, pool: AgentPool) -> Html:
    came = await ask(pool, _came)
    said: dict[str, Content] = {f"records in the last {name}": f"{n:,}" for name, n in came.items()}
    if inside.file is not None:
        said |= await anyio.to_thread.run_sync(_sizes, inside.file)
    return facts(said)


def _sizes(file: Path) -> dict[str, Content]:
    names = {"": "the file", "-wal": "the write-ahead log"}
    return {name: in_bytes(_size(beside(file, suffix))) for suffix, name in names.items()}


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


# --- the doctor


async def _doctor(inside: Inside, pool: AgentPool, *, examined: bool) -> Html:
    if not examined:
        there = f"{url('/health', pool=pool.pool_id, examine=1)}#doctor"
        return el("p", link(there, "Examine the whole store"), ": it reads all of it.")
    said = await inside.examining.said()
    return el("pre", el("bdi", said), class_="body", tabindex=0)
