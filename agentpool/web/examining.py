"""The doctor, who examines the whole store when somebody asks for it: once for all who ask."""

import os
import sys
from typing import Final

import anyio

from agentpool.support.tasks import move_on_after

__all__ = ("Examining",)

_LONGEST: Final = 60.0


class Examining:
    """Lets the doctor look, at most once at a time.

    The doctor has a process of its own: it reads the file past who has it open.

    :param place: where the store is; it is told in the environment, for all users see arguments
    """

    def __init__(self, place: str, schema: str | None) -> None:
        self._told: Final = {"AGENTPOOL_STORE": place, "AGENTPOOL_SCHEMA": schema or ""}
        self._lock: Final = anyio.Lock()
        self._ended = 0
        self._said = ""

    async def said(self) -> str:
        """Give what the doctor says: of the examination that runs, where one does.

        Cancelled, its process is ended; who else waits for it lets the doctor look anew.
        """
        ended = self._ended
        async with self._lock:
            if self._ended == ended:
                self._said = await self._examination()
                self._ended += 1
            return self._said

    async def _examination(self) -> str:
        call = [sys.executable, "-P", "-m", "agentpool", "doctor", "--text"]
        with move_on_after(_LONGEST):
            done = await anyio.run_process(call, check=False, env={**os.environ, **self._told})
            return (done.stdout or done.stderr).decode("utf-8", "replace")
        return f"It had not ended after {_LONGEST:.0f} s; call `agentpool doctor`."
