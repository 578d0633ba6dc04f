"""What several pages are made of: the frame, tables, links, times."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import Final
from urllib.parse import urlencode

from agentpool.cli.times import iso
from agentpool.rules.explaining.phrases import span
from agentpool.web.html import NO_VALUE, Content, Html, el, named

__all__ = (
    "age",
    "explained",
    "facts",
    "frame",
    "link",
    "message_link",
    "moment",
    "of_all",
    "row",
    "section",
    "table",
    "url",
)

_VIEWS: Final = {"/now": "Now", "/log": "Log", "/health": "Health"}


def url(path: str, **values: str | int | None) -> str:
    """Write an address of this page; what is ``None`` or empty is left out."""
    given = {name: value for name, value in values.items() if value not in {None, ""}}
    return f"{path}?{urlencode(given, errors='surrogatepass')}" if given else path


def link(to: str, *content: Content, current: bool = False) -> Html:
    """Make a link within the page."""
    return el("a", *content, href=to, aria_current="page" if current else None)


def explained(pool_id: str, name: str) -> Html:
    """Show an id, with a link to why it is as it is."""
    return link(url("/explain", pool=pool_id, what=name), named(name)) if name else NO_VALUE


def message_link(pool_id: str, key: str | None, name: str) -> Html:
    """Show the id of a message, with a link to it."""
    return link(url("/message", pool=pool_id, key=key), named(name)) if key else named(name)


# --- times


def moment(millis: int | None) -> Content:
    """Show a time."""
    written = iso(millis)
    if written is None:
        return NO_VALUE
    return el("time", written.replace("T", " ").removesuffix("Z"), datetime=written)


def age(now: int, at: int | None) -> Content:
    """Show how long something has been there, and since when."""
    if at is None:
        return NO_VALUE
    return el("time", span(max(now - at, 0)), datetime=iso(at), title=iso(at))


# --- tables


def of_all(shown: int, in_all: int, what: str, more: str = "") -> str:
    """Say how much is shown of something; a ``+`` for more where it was not counted to the end."""
    if shown == in_all:
        return f"{what}: {in_all:,}{more}"
    return f"{what}: showing {shown:,} of {in_all:,}{more}"


def table(
    caption: Content,
    names: Sequence[str],
    rows: Iterable[Sequence[Content]],
    marked: Iterable[bool] = (),
    **attributes: str,
) -> Html:
    """Make a table, or where there are no rows only say so; the first cell of a row is its head.

    On a narrow screen each row is a list, so each cell has the name of its column.

    :param marked: whether each row is the one that was asked for
    :param attributes: of the body of the table, which then may come to have rows later
    """
    cells = [
        row(names, each, marked=bool(is_marked)) for each, is_marked in zip_longest(rows, marked)
    ]
    if not cells and not attributes:
        return el("p", caption, class_="nothing")
    head = el("tr", (el("th", each, scope="col") for each in names))
    return el(
        "table",
        el("caption", caption),
        el("thead", head),
        el("tbody", cells, **attributes),
    )


def row(names: Sequence[str], cells: Sequence[Content], *, marked: bool = False) -> Html:
    """Make a row of a table."""
    first, *others = zip(names, cells, strict=True)
    head = el("th", first[1], scope="row", data_name=first[0])
    rest = [el("td", cell, data_name=name, class_=_kind(cell)) for name, cell in others]
    return el("tr", head, rest, class_="here" if marked else None)


def _kind(cell: Content) -> str | None:
    """Mark a cell that says nothing, which a narrow screen does not show."""
    return "none" if cell in ("0", 0, NO_VALUE) else None


def facts(pairs: Mapping[str, Content], class_: str = "facts") -> Html:
    """List names and values."""
    return el(
        "dl",
        (el("div", el("dt", name), el("dd", value)) for name, value in pairs.items()),
        class_=class_,
    )


def section(name: str, title: str, *content: Content) -> Html:
    """Make a section with a heading, by which it can be jumped to."""
    heading = el("h2", title, id=name)
    return el("section", heading, *content, aria_labelledby=name)


# --- the frame


def frame(
    title: str, *content: Content, pool_id: str = "", path: str = "", live: str | None = None
) -> str:
    """Make a page.

    :param pool_id: the pool that it is about, if it is about one
    :param path: the view that it is
    :param live: where what comes can be had
    """
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", name_="viewport", content_="width=device-width, initial-scale=1"),
        el("meta", name_="color-scheme", content_="light dark"),
        el("title", f"{title} · {pool_id} · agentpool" if pool_id else f"{title} · agentpool"),
        el("link", rel="icon", href="/static/icon.svg", type="image/svg+xml"),
        el("link", rel="stylesheet", href="/static/page.css"),
        el("script", src="/static/page.js", defer=True),
    )
    main = el("main", el("h1", title), *content, id="main", tabindex=-1, data_live=live)
    skip = el("a", "Skip to content", href="#main", class_="skip")
    body = el("body", skip, _top(pool_id, path), main, _foot())
    return f"<!doctype html>\n{el('html', head, body, lang='en')}\n"


def _top(pool_id: str, path: str) -> Html:
    views = [el("li", link("/", "Pools", current=path == "/"))]
    if pool_id:
        views += [
            el("li", link(url(each, pool=pool_id), name, current=each == path))
            for each, name in _VIEWS.items()
        ]
    of_pool = [el("p", "pool ", named(pool_id), class_="pool"), _finder(pool_id)] if pool_id else []
    return el("header", el("nav", el("ul", views), aria_label="Views"), of_pool)


def _finder(pool_id: str) -> Html:
    return el(
        "form",
        el("input", type="hidden", name_="pool", value=pool_id),
        el("label", "Explain", for_="what"),
        el("input", id="what", name_="what", required=True, placeholder="run, message, wake"),
        el("button", "Explain"),
        action="/explain",
        role="search",
    )


def _foot() -> Html:
    return el("footer", el("p", "It only shows. To steer: ", el("code", "agentpool --help")))
