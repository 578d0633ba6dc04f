"""What else stands beside the records: their times, and bodies under their hashes."""

from collections.abc import Iterator

from agentpool.doctor.reader import Part, Reader, pools
from agentpool.doctor.report import Finding, Places, broken, in_bytes, note, ok

__all__ = ("check_bodies", "check_pieces", "check_times")


def check_times(reader: Reader) -> Iterator[Finding]:
    """Look whether times are those of records that are there."""
    wrong = Places()
    for pool_id in pools(reader, Part.TIMES):
        last, there = reader.last_time(pool_id), reader.head(pool_id)
        if last > there:
            wrong.add(f"pool {pool_id!r}: record {last} of {there}")
    if wrong:
        what = f"times of records that are not there: {wrong}"
        yield broken("times", what, "the log has lost its end; restore a backup")
    else:
        yield ok("times", "are times of records that are there")


def check_bodies(reader: Reader) -> Iterator[Finding]:
    """Look whether each body has the hash that it is kept under."""
    count, wrong = 0, Places()
    for ref, is_sound in reader.bodies():
        count += 1
        if not is_sound:
            wrong.add(ref)
    if wrong:
        what = f"{len(wrong)} of {count} are not what their hash says: {wrong}"
        yield broken("bodies", what, "restore them from a backup, or put them again")
    else:
        yield ok("bodies", f"{count}, each what its hash says")


def check_pieces(reader: Reader) -> Iterator[Finding]:
    """Look for what is left of bodies that were not put to the end."""
    unfinished = Places()
    for ref, size in reader.unfinished():
        unfinished.add(f"{ref} ({in_bytes(size)})")
    if unfinished:
        what = f"of {len(unfinished)} bodies that are not, or not yet, put to the end: {unfinished}"
        advice = f"put them again, or, while nobody puts any: {reader.clear_pieces}"
        yield note("pieces", what, advice)
    else:
        yield ok("pieces", "are those of bodies that are there")
