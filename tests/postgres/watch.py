"""The end of a server's processes, also where its tests were killed and cannot see to it."""

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

__all__ = ("Watch", "kill_family")

_SCRIPT: Final = """
read -r _
kill -QUIT "$1"
for _ in 1 2 3 4 5 6 7 8 9 10; do
    kill -0 "$1" || break
    sleep 0.5
done
kill -KILL "$1"
rm -rf "$2"
"""
_POLL_SECONDS: Final = 0.005
_SECONDS_OF_DYING: Final = 30.0


class Watch:
    """A process that stops a server, and removes its home, as soon as this one is no more."""

    def __init__(self, pid: int, home: Path) -> None:
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", _SCRIPT, "watch", str(pid), str(home)],
            stdin=subprocess.PIPE,  # ends when this process does
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )

    def end(self) -> None:
        """Watch no more."""
        self._process.kill()
        self._process.communicate()


def kill_family(pid: int) -> None:
    """Kill a process and its children, so that none of them outlives another; wait for these."""
    os.kill(pid, signal.SIGSTOP)  # or it might have more of them meanwhile
    children = _children(pid)
    for each in (*children, pid):
        with suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)
    late = time.monotonic() + _SECONDS_OF_DYING
    while any(map(_lives, children)) and time.monotonic() < late:
        time.sleep(_POLL_SECONDS)


def _children(pid: int) -> list[int]:
    """List them where the system does; elsewhere they end by themselves, a little later."""
    try:
        listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(each) for each in listed.split()]


def _lives(pid: int) -> bool:
    """Tell whether it is still there, as more than an entry that nobody asked about."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in {"Z", "X"}
