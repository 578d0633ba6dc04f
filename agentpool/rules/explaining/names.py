"""Names that may be meant, or taken for another."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

from agentpool.rules.alike import close_to, looking_like
from agentpool.rules.command import PoolView
from agentpool.rules.explaining.parts import Alike, NameKind
from agentpool.wire.records import AgentPoolMember

__all__ = (
    "MOST_LOOKED_AT",
    "PAGE",
    "alike_in_pool",
    "members_of",
    "names_of",
    "near_names",
    "same_look",
)

MOST_LOOKED_AT: Final = 1000
"""The most members, wakes or questions that are gone through."""

PAGE: Final = 256
"""The most records, and the most host events, that are read one after another."""

_MOST_ALIKE: Final = 5


def members_of(view: PoolView) -> list[AgentPoolMember]:
    """List members of a pool: all, if there are not too many."""
    return list(islice(view.state.members.values(), MOST_LOOKED_AT))


def names_of(view: PoolView, kind: NameKind) -> Iterator[str]:
    """Go through the names of a kind that a pool has now; some may come again."""
    match kind:
        case NameKind.RUN | NameKind.QUEUE:
            yield from (each.run_id for each in members_of(view))
        case NameKind.AGENT:
            yield from (each.agent_id for each in members_of(view))
        case NameKind.TOPIC:
            yield from (topic for each in members_of(view) for topic in each.topics)
        case NameKind.WAKE:
            for wake in islice(view.state.open_wakes, MOST_LOOKED_AT):
                yield wake.condition.condition_id
        case NameKind.MESSAGE:
            return


def same_look(kind: NameKind, name: str, names: Iterable[str]) -> tuple[Alike, ...]:
    """List other names that look the same."""
    found = islice(dict.fromkeys(looking_like(name, names)), _MOST_ALIKE)
    return tuple(Alike(kind, each, same_look=True) for each in found)


def near_names(kind: NameKind, name: str, names: Iterable[str]) -> tuple[Alike, ...]:
    """List other names that look the same, and then those that are close."""
    known = list(dict.fromkeys(names))
    same = same_look(kind, name, known)
    seen = {each.name for each in same}
    close = (each for each in close_to(name, known) if each not in seen)
    return (*same, *(Alike(kind, each) for each in close))


def alike_in_pool(
    view: PoolView, kind: NameKind, name: str, *, close: bool = True
) -> tuple[Alike, ...]:
    """List the names that a pool has and that may be meant by another.

    :param close: those too that are close, and do not look the same
    """
    find = near_names if close else same_look
    return find(kind, name, names_of(view, kind))
