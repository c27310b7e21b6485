"""What programs print, as HTML."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitship.web.ansi import html


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("plain é\t.", "plain é\t."),
        ("\x1b[1;31mred\x1b[0m off", '<span class="bold c1">red</span> off'),
        ("\x1b[31mred\x1b[39m \x1b[94mblue", '<span class="c1">red</span> <span class="c12">blue</span>'),
        ("\x1b[1mbold\x1b[22m not", '<span class="bold">bold</span> not'),
        ("\x1b[38;5;9mpalette\x1b[m", '<span class="c9">palette</span>'),
        ("\x1b[38;2;1;2;3mtrue\x1b[48;5;3mground\x1b[m", "trueground"),
        ("\x1b[32m\x1b[2Jclear\x1b[H", '<span class="c2">clear</span>'),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("a\x00\x07\x9b\ufffd\tb", "a\ufffd\tb"),
        ("\x1b[31m<script>\x1b[0m&", '<span class="c1">&lt;script&gt;</span>&amp;'),
        ("\x1b[31", "31"),
    ],
)
def test_colours_become_classes_and_nothing_else_is_left(line: str, shown: str) -> None:
    assert html(line) == shown


@given(st.text(alphabet="ab<>&\"'\x1b[]m0139;:", max_size=40))
def test_whatever_is_printed_only_spans_of_known_classes_come_out(line: str) -> None:
    text = html(line)
    assert "\x1b" not in text
    for tag in text.split("<")[1:]:
        assert tag.startswith(('span class="', "/span>"))
    assert text.count("<span") == text.count("</span")
