"""Taking whole pools from one store to another: copy."""

import os
from argparse import ArgumentParser, Namespace
from contextlib import AsyncExitStack
from typing import Final

from agentpool import open_store
from agentpool.cli.arguments import Verb, printed
from agentpool.cli.opening import in_words_of_shells
from agentpool.cli.printing import Printer
from agentpool.copying import copy_pools
from agentpool.errors import InvalidValueError
from agentpool.opening import StoreOptions
from agentpool.support.places import file_of

__all__ = ("VERBS",)

_SCHEMA: Final = "agentpool"
_BY_CREATE: Final = "`--create` makes TO, and brings an older one to this version"


def _copy_arguments(parser: ArgumentParser) -> None:
    printed(parser)
    parser.add_argument("source", metavar="FROM", help="path or URL of the store that has them")
    parser.add_argument("target", metavar="TO", help="path or URL of the store to copy them to")
    parser.add_argument(
        "-p", "--pool", action="append", metavar="ID", help="a pool to copy; without, all of them"
    )
    parser.add_argument("--from-schema", metavar="NAME", help="schema of FROM, on a server")
    parser.add_argument("--to-schema", metavar="NAME", help="schema of TO, on a server")
    parser.add_argument(
        "--create",
        action="store_true",
        help="make TO where it is not there, or bring an older one to this version",
    )
    parser.add_argument(
        "--force", action="store_true", help="copy also what somebody has open, as it is just now"
    )


async def _copy(options: Namespace, out: Printer) -> int:
    if _place(options.source, options.from_schema) == _place(options.target, options.to_schema):
        msg = "FROM and TO are the same store"
        raise InvalidValueError(msg)
    source_options = _options(options.from_schema, create=False)
    target_options = _options(options.to_schema, create=options.create)
    async with AsyncExitStack() as stores:
        with in_words_of_shells():
            source = await stores.enter_async_context(open_store(options.source, **source_options))
        with in_words_of_shells(_BY_CREATE):
            target = await stores.enter_async_context(open_store(options.target, **target_options))
        copied = await copy_pools(source, target, options.pool, force=options.force)
    for each in copied:
        out.row(each._asdict())
    return 0 if copied else 1


def _place(store: str, schema: str | None) -> tuple[str, str]:
    """Say where a store is, the same for each way in which its file is named."""
    file = file_of(store)
    return (store if file is None else os.path.realpath(file)), schema or _SCHEMA


def _options(schema: str | None, *, create: bool) -> StoreOptions:
    options = StoreOptions(create=create, migrate=create)
    if schema:
        options["schema"] = schema
    return options


VERBS: Final = (
    Verb(
        "copy",
        "take whole pools from one store to another, and check them; again, it goes on",
        "agentpool copy pool.db postgresql://user@host/pools --create\n"
        "agentpool copy postgresql://user@host/pools pool.db --pool pool.library",
        _copy_arguments,
        _copy,
    ),
)
