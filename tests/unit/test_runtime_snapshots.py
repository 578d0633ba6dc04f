"""Kept snapshots: the next one replays only what is new, and not more is kept than is bounded."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, Final, cast

import pytest
from samples import member

from agentpool import (
    AgentPoolSnapshot,
    AgentPoolStoreConfig,
    AgentPoolStoreRecordPayload,
    MemberJoined,
    PoolNotOpenError,
    PoolOpened,
)
from agentpool.rules.command import PoolView
from agentpool.stores import snapshots as module
from agentpool.stores.snapshots import Snapshots

POOLS_KEPT: Final = 16


class Log:
    """Pools with logs of some length, and what was read of them."""

    def __init__(self) -> None:
        self._logs: dict[str, list[AgentPoolStoreRecordPayload]] = {}
        self.read: list[tuple[str, int]] = []
        self.snapshots = Snapshots()

    def append(self, pool_id: str, count: int = 1) -> None:
        """Append records; the first one opens the pool."""
        log = self._logs.setdefault(pool_id, [PoolOpened(AgentPoolStoreConfig())])
        while count > 0 and len(log) < count:
            log.append(MemberJoined(member(f"run.{len(log)}")))

    def grow(self, pool_id: str) -> None:
        self._logs[pool_id].append(MemberJoined(member(f"run.{len(self._logs[pool_id])}")))

    def page(self, pool_id: str) -> AgentPoolSnapshot | None:
        def records(after: int, limit: int) -> Sequence[tuple[int, AgentPoolStoreRecordPayload]]:
            self.read.append((pool_id, after))
            page = self._logs.get(pool_id, [])[after : after + limit]
            return list(enumerate(page, after + 1))

        view = SimpleNamespace(pool_id=pool_id, records=records)
        return self.snapshots.replay_page(cast("PoolView", cast("Any", view)))

    def snapshot(self, pool_id: str) -> list[int]:
        """Take a snapshot, check it, and say after which places the log was read for it."""
        self.read.clear()
        while (found := self.page(pool_id)) is None:
            pass
        assert len(found.members) == len(self._logs[pool_id]) - 1
        assert {name for name, _ in self.read} == {pool_id}
        return [after for _, after in self.read]


@pytest.fixture
def log() -> Log:
    return Log()


def test_the_next_snapshot_replays_only_what_is_new(log: Log) -> None:
    log.append("a", 3)
    assert log.snapshot("a") == [0]
    assert log.snapshot("a") == [3]
    log.grow("a")
    assert log.snapshot("a") == [3]
    assert log.snapshot("a") == [4]


def test_a_long_log_is_replayed_a_page_at_a_time(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAGE", 10)
    log.append("a", 25)
    assert log.snapshot("a") == [0, 10, 20]
    log.append("b", 20)
    assert log.snapshot("b") == [0, 10, 20]


def test_a_page_takes_in_no_more_than_2000_records(log: Log) -> None:
    log.append("a", 2001)
    assert log.snapshot("a") == [0, 2000]


def test_a_snapshot_that_is_broken_off_goes_on_where_it_was(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PAGE", 10)
    log.append("a", 25)
    assert log.page("a") is None
    assert log.snapshot("a") == [10, 20]


def test_of_the_pools_asked_for_last_sixteen_are_kept(log: Log) -> None:
    names = [f"pool.{number}" for number in range(POOLS_KEPT + 1)]
    for name in names:
        log.append(name, 2)
    for name in names[:POOLS_KEPT]:
        assert log.snapshot(name) == [0]
    assert log.snapshot(names[0]) == [2], "it is the one asked for last, from now on"
    assert log.snapshot(names[POOLS_KEPT]) == [0]
    assert len(log.snapshots._states) == POOLS_KEPT
    assert log.snapshot(names[0]) == [2]
    assert log.snapshot(names[1]) == [0], "the one not asked for longest was let go"
    assert log.snapshot(names[3]) == [2]


def test_of_many_records_only_the_pool_asked_for_last_is_kept(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RECORDS_KEPT", 30)
    for name, count in (("a", 10), ("b", 20)):
        log.append(name, count)
        assert log.snapshot(name) == [0]
    assert (log.snapshot("a"), log.snapshot("b")) == ([10], [20]), "as many as are allowed"
    log.grow("a")
    assert log.snapshot("a") == [10]
    assert log.snapshot("b") == [0]
    log.append("c", 100)
    assert log.snapshot("c") == [0]
    assert log.snapshot("c") == [100], "one is kept, however long"
    assert list(log.snapshots._states) == ["c"]


def test_of_a_pool_that_is_not_open_nothing_is_kept(log: Log) -> None:
    with pytest.raises(PoolNotOpenError):
        log.page("a")
    assert not log.snapshots._states
    log.append("a", 1)
    assert log.snapshot("a") == [0]


def test_a_pool_that_is_half_replayed_is_forgotten_only_once_it_is_whole(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PAGE", 10)
    monkeypatch.setattr(module, "_POOLS_KEPT", 1)
    log.append("a", 25)
    log.append("b", 5)
    assert log.page("a") is None
    assert log.snapshot("b") == [0]
    assert log.snapshot("a") == [10, 20]
    assert log.snapshot("b") == [0], "forgotten for the one asked for last"
    assert log.snapshot("a") == [0, 10, 20], "as is that one, now that it is whole"
