"""What the guide to servers says, on a server."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from acceptance.programs import ROOT, blocks, programs, run

from .server import Server
from .test_doctor_server import open_and_close, url_of, use

GUIDE = (ROOT / "examples/guides/servers.md").read_text("utf-8")


@pytest.fixture
def url(postgres: Server) -> Iterator[str]:
    """Say how to connect to a database of its own, for the guide names the schema."""
    yield postgres.create_database("guide")
    postgres.sql("DROP DATABASE guide WITH (FORCE)")


def test_the_program_prints_on_a_server_what_it_prints_on_a_file(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIBRARY", url)
    [(code, output)] = programs(GUIDE)
    (tmp_path / "program.py").write_text(code, encoding="utf-8")
    assert run(tmp_path / "program.py", tmp_path) == output.splitlines()


def test_the_rights_of_the_guide_are_enough(postgres: Server, url: str) -> None:
    asyncio.run(open_and_close(url, "agentpool"))
    [grants] = blocks(GUIDE, "sql")
    postgres.sql("CREATE ROLE worker LOGIN")
    try:
        postgres.sql(grants, database="guide")
        asyncio.run(use(url_of(postgres, "worker", "guide"), "agentpool"))
    finally:
        postgres.sql("DROP OWNED BY worker", database="guide")
        postgres.sql("DROP ROLE worker")
