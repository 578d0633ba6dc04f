"""Checks of what goes on: old snapshots, locks, listeners, and what is left behind."""

from collections.abc import Iterator
from typing import Final

from agentpool.doctor.report import Finding, Places, note, ok
from agentpool.doctor.server.visit import Visit
from agentpool.stores.postgres.bell import channel_of

__all__ = ("check_bloat", "check_listeners", "check_locks", "check_snapshots")

OLD_SECONDS: Final = 60.0
"""After which a snapshot is in the way of those who clean up."""
WAITING_SECONDS: Final = 1.0
MANY_DEAD: Final = 50_000
MANY_LISTENERS: Final = 50
_OLD_XIDS: Final = 1_000_000
_NEAR_WRAPAROUND: Final = 1_000_000_000

_SNAPSHOTS: Final = f"""
    SELECT 'session ' || pid || ' (' || coalesce(nullif(application_name, ''), 'unnamed') || ', '
        || usename || ', ' || state || ')', round(extract(epoch FROM now() - xact_start))
    FROM pg_stat_activity
    WHERE (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL) AND pid <> pg_backend_pid()
    AND (backend_type = 'client backend' AND clock_timestamp() - xact_start > $1 * interval '1 s'
        OR age(backend_xmin) > {_OLD_XIDS} AND backend_type <> 'autovacuum worker')
    UNION ALL
    SELECT 'prepared transaction ' || quote_literal(gid),
        round(extract(epoch FROM now() - prepared)) FROM pg_prepared_xacts
    WHERE clock_timestamp() - prepared > $1 * interval '1 s'
    UNION ALL
    SELECT 'replication slot ' || slot_name || CASE WHEN active THEN '' ELSE ', unused' END, 0
    FROM pg_replication_slots
    WHERE NOT active OR age(coalesce(xmin, catalog_xmin)) > {_OLD_XIDS}
    ORDER BY 2 DESC
"""
_HIDDEN: Final = """
    SELECT count(*) FROM pg_stat_activity
    WHERE backend_type IS NULL OR query = '<insufficient privilege>'
"""
_WAITING: Final = """
    SELECT l.pid, max(coalesce(a.application_name, '')),
        round(extract(epoch FROM clock_timestamp() - min(l.waitstart))::numeric, 1),
        array_to_string(max(pg_blocking_pids(l.pid)), ', ')
    FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE NOT l.granted AND clock_timestamp() - l.waitstart >= $2 * interval '1 s'
    AND EXISTS (
        SELECT FROM pg_locks o JOIN pg_class c ON c.oid = o.relation
        JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE o.pid = l.pid AND n.nspname = $1 AND o.database =
            (SELECT oid FROM pg_database WHERE datname = current_database())
    )
    GROUP BY l.pid ORDER BY 3 DESC
"""
_LISTENERS: Final = """
    SELECT count(*) FILTER (WHERE query LIKE 'LISTEN "' || $1 || '"%'),
        count(*) FILTER (WHERE query ILIKE 'listen %'), pg_notification_queue_usage()
    FROM pg_stat_activity
"""
_BLOAT: Final = f"""
    SELECT s.relname, n_dead_tup, n_live_tup,
        coalesce(to_char(greatest(last_autovacuum, last_vacuum), 'YYYY-MM-DD HH24:MI'), 'never'),
        age(c.relfrozenxid) > {_NEAR_WRAPAROUND}, pg_table_size(c.oid),
        coalesce('autovacuum_enabled=false' = ANY (c.reloptions), false)
    FROM pg_stat_all_tables s JOIN pg_class c ON c.oid = s.relid
    WHERE s.schemaname = $1 ORDER BY n_dead_tup DESC
"""


def check_snapshots(visit: Visit) -> Iterator[Finding]:
    """Look for who holds an old snapshot: what was deleted since stays in everybody's way."""
    found = Places()
    for who, seconds in visit.ask(_SNAPSHOTS, str(OLD_SECONDS)):
        found.add(who + (f", for {seconds} s" if seconds not in {"", "0"} else ""))
    [[hidden]] = visit.ask(_HIDDEN)
    if found:
        what = f"what was deleted cannot be cleaned up, because of {found}"
        advice = "end them: pg_terminate_backend(), ROLLBACK PREPARED, pg_drop_replication_slot()"
        yield note("snapshots", what, advice)
    elif hidden != "0":
        what = f"none is old, but {hidden} sessions cannot be looked into"
        yield ok("snapshots", f"{what}; GRANT pg_read_all_stats would show them")
    else:
        yield ok("snapshots", "nobody holds an old one")


def check_locks(visit: Visit) -> Iterator[Finding]:
    """Look for who waits for a lock on a table of ours."""
    found = Places()
    for pid, name, seconds, holders in visit.ask(_WAITING, visit.schema, str(WAITING_SECONDS)):
        found.add(f"session {pid} ({name or 'unnamed'}) for {seconds} s, held by {holders or '?'}")
    if found:
        what = f"wait for a lock of the store: {found}"
        yield note("locks", what, "see what the holders do; pg_terminate_backend() ends a session")
    else:
        yield ok("locks", "nobody waits for a lock of the store")


def check_listeners(visit: Visit) -> Iterator[Finding]:
    """Look how many listen: each makes every NOTIFY of the server dearer."""
    channel = channel_of(visit.place.schema)
    [(ours, every, usage)] = visit.ask(_LISTENERS, channel)
    what = f"{ours} handles listen to this store, {every} sessions in all"
    if float(usage) > 1 / 2:
        full = f"; the queue of what is to be told is {float(usage):.0%} full"
        yield note("listeners", what + full, "end the session that listens in an old transaction")
    elif int(every) > MANY_LISTENERS:
        advice = "each makes every commit dearer: fewer handles, or listen=False in some"
        yield note("listeners", what, advice)
    else:
        yield ok("listeners", what)


def check_bloat(visit: Visit) -> Iterator[Finding]:
    """Look how much is left behind in our tables of what was deleted."""
    found, size, when = Places(), 0, "never"
    for table, dead, live, last, is_near, bytes_, is_off in visit.ask(_BLOAT, visit.schema):
        size += int(bytes_)
        when = last if table == "rows" else when
        if int(dead) > MANY_DEAD + int(live):
            found.add(f"{table} has {dead} dead rows for {live} live ones, last cleaned: {last}")
        if is_near == "t":
            found.add(f"{table} has not been frozen for long")
        if is_off == "t":
            found.add(f"autovacuum is off for {table}")
    if found:
        yield note("bloat", str(found), "see who holds a snapshot; then: VACUUM")
    else:
        yield ok("bloat", f"few dead rows in {size // 1024} KiB; rows were last cleaned: {when}")
