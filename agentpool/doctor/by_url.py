"""Examining a store by its path or its URL."""

import os
from importlib import import_module

from agentpool.doctor.examination import examine_file
from agentpool.doctor.report import Report, broken
from agentpool.support.clock import Clock, wall_clock
from agentpool.support.places import SERVERS, file_of, url_of

__all__ = ("examine",)


def examine(
    path: str | os.PathLike[str], *, schema: str = "agentpool", clock: Clock = wall_clock
) -> Report:
    """Examine a store, which may be in use, without changing it.

    Blocks, and reads the whole store. While it reads a file in use, what others write cannot be
    moved from the write-ahead log to the file. If the file is not in use, do not open a store on
    it in this process meanwhile; a process of its own (``python -m agentpool doctor``) is free of
    that. On a server it reads as of one moment, as pg_dump does: until it has ended, what others
    delete is not cleaned up; nobody waits for it but who changes the tables themselves.

    :param path: a file, or the URL of a server (extra ``postgres``)
    :param schema: of the store, on a server
    :param clock: gives the time that leases and deadlines are compared with; on a server, that is
        the server's, unless the clock has an ``elapsed()``
    """
    url = url_of(path)
    if url is None:
        return examine_file(path, clock)
    file = file_of(str(path))
    if file is not None:
        return examine_file(file, clock)
    if url.scheme not in SERVERS:
        what = f"a store of scheme {url.scheme!r} cannot be examined"
        return Report("the store", (broken("place", what, "name a file, or one on a server"),))
    # Only now: it needs a package that few have.
    try:
        module = import_module("agentpool.doctor.server")
    except ImportError as error:
        advice = "pip install '...[postgres]'"
        return Report("the server", (broken("server", f"cannot be asked: {error}", advice),))
    report: Report = module.examine_server(f"postgresql:{url.rest}", schema, clock)
    return report
