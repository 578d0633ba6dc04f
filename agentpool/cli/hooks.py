"""Telling the host of a coding agent of mail, as its hooks do it: each message once an event.

A hook gets on its input what has happened, and says on its output what the model is to know. What
was told of is kept for each session in ``$XDG_STATE_HOME/agentpool``.
"""

import json
import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from hashlib import sha256
from pathlib import Path
from time import time
from typing import Final, NamedTuple

from agentpool import RecipientState, RunMessage
from agentpool.cli.opening import looked_at, run_of
from agentpool.cli.printing import Printer
from agentpool.errors import AgentPoolError, shown
from agentpool.faces.mail import is_urgent
from agentpool.rules.command import INBOX, PoolView
from agentpool.rules.explaining.inboxes import entry_of, state_of
from agentpool.rules.inboxes import UNREADABLE, is_withdrawn, message_at
from agentpool.stores.base import Bulk

__all__ = ("asked_by_hook", "tell_host")

_MOST: Final = 1000
_MOST_NAMED: Final = 5
_KEPT: Final = 30 * 86_400
_STOP: Final = "Stop"


def asked_by_hook() -> dict[str, object]:
    """Read what a host says has happened; nothing, where it says nothing that can be read."""
    with suppress(ValueError):
        said = json.loads(sys.stdin.buffer.read())
        if isinstance(said, dict):
            return said
    return {}


async def tell_host(options: Namespace, asked: dict[str, object], out: Printer) -> int:
    """Tell of what is new in the inbox since it was last told of at such an event.

    What is wrong is told to the person, and never stops the host: the exit code is not 2. Nor is
    it kept from stopping again and again: not after it went on for a hook, nor where it cannot be
    kept what was told.
    """
    if asked.get("stop_hook_active"):
        return 0
    event = str(asked.get("hook_event_name", ""))
    try:
        async with looked_at(options) as pool:
            place = (pool.pool_id, run_of(options), str(options.store))
            told = _Told(*place, str(asked.get("session_id", "")))
            question = partial(_news, run_id=run_of(options), told=told.at(event))
            news = await pool.store.query(pool.pool_id, Bulk(question))
    except AgentPoolError as error:
        out.say(str(error))
        return 1
    is_kept = told.note(event, news)
    if news.new and (is_kept or event != _STOP):
        out.raw(json.dumps(_for_host(event, _words(run_of(options), news.new))))
    return 0


class _News(NamedTuple):
    """What can be taken from an inbox, as far as it was looked at.

    :ivar new: the messages of which it was not told
    :ivar waiting: the records that delivered all of them
    :ivar whole_to: the record up to which there are no others
    """

    new: Sequence[RunMessage]
    waiting: set[int]
    whole_to: int


def _news(view: PoolView, run_id: str, told: set[int]) -> _News:
    """Look at the first in an inbox, where what comes back is, and behind all that were told of."""
    first = view.rows(INBOX, run_id, limit=_MOST)
    whole_to = first[-1].key.number if len(first) == _MOST else sys.maxsize
    later = view.rows(INBOX, run_id, after=max([whole_to, *told]), limit=_MOST)
    waiting = [
        row.key.number
        for row in (*first, *later)
        if state_of(view, row, entry_of(row)) is RecipientState.WAITING
    ]
    new: list[RunMessage] = []
    for seq in waiting:
        with suppress(*UNREADABLE):
            if seq not in told and not is_withdrawn(view, stored := message_at(view, seq)):
                new.append(stored.message)
    return _News(new, set(waiting), whole_to)


def _words(run_id: str, new: Sequence[RunMessage]) -> str:
    urgent = sum(map(is_urgent, new))
    senders = list(dict.fromkeys(each.sender for each in new))
    # A name may be made to look like words to the model; it is cut, and is seen to be a name.
    some = ", ".join(map(shown, senders[:_MOST_NAMED]))
    more = ", ..." if len(senders) > _MOST_NAMED else ""
    how = f", {urgent} urgent" if urgent else ""
    return (
        f"agentpool: {len(new)} new message{_s(new)} for {shown(run_id)}{how}, from the"
        f" run{_s(senders)} named {some}{more}. Read with the tool `take` of agentpool, end each"
        " by `done`."
    )


def _s(some: Sequence[object]) -> str:
    return "s" if len(some) > 1 else ""


def _for_host(event: str, words: str) -> dict[str, object]:
    if event == _STOP:
        return {"decision": "block", "reason": words}
    return {"hookSpecificOutput": {"hookEventName": event, "additionalContext": words}}


class _Told:
    """What a session was told of; where that cannot be kept, it is told again."""

    def __init__(self, *session: str) -> None:
        name = sha256("\0".join(session).encode()).hexdigest()
        home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
        self._path = Path(home) / "agentpool" / "told" / f"{name}.json"
        self._told = self._read()

    def at(self, event: str) -> set[int]:
        """Give the records of which it was told at such an event, and that were there still."""
        return self._told.get(event, set())

    def note(self, event: str, news: _News) -> bool:
        """Note that it is told of all now, and say whether that is kept."""
        # At the end, too, of what was told of in between: that it is still there is worth a word.
        after = {
            name: {seq for seq in some if seq > news.whole_to or seq in news.waiting}
            for name, some in self._told.items()
        }
        for name in (event, "PostToolUse"):
            after[name] = after.get(name, set()) | news.waiting
        return after == self._told or self._write(after)

    def _read(self) -> dict[str, set[int]]:
        with suppress(OSError, ValueError):
            found = json.loads(self._path.read_bytes())
            if isinstance(found, dict):
                return {
                    str(name): {each for each in some if isinstance(each, int)}
                    for name, some in found.items()
                    if isinstance(some, list)
                }
        return {}

    def _write(self, told: dict[str, set[int]]) -> bool:
        with suppress(OSError):
            if not self._path.exists():
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._forget_old()
            own = self._path.with_suffix(f".{os.getpid()}")
            listed = {name: sorted(some) for name, some in told.items()}
            own.write_text(json.dumps(listed), encoding="utf-8")
            own.replace(self._path)
            return True
        return False

    def _forget_old(self) -> None:
        for other in self._path.parent.iterdir():
            if other.stat().st_mtime < time() - _KEPT:
                other.unlink()
