"""The doorbell: whoever commits rings for what it touched, and only those hear it who wait for it.

A handle that follows something is a listener in the `BellFiles`: it writes into its mask what it
follows, and then looks. Whoever has committed reads all masks, leaves a *sound* in the slots that
somebody listens to, and touches the files of those listeners. In that order nothing is missed: a
listener that was not there yet looks after it came. A commit that concerns nobody else costs a read
of some hundred bytes, and a process that it does not concern is not woken.

Of what one takes from another, as an inbox, all who listen hear, but *in turn*: a slot counts what
came, and who is not next looks a moment behind the others. So one process does the work of a
message, and not always the quickest.

The bell is a hint: `foreign_writes` covers writers that ring none, or were killed before they rang.
"""

import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple
from zlib import crc32

from agentpool.rules.topics import ANY, DEADLINES, AllTouched, is_inbox
from agentpool.stores.sqlite.bell_files import SLOT_BYTES, SLOTS, BellFiles
from agentpool.stores.sqlite.inotify import ATTRIB, CLOSE_WRITE, Inotify
from agentpool.stores.sqlite.source import AppendedRows
from agentpool.support.clock import Clock

__all__ = ("EVERYTHING", "Heard", "Listener", "Ringer", "ring_in", "slot_of")

EVERYTHING: Final = ""
"""Stands for all pools; no pool is called so."""

_DEADLINE_SLOTS: Final = 64
_EVERYTHING_SLOT: Final = SLOTS - 1
_TOPIC_SLOTS: Final = SLOTS - 1 - _DEADLINE_SLOTS
_SLOTS_AT_ONCE: Final = 32
# A deadline sounds as its milliseconds, and some bits that make it another sound each time.
_FRACTION_BITS: Final = 16
_LATEST: Final = 2**47 - 1
# Any other sounds as the time, and in its last bits how much came, all in all.
_COUNTED: Final = 2**8
_TRY_AGAIN_SECONDS: Final = 5.0


class Heard(NamedTuple):
    """What rang.

    :ivar due: for deadlines, the time that it rang for
    :ivar behind: for an inbox, whether others who listen are to look first
    """

    pool_id: str
    topic: str
    due: int = 0
    behind: bool = False


class Ringer:
    """The ringing side of one handle, for the thread of its writer. It never fails.

    :ivar mine: the listener of this handle, which is told without ringing; -1 for none
    :param database: the file itself, not a link to it
    """

    def __init__(self, database: Path, clock: Clock) -> None:
        self.mine: int = -1
        self._database = database
        self._clock = clock
        self._files: BellFiles | None = None
        self._try_again_at = 0.0
        self._open()

    def _open(self) -> BellFiles | None:
        """Open the files, also where they were deleted, or could not be had before."""
        if self._files is not None and self._files.is_gone:
            self.close()
        if self._files is None and self._try_again_at <= time.monotonic():
            self._try_again_at = time.monotonic() + _TRY_AGAIN_SECONDS
            with suppress(OSError):
                self._files = BellFiles(self._database)
        return self._files

    def about_to_write(self) -> None:
        """Say that what is written to the file from now on is ours."""
        with suppress(OSError):
            files = self._open()
            if files is not None:
                files.write_wrote(time.monotonic_ns())

    def ring(self, touched: AllTouched, appended: AppendedRows | None = None) -> None:
        """Tell others what a commit has touched.

        :param appended: its rows, of which others then know that they were told of
        """
        with suppress(OSError):  # a full disk, say; `foreign_writes` will notice
            files = self._open()
            if files is None:
                return
            if touched:
                ring_in(files, touched, self._clock(), but=self.mine)
            if appended is not None and appended.follow(files.head()[0]):
                files.write_told(appended.last)
            files.write_wrote(time.monotonic_ns())

    def close(self) -> None:
        """Let go of the files. They stay, others may use them."""
        if self._files is not None:
            self._files.close()
            self._files = None


def ring_in(files: BellFiles, touched: AllTouched, now: int, *, but: int) -> None:
    """Ring for those who listen.

    :param now: the time of the store's clock
    :param but: the listener who knows already
    :raises OSError: it cannot be written to
    """
    others = [(n, mask) for n, mask in enumerate(files.masks()) if mask and n != but]
    wanted = rung = 0
    for _, mask in others:
        wanted |= mask
    for pool_id, topics in touched.items():
        for topic, number in topics.items():
            slot = slot_of(pool_id, topic)
            if not wanted >> slot & 1:
                continue
            moment, before = time.time_ns(), files.slot(slot)
            if topic == DEADLINES:
                if now < before >> _FRACTION_BITS <= number:
                    continue  # those who have heard that look early enough
                fraction = moment % 2**_FRACTION_BITS
                sound = min(max(number, 0), _LATEST) << _FRACTION_BITS | fraction
            else:
                sound = moment - moment % _COUNTED + (before + max(number, 1)) % _COUNTED
            files.write_slot(slot, sound)
            rung |= 1 << slot
    # Whoever is told first is ahead of the others, so it is not always the same.
    first = time.monotonic_ns() % max(len(others), 1)
    for listener, mask in others[first:] + others[:first]:
        if mask & rung:
            with suppress(OSError):  # it is gone
                files.touch(listener)


