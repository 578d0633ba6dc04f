import re
from pathlib import Path

import pytest

import agentpool

from .programs import ROOT, blocks, programs, run

README = (ROOT / "README.md").read_text(encoding="utf-8")
CI = (ROOT / ".ci/run").read_text(encoding="utf-8")


COMMANDS = [command.strip() for command in blocks(README, "sh")]
PROGRAMS = programs(README)


def test_every_python_block_has_its_output_below() -> None:
    assert [code for code, _ in PROGRAMS] == blocks(README, "python")
    assert PROGRAMS


@pytest.mark.parametrize(("code", "output"), PROGRAMS)
def test_python_blocks_print_what_the_readme_says(code: str, output: str, tmp_path: Path) -> None:
    """Twice on one file, since the README promises the same output for a second run."""
    program = tmp_path / "program.py"
    program.write_text(code, encoding="utf-8")
    assert run(program, tmp_path) == output.splitlines()
    assert run(program, tmp_path) == output.splitlines()


def test_there_are_two_commands_one_runs_an_example_and_one_the_tests() -> None:
    assert [command.rpartition(".venv/bin/python ")[2] for command in COMMANDS] == [
        "examples/two_processes.py",
        "-m pytest -n 3",
    ]


@pytest.mark.parametrize("command", COMMANDS)
def test_ci_runs_the_commands_word_for_word(command: str) -> None:
    assert f"\n({command})\n" in CI


def test_the_files_that_it_names_exist() -> None:
    named = re.findall(r"`?((?:examples|tests)/[\w./-]*)", README)
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_it_lists_every_error_with_its_classification() -> None:
    rows = re.findall(r"^\| `(\w+Error)` \|.*\| ([\w ]+) \|$", README, re.MULTILINE)
    assert dict(rows) == {
        name: getattr(agentpool, name).retry.replace("_", " ")
        for name in agentpool.__all__
        if name.endswith("Error") and name != "AgentPoolError"
    }
