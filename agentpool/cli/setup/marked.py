"""A block of lines in a text, marked by its first and its last line."""

import re
from typing import Final

__all__ = ("block_in", "with_block", "without_block")

_BEGINS: Final = "# >>> agentpool: written by `agentpool setup`, which takes it out by --remove"
_ENDS: Final = "# <<< agentpool"
_BLOCK: Final = re.compile(
    r"(?:\n|\A)# >>> agentpool\b[^\n]*\n(.*?)# <<< agentpool[^\n]*(?:\n|\Z)", re.DOTALL
)


def block_in(text: str) -> str | None:
    """Give the lines of the block; ``None``: there is none."""
    found = _BLOCK.search(text)
    return None if found is None else found[1]


def with_block(text: str, lines: str) -> str:
    """Put the block behind a text, or new lines into the one that is there."""
    found = _BLOCK.search(text)
    if found is not None:
        return text[: found.start(1)] + lines + text[found.end(1) :]
    block = f"{_BEGINS}\n{lines}{_ENDS}"
    if not text:
        return f"{block}\n"
    return f"{text}\n{block}\n" if text.endswith("\n") else f"{text}\n{block}"


def without_block(text: str) -> str:
    """Take the block out; a text that got it by `with_block` is as it was before."""
    found = _BLOCK.search(text)
    if found is None:
        return text
    before, after = text[: found.start()], text[found.end() :]
    apart = "\n" if before and after and not before.endswith("\n") else ""
    return f"{before}{apart}{after}"
