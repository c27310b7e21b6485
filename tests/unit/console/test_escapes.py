"""What apps print cannot take over the reader's terminal."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitship.console.escapes import coloured, plain, printable

HOSTILE = st.text(alphabet=st.sampled_from("ab1;?[]m\x1b\x9b\x07\\\r\n\t\x08\u202eé PX^_O(B\x00\x7f"), max_size=40)


@pytest.mark.parametrize(
    ("text", "clean", "with_colours"),
    [
        ("plain", "plain", "plain"),
        ("\x1b[31mred\x1b[0m", "red", "\x1b[31mred\x1b[0m\x1b[0m"),
        ("\x1b[2J\x1b[Hx", "x", "x"),
        ("\x1b]0;title\x07x", "x", "x"),
        ("\x1b]52;c;aGk=\x1b\\x", "x", "x"),
        ("\x1b]0;never ends", "", ""),
        ("\x1bPq#0\x1b\\x", "x", "x"),
        ("10%\r20%", "10%20%", "10%20%"),
        ("a\tb", "a\tb", "a\tb"),
        ("\x9b31mx", "x", "x"),
        ("\u202egnp.exe", "gnp.exe", "gnp.exe"),
        ("\x1bé\x1b", "é", "é"),
        ("\x1b[1;38;5;9mx", "x", "\x1b[1;38;5;9mx\x1b[0m"),
    ],
)
def test_only_colours_get_through(text: str, clean: str, with_colours: str) -> None:
    assert plain(text) == clean
    assert coloured(text) == with_colours


@given(HOSTILE)
def test_no_escape_is_left(text: str) -> None:
    assert "\x1b" not in plain(text)
    assert plain(text).replace("\n", "").replace("\t", "").isprintable()
    assert "\x1b" not in re.sub(r"\x1b\[[0-9;:]*m", "", coloured(text))
    assert printable(text).isprintable()


@given(HOSTILE)
def test_coloured_text_ends_its_colour(text: str) -> None:
    kept = coloured(text)
    assert "\x1b" not in kept or kept.endswith("\x1b[0m")


def test_one_line_shows_what_it_holds() -> None:
    assert printable("a\nb\tc\x1b[1m\x00é") == "a\\nb\\tc\\x1b[1m\\x00é"
