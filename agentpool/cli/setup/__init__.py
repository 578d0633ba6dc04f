"""Setting up the hosts of coding agents: setup.

======================= =======================================================================
`asked`                 what a host is told: how to start the server, and what its hooks call
`claude`, `codex`       what becomes of the files of a host
`json_text`, `marked`   values in a JSON text, and a block of lines: in, and out again
`files`                 reading and writing whole files
======================= =======================================================================
"""

import re
from argparse import ArgumentParser, Namespace
from importlib.util import find_spec
from typing import Final
from urllib.parse import urlsplit

from agentpool.cli.arguments import Verb, in_pool
from agentpool.cli.opening import where
from agentpool.cli.printing import Printer
from agentpool.cli.setup.asked import Asked
from agentpool.cli.setup.claude import claude_changes
from agentpool.cli.setup.codex import codex_changes
from agentpool.cli.setup.files import Change
from agentpool.errors import InvalidValueError
from agentpool.support.places import file_of, has_password
from agentpool.wire.ids import check_identifier

__all__ = ("VERBS",)

_PLAIN: Final = re.compile(r"[A-Za-z0-9._-]+")


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("host", choices=("claude", "codex"), help="which one")
    in_pool(parser)
    parser.add_argument(
        "--as", dest="run", metavar="RUN", help="the run that it acts as (run.claude, run.codex)"
    )
    parser.add_argument(
        "--agent", help="of which agent that is if it joins (agent.claude, agent.codex)"
    )
    parser.add_argument(
        "--user",
        action="store_true",
        help="claude: for all projects of this user, and not for the project in this folder",
    )
    parser.add_argument("--dry-run", action="store_true", help="only show what would change")
    parser.add_argument("--remove", action="store_true", help="take out what it wrote, only that")


def _setup(options: Namespace, out: Printer) -> int:
    asked = None if options.remove else _asked(options)
    if options.host == "codex":
        changes = codex_changes(asked)
    else:
        changes = claude_changes(asked, for_user=options.user)
    if options.dry_run:
        for change in changes:
            for line in change.difference():
                out.text(line)
        return 0
    for change in changes:
        change.carry_out()
        out.row({"file": str(change.path), "change": change.what})
    if asked is not None:
        _tell_what_is_missing(options, asked, changes, out)
    return 0


def _asked(options: Namespace) -> Asked:
    store = where(options)
    file = file_of(store)
    if file is None:
        _check_url(store)
    else:
        store = str(file.absolute())  # hosts start it elsewhere
    run = options.run or f"run.{options.host}"
    agent = options.agent or f"agent.{options.host}"
    for name, value in {"--store": store, "--as": run, "--agent": agent}.items():
        check_identifier(value, name)
    in_project = options.host == "claude" and not options.user
    variable = in_project and _PLAIN.fullmatch(run) is not None
    return Asked(store, options.schema, options.pool, run, agent, variable)


def _check_url(url: str) -> None:
    """Refuse a URL that is none, or has a password.

    :raises InvalidValueError: it is such
    """
    try:
        urlsplit(url)
    except ValueError as error:
        msg = f"--store: it is no URL: {error}"
        raise InvalidValueError(msg) from error
    if has_password(url):
        msg = (
            "--store: there is a password in it, which others may read in these files; leave it"
            " out, and give it by ~/.pgpass or PGPASSWORD"
        )
        raise InvalidValueError(msg)


def _tell_what_is_missing(
    options: Namespace, asked: Asked, changes: list[Change], out: Printer
) -> None:
    if find_spec("mcp") is None:
        out.say("the server needs the extra 'mcp': pip install 'agentpool-store[mcp]'")
    file = file_of(asked.store)
    if file is not None and not file.exists():
        pool = asked.pool or "ID"
        out.say(f"there is no store yet; `agentpool init -s {asked.store} -p {pool}` makes one")
    if any(each.before != each.after for each in changes):
        out.say(f"start {options.host} again; it asks whether to trust the server and its hooks")


VERBS: Final = (
    Verb(
        "setup",
        "let a coding agent join: write its server and its hooks into the files of its host",
        "agentpool setup claude --store pool.db --pool pool.library\n"
        "agentpool setup codex --store pool.db --as run.codex --dry-run\n"
        "agentpool setup claude --remove",
        _arguments,
        _setup,
    ),
)
