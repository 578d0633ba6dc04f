"""The name of this process, for people who look at who does what."""

import os
import platform

__all__ = ("process_name",)


def process_name() -> str:
    """Name this process by its machine and number."""
    return f"{platform.node()}:{os.getpid()}"
