"""Names that nobody can use, and names that people take for one another."""

from collections.abc import Iterator

from agentpool.doctor.reader import Part, Reader, is_unicode
from agentpool.doctor.report import Finding, Places, broken, note, ok
from agentpool.rules.alike import look
from agentpool.rules.replay import PoolState

__all__ = ("Names",)


class Names:
    """Observes the pools, and of each the runs, agents and topics of its members."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._pools: list[str] = []
        self._alike = Places()

    def begin(self, pool_id: str) -> None:
        """Note the name of a pool."""
        self._pools.append(pool_id)

    def record(self, seq: int, payload: object, state: PoolState) -> None:
        """Nothing: who left is nobody's mistake any more."""

    def end(self, state: PoolState, *, intact: bool) -> None:  # noqa: ARG002
        """Compare the names in a pool."""
        members = state.members.values()
        place = f"in pool {state.pool_id!r} "
        self._compare("runs", list(state.members), place)
        self._compare("agents", [each.agent_id for each in members], place)
        self._compare("topics", [topic for each in members for topic in each.topics], place)

    def _compare(self, what: str, names: list[str], place: str = "") -> None:
        seen: dict[str, str] = {}
        for name in sorted(set(names)):
            if name.isascii():
                seen.setdefault(name, name)
        for name in sorted(set(names)):
            other = seen.setdefault(look(name), name)
            if other != name:
                # Escaped: shown as they are, nobody could tell them apart.
                self._alike.add(f"{place}the {what} {other!a} and {name!a}")

    def findings(self) -> Iterator[Finding]:
        """Say what was found."""
        self._compare("pools", self._pools)
        unusable = Places()
        for each in self._reader.pool_ids(Part.RECORDS):
            if not (isinstance(each, str) and is_unicode(each)):
                unusable.add(repr(each))
        if unusable:
            what = f"no text, so nobody can open these pools: {unusable}"
            yield broken("names", what, "restore a backup, or delete their rows")
        elif self._alike:
            what = f"look alike, and are not the same: {self._alike}"
            yield note("names", what, "if they are meant to be one, let all write it in one way")
        else:
            yield ok("names", "no two pools, runs, agents or topics look alike")
