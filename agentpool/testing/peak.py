"""The most memory that this process has taken."""

import re
import resource
from pathlib import Path

__all__ = ("peak_kilobytes",)


def peak_kilobytes() -> int:
    """Say how many kilobytes this process has had in memory at most, since its program began.

    ``getrusage`` counts what the process had before that too, which is what its parent has.
    """
    try:
        status = Path("/proc/self/status").read_text("ascii")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    [found] = re.findall(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    return int(found)
