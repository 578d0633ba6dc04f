"""eventsourcing: its recorder of an application's events, on SQLite."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from benchmarks.peers.contender import Contender, Handle, Message, expect_durable, polled
from benchmarks.peers.optional import load

__all__ = ("EventSourcing",)

_PAGE = 1_000


class _Handle(Handle):
    def __init__(self, recorder: Any) -> None:
        self._recorder = recorder
        self._persistence = load("eventsourcing.persistence")

    async def append(self, message: Message) -> None:
        # Straight from the loop: threads only add the handing over.
        with suppress(self._persistence.IntegrityError):  # it is there already
            self._recorder.insert_events([self._event(message)])

    async def fill(self, messages: Sequence[Message]) -> None:
        self._recorder.insert_events([self._event(message) for message in messages])

    async def replay(self) -> list[Any]:
        found: list[Any] = []
        while page := self._after(found[-1].id if found else None):
            found += page
        return found

    def follow(self) -> AsyncGenerator[Any, None]:
        last: int | None = None

        async def take() -> Sequence[Any]:
            nonlocal last
            page = self._after(last)
            last = page[-1].id if page else last
            return page

        return polled(take)

    def text(self, item: Any) -> str:
        return str(item.state, "utf-8")

    def _event(self, message: Message) -> Any:
        event_id = uuid5(NAMESPACE_URL, message.key)
        return self._persistence.StoredEvent(event_id, 1, "message", message.body.encode())

    def _after(self, last: int | None) -> Sequence[Any]:
        page: Sequence[Any] = self._recorder.select_notifications(
            last, _PAGE, inclusive_of_start=False
        )
        return page


class EventSourcing(Contender):
    """One aggregate per message, whose id is made from the key."""

    name = "eventsourcing on SQLite"
    distribution = "eventsourcing"
    settings = (
        "WAL, synchronous=FULL, insert_events with one event, select_notifications polled"
        " every 10 ms: subscribing is for its other databases"
    )

    @asynccontextmanager
    async def open(self, place: str) -> AsyncIterator[Handle]:
        sqlite = load("eventsourcing.sqlite")
        with closing(sqlite.SQLiteDatastore(str(Path(place) / "events.db"))) as datastore:
            recorder = sqlite.SQLiteApplicationRecorder(datastore)
            recorder.create_table()
            with datastore.transaction(commit=False) as cursor:
                cursor.execute("PRAGMA journal_mode")
                (mode,) = cursor.fetchone()
                cursor.execute("PRAGMA synchronous")
                (level,) = cursor.fetchone()
            expect_durable(mode, level)
            yield _Handle(recorder)
