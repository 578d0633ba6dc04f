import re
import tomllib
from importlib import metadata, resources
from typing import Any

import pytest

import agentpool

from .programs import ROOT

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture
def installed() -> metadata.PackageMetadata:
    return metadata.metadata("agentpool-store")


def test_is_installed_with_the_version_that_it_says(installed: metadata.PackageMetadata) -> None:
    assert installed["Version"] == agentpool.__version__


def test_needs_no_more_than_three_packages(installed: metadata.PackageMetadata) -> None:
    needed = [r for r in installed.get_all("Requires-Dist", []) if "extra ==" not in r]
    names = sorted(re.split(r"[<>=!~ ;]", requirement)[0] for requirement in needed)
    assert names == ["aiosqlite", "anyio", "msgspec"]


def test_brings_the_command() -> None:
    assert PROJECT["scripts"] == {"agentpool": "agentpool.cli:main"}


def test_says_which_python_and_license(installed: metadata.PackageMetadata) -> None:
    assert installed["Requires-Python"] == ">=3.11"
    assert installed["License-Expression"] == "MIT"


def test_tells_type_checkers_that_it_is_typed() -> None:
    assert resources.files("agentpool").joinpath("py.typed").is_file()


def test_the_changelog_knows_the_version_or_calls_it_unreleased() -> None:
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] in {"Unreleased", agentpool.__version__}
