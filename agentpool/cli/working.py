"""Working on messages: take, ack, nack, dead."""

from argparse import ArgumentParser, Namespace
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, NamedTuple, TypeAlias

from agentpool import (
    AgentPool,
    AgentPoolError,
    ClaimLostError,
    DeadLetter,
    Delivery,
    Inbox,
    InvalidValueError,
)
from agentpool.cli.arguments import Verb, acting, at_least, in_pool
from agentpool.cli.opening import a_pool, looked_at, member_for, tell_if_absent
from agentpool.cli.printing import Printer, Row
from agentpool.cli.rows import body_row, message_row
from agentpool.cli.talking import inbox_of, of_inbox
from agentpool.cli.times import seconds
from agentpool.errors import shown
from agentpool.faces.naming import claim_name, claim_named
from agentpool.rules.tokens import is_token

__all__ = ("VERBS",)

_LEASE: Final = 300.0
_MOST: Final = 10_000


# --- take


def _take_arguments(parser: ArgumentParser) -> None:
    acting(parser)
    parser.add_argument("--queue", metavar="NAME", help="take from this queue")
    parser.add_argument(
        "--count", type=at_least(1), default=1, metavar="N", help="at most so many (1)"
    )
    parser.add_argument(
        "--timeout", type=seconds, default=0.0, metavar="SPAN", help="wait so long for one (0)"
    )
    parser.add_argument(
        "--lease",
        type=seconds,
        default=_LEASE,
        metavar="SPAN",
        help="unless ended by then, it comes again (5m)",
    )
    parser.add_argument(
        "--max-attempts", type=int, metavar="N", help="put aside what was taken so often"
    )


async def _take(options: Namespace, out: Printer) -> int:
    out.refuse_closed()  # nobody would know the token
    async with a_pool(options) as pool:
        if options.queue is None:
            await member_for(pool, options, out)
        else:
            await tell_if_absent(pool, inbox_of(options), out)
        inbox = pool.inbox(
            inbox_of(options), lease=options.lease, max_attempts=options.max_attempts
        )
        taken = list(await inbox.take_many(options.count, options.timeout))
        nothing = not taken
        try:
            while taken:
                out.row(await _taken_row(pool, inbox.run_id, taken[0]))
                del taken[0]
        finally:
            for delivery in taken:  # nobody was told of them
                await delivery.give_back()
    return int(nothing)


async def _taken_row(pool: AgentPool, run_id: str, delivery: Delivery) -> Row:
    return {
        **message_row(delivery.message),
        "attempt": delivery.attempt,
        "token": claim_name(delivery.token, run_id),
        **await body_row(pool, delivery.message),
    }


# --- ack, nack


def _ack_arguments(parser: ArgumentParser) -> None:
    in_pool(parser)
    of_inbox(parser)
    parser.add_argument("tokens", nargs="+", metavar="TOKEN", help="as `take` prints it")


async def _ack(options: Namespace, out: Printer) -> int:
    by_inbox: dict[str, list[str]] = {}
    for token, run_id in _claims(options):
        by_inbox.setdefault(run_id, []).append(token)
    async with a_pool(options) as pool:
        parts = [
            _Part(run_id, tokens, pool.inbox(run_id).ack_many)
            for run_id, tokens in by_inbox.items()
        ]
        await _end_each(parts, "done", out)
    return 0


class _Part(NamedTuple):
    """Claims of an inbox that are ended together.

    :ivar end: ends all of some claims, or none
    """

    run_id: str
    tokens: list[str]
    end: Callable[[list[str]], Awaitable[None]]


_Came: TypeAlias = tuple[str, AgentPoolError | None]
"""What names a claim, and what refused to end it."""


async def _end_each(parts: Sequence[_Part], done: str, out: Printer) -> None:
    """End claims part by part, all that can be; where some cannot, say what came of each.

    :raises AgentPoolError: what refused the first that could not
    """
    came = [each for part in parts for each in await _end(part)]
    refused = [error for _, error in came if error is not None]
    if not refused:
        return
    if len(came) > 1:
        for name, error in came:
            out.say(f"{name}: {done if error is None else error}")
    raise refused[0]


