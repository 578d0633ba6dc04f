"""The view *Log*: what happened, the newest first, by page and as it comes."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Final, NamedTuple, TypeVar

from agentpool import AgentPool
from agentpool.errors import InvalidValueError, shown
from agentpool.rules.command import PoolView
from agentpool.rules.rows import number_in
from agentpool.web.entries import (
    KINDS,
    Filters,
    LogPage,
    Place,
    Tail,
    before_time,
    page_before,
    place_behind,
)
from agentpool.web.html import Content, Html, el, join
from agentpool.web.inside import ask
from agentpool.web.lines import NAMES, line, lines
from agentpool.web.parts import link, row, table, url

__all__ = ("ROWS", "Wanted", "come", "log_of", "wanted")

R = TypeVar("R")
ROWS: Final = 50
"""The rows of a page, and the most that come in a second."""


class Wanted(NamedTuple):
    """Which page of the log: by default its end.

    :ivar at: around this record
    :ivar time: what came before this time, in milliseconds
    :ivar before: what came before this place
    """

    filters: Filters = Filters()
    at: int | None = None
    time: int | None = None
    before: Place | None = None

    @property
    def is_end(self) -> bool:
        """Whether what comes is to be seen there."""
        return self.at is None and self.time is None and self.before is None


def wanted(values: Mapping[str, str]) -> Wanted:
    """Read which page an address means.

    :raises InvalidValueError: naming what it says wrongly, and what that can be
    """
    kind = _read(values, "kind", _kind, "one that the Log lists, such as run_message_delivered")
    return Wanted(
        Filters(kind or "", values.get("id", "").strip()),
        _read(values, "at", number_in, "the number of a record"),
        _read(values, "time", _millis, "a time, such as 2026-11-28T09:30"),
        _read(values, "before", Place.read, "a place in the log, such as 42, or 42.1"),
    )


def _read(
    values: Mapping[str, str], name: str, read: Callable[[str], R | None], what: str
) -> R | None:
    text = values.get(name, "").strip()
    found = read(text) if text else None
    if text and found is None:
        msg = f"{name}: {shown(text)} is not {what}"
        raise InvalidValueError(msg)
    return found


def _kind(text: str) -> str | None:
    return text if text in KINDS else None


def _millis(text: str) -> int | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def _look(view: PoolView, meant: Wanted) -> LogPage:
    end = meant.before
    if meant.at is not None:
        end = place_behind(view, meant.at + ROWS // 2)
    elif meant.time is not None:
        end = before_time(view, meant.time)
    return page_before(view, end, ROWS, meant.filters)


async def log_of(pool: AgentPool, meant: Wanted) -> tuple[Html, LogPage]:
    """Write a page of the log."""
    page = await ask(pool, partial(_look, meant=meant))
    rows = table(
        _caption(page, meant.filters),
        *lines(pool.pool_id, page.entries),
        marked=[each.seq == meant.at for each in page.entries],
        id="lines",
    )
    return join([_form(pool.pool_id, meant), rows, _pager(pool.pool_id, meant, page)]), page


def _caption(page: LogPage, filters: Filters) -> str:
    if filters:
        said = f"{len(page.entries)} that match, looked at {sum(page.end) - sum(page.begin):,}"
    else:
        said = f"showing {len(page.entries):,}"
    return f"{said} of {sum(page.newest):,}, the newest first; times are UTC"


def _form(pool_id: str, meant: Wanted) -> Html:
    kinds = [el("option", "of any kind", value="")]
    kinds += (
        el("option", each.replace("_", " "), value=each, selected=each == meant.filters.kind)
        for each in KINDS
    )
    at = "" if meant.at is None else meant.at
    digits = {"inputmode": "numeric", "pattern": "[0-9]*"}
    return el(
        "form",
        el("input", type="hidden", name_="pool", value=pool_id),
        _field("kind", "Kind", el("select", kinds, id="kind", name_="kind")),
        _field("wanted", "With the id", _input("wanted", "id", meant.filters.name)),
        _field("at", "Around number", _input("at", "at", at, **digits)),
        _field("time", "Before (UTC)", _input("time", "time", "", type="datetime-local")),
        el("button", "Show"),
        class_="filters",
        aria_label="Filters",
    )


def _field(name: str, label: str, field: Html) -> Html:
    return el("p", el("label", label, for_=name), field)


def _input(place: str, name: str, value: str | int, **attributes: str) -> Html:
    return el("input", id=place, name_=name, value=value, autocomplete="off", **attributes)


def _pager(pool_id: str, meant: Wanted, page: LogPage) -> Html:
    def to(words: str, before: Place | None) -> Content:
        kind, name = meant.filters
        there = url("/log", pool=pool_id, kind=kind, id=name, before=before and str(before))
        return [link(there, words), " "]

    older = to("older", page.begin) if page.begin != Place(0, 0) else "the beginning of the log"
    newest = None if meant.is_end else to("newest", None)
    return el("nav", newest, older, aria_label="Pages of the log", class_="pager")


# --- what comes


def come(pool_id: str, seen: Tail, filters: Filters) -> tuple[str, str]:
    """Write what has come: its rows, the newest first, and how much of it that is."""
    rows = [row(NAMES, line(pool_id, each)) for each in reversed(seen.entries)]
    left = seen.wanted - len(seen.entries)
    if left > 0 and seen.entries:
        rows.append(_gap(pool_id, left, seen.entries[0].before, filters))
    said = f"showing {len(seen.entries):,} of {seen.wanted:,} that came"
    if filters:
        said += f" and match; looked at {seen.looked_at:,} of {seen.came:,}"
    return join(rows), said


def _gap(pool_id: str, left: int, before: Place, filters: Filters) -> Html:
    kind, name = filters
    there = url("/log", pool=pool_id, kind=kind, id=name, before=str(before))
    words = f"{left:,} more came at once, before {before}"
    return el("tr", el("td", link(there, words), colspan=len(NAMES)), class_="gap")
