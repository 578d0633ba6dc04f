"""Checks of the server itself: version, settings, encoding, connections, recovery."""

from collections.abc import Iterator
from typing import Final

from agentpool.doctor.report import Finding, broken, note, ok
from agentpool.doctor.server.visit import Visit

__all__ = ("check_connections", "check_encoding", "check_recovery", "check_settings")

FEWEST_FREE: Final = 7
"""Connections that a handle has at most."""

_SAFE: Final = {
    "fsync": ("on", "a crash of the machine can damage the whole database"),
    "full_page_writes": ("on", "a crash of the machine can leave halves of pages"),
    "zero_damaged_pages": ("off", "what is damaged is taken for empty"),
    "ignore_checksum_failure": ("off", "what is damaged is taken for sound"),
    "autovacuum": ("on", "what was acknowledged stays in the way for ever"),
}
_SETTINGS: Final = """
    SELECT name, setting, reset_val FROM pg_settings WHERE name = ANY (string_to_array($1, ' '))
"""
_ENCODING: Final = """
    SELECT pg_encoding_to_char(encoding), datcollate, datctype FROM pg_database
    WHERE datname = current_database()
"""
_CONNECTIONS: Final = """
    SELECT current_setting('max_connections')::int
        - current_setting('superuser_reserved_connections')::int,
        (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
        (SELECT count(*) FROM pg_stat_activity WHERE application_name = 'agentpool'
            AND pid <> pg_backend_pid()),
        (SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user)
"""
_RECOVERY: Final = """
    SELECT pg_is_in_recovery(), current_setting('synchronous_standby_names'),
        (SELECT count(*) FROM pg_stat_replication),
        (SELECT count(*) FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum'))
"""
_LIMITS: Final = ("statement_timeout", "idle_session_timeout", "transaction_timeout")


def check_settings(visit: Visit) -> Iterator[Finding]:
    """Look whether the server keeps what it has acknowledged, and lets our sessions work."""
    names = (*_SAFE, *_LIMITS, "synchronous_commit", "idle_in_transaction_session_timeout")
    found = {
        name: (setting, reset) for name, setting, reset in visit.ask(_SETTINGS, " ".join(names))
    }
    wrong = [
        f"{name} is {found[name][0]}: {why}"
        for name, (wanted, why) in _SAFE.items()
        if name in found and found[name][0] != wanted
    ]
    if found["synchronous_commit"][0] == "off":
        wrong.append("synchronous_commit is off: a crash can take what was acknowledged last")
    if wrong:
        yield note("settings", "; ".join(wrong), "ALTER SYSTEM SET, or postgresql.conf; reload")
    else:
        yield ok("settings", f"{', '.join(_SAFE)} and synchronous_commit keep what is committed")
    # Of these, what a session begins with counts, not what this transaction has set.
    limits = [
        f"{name} = {found[name][1]} ms" for name in _LIMITS if found.get(name, "00")[1] != "0"
    ]
    if limits:
        what = f"the server ends what takes longer than {', '.join(limits)}"
        yield note("timeouts", what, "ALTER ROLE ... SET it to 0 for the role of the store")
    else:
        idle = found["idle_in_transaction_session_timeout"][1]
        others = "for ever" if idle == "0" else f"for {idle} ms"
        yield ok("timeouts", f"none for us; others may idle in a transaction {others}")


def check_encoding(visit: Visit) -> Iterator[Finding]:
    """Say in which encoding the database is; opening refuses others than UTF8."""
    [(encoding, collation, types)] = visit.ask(_ENCODING)
    what = f"{encoding}; ours is compared byte by byte, whatever {collation!r} and {types!r} say"
    yield ok("encoding", what)


def check_connections(visit: Visit) -> Iterator[Finding]:
    """Look whether there are connections left for another handle."""
    [(most, used, ours, limit)] = visit.ask(_CONNECTIONS)
    free = int(most) - int(used)
    what = f"{used} of {most} are used, {ours} of them by stores like this"
    if int(limit) >= 0:
        what += f"; this role may have {limit}"
    if free < FEWEST_FREE or 0 <= int(limit) < FEWEST_FREE:
        advice = "raise max_connections, or the limit of the role; or put a pooler in between"
        yield note("connections", f"{what}; a handle has 2 to {FEWEST_FREE}", advice)
    else:
        yield ok("connections", what)


def check_recovery(visit: Visit) -> Iterator[Finding]:
    """Say which past of the database this is, and who follows it."""
    [(in_recovery, names, standbys, synchronous)] = visit.ask(_RECOVERY)
    if in_recovery == "t":
        what = "this is a standby: what is here may be older than what the primary has"
        yield note("recovery", what, "stores open on the primary; name it first in the URL")
        return
    what = f"a primary on timeline {int(visit.timeline, 16)}, with {standbys} standbys"
    if names and synchronous == "0":
        why = f"commits wait for a synchronous one of {names!r}, and none is there"
        yield broken("recovery", f"{what}; {why}", "start it, or change synchronous_standby_names")
    elif standbys != "0" and synchronous == "0":
        yield ok("recovery", f"{what}, none synchronous: a failover loses what they have not yet")
    else:
        yield ok("recovery", what)
