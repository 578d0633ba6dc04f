"""Workers killed at random instants lose nothing; and the check would see it if they did."""

import asyncio
import copy
import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from agentpool.testing.faults import kill_matrix
from agentpool.testing.faults.journal import LOG, Journal, Told
from agentpool.testing.faults.kills import Scene

from .helpers import BOUND, SEED, sql

pytestmark = pytest.mark.slow


async def test_whatever_was_acknowledged_before_a_kill_is_there_once() -> None:
    tally = await kill_matrix(10, Random(SEED))
    assert tally.faults == []
    assert tally.kills == 10
    assert tally.acknowledged.total() > 0


async def work(folder: Path) -> Scene:
    """Let a worker do some things in a scene, to its end."""
    async with asyncio.timeout(BOUND):
        scene = Scene(folder, foreign=True)
        async with scene.worker(scene.new_label(), SEED, "--actions", "150") as process:
            await process.communicate(b"\n")
        assert process.returncode == 0
    return scene


@pytest.fixture(scope="module")
def finished() -> Iterator[Scene]:
    with TemporaryDirectory() as folder:
        yield asyncio.run(work(Path(folder)))


@pytest.fixture
def scene(finished: Scene, tmp_path: Path) -> Scene:
    """Take up the scene of a worker that was not killed, in another place."""
    scene = copy.copy(finished)
    scene.folder = tmp_path / "scene"
    scene.path = scene.folder / finished.path.name
    shutil.copytree(finished.folder, scene.folder)
    return scene


def told(scene: Scene, what: Told) -> tuple[Any, ...]:
    return next(entry.values for entry in scene.journals() if entry.told is what)


async def test_the_check_finds_nothing_where_nothing_is_wrong(scene: Scene) -> None:
    assert {entry.told for entry in scene.journals()} == set(Told) - {Told.SHOWN}
    assert await scene.check() == []


LAST = f"pool_id = '{LOG}' AND seq = (SELECT max(seq) FROM agent_pool_records"
TAMPERING = {
    f"DELETE FROM agent_pool_records WHERE {LAST} WHERE pool_id = '{LOG}')": "is not there",
    f"DELETE FROM agent_pool_records WHERE pool_id = '{LOG}' AND seq = 305": "have a gap",
    "DELETE FROM agent_pool_records WHERE pool_id LIKE 'pool.w0%'": "was opened",
    'UPDATE agent_pool_records SET payload_json = replace(payload_json, \'"status":"delivered"\','
    " '\"status\":\"accepted\"') WHERE pool_id = 'pool.work'": "sent as ['accepted', 'accepted']",
    "UPDATE agent_pool_records SET payload_json = replace(payload_json, 'triggered', 'timed_out')"
    " WHERE kind = 'wake'": "was not triggered",
    "UPDATE agent_pool_records SET payload_json = replace(payload_json, 'registered', 'failed')"
    " WHERE kind = 'wake'": "its history is ['failed',",
    "DELETE FROM agentpool_rows WHERE kind = 'inbox'": "never acknowledged it, and it is gone",
    "UPDATE agent_pool_event_seq SET seq = 0": "was taken, but the file is at 0",
    "DELETE FROM agentpool_content": "was kept, and is not there",
    "UPDATE agent_pool_records SET payload_json = replace(payload_json, 'content.1', 'content.2')"
    f" WHERE pool_id = '{LOG}' AND seq = 5": "foreign file have changed",
}


@pytest.mark.parametrize("statement", TAMPERING)
async def test_the_check_finds_what_was_tampered_with(scene: Scene, statement: str) -> None:
    with sql(scene.path) as connection:
        assert connection.execute(statement).rowcount > 0
    assert any(TAMPERING[statement] in fault for fault in await scene.check())


async def test_the_check_finds_an_acknowledged_message_that_came_back(scene: Scene) -> None:
    run_id, seq, attempt = told(scene, Told.ACKED)
    value = f'{{"attempt":{attempt}}}'
    with sql(scene.path) as connection:
        row = ("pool.work", "inbox", run_id, seq, 0, value)
        connection.execute("INSERT INTO agentpool_rows VALUES (?, ?, ?, ?, ?, ?)", row)
    assert any("and it came back" in fault for fault in await scene.check())


@pytest.mark.parametrize("what", [Told.CLAIMED, Told.NUMBER, Told.ACKED])
async def test_the_check_finds_what_was_given_away_twice(scene: Scene, what: Told) -> None:
    values = told(scene, what)
    with Journal(scene.folder / "w0.journal") as journal:
        journal.write(what, *values)
    assert any("twice" in fault for fault in await scene.check())
