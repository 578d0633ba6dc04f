"""A block of tables in a TOML text, marked by its first and its last line.

Who else writes such a text may put tables of his own into the block: before the last comment of a
text, say, which is the end of the block. They stay.
"""

import re
from collections.abc import Callable
from typing import Final, TypeAlias

__all__ = ("begins_with_block", "with_block", "without_block")

_BEGINS: Final = "# >>> agentpool: written by `agentpool setup`, which takes it out by --remove"
_ENDS: Final = "# <<< agentpool"
_BLOCK: Final = re.compile(
    r"(?:\r?\n|\A)# >>> agentpool\b[^\n]*\n(.*?)# <<< agentpool[^\n]*(?:\n|\Z)", re.DOTALL
)
_TABLES: Final = re.compile(
    r"^(?=(?:[ \t]*(?:#[^\n]*)?\r?\n)*(?:[ \t]*\[(?!\[hooks\.\w+\.hooks\])|\Z))", re.MULTILINE
)
"""Where a table begins, with the comments above it; a hook is in that of its group."""

_IsOurs: TypeAlias = Callable[[str], bool]


def begins_with_block(text: str) -> bool:
    """Say whether a text was begun by `with_block`, and not by others."""
    return text.startswith(_BEGINS)


def with_block(text: str | None, lines: str, is_ours: _IsOurs) -> str:
    """Put the block behind a text, or new lines in place of our tables in the one that is there.

    :param text: ``None``: there is none, and one is begun
    """
    if text is None:
        return f"{_BEGINS}\n{lines}{_ENDS}\n"
    found = _BLOCK.search(text)
    if found is not None:
        others = _of_others(found[1], is_ours)
        return text[: found.start(1)] + lines + others + text[found.end(1) :]
    block = f"{_BEGINS}\n{lines}{_ENDS}"
    return f"{text}\n{block}\n" if text.endswith("\n") else f"{text}\n{block}"


def without_block(text: str, is_ours: _IsOurs) -> str:
    """Take the block out; a text that got it by `with_block` is as it was before."""
    found = _BLOCK.search(text)
    if found is None:
        return text
    before, after = text[: found.start()], _of_others(found[1], is_ours) + text[found.end() :]
    apart = "\n" if before and after and not before.endswith("\n") else ""
    return f"{before}{apart}{after}"


def _of_others(block: str, is_ours: _IsOurs) -> str:
    return "".join(each for each in _TABLES.split(block) if not is_ours(each))
