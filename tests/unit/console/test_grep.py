from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitship.console.grep import MOST_INSTRUCTIONS, matcher
from tests.examples import examples

ATOMS = ("a", "b", "B", "_", " ", ".", r"\d", r"\W", r"\.", "[ab]", "[^a]", "[a-c_]", r"[\s.]", "^", "$", r"\b", r"\B")
QUANTIFIERS = ("", "", "*", "+", "?", "{2}", "{1,2}", "{0,}", "*?")


def found(text: str, line: str, *, ignore_case: bool = False) -> bool:
    return matcher(text, regex=True, ignore_case=ignore_case, invert=False)(line)


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


@examples(150)
@given(patterns(), st.text("abcB_ .1ä", min_size=1, max_size=12), st.booleans())  # "": Python has \B wrong
def test_it_finds_what_pythons_own_finds_in_ascii(text: str, line: str, ignore_case: bool) -> None:
    expected = re.search(text, line, re.ASCII | (re.IGNORECASE if ignore_case else 0)) is not None
    assert found(text, line, ignore_case=ignore_case) == expected


def test_classes_are_those_of_ascii_and_letters_fold_beyond_it() -> None:
    assert not found(r"^\d$", "٣")
    assert not found(r"^\w$", "ä")
    assert found("^ä.$", "ÄÖ", ignore_case=True)


@pytest.mark.parametrize(
    "text", ["(a+)+$", "(a|a)*b", "(.*)*x", "(a?){30}a{30}b", ".*.*.*.*=.*;", "(a|b)*a(a|b){900}c"]
)
def test_what_hangs_pythons_own_ends_here(text: str) -> None:
    """By backtracking it would be years."""
    assert not found(text, "a" * 65_536 + "!")


@pytest.mark.parametrize(
    "text",
    ["(", ")", "a)", "[a", "[]", "*a", "a**", "a{2}{3}", r"(a)\1", "(?=a)", "a\\", r"\q", "[b-a]", "a{3,2}", r"\xg1",
     "(a{99}){99}", "a" * MOST_INSTRUCTIONS],
)  # fmt: skip
def test_what_it_cannot_do_is_refused_with_a_reason(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w+ \S+"):
        matcher(text, regex=True, ignore_case=False, invert=False)


def test_fixed_text_means_itself() -> None:
    assert matcher("a.c", regex=False, ignore_case=False, invert=False)("xa.cx")
    assert not matcher("a.c", regex=False, ignore_case=False, invert=False)("abc")
    assert matcher("ÄRGER", regex=False, ignore_case=True, invert=False)("kein Ärger")
    assert not matcher("a", regex=True, ignore_case=True, invert=True)("A")
