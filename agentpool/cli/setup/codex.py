"""Codex: the server and the hooks in a marked block of ``config.toml`` in its home."""

import json
import os
import re
import tomllib
from pathlib import Path
from typing import Final

from agentpool.cli.setup.asked import EVENTS, HOOK_SECONDS, SERVER, Asked, is_our_hook
from agentpool.cli.setup.files import Change, is_plain, read, refusal
from agentpool.cli.setup.marked import begins_with_block, with_block, without_block

__all__ = ("codex_changes",)

_WRITTEN: Final = re.compile(rf"\s*\[mcp_servers\.{SERVER}(\.env)?\]")
_OF_SERVER: Final = re.compile(rf"\s*\[mcp_servers\.{SERVER}[.\]]")


def codex_changes(asked: Asked | None) -> list[Change]:
    """Say what becomes of the file; ``None``: what was written is taken out.

    :raises InvalidValueError: it cannot be read, or has what was not written here
    """
    home = os.environ.get("CODEX_HOME")
    path = (Path(home) if home else Path.home() / ".codex") / "config.toml"
    before = read(path)
    text = before or ""
    _checked(path, text, "it cannot be read")
    try:
        after = _without(text) if asked is None else with_block(before, _lines(asked), _is_written)
    except ValueError as error:
        raise refusal(path, str(error)) from error
    what = "added" if asked else "taken out"
    _checked(path, after, f"what is to be {what} does not fit to what is there")
    is_made = begins_with_block(text) and is_plain(path)
    is_gone = asked is None and not after and (before is None or is_made)
    return [Change(path, before, None if is_gone else after)]


def _without(text: str) -> str:
    # What others have set for our server, such as which tools need no question, is nothing without.
    return without_block(text, lambda table: bool(_OF_SERVER.match(table)) or _is_written(table))


def _is_written(table: str) -> bool:
    """Say whether a table was written here.

    :raises ValueError: it is a group of ours, to which somebody has added a hook
    """
    if is_our_hook(table) and table.count(".hooks]]") > 1:
        msg = "there is another hook in the group of ours; give it a group of its own"
        raise ValueError(msg)
    return _WRITTEN.match(table) is not None or is_our_hook(table)


def _checked(path: Path, text: str, why: str) -> None:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise refusal(path, f"{why}: {error}") from error


def _lines(asked: Asked) -> str:
    server = asked.server()
    environment = server.pop("env")
    lines = [f"[mcp_servers.{SERVER}]", *(_line(*each) for each in server.items())]
    lines += [f"[mcp_servers.{SERVER}.env]"]
    if isinstance(environment, dict):
        lines += [_line(*each) for each in environment.items()]
    for event in EVENTS:
        lines += [
            f"[[hooks.{event}]]",
            f"[[hooks.{event}.hooks]]",
            _line("type", "command"),
            _line("command", asked.hook()),
            _line("timeout", HOOK_SECONDS),
        ]
    return "".join(f"{line}\n" for line in lines)


def _line(name: str, value: object) -> str:
    """Write a line of TOML: texts, numbers and lists of texts are written as in JSON."""
    return f"{name} = {json.dumps(value, ensure_ascii=False)}"
