"""The rows of a pool against its records, and the other way round."""

from collections.abc import Iterator
from typing import Any

from agentpool.doctor.look import Look
from agentpool.doctor.reader import Part, Reader, pools
from agentpool.doctor.report import Finding, Places, broken, note, ok
from agentpool.doctor.rows import CHECKS, FOLLOWING, check_of, complaint
from agentpool.rules.command import Row, RowKey
from agentpool.rules.replay import PoolState
from agentpool.rules.rows import EXPIRY, RESPONSE, WAKE, contract_key, deadline_key
from agentpool.wire.records import AgentPoolStoredMessage, MessageStatus, RunMessageRecorded

__all__ = ("Coordination",)


class Coordination:
    """Observes the records of coordinated pools, and goes through their rows at the end.

    What has to follow from a record is compared only where every record has been worked in;
    another implementation may have appended some since.
    """

    def __init__(self, reader: Reader, now: int) -> None:
        self._reader, self._now = reader, now
        self._projected: int | None = None
        self._head = 0
        self._wrong = {check: Places() for check in CHECKS}
        self._ahead, self._behind = Places(), Places()
        self._unknown, self._skipped = Places(), Places()

    def begin(self, pool_id: str) -> None:
        """Look how far the records of a pool have been worked in."""
        self._projected, self._head = None, self._reader.head(pool_id)
        self._projected = self._reader.source(pool_id).projected()

    def record(self, seq: int, payload: Any, state: PoolState) -> None:
        """Look whether what a message waits for stands in the rows."""
        if self._projected != self._head or not isinstance(payload, RunMessageRecorded):
            return
        stored = payload.stored
        wanted = list(self._owed(stored))
        if wanted and stored.receipt.status is MessageStatus.DELIVERED:
            look = Look(self._reader, state, self._now)
            if look.is_latest(stored.message.idempotency_key, seq):
                for check, key in wanted:
                    self._require(look, check, key)

    def _owed(self, stored: AgentPoolStoredMessage) -> Iterator[tuple[str, RowKey]]:
        message, contract = stored.message, stored.message.response_contract
        if contract is not None:
            yield "contracts", contract_key(message.message_id)
            if contract.timeout_millis is not None:
                yield "deadlines", deadline_key(RESPONSE, message.idempotency_key)
        expires_at = message.expires_at_millis
        if expires_at is not None and expires_at > self._now:
            yield "deadlines", deadline_key(EXPIRY, message.idempotency_key)

    def _require(self, look: Look, check: str, key: RowKey) -> None:
        if look.row(key) is None:
            self._wrong[check].add(f"pool {look.pool_id!r} lacks the {key.kind} {key.name!r}")

    def end(self, state: PoolState, *, intact: bool) -> None:
        """Go through the rows of a pool."""
        projected, look = self._projected, Look(self._reader, state, self._now)
        place = f"pool {look.pool_id!r}: {projected} of {self._head}"
        if projected is not None and projected > self._head:
            self._ahead.add(place)
        elif projected is not None and projected < self._head:
            self._behind.add(place)
        if not intact:
            self._skipped.add(repr(look.pool_id))
            return
        self._compare(look, is_current=projected == self._head)

    def _compare(self, look: Look, *, is_current: bool) -> None:
        for kind in look.kinds():
            if is_current or kind not in FOLLOWING:
                for row in look.rows(kind):
                    self._compare_row(look, row)
        if is_current:
            for wake in look.state.open_wakes:
                if wake.condition.timeout_millis is not None:
                    key = deadline_key(WAKE, wake.condition.condition_id)
                    self._require(look, "deadlines", key)

    def _compare_row(self, look: Look, row: Row) -> None:
        check = check_of(row)
        place = f"pool {look.pool_id!r}, {row.key.kind} {row.key.name!r} {row.key.number}"
        if check is None:
            self._unknown.add(place)
        elif complained := complaint(look, row):
            self._wrong[check].add(f"{place}: {complained}")

    def findings(self) -> Iterator[Finding]:
        """Say what was found."""
        self._find_orphans()
        for check, places in self._wrong.items():
            if places:
                yield broken(check, str(places), "restore a backup; report how it came to this")
            else:
                yield ok(check, "agree with the records")
        yield self._projection()
        if self._unknown:
            what = f"of kinds that this version does not know: {self._unknown}"
            yield note("rows", what, "use the version that wrote them, or a newer one")
        if self._skipped:
            what = f"not compared, as the records cannot be replayed: pool {self._skipped}"
            yield note("rows", what, "mend the records first")

    def _projection(self) -> Finding:
        if self._ahead:
            what = f"more records were worked in than there are: {self._ahead}"
            return broken("projection", what, "the log has lost its end; restore a backup")
        if self._behind:
            what = f"records of another program are not worked in yet: {self._behind}"
            return note("projection", what, "AgentPool.open() works them in; nobody has it open")
        return ok("projection", "every record of a coordinated pool is worked in")

    def _find_orphans(self) -> None:
        for pool_id in pools(self._reader, Part.ROWS):
            if not self._reader.head(pool_id):
                self._wrong["inboxes"].add(f"pool {pool_id!r} has rows, but no records")
        for pool_id in pools(self._reader, Part.POOLS):
            self.begin(pool_id)
            if not self._head and self._projected:
                self._ahead.add(f"pool {pool_id!r}: {self._projected} of 0")
