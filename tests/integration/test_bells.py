"""The bells: whom a commit wakes, what is done to files that stand in the way, who is the ear."""

import asyncio
import os
import signal
import stat
import time
from contextlib import AsyncExitStack
from pathlib import Path
from unittest.mock import Mock

import pytest

from agentpool import AgentPool, RunAddress, SqliteAgentPoolStore
from agentpool.rules.topics import ANY, DEADLINES, LOG
from agentpool.stores.sqlite import foreign_writes
from agentpool.stores.sqlite.bell_files import BellFiles, bell_of
from agentpool.stores.sqlite.doorbell import Heard, Listener, Ringer, ring_in, slot_of
from agentpool.support.clock import wall_clock
from agentpool.testing import a_message

from .helpers import BOUND, POOL, member, sql, take, worker

JOINED = '{"type":"member_joined","member":{"run_id":"run.7","agent_id":"agent.a"}}'


class Ears:
    """A listener of its own, as another process has one."""

    def __init__(self, path: Path) -> None:
        self.heard: list[Heard] = []
        self.changed = asyncio.Event()
        self.listener = Listener(path, self._hear, lambda: None)

    def _hear(self, heard: list[Heard]) -> None:
        self.heard += heard
        self.changed.set()

    async def next(self) -> list[Heard]:
        async with asyncio.timeout(BOUND):
            await self.changed.wait()
        self.changed.clear()
        heard, self.heard = self.heard, []
        return heard


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "pool.db"
    path.touch()
    return path


async def test_only_those_hear_who_listen_to_what_was_touched(file: Path) -> None:
    one, other = Ears(file), Ears(file)
    one.listener.follow(POOL, "inbox run.a")
    other.listener.follow(POOL, "inbox run.b")
    ringer = Ringer(file, wall_clock)
    ringer.ring({POOL: {"inbox run.a": 1, LOG: 1}})
    assert await one.next() == [Heard(POOL, "inbox run.a")]
    ringer.ring({POOL: {ANY: 1}})
    assert {each.topic for each in await one.next()} == {ANY}
    assert {each.topic for each in await other.next()} == {ANY}, "and nothing before"
    ringer.mine = other.listener.number
    ringer.ring({POOL: {"inbox run.b": 1}})
    ringer.ring({POOL: {"inbox run.a": 1}})
    await one.next()
    assert not other.heard, "whoever rings is not told by the bell"
    for each in (one.listener, other.listener, ringer):
        each.close()


async def test_those_who_share_an_inbox_look_first_in_turn(file: Path) -> None:
    ears = [Ears(file) for _ in range(3)]
    alone = Ears(file)
    for each in ears:
        each.listener.follow(POOL, "inbox run.a")
        each.listener.follow(POOL, LOG)
    alone.listener.follow(POOL, "inbox run.b")
    ringer = Ringer(file, wall_clock)
    first = []
    for came in (1, 1, 1, 1, 2, 2, 5, 1):
        ringer.ring({POOL: {"inbox run.a": came, "inbox run.b": came, LOG: came}})
        heard = [await each.next() for each in ears]
        first.append({n for n in range(3) if Heard(POOL, "inbox run.a") in heard[n]})
        assert all(Heard(POOL, LOG) in each for each in heard), "all are to see it"
        assert await alone.next() == [Heard(POOL, "inbox run.b")]
    assert first == [{0}, {1}, {2}, {0}, {1, 2}, {0, 1}, {0, 1, 2}, {1}]
    for one in (*ears, alone):
        one.listener.close()
    ringer.close()


@pytest.mark.usefixtures("no_net")
async def test_what_is_the_turn_of_one_that_does_not_take_it_is_taken_by_another(
    store: SqliteAgentPoolStore, path: Path
) -> None:
    """One that is stopped, or was killed, or has its hands full."""
    async with (
        SqliteAgentPoolStore.open(path) as other,
        AgentPool.open(other, POOL) as sending,
        AgentPool.open(store, POOL) as pool,
    ):
        await pool.join_run(member(1))
        never = Ears(path)
        never.listener.follow(POOL, "inbox run.1")
        for number in range(4):
            taking = asyncio.create_task(pool.inbox("run.1").take())
            await asyncio.wait([taking], timeout=0.02)
            await sending.send(
                a_message(f"message.{number}", sender="run.1", to=RunAddress.run("run.1"))
            )
            async with asyncio.timeout(BOUND):
                await (await taking).ack()
        never.listener.close()


