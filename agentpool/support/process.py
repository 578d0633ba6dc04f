"""The names of this process, and of this run of its machine."""

import os
import platform
from pathlib import Path
from typing import Final

__all__ = ("boot_id", "process_name")

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


def process_name() -> str:
    """Name this process by its machine and number."""
    return f"{platform.node()}:{os.getpid()}"


def boot_id() -> str | None:
    """Name what lies between two restarts of the machine; ``None`` where it has no name."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip() or None
    except (OSError, UnicodeDecodeError):
        return None
