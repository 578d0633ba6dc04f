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
from typing import Final

from agentpool import RecipientState
from agentpool.cli.opening import looked_at, run_of
from agentpool.cli.printing import Printer, harmless
from agentpool.errors import AgentPoolError
from agentpool.faces.mail import Letter, is_urgent, mail
from agentpool.stores.base import Bulk

__all__ = ("asked_by_hook", "tell_host")

_MOST: Final = 100
_MOST_NAMED: Final = 5
_KEPT: Final = 30 * 86_400
_STOP: Final = "Stop"
_NEW: Final = frozenset({RecipientState.WAITING})


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
            question = partial(mail, run_id=run_of(options), most=_MOST, states=_NEW)
            found = await pool.store.query(pool.pool_id, Bulk(question))
            place = (pool.pool_id, run_of(options), str(options.store))
    except AgentPoolError as error:
        out.say(str(error))
        return 1
    told = _Told(*place, str(asked.get("session_id", "")))
    new, is_kept = told.new(event, found.letters)
    if new and (is_kept or event != _STOP):
        out.raw(json.dumps(_for_host(event, _words(run_of(options), new))))
    return 0


def _words(run_id: str, new: Sequence[Letter]) -> str:
    urgent = sum(is_urgent(each.message) for each in new)
    senders = list(dict.fromkeys(each.message.sender for each in new))
    some = ", ".join(map(harmless, senders[:_MOST_NAMED]))
    more = ", ..." if len(senders) > _MOST_NAMED else ""
    how = f", {urgent} urgent" if urgent else ""
    return (
        f"agentpool: {len(new)} new message{'s' if len(new) > 1 else ''} for {harmless(run_id)}"
        f"{how}, from {some}{more}. Read with the tool `take` of agentpool, end each by `done`."
    )


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

    def new(self, event: str, letters: Sequence[Letter]) -> tuple[Sequence[Letter], bool]:
        """List those of which it was not told at such an event, and note that it is now.

        :return: those, and whether that is kept
        """
        before = self._read()
        told = set(before.get(event, []))
        # At the end, too, of what was told of in between: that it is still there is worth a word.
        waiting = {each.seq for each in letters}
        after = {name: sorted(waiting.intersection(some)) for name, some in before.items()}
        after[event] = sorted(waiting)
        after["PostToolUse"] = sorted(waiting)
        is_kept = after == before or self._write(after)
        return [each for each in letters if each.seq not in told], is_kept

    def _read(self) -> dict[str, list[int]]:
        with suppress(OSError, ValueError):
            found = json.loads(self._path.read_bytes())
            if isinstance(found, dict):
                return {
                    str(name): [each for each in some if isinstance(each, int)]
                    for name, some in found.items()
                    if isinstance(some, list)
                }
        return {}

    def _write(self, told: dict[str, list[int]]) -> bool:
        with suppress(OSError):
            if not self._path.exists():
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._forget_old()
            own = self._path.with_suffix(f".{os.getpid()}")
            own.write_text(json.dumps(told), encoding="utf-8")
            own.replace(self._path)
            return True
        return False

    def _forget_old(self) -> None:
        for other in self._path.parent.iterdir():
            if other.stat().st_mtime < time() - _KEPT:
                other.unlink()
