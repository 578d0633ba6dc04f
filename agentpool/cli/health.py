"""Whether all is well, and a copy for when it is not: check, doctor, backup."""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from typing import Final

from agentpool import AgentPool, CorruptRecordError, PoolNotOpenError, UnknownRecordError
from agentpool.cli.arguments import Verb, in_pool, in_store
from agentpool.cli.looking import counted
from agentpool.cli.opening import a_store, in_words_of_shells, where
from agentpool.cli.printing import Printer, for_people
from agentpool.cli.reports import FORMATS, Checked, PoolChecked
from agentpool.cli.rows import overview_row
from agentpool.cli.times import seconds
from agentpool.doctor import Finding, examine
from agentpool.doctor.quick import glance
from agentpool.doctor.report import broken, note, ok
from agentpool.errors import AgentPoolError, InvalidValueError
from agentpool.rules.explaining.overview import Overview
from agentpool.stores.base import AgentPoolStore
from agentpool.stores.sqlite.backup import back_up
from agentpool.support.places import file_of, without_secrets

__all__ = ("MAX_AGE", "VERBS", "findings")

MAX_AGE: Final = 300.0
"""How old an unread message may be, in seconds."""

_GRACE: Final = 10.0
_UNKNOWN: Final = 3
_HEALTH_CODES: Final = (
    "exit code: 0 all is well, 1 there is something to know, 2 something is broken, or it cannot be"
    " looked at"
)


# --- doctor


def _doctor_arguments(parser: ArgumentParser) -> None:
    in_store(parser)
    place = "the database: a file such as pool.db, or postgresql://user@host/database"
    parser.add_argument("place", nargs="?", metavar="FILE|URL", help=place)


def _doctor(options: Namespace, out: Printer) -> int:
    place = options.place or where(options)
    report = examine(place, **({"schema": options.schema} if options.schema else {}))
    if options.json or options.field:
        for each in report.findings:
            out.row({**each._asdict(), "level": str(each.level)})
    else:
        out.raw(str(report))
    return report.exit_code


# --- check


def _check_arguments(parser: ArgumentParser) -> None:
    in_pool(parser)
    parser.add_argument("--format", choices=tuple(FORMATS), help="text, json, prometheus or nagios")
    parser.add_argument(
        "--max-age",
        type=seconds,
        default=MAX_AGE,
        metavar="SPAN",
        help="how old an unread message may be (5m)",
    )
    parser.add_argument(
        "--max-dead", type=int, default=0, metavar="N", help="how many dead letters may be (0)"
    )


async def _check(options: Namespace, out: Printer) -> int:
    form = options.format or ("text" if out.for_people else "json")
    try:
        checked = await _looked(options)
    except AgentPoolError as error:
        if form == "nagios":
            out.text(f"AGENTPOOL UNKNOWN - {error}")  # as such plugins have to end
            return _UNKNOWN
        out.say(str(error))
        checked = Checked((broken("store", str(error), "see `agentpool doctor`"),), ())
    FORMATS[form](checked, out)
    return checked.exit_code


async def _looked(options: Namespace) -> Checked:
    async with a_store(options) as store:
        pools = [await _checked(store, each, options) for each in await _pools(store, options)]
    file = file_of(where(options))
    return Checked(() if file is None else glance(file), tuple(pools))


async def _pools(store: AgentPoolStore, options: Namespace) -> list[str]:
    there = sorted(await store.pool_ids())
    if options.pool is not None and options.pool not in there:
        msg = "there is no such pool in the store"
        raise PoolNotOpenError(msg, pool_id=options.pool)
    return there if options.pool is None else [options.pool]


async def _checked(store: AgentPoolStore, pool_id: str, options: Namespace) -> PoolChecked:
    try:
        seen = await counted(AgentPool(store, pool_id))
    except (CorruptRecordError, UnknownRecordError) as error:
        finding = broken("records", str(error), "see `agentpool doctor`")
        return PoolChecked(pool_id, {}, (finding,))
    return PoolChecked(
        pool_id, overview_row(seen), tuple(findings(seen, options.max_age, options.max_dead))
    )


def findings(seen: Overview, max_age: float, max_dead: int) -> Iterator[Finding]:
    """Say whether somebody has to look after a pool.

    :param max_age: how old an unread message may be, in seconds
    :param max_dead: how many dead letters there may be
    """
    oldest, overdue = (seen.oldest_age or 0) / 1000, seen.overdue / 1000
    numbers = for_people(overview_row(seen))
    if oldest > max_age:
        advice = "see `agentpool members`, and start a consumer of the inbox"
        yield note("unread", f"the oldest unread message is {oldest:.0f} s old", advice)
    else:
        yield ok("unread", f"{numbers['unread']} unread")
    if seen.counted.dead > max_dead:
        advice = "see `agentpool dead`, and put them back or throw them away"
        yield note("dead letters", f"{numbers['dead']} were put aside", advice)
    else:
        yield ok("dead letters", f"{numbers['dead']} were put aside")
    if overdue > _GRACE:
        advice = "nobody keeps the pool: any process that opens it does"
        yield note("overdue", f"something has been due for {overdue:.0f} s", advice)
    else:
        yield ok("overdue", "nothing is overdue")


# --- backup


def _backup_arguments(parser: ArgumentParser) -> None:
    in_store(parser)
    parser.add_argument("to", metavar="COPY", help="where the copy is to be; nothing may be there")


def _backup(options: Namespace, out: Printer) -> int:
    file = file_of(where(options))
    if file is None:
        store = without_secrets(where(options))
        msg = f"{store}: it is no file; back up a server by its own means, such as pg_dump"
        raise InvalidValueError(msg)
    with in_words_of_shells():
        size = back_up(file, options.to)
    out.row({"copy": options.to, "bytes": size})
    return 0


VERBS: Final = (
    Verb(
        "check",
        "say whether somebody has to look after the pools, for monitoring",
        "agentpool check\nagentpool check --format prometheus\n"
        "agentpool check --format nagios --max-age 1h --max-dead 10",
        _check_arguments,
        _check,
        f"{_HEALTH_CODES} (for Nagios that is 3, unknown)",
    ),
    Verb(
        "backup",
        "copy a store file as of one moment, while others write to it",
        "agentpool backup copy.db --store pool.db",
        _backup_arguments,
        _backup,
    ),
    Verb(
        "doctor",
        "examine a store, a file or one on a server, without changing it",
        "agentpool doctor pool.db\nagentpool doctor postgresql://user@host/database",
        _doctor_arguments,
        _doctor,
        _HEALTH_CODES,
    ),
)
