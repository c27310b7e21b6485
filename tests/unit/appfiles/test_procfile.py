"""Procfile: the forms that Heroku and Dokku take, and clear errors for those that are mistakes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitship.appfiles import procfile
from gitship.errors import ConfigError
from tests.examples import examples


def test_each_line_is_a_process_type_and_its_command() -> None:
    assert procfile.parse(b"web: python app.py\nworker: ./work --fast\nrelease: ./migrate\n") == {
        "web": ("python", "app.py"),
        "worker": ("./work", "--fast"),
        "release": ("./migrate",),
    }


@pytest.mark.parametrize(
    "text",
    [
        b"web: a\nworker: b",
        b"web: a\r\nworker: b\r\n",
        b"web: a\rworker: b\r",
        b"\xef\xbb\xbfweb: a\nworker: b\n",
        b"\n\n# a comment: x\n  # another\n// and this\nweb:a\n\t\n  worker:   b  \n",
        b"web : a\nworker:\tb\n",
    ],
)
def test_line_ends_marks_comments_and_blank_lines_do_not_matter(text: bytes) -> None:
    assert procfile.parse(text) == {"web": ("a",), "worker": ("b",)}


def test_a_file_without_processes_has_none() -> None:
    assert procfile.parse(b"") == procfile.parse(b"# nothing yet\n") == {}


def test_names_may_be_what_heroku_and_dokku_allow() -> None:
    assert list(procfile.parse(b"celery_beat: a\nURGENT-worker2: b\n" + b"x" * 63 + b": c")) == [
        "celery_beat", "URGENT-worker2", "x" * 63
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"web: a\n<<<<<<< HEAD\n", "Procfile line 2 is not 'type: command'"),
        (b"python app.py\n", "Procfile line 1 is not 'type: command'"),
        (b"web: a\r\nweb: b\r\n", "Procfile line 2: 'web' is given twice"),
        (b"web:\n", "Procfile line 1: the command of 'web' is empty"),
        (b"web: it's\n", "Procfile line 1: the command of 'web' cannot be read: no closing quotation"),
        (b"-web: a\n", "Procfile line 1: '-web' is not a process type"),
        (b"x" * 64 + b": a\n", f"Procfile line 1: '{'x' * 64}' is not a process type"),
        (b"web: \xff\n", "Procfile is not UTF-8 text (byte 5)"),
    ],
)
def test_a_mistake_is_named_with_its_line(text: bytes, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        procfile.parse(text)
    assert caught.value.message == message
    assert caught.value.hint


@given(st.binary(max_size=80) | st.text("webrk:#/ '\"$\r\n\ufeff\0_-", max_size=40).map(str.encode))
@examples(100)
def test_no_text_makes_the_parser_fail_otherwise(text: bytes) -> None:
    try:
        commands = procfile.parse(text)
    except ConfigError as error:
        assert error.hint
        assert error.message.isprintable()
        return
    assert all(command and command[0] for command in commands.values())


def test_one_that_is_larger_than_anybody_writes_is_refused() -> None:
    """Python's shlex takes 20 s for a word of a megabyte."""
    with pytest.raises(ConfigError, match="Procfile has more than 64 KB"):
        procfile.parse(b"web: " + b"a" * (1 << 20))
    assert len(procfile.parse(b"web: " + b"a" * 60_000)["web"][0]) == 60_000
