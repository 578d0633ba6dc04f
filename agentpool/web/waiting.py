"""Who waits for whom: the arrows, those in a circle first, and then those that wait longest."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from agentpool.web.glance import Waiting
from agentpool.web.survey import Seen

__all__ = ("Arrow", "arrows", "reduced")

_MOST_CIRCLING: Final = 200
_MOST_OF_ONE: Final = 6
_MOST_NODES: Final = 24


class Arrow(NamedTuple):
    """That one run waits for another.

    :ivar by: what waits: the id of a question, or of a wake
    :ivar is_question: whether it is a question
    :ivar until: when that waits no more; ``None``: it waits for ever
    :ivar circles: whether the other waits for the first too, directly or by others
    """

    run_id: str
    awaited: str
    by: str
    is_question: bool
    until: int | None
    circles: bool = False


def arrows(members: Iterable[Seen], waits: Iterable[Waiting]) -> list[Arrow]:
    """List the arrows of a pool, as far as its members and wakes were looked at."""
    found = [*_questions(members), *_wakes(waits)]
    circling = _circling(found)
    marked = (
        each._replace(circles=each.awaited in circling.get(each.run_id, ())) for each in found
    )
    return sorted(marked, key=_urgency)


def _questions(members: Iterable[Seen]) -> Iterator[Arrow]:
    for each in members:
        for owed in each.owes:
            if owed.asker is not None:
                yield Arrow(owed.asker, each.run_id, owed.message_id, True, owed.until)


def _wakes(waits: Iterable[Waiting]) -> Iterator[Arrow]:
    for each in waits:
        for awaited in each.awaited:
            wake = each.wait.condition_id
            yield Arrow(each.run_id, awaited.run_id, wake, False, awaited.until)


def _urgency(arrow: Arrow) -> tuple[bool, bool, int, str, str]:
    return (
        not arrow.circles,
        arrow.until is None,
        arrow.until or 0,
        arrow.run_id,
        arrow.awaited,
    )


def _circling(found: Sequence[Arrow]) -> dict[str, set[str]]:
    """Say of each run that waits in a circle for which others in that circle it waits."""
    after: dict[str, set[str]] = defaultdict(set)
    for each in found:
        after[each.run_id].add(each.awaited)
    left = _without_ends(after)
    behind = {run_id: _reached(run_id, left) for run_id in list(left)[:_MOST_CIRCLING]}
    return {
        run_id: {each for each in left[run_id] if run_id in behind.get(each, ())}
        for run_id in behind
    }


def _without_ends(after: dict[str, set[str]]) -> dict[str, set[str]]:
    """Take away all who wait for nobody that waits, again and again."""
    left = dict(after)
    before: dict[str, set[str]] = defaultdict(set)
    for run_id, others in left.items():
        for each in others:
            before[each].add(run_id)
    counts = Counter({run_id: len(others) for run_id, others in left.items()})
    ends = [each for each in before if each not in left]
    while ends:
        for run_id in before[ends.pop()]:
            counts[run_id] -= 1
            if counts[run_id] == 0:
                ends.append(run_id)
    kept = {run_id for run_id, count in counts.items() if count}
    return {run_id: left[run_id] & kept for run_id in left if run_id in kept}


def _reached(run_id: str, after: dict[str, set[str]]) -> set[str]:
    seen, ahead = set[str](), [run_id]
    while ahead:
        for each in after.get(ahead.pop(), ()):
            if each not in seen:
                seen.add(each)
                ahead.append(each)
    return seen


def reduced(found: Sequence[Arrow]) -> tuple[list[Arrow], dict[str, int]]:
    """Choose what fits into a picture.

    :return: the arrows, each pair once; and for whom else each run waits: how many those are
    """
    chosen: dict[tuple[str, str], Arrow] = {}
    nodes, of_one, more = set[str](), Counter[str](), dict[str, set[str]]()
    for each in found:
        pair = (each.run_id, each.awaited)
        if pair in chosen:
            continue
        fits = len(nodes | set(pair)) <= _MOST_NODES and of_one[each.run_id] < _MOST_OF_ONE
        if fits:
            chosen[pair] = each
            nodes.update(pair)
            of_one[each.run_id] += 1
        else:
            more.setdefault(each.run_id, set()).add(each.awaited)
    return list(chosen.values()), {run: len(more[run]) for run in more if run in nodes}
