"""The long runs of histories and of the model print what they did, and fail on what they find."""

from argparse import Namespace
from collections import Counter
from pathlib import Path

import pytest

from agentpool.testing.history import Round, Verdict, command
from agentpool.testing.model import command as model_command
from agentpool.testing.model import machine


async def _one_violation(_folder: Path, plan: Round, _url: str | None) -> Verdict:
    return Verdict(Counter(calls=plan.seed), ["a message acknowledged twice"])


def test_histories_are_counted_over_all_rounds_and_their_violations_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "run_round", _one_violation)
    assert command.run(Namespace(seed=10, rounds=2, url=None)) == 1
    printed = capsys.readouterr().out
    assert "Round(seed=11" in printed
    assert "a message acknowledged twice" in printed
    assert "21 calls" in printed
    assert "2 violations" in printed


def test_a_comparison_without_a_difference_prints_its_counts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert model_command.run(Namespace(seed=1, rounds=2, url=None)) == 0
    printed = capsys.readouterr().out
    assert "join_run ok" in printed
    assert "no difference" in printed


def test_a_comparison_that_finds_a_difference_fails_and_shows_the_steps(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(machine.ModelMachine, "_open", _fails)
    assert model_command.run(Namespace(seed=1, rounds=1, url=None)) == 1
    printed = capsys.readouterr()
    assert "a difference was found" in printed.out
    assert "they differ" in printed.err


async def _fails(_self: machine.ModelMachine) -> None:
    msg = "they differ"
    raise AssertionError(msg)
