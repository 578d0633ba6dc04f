"""Guides: their commands, one after another in one shell, print what they say."""

import re
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

from .test_processes import BOUND, ROOT, on_path

__all__ = ("on_path",)

pytestmark = pytest.mark.slow

GUIDES = ["shell", *(["mcp"] if find_spec("mcp") else [])]
"""Those whose packages are here."""


@pytest.mark.parametrize("name", GUIDES)
@pytest.mark.usefixtures("on_path")
def test_the_commands_of_a_guide_print_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    guide = (ROOT / f"examples/guides/{name}.md").read_text("utf-8")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for variable in ("CODEX_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    pairs = re.findall(
        r"^```bash\n(.*?)^```\n\n```text\n(.*?)^```$", guide, re.DOTALL | re.MULTILINE
    )
    assert len(pairs) == guide.count("```bash")
    script = tmp_path / "guide"
    script.write_text("#!/bin/bash\nset -eu\n" + "".join(commands for commands, _ in pairs))
    script.chmod(0o755)
    done = subprocess.run(
        [str(script)], cwd=tmp_path, capture_output=True, text=True, timeout=BOUND, check=False
    )
    assert (done.returncode, done.stdout) == (0, "".join(said for _, said in pairs)), done.stderr
