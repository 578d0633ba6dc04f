"""The HTML of the live page: what others wrote stays text."""

import pytest

from agentpool.web.html import Html, body_text, el, join, named, shown

HOSTILE = "<script>alert('x')</script>"


def test_text_is_escaped_wherever_it_stands() -> None:
    assert "<script" not in el("p", HOSTILE, [HOSTILE, (HOSTILE,)], title=HOSTILE)
    assert el("a", "&", href='"><b>') == '<a href="&quot;&gt;&lt;b&gt;">&amp;</a>'
    assert "<script" not in join([named(HOSTILE), body_text(HOSTILE)])


def test_html_is_not_escaped_again() -> None:
    assert el("p", el("b", "<"), Html("&ndash;")) == "<p><b>&lt;</b>&ndash;</p>"


def test_attributes_and_elements_are_as_they_are_in_html() -> None:
    assert el("input", id="a", name_="b", required=True, checked=False, title=None) == (
        '<input id="a" name="b" required>'
    )
    assert el("td", None, 7, colspan=2, data_name="x") == '<td colspan="2" data-name="x">7</td>'


@pytest.mark.parametrize("sign", ["\u202e", "\u200b", "\u2066", "\x1b", "\x00", "\ud800", "\u00a0"])
def test_what_nobody_would_see_is_shown(sign: str) -> None:
    for html in (named(f"a{sign}b"), body_text(f"a{sign}b"), el("p", title=f"a{sign}b")):
        assert sign not in html
        assert ascii(sign)[1:-1] in html
        html.encode()


def test_lines_and_letters_of_all_scripts_stay() -> None:
    text = "one\n\ttwo שלום 你好 é"
    assert shown(text) == text


def test_a_long_id_is_shortened_in_the_middle_and_whole_as_a_title() -> None:
    name = "x" * 250 + "y" * 250
    html = named(name)
    assert html.count("x" * 60) == html.count("x" * 250) * 4 + 1
    assert f'title="{name}"' in html
    assert "…" in html
