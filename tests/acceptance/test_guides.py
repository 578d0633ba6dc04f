"""The guides: what they print is what they say, and what they name is there."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from .programs import ROOT, blocks, programs, run_together

GUIDES = sorted((ROOT / "examples/guides").glob("*.md"))
HAS_TRACING = find_spec("opentelemetry") and find_spec("opentelemetry.sdk")
RUNNABLE = [guide for guide in GUIDES if HAS_TRACING or guide.stem != "tracing"]
"""Those whose packages are here; one is run where the extra ``otel-test`` is installed."""

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)
def test_every_program_has_its_output_below(guide: Path) -> None:
    text = guide.read_text("utf-8")
    assert [code for code, _ in programs(text)] == blocks(text, "python")


@pytest.mark.parametrize("guide", RUNNABLE, ids=lambda guide: guide.stem)
def test_the_programs_of_a_guide_print_what_it_says(guide: Path, tmp_path: Path) -> None:
    """All at the same time, in one folder, as those do that are to meet."""
    found = programs(guide.read_text("utf-8"))
    files = [tmp_path / f"program_{number}.py" for number in range(len(found))]
    for file, (code, _) in zip(files, found, strict=True):
        file.write_text(code, encoding="utf-8")
    assert run_together(files, tmp_path) == [output.splitlines() for _, output in found]


@pytest.mark.parametrize("text", [*GUIDES, ROOT / "README.md"], ids=lambda path: path.stem)
def test_what_is_linked_is_there(text: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", text.read_text("utf-8"))
    assert [link for link in links if not (text.parent / link).exists()] == []
