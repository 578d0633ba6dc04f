"""Running a program as its user would: in a process of its own, from an empty directory."""

import re
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[2]

_BOUND = 200.0
_MOST_AT_ONCE = 4


def blocks(text: str, language: str) -> list[str]:
    """List the blocks of code in a language that a text has."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def programs(text: str) -> list[tuple[str, str]]:
    """List the programs of a text, each with the output that stands below it."""
    pair = r"^```python\n(.*?)^```\n\n```text\n(.*?)^```$"
    return re.findall(pair, text, re.DOTALL | re.MULTILINE)


def run(program: Path, directory: Path) -> list[str]:
    """Run a Python program, with warnings as errors, and give the lines that it prints."""
    [lines] = run_together([program], directory)
    return lines


def run_together(programs: Sequence[Path], directory: Path) -> list[list[str]]:
    """Run Python programs at the same time, as `run` does, and give the lines of each."""
    with ThreadPoolExecutor(_MOST_AT_ONCE) as threads:
        return list(threads.map(lambda program: _run(program, directory), programs))


def _run(program: Path, directory: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(program)],
        cwd=directory,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=_BOUND,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()
