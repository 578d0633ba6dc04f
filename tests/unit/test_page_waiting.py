"""Who waits for whom: the arrows of the live page, and their picture."""

import re
from collections.abc import Iterable

import pytest

from agentpool.rules.explaining.overview import MemberSeen
from agentpool.rules.explaining.parts import AnswerOwed, InboxSeen, Presence
from agentpool.rules.explaining.presence import Held
from agentpool.web.picture import picture
from agentpool.web.survey import Seen
from agentpool.web.waiting import Arrow, arrows, reduced
from agentpool.wire.records import AgentPoolMember


def asked(*pairs: str, until: int | None = 100) -> list[Seen]:
    """Describe pools by pairs such as ``ab``: that a waits for an answer of b."""
    return [
        Seen(
            MemberSeen(
                AgentPoolMember(awaited, "agent"), False, Held(Presence.HERE), InboxSeen(), None
            ),
            (AnswerOwed(message_id=f"{asker}{awaited}", asker=asker, until=until),),
            1,
        )
        for asker, awaited in map(tuple, pairs)
    ]


def circling(*pairs: str) -> set[str]:
    return {each.by for each in arrows(asked(*pairs), ()) if each.circles}


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ("", ""),
        ("ab bc cd", ""),
        ("ab ac bd cd", ""),
        ("aa", "aa"),
        ("ab ba", "ab ba"),
        ("ab bc ca", "ab bc ca"),
        ("xa ab ba by", "ab ba"),
        ("ab ba bc cd dc", "ab ba cd dc"),
        ("ab bc ca ad db", "ab bc ca ad db"),
    ],
)
def test_those_in_a_circle_are_found(pairs: str, expected: str) -> None:
    assert circling(*pairs.split()) == set(expected.split())


def test_circles_come_first_and_what_waits_for_ever_last() -> None:
    members = [
        *asked("ab", until=None),
        *asked("cd", until=50),
        *asked("ef", until=20),
        *asked("xy", "yx", until=90),
    ]
    assert [each.by for each in arrows(members, ())] == ["xy", "yx", "ef", "cd", "ab"]


def many(count: int) -> list[Arrow]:
    return [Arrow("a", f"run.{each}", f"q.{each}", True, None) for each in range(count)]


def test_a_picture_has_only_so_much_in_it() -> None:
    found = many(1000)
    drawn, more = reduced(found)
    assert 1 < len(drawn) < 10
    assert more == {"a": 1000 - len(drawn)}
    wide = [Arrow(f"a.{each}", f"b.{each}", "q", True, None) for each in range(500)]
    drawn, _ = reduced(wide)
    assert len({name for each in drawn for name in (each.run_id, each.awaited)}) == 24


def boxes(svg: str) -> dict[str, tuple[int, int]]:
    found = re.findall(r'<g><title>(.*?)</title><rect x="(\d+)" y="(\d+)"', svg)
    return {name: (int(x), int(y)) for name, x, y in found}


def drawn(pairs: Iterable[str]) -> str:
    return picture(*reduced(arrows(asked(*pairs), ())))


def test_who_waits_stands_before_whom_it_waits_for() -> None:
    places = boxes(drawn(["ab", "bc", "ac", "dc"]))
    assert places["a"][0] < places["b"][0] < places["c"][0]
    assert places["d"][0] < places["c"][0]
    assert len(set(places.values())) == 4


@pytest.mark.parametrize("pairs", ["aa", "ab ba", "ab bc ca cd de ef fa", "ab bc cd de ef fg gh"])
def test_each_run_has_one_box_within_the_picture(pairs: str) -> None:
    svg = drawn(pairs.split())
    places = boxes(svg)
    assert set(places) == set(pairs.replace(" ", ""))
    assert len(set(places.values())) == len(places)
    found = re.search(r'viewBox="0 0 (\d+) (\d+)"', svg)
    assert found is not None
    assert all(x + 200 <= int(found[1]) and y + 32 <= int(found[2]) for x, y in places.values())
    assert svg.count('class="edge') == len(pairs.split())


def test_names_in_a_picture_are_text() -> None:
    arrow = Arrow("<script>x</script>", "\u202e" + "b" * 500, "q", True, None)
    svg = picture([arrow], {})
    assert "<script" not in svg
    assert "\u202e" not in svg
    assert max(map(len, re.findall(r"<text[^>]*>(.*?)</text>", svg))) < 60
