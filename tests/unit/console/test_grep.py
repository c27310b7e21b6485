from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gitship.console import grep
from gitship.console.grep import Pattern, matcher

pytestmark = pytest.mark.unit

ATOMS = ("a", "b", "B", "_", " ", ".", r"\d", r"\W", r"\.", "[ab]", "[^a]", "[a-c_]", r"[\s.]", "^", "$", r"\b", r"\B")
QUANTIFIERS = ("", "", "*", "+", "?", "{2}", "{1,2}", "{0,}", "*?")


def patterns() -> st.SearchStrategy[str]:
    single = st.builds(
        lambda atom, q: atom if atom in ("^", "$", r"\b", r"\B") else atom + q,
        st.sampled_from(ATOMS), st.sampled_from(QUANTIFIERS),
    )  # fmt: skip
    return st.recursive(
        single,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3).map("".join),
            st.builds(lambda a, b, q: f"({a}|{b}){q}", inner, inner, st.sampled_from(QUANTIFIERS)),
            inner.map(lambda text: f"(?:{text})"),
        ),
        max_leaves=6,
    )


@settings(max_examples=400, deadline=None)
@given(patterns(), st.text("abcB_ .1", min_size=1, max_size=12), st.booleans())  # "": Python has \B wrong
def test_it_finds_what_pythons_own_finds(text: str, line: str, ignore_case: bool) -> None:
    expected = re.search(text, line, re.IGNORECASE if ignore_case else 0) is not None
    assert Pattern(text, ignore_case=ignore_case).search(line) == expected


@pytest.mark.parametrize("text", ["(a+)+$", "(a|a)*b", "(.*)*x", "(a?){30}a{30}b", ".*.*.*.*=.*;"])
def test_what_hangs_pythons_own_ends_here(text: str) -> None:
    """By backtracking it would be years."""
    assert not Pattern(text).search("a" * 65_536 + "!")


def test_a_pattern_with_more_states_than_are_kept_still_tells_the_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grep, "MOST_STATES", 8)
    found = Pattern("a(a|b){9}c$")
    for line in ("ab" * 20, "ab" * 20 + "c", "ba" * 20 + "bc", "b" * 30 + "c"):
        assert found.search(line) == bool(re.search("a(a|b){9}c$", line)), line
        assert len(found._states) <= 8


@pytest.mark.parametrize(
    "text",
    ["(", ")", "a)", "[a", "[]", "*a", "a**", "a{2}{3}", r"(a)\1", "(?=a)", "(?i)a", "(?P<n>a)", "a\\", r"\q", "[b-a]",
     r"[\d-z]", "a{3,2}", r"\xg1", "(a{99}){99}", "(" * 60 + ")" * 60, "^*"],
)  # fmt: skip
def test_what_it_cannot_do_is_refused_with_a_reason(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w+ \w+"):
        Pattern(text)


def test_fixed_text_means_itself() -> None:
    assert matcher("a.c", regex=False, ignore_case=False, invert=False)("xa.cx")
    assert not matcher("a.c", regex=False, ignore_case=False, invert=False)("abc")
    assert matcher("ÄRGER", regex=False, ignore_case=True, invert=False)("kein Ärger")
    assert not matcher("a", regex=True, ignore_case=True, invert=True)("A")
