"""Stores that break one promise each; the suite has to notice."""

import os

from jsonl_lines import Entry, to_line
from jsonl_store import JsonLinesStore

__all__ = (
    "AcknowledgesTooEarly",
    "AnnouncesAtHomeOnly",
    "Deaf",
    "ForgetsBodies",
    "ForgetsEventNumbers",
    "ForgetsRows",
    "LooksOnce",
    "WritesTwice",
)


class LooksOnce(JsonLinesStore):
    """Reads what is there when it is opened, and never what others add."""

    _has_looked = False

    def _read_new_lines(self) -> None:
        if not self._has_looked:
            super()._read_new_lines()
        self._has_looked = True


class Deaf(JsonLinesStore):
    """Tells its followers of its own commits only."""

    def _take_in(self, entry: Entry) -> None:
        told = set(self._told)
        super()._take_in(entry)
        self._told = told


class AnnouncesAtHomeOnly(JsonLinesStore):
    """Tells others of records only."""

    def _take_in(self, entry: Entry) -> None:
        for change in entry.changes:
            change.announce = False
        super()._take_in(entry)


class ForgetsRows(JsonLinesStore):
    """Keeps the records, and not what became of them."""

    def _take_in(self, entry: Entry) -> None:
        for change in entry.changes:
            change.puts = ()
        super()._take_in(entry)


class ForgetsEventNumbers(JsonLinesStore):
    """Begins to number events anew."""

    def _take_in(self, entry: Entry) -> None:
        for change in entry.changes:
            change.event_sequence = None
        super()._take_in(entry)


class ForgetsBodies(JsonLinesStore):
    """Keeps bodies for as long as it is open."""

    def _take_in(self, entry: Entry) -> None:
        for change in entry.changes:
            change.bodies = ()
        super()._take_in(entry)


class WritesTwice(JsonLinesStore):
    """Leaves behind each line a copy of it."""

    def _flush(self) -> None:
        unwritten = to_line(self._unwritten) if self._unwritten else b""
        super()._flush()
        os.pwrite(self._file, unwritten, self._end)


class AcknowledgesTooEarly(JsonLinesStore):
    """Keeps messages to itself until there is something else to be written, or it is closed."""

    def _flush(self) -> None:
        changes = [change for entry in self._unwritten for change in entry.changes]
        kinds = {kind for change in changes for kind, _ in change.records}
        if self.is_closed or kinds != {"run_message"}:
            super()._flush()

    def _read_new_lines(self) -> None:
        if not self._unwritten:
            super()._read_new_lines()

    async def finish(self) -> None:
        self._flush()
        await super().finish()
