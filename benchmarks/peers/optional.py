"""The one place where packages are loaded that may be missing."""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

__all__ = ("load", "version_of")


def version_of(distribution: str) -> str | None:
    """Look up the installed version, without importing anything."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def load(module: str) -> Any:
    """Import a module of a peer, in the process that is about to use it."""
    return import_module(module)
