"""What the words of all explanations are made of: names, times, policies, filters."""

from collections.abc import Iterable, Sequence
from typing import Final

from agentpool.rules.alike import look
from agentpool.rules.explaining.parts import Alike
from agentpool.wire.filters import EventFilter
from agentpool.wire.refs import PolicyRef
from agentpool.wire.struct import Include

__all__ = (
    "ago",
    "alike_words",
    "counted",
    "filter_words",
    "grouped",
    "listed",
    "named",
    "policies",
    "span",
    "until_words",
)

_MOST_NAMED: Final = 8

_SECOND: Final = 1000
_MINUTE: Final = 60 * _SECOND
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR

_CLAUSES: Final = {
    "kinds": "of kind {}",
    "families": "of family {}",
    "run_ids": "of run {}",
    "agent_ids": "of agent {}",
    "session_ids": "of session {}",
    "turn_ids": "of turn {}",
    "subject_kinds": "about a {}",
    "related_entity_kinds": "that relate to a {}",
    "correlation_keys": "with the correlation key {}",
    "tags": "named or tagged {}",
    "source_kinds": "from a {}",
    "destination_kinds": "to a {}",
    "privacy_classes": "of privacy {}",
    "delivery_semantics": "delivered {}",
}


def named(name: str) -> str:
    """Show a name; escaped where nobody could tell it from another that looks the same."""
    return repr(name) if look(name) == name else ascii(name)


def listed(names: Sequence[str], *, last: str = "and", in_all: int | None = None) -> str:
    """List names: the first of them, if they are many.

    :param in_all: how many there are, if more than are given
    """
    total = len(names) if in_all is None else in_all
    shown = [named(each) for each in names[:_MOST_NAMED]]
    if total > len(shown):
        return f"{', '.join(shown)} {last} {total - len(shown)} more"
    return f" {last} ".join(filter(None, (", ".join(shown[:-1]), *shown[-1:])))


def counted(count: int, what: str) -> str:
    """Say how many there are of something."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def grouped(said: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Put the names together of which the same is said.

    :param said: what is said, and of what name
    """
    groups: dict[str, list[str]] = {}
    for words, name in said:
        groups.setdefault(words, []).append(name)
    return groups


def policies(refs: Iterable[PolicyRef]) -> str:
    """List policies, in ascending order of their ids."""
    ids = sorted(each.id for each in refs)
    return f"{'policy' if len(ids) == 1 else 'policies'} {listed(ids)}"


def span(millis: int) -> str:
    """Write how long something takes, as roughly as people say it."""
    if millis < _MINUTE:
        return f"{millis / _SECOND:.1f} s"
    if millis < _HOUR:
        return f"{millis / _MINUTE:.1f} min"
    if millis < _DAY:
        return f"{millis / _HOUR:.1f} h"
    return f"{millis // _DAY} days"


def ago(now: int, at: int | None) -> str:
    """Say when something was."""
    return "at a time that is not known" if at is None else f"{span(max(now - at, 0))} ago"


def until_words(now: int, until: int | None) -> str:
    """Say until when something lasts."""
    if until is None:
        return "without a deadline"
    if until <= now:
        return f"until {span(now - until)} ago, which is about to be carried out"
    return f"for {span(until - now)} more"


def filter_words(wanted: EventFilter) -> str:
    """Say which events a filter lets through."""
    clauses = [
        words.format(_values(found))
        for field, words in _CLAUSES.items()
        if isinstance(found := getattr(wanted, field), Include)
    ]
    start = "any terminal event" if wanted.terminal_only else "any event"
    return " ".join((start, *clauses))


def _values(found: Include[str]) -> str:
    return listed([str(each) for each in found.include], last="or") or "nothing"


def alike_words(alike: Sequence[Alike]) -> list[str]:
    """Point at names that may be meant, or taken for one another."""
    same = [each.name for each in alike if each.same_look]
    close = [f"{each.kind} {named(each.name)}" for each in alike if not each.same_look]
    lines = []
    if same:
        lines.append(f"there is another that looks the same, and is not: {listed(same)}")
    if close:
        lines.append(f"perhaps meant: {', '.join(close)}")
    return lines
