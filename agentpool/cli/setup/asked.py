"""What a host is to be told: how to start the server, and what its hooks call."""

import shlex
import sys
from typing import Final, NamedTuple

__all__ = ("EVENTS", "HOOK_SECONDS", "SERVER", "Asked", "is_our_hook", "is_our_server")

SERVER: Final = "agentpool"
"""By what name the host knows the server; its tools are called by it."""

EVENTS: Final = ("PostToolUse", "Stop")
"""When hosts tell of mail: in the middle of a turn, and before they stop."""

HOOK_SECONDS: Final = 20
_SAFE: Final = "-P"
"""Hosts start it in folders of others: what these have is not to be imported."""

_OUR_ARGUMENTS: Final = ["-m", "agentpool", "mcp"]
_OUR_CALL: Final = "-m agentpool inbox --hook"


class Asked(NamedTuple):
    """For which run of which pool a host is set up.

    :ivar store: the whole path, or the URL
    :ivar variable: whether the host fills in ``${AGENTPOOL_RUN}``, so that sessions can be told
        apart
    """

    store: str
    schema: str | None
    pool: str | None
    run: str
    agent: str
    variable: bool

    def server(self) -> dict[str, object]:
        """Say how to start the server."""
        environment = {
            "AGENTPOOL_STORE": self.store,
            "AGENTPOOL_SCHEMA": self.schema,
            "AGENTPOOL_POOL": self.pool,
            "AGENTPOOL_RUN": f"${{AGENTPOOL_RUN:-{self.run}}}" if self.variable else self.run,
            "AGENTPOOL_AGENT": self.agent,
        }
        return {
            "command": sys.executable,
            "args": [_SAFE, *_OUR_ARGUMENTS],
            "env": {name: value for name, value in environment.items() if value},
        }

    def hook(self) -> str:
        """Say what a hook calls, as a shell reads it."""
        run = shlex.quote(self.run)
        if self.variable:
            run = f'"${{AGENTPOOL_RUN:-{self.run}}}"'
        given = {"--store": self.store, "--schema": self.schema, "--pool": self.pool}
        options = [f"{name} {shlex.quote(value)}" for name, value in given.items() if value]
        program = f"{shlex.quote(sys.executable)} {_SAFE} {_OUR_CALL}"
        return " ".join([program, *options, f"--as {run}"])


def is_our_server(server: object) -> bool:
    """Say whether the entry of a server is one that was written here, now or without `_SAFE`."""
    ours = (_OUR_ARGUMENTS, [_SAFE, *_OUR_ARGUMENTS])
    return isinstance(server, dict) and server.get("args") in ours


def is_our_hook(command: object) -> bool:
    """Say whether what a hook calls was written here, now or without `_SAFE`."""
    return isinstance(command, str) and _OUR_CALL in command
