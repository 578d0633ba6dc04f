"""What consumers of an inbox wrote down before they were killed, and what it proves."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple, Self

__all__ = ("Entry", "acked", "faults", "out_of_order", "read")

_FIELDS: Final = 5


class Entry(NamedTuple):
    """One line of a journal; ``seq`` is the record that delivered the message."""

    what: str
    seq: int
    attempt: int
    began: int
    ended: int

    @classmethod
    def parse(cls, line: str) -> Self:
        what, *numbers = line.split()
        return cls(what, *map(int, numbers))


def read(folder: Path, pattern: str = "*") -> list[list[Entry]]:
    """Read the journals of a folder; a last line may have been cut by a kill."""
    texts = (path.read_text(encoding="utf-8") for path in sorted(folder.glob(pattern)))
    return [
        [Entry.parse(line) for line in text.splitlines() if len(line.split()) == _FIELDS]
        for text in texts
    ]


def acked(journals: Iterable[Iterable[Entry]]) -> int:
    """Count the acknowledgements that consumers were told of."""
    return sum(entry.what == "acked" for journal in journals for entry in journal)


def faults(journals: list[list[Entry]], seqs: Iterable[int]) -> Iterator[str]:
    """Say which of these messages were not acknowledged exactly once, by their last claim.

    An acknowledgement without an outcome is of a consumer that was killed while it waited for one:
    it counts where nobody was told of one.
    """
    by_seq: defaultdict[int, list[Entry]] = defaultdict(list)
    for entry in (entry for journal in journals for entry in journal):
        by_seq[entry.seq].append(entry)
    for seq in seqs:
        entries = by_seq.pop(seq, [])
        claims = Counter(entry.attempt for entry in entries if entry.what == "claimed")
        done = [entry.attempt for entry in entries if entry.what == "acked"]
        if any(times > 1 for times in claims.values()):
            yield f"message {seq}: an attempt was claimed twice: {entries}"
        elif (done or [_unknown(entries)]) != [max(claims, default=0)]:
            yield f"message {seq}: not acknowledged once, by its last claim: {entries}"
    if by_seq:
        yield f"messages that nobody sent: {sorted(by_seq)}"


def _unknown(entries: list[Entry]) -> int:
    """Give the last attempt whose acknowledgement has no outcome; -1 where there is none."""
    told = {entry.attempt for entry in entries if entry.what in {"acked", "lost"}}
    asked = {entry.attempt for entry in entries if entry.what == "acking"}
    return max(asked - told, default=-1)


def out_of_order(journals: list[list[Entry]]) -> list[tuple[Entry, Entry]]:
    """Find messages that were taken before an earlier one was, in one process or across them.

    One take came before another when it had ended before the other began.
    """
    taken = [entry for journal in journals for entry in journal if entry.what == "claimed"]
    found = []
    by_end = sorted(taken, key=lambda entry: entry.ended)
    latest, place = None, 0
    for entry in sorted(taken, key=lambda entry: entry.began):
        while by_end[place].ended < entry.began:
            if latest is None or by_end[place].seq > latest.seq:
                latest = by_end[place]
            place += 1
        if latest is not None and latest.seq > entry.seq:
            found.append((latest, entry))
    for journal in journals:
        claimed = [entry for entry in journal if entry.what == "claimed"]
        found += [(one, two) for one, two in pairwise(claimed) if one.seq > two.seq]
    return found
