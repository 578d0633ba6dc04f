"""Pools that are copied from one file into another."""

from pathlib import Path

import pytest

from .copying_cases import CopyingCases


class TestFromFileToFile(CopyingCases):
    @pytest.fixture
    def places(self, tmp_path: Path) -> tuple[str, str]:
        return str(tmp_path / "source.db"), str(tmp_path / "target.db")
