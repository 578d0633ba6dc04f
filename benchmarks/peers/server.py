"""Servers of our own, which end with whoever started them, however that ends."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

__all__ = ("find_program", "output_of", "serving", "wait_until")

_PATIENCE: Final = 20.0
_STEP: Final = 0.01
# It reads until its standard input is closed, which a death of ours does too.
_UNTIL_CLOSED: Final = '"$@" & read -r _; kill -9 $!; wait'

T = TypeVar("T")


def find_program(name: str) -> str | None:
    """Find a server, also where the path of a plain user does not lead."""
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")


def output_of(*command: str) -> str:
    """Run a short command and give what it prints."""
    return subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=_PATIENCE
    ).stdout


@contextmanager
def serving(command: Sequence[str], folder: Path, user: str | None = None) -> Iterator[None]:
    """Run a server; in the end it is killed, as what it acknowledged has to survive that.

    :param user: whose process it is; ``None``: our own's
    """
    with (folder / "server.log").open("ab") as log:
        supervisor = subprocess.Popen(
            ["/bin/sh", "-c", _UNTIL_CLOSED, "sh", *command],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            user=user,
        )
    try:
        yield
    finally:
        supervisor.communicate(timeout=_PATIENCE)


def wait_until(look: Callable[[], T | None], what: str) -> T:
    """Look again and again until something is found.

    :raises TimeoutError: it never was
    """
    deadline = time.monotonic() + _PATIENCE
    while (found := look()) is None:
        if time.monotonic() > deadline:
            msg = f"{what} did not come up within {_PATIENCE:.0f} s"
            raise TimeoutError(msg)
        time.sleep(_STEP)
    return found