async def test_a_deadline_rings_only_if_it_is_earlier_than_the_one_that_rang_last(
    file: Path,
) -> None:
    ears = Ears(file)
    assert ears.listener.follow(POOL, DEADLINES) == 0
    now = 1_000_000
    ringer = Ringer(file, lambda: now)
    for due in (now + 500, now + 900, now + 300, now + 301):
        ringer.ring({POOL: {DEADLINES: due}})
    assert [each.due for each in await ears.next()] == [now + 300]
    now += 300
    ringer.ring({POOL: {DEADLINES: now + 5000}})
    assert [each.due for each in await ears.next()] == [now + 5000]
    late = Ears(file)
    assert late.listener.follow(POOL, DEADLINES) == now + 5000, "who comes later learns it"
    for each in (ears.listener, late.listener, ringer):
        each.close()


async def test_a_place_that_is_free_again_is_taken_again_so_files_do_not_grow(file: Path) -> None:
    ears = [Ears(file) for _ in range(3)]
    ears[1].listener.close()
    ears[1] = Ears(file)
    assert [each.listener.number for each in ears] == [0, 1, 2]
    for each in ears:
        each.listener.close()
    assert bells(file) == [bell_of(file, name) for name in ("0", "1", "2", "book", "ear")]


def bells(file: Path) -> list[Path]:
    return sorted(file.parent.glob(bell_of(file, "*").name))


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666])
async def test_the_files_of_the_bells_are_for_those_who_have_the_database(
    file: Path, mode: int
) -> None:
    os.chmod(file, mode)  # noqa: PTH101  # not to be taken for a wait
    Ears(file).listener.close()
    assert {stat.S_IMODE(each.stat().st_mode) for each in bells(file)} == {mode}


