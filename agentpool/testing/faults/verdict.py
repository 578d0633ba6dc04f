"""What a look at a file proves, given what its writers were told.

`broken` finds what no fault may leave behind, whatever was told; `lost` finds effects that were
acknowledged and are not there. Both yield sentences, none when all is well.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import pairwise

from agentpool import (
    MessageStatus,
    RunMessageRecorded,
    WakeRecorded,
    WakeRegistrationStatus,
)
from agentpool.testing.faults.journal import LOG, WORK, Entry, Told
from agentpool.testing.faults.sight import Sight

__all__ = ("broken", "doubled", "lost")

_OURS = "key."
_DELIVERY = [MessageStatus.ACCEPTED, MessageStatus.DELIVERED]
_REGISTERED = WakeRegistrationStatus.REGISTERED
_ENDS = [each for each in WakeRegistrationStatus if each is not _REGISTERED]
_WAKE_HISTORIES = [[_REGISTERED], *([end] for end in _ENDS), *([_REGISTERED, end] for end in _ENDS)]


def broken(sight: Sight) -> Iterator[str]:
    """Find gaps, half sends, doubles and wakes that ended twice."""
    for pool_id, log in sight.logs.items():
        if list(log) != list(range(1, len(log) + 1)):
            yield f"{pool_id}: the numbers have a gap: {_gaps(log)}"
        kinds = Counter(type(payload).__name__ for payload in log.values())
        if kinds["PoolOpened"] != 1:
            yield f"{pool_id}: opened {kinds['PoolOpened']} times"
    for key, [*seqs] in _by_key(sight, LOG).items():
        if len(seqs) != 1:
            yield f"{key}: appended as {seqs}"
    yield from _half_sends(sight)
    for wake, statuses in _wakes(sight).items():
        if statuses not in _WAKE_HISTORIES:
            yield f"{wake}: its history is {[str(each) for each in statuses]}"


def _gaps(log: Iterable[int]) -> list[tuple[int, int]]:
    return [(one, two) for one, two in pairwise([0, *log]) if two != one + 1]


def _by_key(sight: Sight, pool_id: str) -> dict[str, dict[int, RunMessageRecorded]]:
    """List the records of each message that this kit has sent."""
    found: defaultdict[str, dict[int, RunMessageRecorded]] = defaultdict(dict)
    for seq, payload in sight.logs.get(pool_id, {}).items():
        if isinstance(payload, RunMessageRecorded):
            key = payload.stored.message.idempotency_key
            if key.startswith(_OURS):
                found[key][seq] = payload
    return found


def _half_sends(sight: Sight) -> Iterator[str]:
    for key, records in _by_key(sight, WORK).items():
        statuses = [each.stored.receipt.status for each in records.values()]
        first, *rest = records
        if statuses != _DELIVERY or rest != [first + 1]:
            yield f"{key}: sent as {[str(each) for each in statuses]} at {list(records)}"


def _wakes(sight: Sight) -> dict[str, list[WakeRegistrationStatus]]:
    found: defaultdict[str, list[WakeRegistrationStatus]] = defaultdict(list)
    for payload in sight.logs.get(WORK, {}).values():
        if isinstance(payload, WakeRecorded):
            registration = payload.stored.registration
            found[registration.condition_id].append(registration.status)
    return found


def lost(sight: Sight, before: Iterable[Entry], after: Iterable[Entry]) -> Iterator[str]:
    """Find what is not as it was acknowledged.

    :param before: what writers had been told before the look
    :param after: what they had been told, or were about to do, after it
    """
    told: defaultdict[Told, list[tuple[object, ...]]] = defaultdict(list)
    for entry in before:
        told[entry.told].append(entry.values)
    yield from _lost_messages(sight, told)
    yield from _lost_wakes(sight, told)
    yield from _lost_inboxes(sight, told, after)
    for [pool_id] in told[Told.OPENED]:
        if pool_id not in sight.logs:
            yield f"{pool_id}: was opened, and is not there"
    for [ref] in told[Told.CONTENT]:
        if ref not in sight.contents:
            yield f"{ref}: was kept, and is not there"
    last = max((number for [number] in told[Told.NUMBER]), default=0)  # type: ignore[type-var]
    if sight.number < last:  # type: ignore[operator]
        yield f"event number {last} was taken, but the file is at {sight.number}"


_Told = dict[Told, list[tuple[object, ...]]]


def _lost_messages(sight: Sight, told: _Told) -> Iterator[str]:
    appended, sent = _by_key(sight, LOG), _by_key(sight, WORK)
    for key, seq in told[Told.APPENDED]:
        if list(appended.get(str(key), ())) != [seq]:
            yield f"{key}: was appended as {seq}, and is not there"
    for key, *recipients in told[Told.SENT]:
        receipts = [each.stored.receipt for each in sent.get(str(key), {}).values()]
        if not receipts or list(receipts[-1].delivered_to) != recipients:
            yield f"{key}: was sent to {recipients}, and is not there"


def _lost_wakes(sight: Sight, told: _Told) -> Iterator[str]:
    wakes = _wakes(sight)
    for [wake] in told[Told.REGISTERED]:
        if wake not in wakes:
            yield f"{wake}: was registered, and is not there"
    for [wake] in told[Told.TRIGGERED]:
        if wakes.get(str(wake), [])[-1:] != [WakeRegistrationStatus.TRIGGERED]:
            yield f"{wake}: was not triggered by what it waited for"


def _lost_inboxes(sight: Sight, told: _Told, after: Iterable[Entry]) -> Iterator[str]:
    """Find messages that are gone unacknowledged, or there although they were acknowledged."""
    acked = {(run, seq) for run, seq, _ in told[Told.ACKED]}
    acking = {entry.values[:2] for entry in after if entry.told is Told.ACKING}
    for key, records in _by_key(sight, WORK).items():
        seq = max(records)
        for run in records[seq].stored.receipt.delivered_to:
            is_there = seq in sight.inboxes.get(run, {})
            if run not in sight.inboxes:
                continue
            if is_there and (run, seq) in acked:
                yield f"{key}: {run} has acknowledged it, and it came back"
            if not is_there and (run, seq) not in acking:
                yield f"{key}: {run} has never acknowledged it, and it is gone"


def doubled(sight: Sight, before: Iterable[Entry], after: Iterable[Entry]) -> Iterator[str]:
    """Find claims, acknowledgements and numbers that were given away twice, or forgotten."""
    for told in (Told.CLAIMED, Told.NUMBER):
        given = Counter(entry.values for entry in after if entry.told is told)
        yield from (f"{told} twice: {values}" for values, n in given.items() if n > 1)
    acked = Counter(entry.values[:2] for entry in after if entry.told is Told.ACKED)
    yield from (f"acknowledged twice: {values}" for values, n in acked.items() if n > 1)
    for run, seq, attempt in (e.values for e in before if e.told is Told.CLAIMED):
        if sight.inboxes[run].get(seq, attempt) < attempt:
            yield f"{run}: attempt {attempt} of record {seq} was forgotten"
