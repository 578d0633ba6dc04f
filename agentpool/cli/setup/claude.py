"""Claude Code: the server in ``.mcp.json``, the hooks in ``.claude/settings.json``.

For a user and not for a project: in ``~/.claude.json`` and ``~/.claude/settings.json``.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias

from agentpool.cli.setup.asked import (
    EVENTS,
    HOOK_SECONDS,
    SERVER,
    Asked,
    is_our_hook,
    is_our_server,
)
from agentpool.cli.setup.files import Change, is_plain, read, refusal
from agentpool.cli.setup.json_text import END, parsed, put, taken_out, value_at

__all__ = ("claude_changes",)

_Edit: TypeAlias = Callable[[str, Asked | None], str]

_SERVERS: Final = "mcpServers"
_INDENT: Final = 4
"""How files are indented that are made here; the `{}` of others gets another, and so stays."""


def claude_changes(asked: Asked | None, *, for_user: bool) -> list[Change]:
    """Say what becomes of the files; ``None``: what was written is taken out.

    :raises InvalidValueError: one of them cannot be read, or has what was not written here
    """
    home = Path.home() if for_user else Path.cwd()
    servers = home / (".claude.json" if for_user else ".mcp.json")
    return [
        _change(servers, asked, _with_server),
        _change(home / ".claude" / "settings.json", asked, _with_hooks),
    ]


def _change(path: Path, asked: Asked | None, edit: _Edit) -> Change:
    before = read(path)
    is_blank = before is None or not before.strip()
    if is_blank and asked is None:
        return Change(path, before, before)
    text = "{}\n" if before is None or is_blank else before
    try:
        after = edit(text, asked)
    except ValueError as error:
        raise refusal(path, str(error)) from error
    if before is None:
        after = _as_made(after)
    elif asked is None and after != text and parsed(after) == {}:
        is_made = before == _as_made(before) and is_plain(path)
        return Change(path, before, None if is_made else after)
    return Change(path, before, after)


def _as_made(text: str) -> str:
    return f"{json.dumps(parsed(text), indent=_INDENT, ensure_ascii=False)}\n"


def _with_server(text: str, asked: Asked | None) -> str:
    there = _checked(text, (_SERVERS,), dict)
    known = value_at(there, (_SERVERS, SERVER))
    if known is not None and not is_our_server(known):
        if asked is None:
            return text
        msg = f"{_SERVERS} has another {SERVER!r}; rename that one, or take it out"
        raise ValueError(msg)
    if asked is None:
        return taken_out(text, (_SERVERS, SERVER))
    server = {"type": "stdio", **asked.server()}
    return text if known == server else put(text, (_SERVERS, SERVER), server)


def _with_hooks(text: str, asked: Asked | None) -> str:
    for event in EVENTS:
        text = _with_hook(text, event, asked)
    return text


def _with_hook(text: str, event: str, asked: Asked | None) -> str:
    there = _checked(text, ("hooks", event), list)
    groups = value_at(there, ("hooks", event))
    ours = [
        ("hooks", event, number, "hooks", place)
        for number, group in enumerate(groups if isinstance(groups, list) else [])
        for place, command in enumerate(_commands_of(group))
        if is_our_hook(command)
    ]
    if asked is None:
        for path in reversed(ours):
            text = taken_out(text, path)
        return text
    hook = {"type": "command", "command": asked.hook(), "timeout": HOOK_SECONDS}
    if not ours:
        return put(text, ("hooks", event, END), {"hooks": [hook]})
    return text if value_at(there, ours[0]) == hook else put(text, ours[0], hook)


def _commands_of(group: object) -> list[object]:
    hooks = group.get("hooks") if isinstance(group, dict) else None
    return [
        each.get("command") if isinstance(each, dict) else None
        for each in (hooks if isinstance(hooks, list) else [])
    ]


def _checked(text: str, path: tuple[str, ...], innermost: type) -> object:
    """Read a text, in which what a path goes through is what can be added to.

    :raises ValueError: it is not
    """
    there = parsed(text)
    for depth in range(len(path) + 1):
        value = value_at(there, path[:depth])
        wanted = innermost if depth == len(path) else dict
        if not isinstance(value, wanted) and (value is not None or depth == 0):
            where = ".".join(path[:depth]) or "it"
            msg = f"{where} is no {'list' if wanted is list else 'object'}"
            raise ValueError(msg)
    return there
