"""Pools that are copied from a file to a server, and back."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from integration.copying_cases import CopyingCases

from .server import Server


@pytest.fixture
def servers(postgres: Server, postgres_url: str, schema: str) -> Iterator[tuple[str, str]]:
    """Name two stores on a server, which are gone after the test."""
    schemas = [f"{schema}_{number}" for number in range(2)]
    yield f"{postgres_url} {schemas[0]}", f"{postgres_url} {schemas[1]}"
    for each in schemas:
        postgres.sql(f'DROP SCHEMA IF EXISTS "{each}" CASCADE')


class TestFromFileToServer(CopyingCases):
    @pytest.fixture
    def places(self, servers: tuple[str, str], tmp_path: Path) -> tuple[str, str]:
        return str(tmp_path / "source.db"), servers[0]


class TestFromServerToFile(CopyingCases):
    @pytest.fixture
    def places(self, servers: tuple[str, str], tmp_path: Path) -> tuple[str, str]:
        return servers[0], str(tmp_path / "target.db")


class TestFromServerToServer(CopyingCases):
    @pytest.fixture
    def places(self, servers: tuple[str, str]) -> tuple[str, str]:
        return servers