@pytest.mark.parametrize("name", ["book", "ear", "0"])
@pytest.mark.parametrize("kind", ["link", "hard link", "fifo", "other"])
async def test_what_is_no_plain_file_of_ours_is_neither_followed_nor_waited_for(
    path: Path, name: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with SqliteAgentPoolStore.open(path) as store:
        await store.open_pool(POOL)
    victim = path.with_name("victim")
    victim.write_bytes(b"secret")
    BellFiles(path).close()
    planted = bell_of(path, name)
    planted.unlink(missing_ok=True)
    plant(planted, victim, kind)
    async with SqliteAgentPoolStore.open(path) as again, asyncio.timeout(BOUND):
        watcher = again.watch(POOL)
        await take(watcher, 1)
        await again.join_member(POOL, member(1))
        await take(watcher, 1)
    assert victim.read_bytes() == b"secret"
    told = [each for each in caplog.records if getattr(each, "action", "") == "bell_unavailable"]
    assert told, "it is said that waking is slow now"


def plant(planted: Path, victim: Path, kind: str) -> None:
    match kind:
        case "link":
            planted.symlink_to(victim)
        case "hard link":
            planted.hardlink_to(victim)
        case "fifo":
            os.mkfifo(planted)
        case _:
            planted.mkdir()


@pytest.fixture
def no_net(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign_writes, "NET_SECONDS", 3600)


def append(path: Path, seq: int) -> None:
    with sql(path) as connection:
        row = (POOL, seq, "member_joined", JOINED)
        connection.execute("INSERT INTO agent_pool_records VALUES (?, ?, ?, ?)", row)


@pytest.mark.usefixtures("no_net")
async def test_records_of_a_writer_that_rings_no_bell_are_seen_without_the_net(
    store: SqliteAgentPoolStore, path: Path
) -> None:
    async with SqliteAgentPoolStore.open(path) as other:
        watchers = [store.watch(POOL), other.watch(POOL)]
        for watcher in watchers:
            await take(watcher, 1)
        for seq in range(2, 7):
            append(path, seq)
            for watcher in watchers:
                [record] = await take(watcher, 1)
                assert record.cursor.sequence == seq
        for watcher in watchers:
            await watcher.aclose()


@pytest.mark.usefixtures("no_net")
async def test_when_the_ear_ends_another_is_it(store: SqliteAgentPoolStore, path: Path) -> None:
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(SqliteAgentPoolStore.open(path))
        ear = first.watch(POOL)
        await take(ear, 1)
        await asyncio.sleep(0.05)
        watcher = store.watch(POOL)
        await take(watcher, 1)
        await stack.aclose()
        append(path, 2)
        [record] = await take(watcher, 1)
        assert record.cursor.sequence == 2


@pytest.mark.usefixtures("no_net")
async def test_where_the_ear_is_suspended_its_deputy_hears_for_all(
    store: SqliteAgentPoolStore, path: Path
) -> None:
    await store.aclose()
    async with worker("hear.py", path) as ear:
        assert await ear.line() == "hears"
        async with (
            SqliteAgentPoolStore.open(path) as deputy,
            SqliteAgentPoolStore.open(path) as other,
        ):
            watchers = [deputy.watch(POOL), other.watch(POOL)]
            for watcher in watchers:
                await take(watcher, 1)
            ear.pause()
            append(path, 2)
            for watcher in watchers:
                [record] = await take(watcher, 1)
                assert record.cursor.sequence == 2
                await watcher.aclose()


@pytest.mark.usefixtures("no_net")
async def test_one_process_is_not_both_the_ear_and_its_deputy(
    store: SqliteAgentPoolStore, path: Path
) -> None:
    async with SqliteAgentPoolStore.open(path) as second, asyncio.timeout(BOUND):
        watchers = [each.watch(POOL) for each in (store, second)]
        for watcher in watchers:
            await take(watcher, 1)
        for seq in (2, 3):  # whoever sees these has looked
            append(path, seq)
            for watcher in watchers:
                await take(watcher, 1)
        files = BellFiles(path)
        assert files.lock("ear") == -1
        assert files.lock("book") >= 0
        files.close()
        for watcher in watchers:
            await watcher.aclose()


async def test_a_fork_that_outlives_its_parent_holds_none_of_its_places(
    store: SqliteAgentPoolStore, path: Path
) -> None:
    await store.aclose()
    async with worker("hear.py", path, "fork") as parent:
        assert await parent.line() == "hears"
        child = int(await parent.line())
        try:
            await parent.ended()
            files = BellFiles(path)
            # The child may not have had its first turn yet.
            async with asyncio.timeout(BOUND):
                while files.lock("ear") < 0:  # noqa: ASYNC110  # no event tells
                    await asyncio.sleep(0.01)
            assert files.claim() == 0
            files.close()
        finally:
            os.kill(child, signal.SIGKILL)


async def test_a_commit_whose_writer_was_killed_before_it_rang_is_told_of_by_the_ear(
    store: SqliteAgentPoolStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foreign_writes, "NET_SECONDS", 3600)
    watcher = store.watch(POOL)
    await take(watcher, 1)
    async with SqliteAgentPoolStore.open(path) as dying:
        monkeypatch.setattr(dying._ringer, "ring", lambda *_: None)
        await dying.join_member(POOL, member(1))
        await take(watcher, 1)


def test_it_is_not_always_the_same_who_hears_first(monkeypatch: pytest.MonkeyPatch) -> None:
    slot = slot_of(POOL, LOG)
    files = Mock(masks=lambda: [1 << slot] * 4, slot=lambda _: 0)
    orders = set()
    for moment in range(8):
        monkeypatch.setattr(time, "monotonic_ns", lambda moment=moment: moment)
        files.touch.reset_mock()
        ring_in(files, {POOL: {LOG: 1}}, 0, but=2)
        orders.add(tuple(call.args[0] for call in files.touch.call_args_list))
    assert orders == {(0, 1, 3), (1, 3, 0), (3, 0, 1)}
