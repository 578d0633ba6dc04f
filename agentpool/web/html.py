"""HTML of text that others wrote: what is not `Html` already is escaped, always."""

from collections.abc import Iterable
from html import escape
from typing import Final, TypeAlias

__all__ = ("NO_VALUE", "Content", "Html", "body_text", "el", "join", "named", "shown")

_VOID: Final = frozenset({"br", "hr", "input", "link", "meta"})
_KEPT: Final = frozenset("\n\t")
_SHORT_NAME: Final = 28
_LONGEST_NAME: Final = 120


class Html(str):
    """Text that is HTML. Made by `el` and `join` only."""

    __slots__ = ()


Content: TypeAlias = "Html | str | int | Iterable[Content] | None"
"""What an element may have in it; ``None`` is nothing."""

NO_VALUE: Final = Html("&ndash;")
"""What stands where there is nothing to say."""


def el(name: str, *content: Content, **attributes: str | int | bool | None) -> Html:
    """Make an element.

    :param attributes: by their names, with ``_`` for ``-`` and one more at the end where Python has
        the word; ``None`` and ``False`` leave one out, ``True`` gives it no value
    """
    written = "".join(_attribute(*each) for each in attributes.items())
    if name in _VOID:
        return Html(f"<{name}{written}>")
    return Html(f"<{name}{written}>{join(content)}</{name}>")


def _attribute(name: str, value: str | int | bool | None) -> str:
    if value is None or value is False:
        return ""
    name = name.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(shown(str(value)))}"'


def join(content: Content) -> Html:
    """Put content together; text is escaped."""
    match content:
        case None:
            return Html()
        case Html():
            return content
        case str() | int():
            return Html(escape(shown(str(content))))
        case _:
            return Html("".join(map(join, content)))


def shown(text: str) -> str:
    """Show what nobody would see, or what turns around what stands beside it.

    Lone halves of pairs, which no page can have, are shown too.
    """
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() or each in _KEPT else ascii(each)[1:-1] for each in text
    )


def named(name: str) -> Html:
    """Show an id of somebody else's, apart from the text around it; the whole of it as a title."""
    text = shown(name)
    if len(text) <= _LONGEST_NAME:
        return el("bdi", text, class_="id short" if len(text) <= _SHORT_NAME else "id")
    half = _LONGEST_NAME // 2
    return el("bdi", f"{text[:half]}…{text[-half:]}", class_="id", title=text)


def body_text(text: str) -> Html:
    """Show a body as it is written, line by line."""
    return el("pre", el("bdi", text, dir="auto"), class_="body", tabindex=0)
