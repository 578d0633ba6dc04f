import ast
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest

from .programs import ROOT, run

pytestmark = pytest.mark.slow

EXAMPLES = ROOT / "examples"
POOL_EXAMPLES = (
    "quickstart.py",
    "supervisor.py",
    "coding_team.py",
    "chat_room.py",
    "web_service.py",
    "pydantic_ai_agents.py",
    "openai_agents.py",
    "langgraph_agents.py",
)


def needs(*modules: str) -> pytest.MarkDecorator:
    """Skip a test, with the reason, where the extra ``examples`` is not installed."""
    missing = [module for module in modules if not _is_installed(module)]
    return pytest.mark.skipif(bool(missing), reason=f"extra 'examples': no {', '.join(missing)}")


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # nor is its parent
        return False


def play(name: str, directory: Path) -> list[str]:
    """Run an example, which leaves nothing where it was started, and give its lines."""
    lines = run(EXAMPLES / name, directory)
    assert list(directory.iterdir()) == []
    return lines


def test_quickstart_asks_another_agent_and_gets_its_answer(tmp_path: Path) -> None:
    assert play("quickstart.py", tmp_path) == ["Where is Dune? Shelf 42."]


def test_supervisor_has_everything_done_once_though_a_worker_is_killed(tmp_path: Path) -> None:
    """The task that the killed worker held comes again; no task has two results."""
    quorum, *results = play("supervisor.py", tmp_path)
    assert quorum == "killed one, 2 of 3 go on"
    assert _tasks(results) == [f"task {number}" for number in range(9)]
    assert results[0] != "task 0, attempt 1"


def _tasks(results: Sequence[str]) -> list[str]:
    return [result.partition(",")[0] for result in results]


def test_coding_team_does_all_though_a_coder_is_killed_and_the_planner_away(tmp_path: Path) -> None:
    """The coders are stopped before the planner is resumed, so it finds what they have done."""
    ends, *results = play("coding_team.py", tmp_path)
    assert ends == "SIGKILL SIGTERM SIGTERM"
    tasks = ("parse", "check", "compile", "link", "test", "release")
    assert results == [f"{task}: done" for task in tasks]


def test_chat_room_is_observed_by_one_who_is_no_member(tmp_path: Path) -> None:
    assert play("chat_room.py", tmp_path) == [
        "run.ada Who has read Dune?",
        "run.bob I have.",
        "run.cid How does it end?",
        "run.ada In the desert. Good night!",
    ]


def test_web_service_tells_nobody_there_from_no_answer_in_time(tmp_path: Path) -> None:
    assert play("web_service.py", tmp_path) == [
        "Dune 503 Service Unavailable",
        "Dune 200 Shelf 42",
        "Emma 504 Gateway Timeout",
    ]


@needs("pydantic_ai")
def test_agents_of_pydantic_ai_use_the_pool_by_their_tools(tmp_path: Path) -> None:
    lines = play("pydantic_ai_agents.py", tmp_path)
    assert lines == ['{"barometer":"falling"}, delivered']


@needs("agents", "openai")
def test_agents_of_the_openai_sdk_vote_with_a_quorum(tmp_path: Path) -> None:
    assert play("openai_agents.py", tmp_path) == ["yes, yes"]


@needs("langgraph", "langgraph.checkpoint.sqlite")
def test_a_langgraph_graph_is_resumed_by_another_process(tmp_path: Path) -> None:
    assert play("langgraph_agents.py", tmp_path) == ["tea: print it"]


@pytest.mark.parametrize("name", POOL_EXAMPLES)
def test_pool_examples_are_short_and_say_first_what_one_learns(name: str) -> None:
    lines = (EXAMPLES / name).read_text(encoding="utf-8").splitlines()
    assert len(lines) < 100
    assert "You learn" in "\n".join(lines[:8])


MOST_LINES = {"coding_team.py": 103, "chat_room.py": 89, "web_service.py": 45}
"""Three fifths of what a user wrote for the same when these programs were tried first."""


@pytest.mark.parametrize("name", MOST_LINES)
def test_what_users_need_every_day_takes_few_lines(name: str) -> None:
    source = (EXAMPLES / name).read_text(encoding="utf-8")
    assert len(code_lines(source)) <= MOST_LINES[name]


def code_lines(source: str) -> set[int]:
    """List the lines that are neither empty nor comments nor docstrings."""
    tree = ast.parse(source)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        line
        for node in ast.walk(tree)
        if isinstance(node, documented) and ast.get_docstring(node)
        for line in range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1)
    }
    lines = enumerate(source.splitlines(), 1)
    code = {number for number, line in lines if line.strip() and line.strip()[0] != "#"}
    return code - docstrings