async def _end(part: _Part) -> list[_Came]:
    """End the claims of a part together; where one of them is none any more, each by itself."""
    refused: AgentPoolError | None = None
    try:
        await part.end(part.tokens)
    except AgentPoolError as error:
        if len(part.tokens) > 1 and isinstance(error, ClaimLostError | InvalidValueError):
            alone = [part._replace(tokens=[each]) for each in part.tokens]
            return [came for each in alone for came in await _end(each)]
        refused = error
    return [(claim_name(each, part.run_id), refused) for each in part.tokens]


def _claims(options: Namespace) -> list[tuple[str, str]]:
    """Take tokens apart, each once."""
    return [_claim(each, options) for each in dict.fromkeys(options.tokens)]


def _claim(given: str, options: Namespace) -> tuple[str, str]:
    """Take a token apart; one as the library has it is of the inbox that the options name."""
    named = claim_named(given)
    if named is not None:
        return named
    if options.queue is None and not options.run and not is_token(given):
        msg = f"{shown(given)} is no token, as `take` prints one"
        raise InvalidValueError(msg)
    return given, inbox_of(options)


def _nack_arguments(parser: ArgumentParser) -> None:
    _ack_arguments(parser)
    parser.add_argument(
        "--delay", type=seconds, metavar="SPAN", help="it comes again then; longer each time if not"
    )
    parser.add_argument(
        "--max-attempts", type=int, metavar="N", help="put it aside if it was taken so often"
    )


async def _nack(options: Namespace, out: Printer) -> int:
    async with a_pool(options) as pool:
        parts: list[_Part] = []
        for token, run_id in _claims(options):
            inbox = pool.inbox(run_id, max_attempts=options.max_attempts)
            parts.append(_Part(run_id, [token], partial(_give_back, inbox, options.delay)))
        await _end_each(parts, "given back", out)
    return 0


async def _give_back(inbox: Inbox, delay: float | None, tokens: Sequence[str]) -> None:
    for token in tokens:
        await inbox.nack(token, delay)


# --- dead


def _dead_arguments(parser: ArgumentParser) -> None:
    in_pool(parser)
    of_inbox(parser)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--retry", metavar="MESSAGE", help="put it back; 'all' for all of them")
    what.add_argument("--discard", metavar="MESSAGE", help="throw it away; 'all' for all of them")


async def _dead(options: Namespace, out: Printer) -> int:
    chosen = options.retry or options.discard
    async with (looked_at if chosen is None else a_pool)(options) as pool:
        inbox = pool.inbox(inbox_of(options))
        letters = [each for each in await inbox.dead(_MOST) if _is_meant(each, chosen)]
        if chosen is not None:
            for letter in letters:
                await (inbox.retry if options.retry else inbox.discard)(letter)
    if not letters and chosen not in {None, "all"}:
        out.say(f"there is no message {shown(chosen)} among those that were put aside")
    rows: list[Row] = [
        {"seq": each.seq, "attempts": each.attempts, **message_row(each.message)}
        for each in letters
    ]
    return int(not out.rows(rows))


def _is_meant(letter: DeadLetter, chosen: str | None) -> bool:
    message = letter.message
    return chosen in {None, "all", message.message_id, message.idempotency_key}


VERBS: Final = (
    Verb(
        "take",
        "take the next message, under a claim that a token names",
        "agentpool take --as run.me --timeout 1m\n"
        "token=$(agentpool take --queue work --field token)",
        _take_arguments,
        _take,
    ),
    Verb(
        "ack",
        "say that a message is done, from whatever process",
        'agentpool ack "$token"',
        _ack_arguments,
        _ack,
    ),
    Verb(
        "nack",
        "give a message back, to be taken again",
        'agentpool nack "$token"\nagentpool nack "$token" --delay 10m --max-attempts 5',
        _nack_arguments,
        _nack,
    ),
    Verb(
        "dead",
        "list the messages that failed too often, put them back or throw them away",
        "agentpool dead --queue work\nagentpool dead --queue work --retry all",
        _dead_arguments,
        _dead,
    ),
)
