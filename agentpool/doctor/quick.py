"""What can be said of a file at a glance, without reading it."""

import os
from itertools import chain
from pathlib import Path

from agentpool.doctor import environment, file
from agentpool.doctor.report import Finding, broken

__all__ = ("glance",)


def glance(path: str | os.PathLike[str]) -> tuple[Finding, ...]:
    """Look at what a store file rests on, for monitoring: quick, however large it is.

    Without what `examine` says of the SQLite library, which does not change from look to look, and
    of other processes, which takes time.
    """
    place = Path(os.path.realpath(path))
    try:
        checks = chain(
            environment.check_mount(place),
            environment.check_links(place),
            environment.check_permissions(place),
            environment.check_beside(place),
            file.check_wal(place),
        )
        return tuple(checks)
    except OSError as error:
        what = f"cannot be looked at: {error.strerror or error}"
        return (broken("file", what, "look as a user who may read it and its folder"),)
