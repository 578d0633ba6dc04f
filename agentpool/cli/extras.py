"""What a verb needs that few have installed: it is loaded when the verb is called."""

from importlib import import_module
from types import ModuleType

from agentpool.errors import InvalidValueError

__all__ = ("loaded",)


def loaded(name: str, extra: str) -> ModuleType:
    """Load a module of ours that needs an extra.

    :raises InvalidValueError: the extra is not installed, or what it brought does not load
    """
    try:
        return import_module(name)
    except ImportError as error:
        msg = f"it needs the extra {extra!r}: pip install 'agentpool-store[{extra}]' ({error})"
        raise InvalidValueError(msg) from error
