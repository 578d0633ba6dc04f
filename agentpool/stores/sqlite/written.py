"""Whether what was written is there: a trigger of another program may have done otherwise."""

from collections.abc import Iterator

from agentpool.stores.batch.source import Changes, Source

__all__ = ("count_of", "is_there")


def count_of(changes: Changes) -> int:
    """Count the rows that are written, of all tables."""
    noted = (changes.event_sequence, changes.projected, changes.checkpoint)
    times = bool(changes.records) and changes.millis is not None
    return len(changes.records) + times + len(changes.rows) + 3 - noted.count(None)


def is_there(source: Source, changes: Changes) -> bool:
    """Look at all that matters of what was written; slow, so only where there is reason to."""
    return all(_looks(source, changes))


def _looks(source: Source, changes: Changes) -> Iterator[bool]:
    for seq, (_, kind, text) in enumerate(changes.records, changes.first):
        yield source.record_at(seq) == (seq, kind, text.encode())
    for key, row in changes.rows.items():
        yield source.row(key) == row
    yield changes.event_sequence in {None, source.event_sequence()}
    yield changes.projected in {None, source.projected()}
    yield changes.checkpoint in {None, source.checkpoint()}
