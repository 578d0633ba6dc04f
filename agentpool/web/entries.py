"""What stands in the log, as lines of a page: records, and published events between them.

Every question here reads at most so many records as it says, however long the log is.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final, NamedTuple

from agentpool.cli.rows import address_words
from agentpool.errors import AgentPoolError, CorruptRecordError, UnknownRecordError
from agentpool.rules.command import PoolView, Read
from agentpool.rules.history import record_before
from agentpool.rules.record_events import kind_of
from agentpool.rules.rows import EVENT, HostEvent, number_in, value_of
from agentpool.wire.event_kinds import EventKind
from agentpool.wire.records import (
    MemberJoined,
    MemberLeft,
    RunMessageRecorded,
    WakeRecorded,
)

__all__ = (
    "KINDS",
    "Entry",
    "Filters",
    "LogPage",
    "Place",
    "Tail",
    "before_time",
    "entry_at",
    "page_before",
    "place_behind",
    "place_now",
    "tail",
)

_OPENED: Final = "agent_pool_opened"
_UNKNOWN: Final = "unknown"
_UNREADABLE: Final = "unreadable"
KINDS: Final = (*map(str, EventKind), _OPENED, _UNKNOWN, _UNREADABLE)
"""All that an entry may be of."""

_STRETCH: Final = 500
_MOST_READ: Final = 5000
_MOST_READ_LIVE: Final = 2000
_MOST_DAMAGED: Final = 20


class Place(NamedTuple):
    """A place in the log: behind a record, and behind so many published events.

    As text it is the number of the record, with that of the event behind a dot where there is one.
    """

    sequence: int
    events: int

    def __str__(self) -> str:
        return f"{self.sequence}.{self.events}" if self.events else str(self.sequence)

    @classmethod
    def read(cls, text: str) -> "Place | None":
        """Read a place; ``None``: it is none."""
        parts = text.split(".")
        if not 1 <= len(parts) <= len(cls._fields):
            return None
        numbers = [number_in(each) for each in parts]
        if None in numbers:
            return None
        return cls(*(each or 0 for each in (*numbers, 0)[:2]))


class Entry(NamedTuple):
    """A record, or an event that was published after it.

    :ivar place: the cursor after it
    :ivar at: when it was appended, in milliseconds of the store's clock, where that is known
    :ivar run: whose it is
    :ivar about: what it is about: of which kind that is, and its id
    :ivar to: whom a message is for, as an address is written
    :ivar runs: whom it was delivered to
    :ivar key: the idempotency key of a message
    :ivar said: what else there is to say
    :ivar is_published: whether it is an event, and not a record
    """

    place: Place
    kind: str
    at: int | None = None
    run: str = ""
    about: tuple[str, str] | None = None
    to: str | None = None
    runs: Sequence[str] = ()
    key: str | None = None
    said: str = ""
    is_published: bool = False

    @property
    def seq(self) -> int:
        """The record that it is, or came after."""
        return self.place.sequence

    @property
    def before(self) -> Place:
        """The place before it."""
        seq, events = self.place
        return Place(seq, events - 1) if self.is_published else Place(seq - 1, events)


class Filters(NamedTuple):
    """Which entries are wanted: all by default.

    :ivar kind: of this kind
    :ivar name: in which this id stands, whatever it is the id of
    """

    kind: str = ""
    name: str = ""

    def __bool__(self) -> bool:
        return bool(self.kind or self.name)

    def match(self, entry: Entry) -> bool:
        """Say whether an entry is wanted."""
        if self.kind and entry.kind != self.kind:
            return False
        return not self.name or self.name in _names(entry)


def _names(entry: Entry) -> Iterator[str | None]:
    yield from (entry.run, entry.key)
    if entry.about is not None:
        yield entry.about[1]
    if entry.to is not None:
        yield from (entry.to, entry.to.partition(":")[2])
    yield from entry.runs


# --- one entry


def entry_at(view: PoolView, seq: int, read: Read) -> Entry:
    """Make a line of a record."""
    entry = Entry(Place(seq, 0), _kind(read), view.time_of(seq))
    match read:
        case RunMessageRecorded(stored):
            message = stored.message
            return entry._replace(
                run=message.sender,
                about=("message", message.message_id),
                to=address_words(message.to),
                runs=stored.receipt.delivered_to,
                key=message.idempotency_key,
            )
        case WakeRecorded(wake):
            condition = wake.condition
            return entry._replace(run=condition.run_id, about=("wake", condition.condition_id))
        case MemberJoined(member) | MemberLeft(member):
            return entry._replace(run=member.run_id, about=("agent", member.agent_id))
        case AgentPoolError():
            return entry._replace(said=read.message)
        case _:
            return entry


def _kind(read: Read) -> str:
    match read:
        case UnknownRecordError():
            return _UNKNOWN
        case AgentPoolError():
            return _UNREADABLE
        case _:
            return str(kind_of(read) or _OPENED)


def _published(number: int, host: HostEvent) -> Entry:
    event = host.envelope
    name = ", ".join(event.tags)
    return Entry(
        Place(host.after, number),
        str(event.event_kind),
        _millis(event.recorded_at),
        run=event.run_id,
        about=(str(event.subject_ref.kind), event.subject_ref.id),
        said=name if host.visible else f"{name} (hidden: its run lacks the policies of the pool)",
        is_published=True,
    )


def _millis(time: str) -> int | None:
    with suppress(ValueError, OverflowError):
        return round(datetime.fromisoformat(time).timestamp() * 1000)
    return None


# --- stretches of the log


def _stretch(view: PoolView, begin: Place, end: Place, most: int) -> list[Entry]:
    """List what is between two places, in order; the newest, if they are more of a sort."""
    first, number = max(begin.sequence, end.sequence - most), max(begin.events, end.events - most)
    entries = list(_hosts(view, number, end.events - number))
    if end.sequence > first:
        records = view.records(first, end.sequence - first)
        entries += (entry_at(view, seq, read) for seq, read in records)
    entries.sort(key=lambda each: each.place)  # events come after their record
    return _placed(entries, number)


def _hosts(view: PoolView, after: int, limit: int) -> Iterator[Entry]:
    if limit > 0:
        for row in view.rows(EVENT, "", after=after, limit=limit):
            with suppress(CorruptRecordError):
                yield _published(row.key.number, value_of(row, HostEvent))


def _placed(entries: list[Entry], events: int) -> list[Entry]:
    """Give each record the events before it as its place."""
    placed = list[Entry]()
    for each in entries:
        events = max(events, each.place.events)
        placed.append(each._replace(place=Place(each.seq, events)))
    return placed


class LogPage(NamedTuple):
    """A page of the log.

    :ivar entries: the newest first
    :ivar end: the place behind the page
    :ivar begin: the place before it: nothing behind that was left out, but by the filters
    :ivar newest: the end of the log
    """

    entries: list[Entry]
    end: Place
    begin: Place
    newest: Place


def page_before(view: PoolView, end: Place | None, limit: int, filters: Filters) -> LogPage:
    """Look back from a place, until there is a page of what is wanted, or it was much.

    :param end: the place; ``None``: the end of the log
    """
    newest = place_now(view)
    end = newest if end is None else Place(*map(min, end, newest))
    found, begin, step = list[Entry](), end, _STRETCH if filters else limit
    while begin != Place(0, 0) and len(found) < limit and not _is_much(begin, end):
        start = _start_of(view, begin, step)
        found += filter(filters.match, reversed(_stretch(view, start, begin, step)))
        begin = start
    if len(found) > limit:
        found = found[:limit]
        begin = found[-1].before
    return LogPage(found, end, begin, newest)


def _is_much(begin: Place, end: Place) -> bool:
    return sum(end) - sum(begin) >= _MOST_READ


def _start_of(view: PoolView, end: Place, step: int) -> Place:
    """Find the place before a stretch that has at most so many of each sort.

    It is nowhere behind the end, also of a place that no log has: somebody may have written it.
    """
    start = place_behind(view, max(end.sequence - step, 0))
    if end.events - start.events > step:
        number = end.events - step
        first = _readable(view, number)
        start = Place(end.sequence if first is None else max(first[1], start.sequence), number)
    return Place(*map(min, start, end))


def place_behind(view: PoolView, seq: int) -> Place:
    """Find the place behind a record, and all that was published after it, by some look-ups."""
    if seq >= view.head:
        return place_now(view)
    low, high = 0, view.event_sequence if seq else 0
    while low < high:
        middle = (low + high) // 2
        found = _readable(view, middle)
        if found is not None and found[1] <= seq:
            low = found[0]
        else:
            high = middle
    return Place(seq, low)


def _readable(view: PoolView, after: int) -> tuple[int, int] | None:
    """Find the next event behind one that is not damaged: its number, and which record it followed.

    Of some; ``None``: there is none of those.
    """
    for limit in (1, _MOST_DAMAGED):
        for row in view.rows(EVENT, "", after=after, limit=limit):
            with suppress(CorruptRecordError):
                return row.key.number, value_of(row, HostEvent).after
    return None


def before_time(view: PoolView, moment: int) -> Place:
    """Find the place behind what was appended before a moment, by some look-ups."""
    return place_behind(view, record_before(view, moment))


# --- what comes


class Tail(NamedTuple):
    """What has come since a place.

    :ivar entries: the newest of what is wanted, in order
    :ivar wanted: how many of what was looked at are wanted
    :ivar looked_at: how many of the newest were looked at; all of them, where nothing is filtered
    :ivar came: how many came
    :ivar place: where to go on
    """

    entries: list[Entry]
    wanted: int
    looked_at: int
    came: int
    place: Place
    now: int


def place_now(view: PoolView) -> Place:
    """Give the end of the log."""
    return Place(view.head, view.event_sequence)


def tail(view: PoolView, after: Place, limit: int, filters: Filters) -> Tail:
    """Look what has come since a place: at the newest, if it is much."""
    end = place_now(view)
    begin = Place(*map(min, after, end))
    came = sum(end) - sum(begin)
    entries = _stretch(view, begin, end, _MOST_READ_LIVE if filters else limit) if came else []
    wanted = [each for each in entries if filters.match(each)]
    looked_at = len(entries) if filters else came
    shown = len(wanted) if filters else came
    return Tail(wanted[-limit:], shown, looked_at, came, end, view.now)
