"""The guides: what they print is what they say, and what they name is there."""

import re
from pathlib import Path

import pytest

from .programs import ROOT, blocks, programs, run

GUIDES = sorted((ROOT / "examples/guides").glob("*.md"))
pytestmark = pytest.mark.slow

PROGRAMS = [
    pytest.param(code, output, id=f"{guide.stem}-{number}")
    for guide in GUIDES
    for number, (code, output) in enumerate(programs(guide.read_text("utf-8")))
]


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)
def test_every_program_has_its_output_below(guide: Path) -> None:
    text = guide.read_text("utf-8")
    assert [code for code, _ in programs(text)] == blocks(text, "python")


@pytest.mark.parametrize(("code", "output"), PROGRAMS)
def test_a_program_prints_what_its_guide_says(code: str, output: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(code, encoding="utf-8")
    assert run(program, tmp_path) == output.splitlines()


@pytest.mark.parametrize("text", [*GUIDES, ROOT / "README.md"], ids=lambda path: path.stem)
def test_what_is_linked_is_there(text: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", text.read_text("utf-8"))
    assert [link for link in links if not (text.parent / link).exists()] == []
