"""A command's text becomes words, or a shell's argument when it holds shell syntax."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitship.appfiles.command_line import parse_command
from tests.examples import examples


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("python app.py", ("python", "app.py")),
        ("  node   server.js\t", ("node", "server.js")),
        ("./serve --name 'two words' \"and more\"", ("./serve", "--name", "two words", "and more")),
        ("node -e 'a; b | c $d'", ("node", "-e", "a; b | c $d")),
        ('echo "a;b" \\$x', ("echo", "a;b", "$x")),
        ("gunicorn app:create -b :80", ("gunicorn", "app:create", "-b", ":80")),
        ("run --set a=b", ("run", "--set", "a=b")),
        ("run a#b", ("run", "a#b")),
        ("rake jobs:work", ("rake", "jobs:work")),
        ('"A"=b', ("A=b",)),
    ],
)
def test_plain_words_need_no_shell(text: str, words: tuple[str, ...]) -> None:
    assert parse_command(text) == words


@pytest.mark.parametrize(
    "text",
    [
        "gunicorn -b 0.0.0.0:$PORT app:app", "rails s -p ${PORT:-3000}", "a | b", "a & b", "a; b", "a < b", "a > b",
        "ls *.py", "ls a?", "echo `date`", "(a)", "ls ~/x", "ls [ab]", "A=1 run", "A='x y' run", 'echo "$HOME"',
         'echo "`date`"',
        "run # comment", "exec run", "cd app", ". ./env", "if true", "a\nb",
    ],
)  # fmt: skip
def test_shell_syntax_goes_to_the_shell_as_it_stands(text: str) -> None:
    assert parse_command(text) == ("/bin/sh", "-c", text)


@pytest.mark.parametrize("text", ["", "   ", "it's", 'a "b', "a\0b", '""', "''", "a \\"])
def test_what_can_not_be_run_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"empty|cannot be read|NUL|has no program"):
        parse_command(text)


@given(st.text("abA=1 '\"\\$;|#x/", max_size=20))
@examples(100)
def test_any_text_is_words_or_a_value_error(text: str) -> None:
    try:
        words = parse_command(text)
    except ValueError:
        return
    assert words
    assert words[0]
    assert all("\0" not in word for word in words)


@pytest.mark.parametrize(
    "text",
    [
        "printf %s: one 'two three' \"fo ur\"",
        "printf %s: a\\ b 'it'\\''s' \"q\\\"q\"",
        "printf %s: 'a;b' \"c|d\" e\\&f",
    ],
)
@pytest.mark.clients
def test_words_are_those_that_the_shell_makes(text: str) -> None:
    ours = subprocess.run(parse_command(text), capture_output=True, check=True, timeout=10).stdout
    shells = subprocess.run(["/bin/sh", "-c", text], capture_output=True, check=True, timeout=10).stdout
    assert parse_command(text)[0] == "printf"
    assert ours == shells