class Listener:
    """The listening side of one handle, on its event loop.

    :ivar number: which listener it is
    :ivar files: the files by which it listens
    :param heard: called for what rang of what is followed
    :param ear_ended: called when the listener that was the ear has ended
    :raises OSError: this system, or the files, do not let it hear
    """

    def __init__(
        self,
        database: Path,
        heard: Callable[[list[Heard]], None],
        ear_ended: Callable[[], None],
    ) -> None:
        self._heard = heard
        self._ear_ended = ear_ended
        self._topics: dict[int, set[tuple[str, str]]] = {}
        self.files: Final = BellFiles(database)
        self._inotify: Inotify | None = None
        self.number: int = -1
        try:
            self.number = self.files.claim()
            self._inotify = Inotify()
            self._inotify.watch(self.files.path_of(self.number), ATTRIB)
            os.close(self.files.open("ear", os.O_RDONLY))
            self._ear = self._inotify.watch(self.files.path_of("ear"), CLOSE_WRITE)
        except OSError:
            self.close()
            raise
        self._seen = self.files.slots()
        self.follow_only(())
        self._inotify.call(self._hear)

    def follow(self, pool_id: str, topic: str) -> int:
        """Listen to a topic, too, and to anything that may have changed in its pool.

        :return: for deadlines, the time of the last sound: others rely on its having been heard
        """
        if self._add(pool_id, topic) | self._add(pool_id, ANY):
            self._write_mask()
        slot = slot_of(pool_id, topic)
        return self.files.slot(slot) >> _FRACTION_BITS if topic == DEADLINES else 0

    def follow_only(self, followed: Iterable[tuple[str, str]]) -> None:
        """Listen to nothing but these topics, and to what concerns everything."""
        self._topics = {_EVERYTHING_SLOT: {(EVERYTHING, ANY)}}
        for pool_id, topic in followed:
            self._add(pool_id, topic)
            self._add(pool_id, ANY)
        self._write_mask()

    def _add(self, pool_id: str, topic: str) -> bool:
        """Add a topic; say whether nothing of its slot was listened to."""
        slot = slot_of(pool_id, topic)
        is_new = slot not in self._topics
        self._topics.setdefault(slot, set()).add((pool_id, topic))
        return is_new

    def _write_mask(self) -> None:
        with suppress(OSError):  # a full disk; it is written again now and then
            self.files.write_mask(self.number, sum(1 << slot for slot in self._topics))

    def _hear(self) -> None:
        with suppress(OSError):
            happened = set() if self._inotify is None else self._inotify.take()
            if self._ear in happened:
                self._ear_ended()
            if happened:
                # From here on, before anybody looks, another ring is another event.
                seen, self._seen = self._seen, self.files.slots()
                heard = [
                    each
                    for slot in _differing(seen, self._seen)
                    for each in self._in(slot, _sound_in(seen, slot), _sound_in(self._seen, slot))
                ]
                if heard:
                    self._heard(heard)

    def _in(self, slot: int, before: int, sound: int) -> list[Heard]:
        topics = self._topics.get(slot, set())
        if slot < _DEADLINE_SLOTS:
            return [Heard(*each, due=sound >> _FRACTION_BITS) for each in topics]
        behind = any(is_inbox(topic) for _, topic in topics) and self._is_behind(
            slot, before % _COUNTED, (sound - before) % _COUNTED
        )
        return [
            Heard(pool_id, topic, behind=behind and is_inbox(topic)) for pool_id, topic in topics
        ]

    def _is_behind(self, slot: int, turn: int, came: int) -> bool:
        """Say whether, of those who listen to a slot, others have the turn.

        :param turn: who has it, as all came before who are counted so
        :param came: how many have
        """
        with suppress(OSError):
            listeners = [n for n, mask in enumerate(self.files.masks()) if mask >> slot & 1]
            if self.number in listeners:
                return (listeners.index(self.number) - turn) % len(listeners) >= came
        return False

    def close(self) -> None:
        """Listen no longer; another may take the place."""
        with suppress(OSError):
            if self.number >= 0:
                self.files.write_mask(self.number, 0)
        if self._inotify is not None:
            self._inotify.close()
        self.files.close()


def slot_of(pool_id: str, topic: str) -> int:
    """Say which slot a topic has; some share one, and those who follow them are told of both."""
    if pool_id == EVERYTHING:
        return _EVERYTHING_SLOT
    if topic == DEADLINES:
        return crc32(pool_id.encode()) % _DEADLINE_SLOTS
    name = f"{pool_id}\0{topic}".encode(errors="surrogatepass")
    return _DEADLINE_SLOTS + crc32(name) % _TOPIC_SLOTS


def _differing(before: bytes, after: bytes) -> list[int]:
    """List the slots that sound other than before."""
    at_once = _SLOTS_AT_ONCE * SLOT_BYTES
    return [
        slot
        for start in range(0, SLOTS * SLOT_BYTES, at_once)
        if before[start : start + at_once] != after[start : start + at_once]
        for slot in range(start // SLOT_BYTES, start // SLOT_BYTES + _SLOTS_AT_ONCE)
        if _sound_in(before, slot) != _sound_in(after, slot)
    ]


def _sound_in(slots: bytes, slot: int) -> int:
    return int.from_bytes(slots[slot * SLOT_BYTES : (slot + 1) * SLOT_BYTES], "little")
