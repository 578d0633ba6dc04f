"""The example: a question through three processes, and the answer, are one trace."""

from pathlib import Path

import pytest
from acceptance.programs import ROOT, run

pytestmark = pytest.mark.slow


def test_a_question_through_three_processes_is_one_trace(tmp_path: Path) -> None:
    assert run(ROOT / "examples/tracing.py", tmp_path) == [
        "answer: It is on shelf 42.",
        "look for a book (reader)",
        "  send pool.library (reader)",
        "    process pool.library (desk)",
        "      send pool.library (desk)",
        "        process pool.library (library)",
        "          send pool.library (library)",
        "          ack pool.library (library)",
        "      receive pool.library (desk)",
        "      send pool.library (desk)",
        "      ack pool.library (desk)",
        "  receive pool.library (reader)",
        "traces: 1",
    ]
