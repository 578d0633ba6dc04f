"""Who waits for whom, drawn: boxes in columns, from who waits to whom is waited for."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from agentpool.web.html import Html, el, shown
from agentpool.web.waiting import Arrow

__all__ = ("picture",)

_WIDE: Final = 200
_HIGH: Final = 32
_APART: Final = 70
_BELOW: Final = 18
_EDGE: Final = 10
_LETTERS: Final = 24
_MOST_COLUMNS: Final = 6


class _Box(NamedTuple):
    x: int
    y: int

    @property
    def middle(self) -> int:
        return self.y + _HIGH // 2


def picture(arrows: Sequence[Arrow], more: Mapping[str, int]) -> Html:
    """Draw arrows.

    :param more: for how many others runs wait that are not drawn
    """
    columns = _columns(arrows)
    boxes = {
        name: _Box(_EDGE + at * (_WIDE + _APART), _EDGE + row * (_HIGH + _BELOW))
        for at, column in enumerate(columns)
        for row, name in enumerate(column)
    }
    wide = max((each.x for each in boxes.values()), default=0) + _WIDE + _EDGE
    high = max((each.y for each in boxes.values()), default=0) + _HIGH + 2 * _BELOW
    return el(
        "svg",
        el("title", f"Who waits for whom: {len(arrows)} arrows; the table has them in words"),
        _heads(),
        (_arrow(each, boxes[each.run_id], boxes[each.awaited]) for each in arrows),
        (_box(name, box, more.get(name, 0)) for name, box in boxes.items()),
        viewBox=f"0 0 {wide} {high}",
        width=wide,
        height=high,
        role="img",
        class_="waiting",
    )


# --- where the boxes are


def _columns(arrows: Sequence[Arrow]) -> list[list[str]]:
    """Put each behind those that wait for it, where that goes in no circle."""
    after: dict[str, list[str]] = {}
    for each in arrows:
        after.setdefault(each.run_id, []).append(each.awaited)
        after.setdefault(each.awaited, [])
    forward = list(_forward(after))
    depth = dict.fromkeys(after, 0)
    for name in forward:
        for other in after[name]:
            if forward.index(other) > forward.index(name):
                depth[other] = max(depth[other], min(depth[name] + 1, _MOST_COLUMNS - 1))
    columns: list[list[str]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for name in forward:
        columns[depth[name]].append(name)
    return [each for each in columns if each]


def _forward(after: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Go through all, each before those that it waits for, but for circles."""
    done, left = list[str](), dict.fromkeys(after)
    waited_for = {each for others in after.values() for each in others}
    for start in sorted(after, key=lambda each: each in waited_for, reverse=True):
        path = [(start, iter(after[start]))] if start in left else []
        left.pop(start, None)
        while path:
            name, others = path[-1]
            ahead = next((each for each in others if each in left), None)
            if ahead is None:
                done.append(name)
                path.pop()
            else:
                del left[ahead]
                path.append((ahead, iter(after[ahead])))
    yield from reversed(done)


# --- what is drawn


def _heads() -> Html:
    return el("defs", (_head(kind) for kind in ("arrow", "circling")))


def _head(kind: str) -> Html:
    path = el("path", d="M0 0L8 4L0 8z", class_=f"head {kind}")
    size = {"markerWidth": 8, "markerHeight": 8, "refX": 8, "refY": 4}
    return el("marker", path, id=kind, orient="auto", markerUnits="userSpaceOnUse", **size)


def _arrow(arrow: Arrow, start: _Box, end: _Box) -> Html:
    kind = "circling" if arrow.circles else "arrow"
    x, y, to_x, to_y = start.x + _WIDE, start.middle, end.x, end.middle
    if end.x > start.x:
        bend = (to_x - x) // 2
        path = f"M{x} {y}C{x + bend} {y} {to_x - bend} {to_y} {to_x} {to_y}"
    else:  # back, from below to below
        x, to_x, y, to_y = x - _WIDE // 2, end.x + _WIDE // 2, start.y + _HIGH, end.y + _HIGH
        low = max(y, to_y) + 2 * _BELOW
        path = f"M{x} {y}C{x} {low} {to_x} {low} {to_x} {to_y}"
    classes = f"edge {kind}" + ("" if arrow.is_question else " wake")
    return el("path", d=path, class_=classes, marker_end=f"url(#{kind})")


def _box(name: str, box: _Box, more: int) -> Html:
    text = shown(name)
    half = _LETTERS // 2
    short = text if len(text) <= _LETTERS else f"{text[: half - 1]}…{text[-half:]}"
    return el(
        "g",
        el("title", name),
        el("rect", x=box.x, y=box.y, width=_WIDE, height=_HIGH, rx=6),
        el("text", short, x=box.x + 10, y=box.middle + 5, unicode_bidi="plaintext"),
        el("text", f"and for {more:,} more", class_="more", x=box.x + 10, y=box.y + _HIGH + 13)
        if more
        else None,
    )
