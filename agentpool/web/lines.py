"""Entries of the log as rows of a table."""

from collections.abc import Iterable, Sequence
from typing import Final

from agentpool.web.entries import Entry
from agentpool.web.html import NO_VALUE, Content, el, named
from agentpool.web.parts import explained, link, message_link, moment, url

__all__ = ("NAMES", "line", "lines")

NAMES: Final = ("number", "at", "what", "run", "about", "to", "reached")
_MOST_NAMED: Final = 3


def lines(pool_id: str, entries: Iterable[Entry]) -> tuple[Sequence[str], list[Sequence[Content]]]:
    """Write entries as rows: the names of the columns, and their cells."""
    return NAMES, [line(pool_id, each) for each in entries]


def line(pool_id: str, entry: Entry) -> Sequence[Content]:
    """Write an entry as a row."""
    number = str(entry.place if entry.is_published else entry.seq)
    return (
        link(url("/log", pool=pool_id, at=entry.seq), number),
        moment(entry.at),
        [entry.kind.replace("_", " "), _said(entry)],
        explained(pool_id, entry.run),
        _about(pool_id, entry),
        NO_VALUE if entry.to is None else named(entry.to),
        _reached(pool_id, entry.runs),
    )


def _said(entry: Entry) -> Content:
    return [": ", el("bdi", entry.said, class_="words")] if entry.said else None


def _about(pool_id: str, entry: Entry) -> Content:
    if entry.about is None:
        return NO_VALUE
    kind, name = entry.about
    if entry.key is not None:
        return message_link(pool_id, entry.key, name)
    return [f"{kind.replace('_', ' ')} ", explained(pool_id, name)]


def _reached(pool_id: str, runs: Sequence[str]) -> Content:
    if not runs:
        return NO_VALUE
    more = len(runs) - _MOST_NAMED
    shown = [[explained(pool_id, each), " "] for each in runs[:_MOST_NAMED]]
    return [shown, f"and {more:,} more" if more > 0 else None]
