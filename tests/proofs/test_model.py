"""The model check, in a process of its own.

Hypothesis draws from the constants of all modules that are loaded; only where always the same are,
does it always draw the same.
"""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ALONE = Path(__file__).with_name("model_alone.py")


@pytest.mark.timeout(900)
def test_the_model_check_holds_and_finds_what_is_broken() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(ALONE)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=800, check=False)
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout
