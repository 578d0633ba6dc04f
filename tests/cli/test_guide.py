"""The guide: its commands, one after another in one shell, print what it says."""

import re
import subprocess
from pathlib import Path

import pytest

from .test_processes import BOUND, ROOT, on_path

__all__ = ("on_path",)

pytestmark = pytest.mark.slow

GUIDE = (ROOT / "examples/guides/shell.md").read_text("utf-8")


@pytest.mark.usefixtures("on_path")
def test_the_commands_of_the_guide_print_what_it_says(tmp_path: Path) -> None:
    pairs = re.findall(
        r"^```bash\n(.*?)^```\n\n```text\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE
    )
    assert len(pairs) == GUIDE.count("```bash")
    script = tmp_path / "guide"
    script.write_text("#!/bin/bash\nset -eu\n" + "".join(commands for commands, _ in pairs))
    script.chmod(0o755)
    done = subprocess.run(
        [str(script)], cwd=tmp_path, capture_output=True, text=True, timeout=BOUND, check=False
    )
    assert (done.returncode, done.stdout) == (0, "".join(said for _, said in pairs)), done.stderr
