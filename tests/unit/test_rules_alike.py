"""Names that look the same, and names that are close, found without much work."""

from collections.abc import Sequence
from difflib import SequenceMatcher

import pytest

from agentpool.rules.alike import close_to, look, looking_like


@pytest.mark.parametrize(
    "other", ["run.\u00e9", "run.e\u0301", "run.\u200be\u0301", "run.\u202a\u00e9\u2028"]
)
def test_names_that_look_the_same(other: str) -> None:
    assert look(other) == "run.\u00e9"


@pytest.mark.parametrize("name", ["run.a", "run.\u00e9", "\u0430", "\U0001f680", " "])
def test_a_name_of_what_can_be_seen_looks_as_it_is(name: str) -> None:
    assert look(name) == name


def test_a_name_is_not_found_to_look_like_itself() -> None:
    names = ["run.a", "run.b", "run.a\u200b", "\u200brun.a"]
    assert list(looking_like("run.a", names)) == names[2:]


def test_the_closest_come_first_and_never_the_name_itself() -> None:
    names = ["run.alpha", "run.alphabet", "run.alphb", "agent.x", "run.alphas", "run.alphax"]
    assert close_to("run.alpha", names) == ["run.alphas", "run.alphax", "run.alphb"]
    assert close_to("run.alpha", ["agent.x", "", "run.alpha"]) == []


def test_of_many_long_names_few_are_compared_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[int] = []

    class Counting(SequenceMatcher[str]):
        def set_seq1(self, a: Sequence[str]) -> None:
            super().set_seq1(a)
            self.length = len(a)

        def ratio(self) -> float:
            compared.append(self.length)
            return super().ratio()

    monkeypatch.setattr("agentpool.rules.alike.SequenceMatcher", Counting)
    names = [f"run.{'ab' * 200}{number:04}" for number in range(300)]
    assert len(close_to(f"run.{'ab' * 200}x", names)) == 3
    assert len(compared) == 16
    assert max(compared) == 80
