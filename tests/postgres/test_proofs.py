"""The proofs that run on a server, too, each for a moment."""

from argparse import Namespace
from pathlib import Path
from random import Random

import pytest

from agentpool.testing.__main__ import main
from agentpool.testing.faults import kill_matrix
from agentpool.testing.faults.kills import Scene
from agentpool.testing.history import Round, run_round
from agentpool.testing.model import command as model
from agentpool.testing.sites import Site, new_site

from .server import Server

pytestmark = pytest.mark.slow
SEED = 5


def schemas(server: Server) -> list[object]:
    return server.sql("SELECT nspname FROM pg_namespace WHERE nspname LIKE %s", "agentpool%")


async def test_what_was_acknowledged_before_a_kill_is_there_once(
    postgres: Server, postgres_url: str
) -> None:
    tally = await kill_matrix(3, Random(SEED), postgres_url)
    assert tally.faults == []
    assert tally.kills == 3
    assert schemas(postgres) == []


async def test_what_was_lost_all_the_same_is_found(
    postgres: Server, postgres_url: str, tmp_path: Path
) -> None:
    with new_site(tmp_path, postgres_url) as site:
        scene = Scene(tmp_path, foreign=False, site=site)
        async with scene.worker(scene.new_label(), SEED, "--actions", "60") as worker:
            await worker.communicate(b"\n")
        assert worker.returncode == 0
        assert await scene.check() == []
        postgres.sql(f"DELETE FROM {site.schema}.records WHERE seq = 3")
        assert [line for line in await scene.check() if "numbers" in line] != []


async def test_a_history_on_a_server_is_one_that_may_be(postgres_url: str, tmp_path: Path) -> None:
    plan = Round(seed=SEED, processes=2, tasks=2, calls=8, kills=1, jumps=2)
    verdict = await run_round(tmp_path, plan, postgres_url)
    assert verdict.violations == []
    assert verdict.counts["records"] > 0


def test_the_model_is_not_to_be_told_from_a_server(
    postgres_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert model.run(Namespace(seed=SEED, rounds=2, url=postgres_url)) == 0
    assert "no difference" in capsys.readouterr().out


def test_what_is_about_files_is_not_run_on_a_server(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["powercut", "--url", "postgresql://localhost/x"])
    assert "powercut is about files" in capsys.readouterr().err


@pytest.mark.parametrize("site", [Site("/a path/pool.db"), Site("postgresql://a@b/c", "schema")])
def test_a_place_is_what_is_read_of_it(site: Site) -> None:
    assert Site.read(str(site)) == site
