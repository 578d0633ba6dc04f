"""The version of this library."""

from importlib.metadata import PackageNotFoundError, version
from typing import Final

__all__ = ("__version__",)

_DISTRIBUTION = "agentpool-store"


def version_of_the_library() -> str:
    """Read the version of the installed distribution; a checkout alone has none."""
    try:
        return version(_DISTRIBUTION)
    except PackageNotFoundError:
        return "0+unknown"


__version__: Final = version_of_the_library()
