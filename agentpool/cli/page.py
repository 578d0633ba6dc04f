"""The live page: web."""

import webbrowser
from argparse import ArgumentParser, Namespace
from functools import partial
from threading import Thread
from typing import Final

from agentpool.cli.arguments import Doing, Verb, in_pool
from agentpool.cli.extras import loaded
from agentpool.cli.printing import Printer

__all__ = ("VERBS",)


def _arguments(parser: ArgumentParser) -> None:
    in_pool(parser)
    parser.add_argument("--host", default="127.0.0.1", help="the address to serve it at")
    parser.add_argument("--port", type=int, default=0, help="the port; 0 for any that is free (0)")
    parser.add_argument("--open", action="store_true", help="open it in a browser, too")


def _run(options: Namespace, out: Printer) -> Doing:
    serving = loaded("agentpool.web.serving", "web")
    doing: Doing = serving.serve(options, partial(_tell, options, out))
    return doing


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
