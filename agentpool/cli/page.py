"""The live page: web."""

import webbrowser
from argparse import ArgumentParser, Namespace
from functools import partial
from threading import Thread
from types import ModuleType
from typing import Final

from agentpool.cli.arguments import Doing, Verb, in_pool
from agentpool.cli.extras import loaded
from agentpool.cli.opening import looked_at
from agentpool.cli.printing import Printer

__all__ = ("VERBS",)


def _arguments(parser: ArgumentParser) -> None:
    in_pool(parser)
    parser.add_argument("--host", default="127.0.0.1", help="the address to serve it at")
    parser.add_argument("--port", type=int, default=0, help="the port; 0 for any that is free (0)")
    parser.add_argument("--open", action="store_true", help="open it in a browser, too")


def _run(options: Namespace, out: Printer) -> Doing:
    return _serve(options, out, loaded("agentpool.web.serving", "web"))


async def _serve(options: Namespace, out: Printer, serving: ModuleType) -> int:
    if options.pool:
        async with looked_at(options):
            pass  # which refuses a pool that is not there
    code: int = await serving.serve(options, partial(_tell, options, out))
    return code


def _tell(options: Namespace, out: Printer, url: str) -> None:
    if options.json or options.field:
        out.row({"url": url})
    else:
        out.raw(url)
    if options.open:
        # Some wait until the page is there, or until they are closed: in no way of the server.
        Thread(target=webbrowser.open, args=(url,), daemon=True).start()


VERBS: Final = (
    Verb(
        "web",
        "serve a live page that shows the pools of a store",
        "agentpool web\nagentpool web --store postgresql://me@db/agents --port 8420 --open",
        _arguments,
        _run,
    ),
)
