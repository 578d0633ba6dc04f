"""What records are looked up by, which a server keeps beside them."""

from collections.abc import Iterator
from typing import Any

from agentpool.doctor.reader import Part
from agentpool.doctor.report import Finding, Places, broken, ok
from agentpool.doctor.server.reader import ServerReader
from agentpool.rules.replay import PoolState
from agentpool.stores.postgres.source import looked_up_by

__all__ = ("Keys",)


class Keys:
    """Observes the records, and compares each with what it is looked up by."""

    def __init__(self, reader: ServerReader) -> None:
        self._reader = reader
        self._wrong = Places()

    def begin(self, pool_id: str) -> None:
        """Nothing: each record stands for itself."""

    def record(self, seq: int, payload: Any, state: PoolState) -> None:
        """Compare a record with what stands beside it."""
        if self._reader.keys[seq] != looked_up_by(payload):
            self._wrong.add(f"pool {state.pool_id!r}, record {seq}")

    def end(self, state: PoolState, *, intact: bool) -> None:
        """Nothing: all has been compared."""

    def findings(self) -> Iterator[Finding]:
        """Say what was found."""
        if self._wrong:
            what = f"records are looked up by what is not in them: {self._wrong}"
            yield broken("keys", what, "restore a backup; report how it came to this")
        else:
            yield ok("keys", "every record is looked up by what is in it")
        nameless = Places()
        for part in Part:
            for pool_id in self._reader.pool_ids(part):
                if not isinstance(pool_id, str):
                    nameless.add(f"{part} of pool number {pool_id}")
        if nameless:
            what = f"of pools that are not in the table of pools: {nameless}"
            yield broken("pools", what, "restore a backup")
        else:
            yield ok("pools", "every row is one of a pool that is there")
