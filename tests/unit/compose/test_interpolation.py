"""Interpolation and `.env` files, by the rules of Compose."""

from __future__ import annotations

import pytest

from gitship.compose.env_file import read_env, read_raw
from gitship.compose.interpolation import Interpolation
from gitship.errors import ConfigError

VARIABLES = {"A": "one", "EMPTY": "", "DOLLAR": "$A"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$A-${A}", "one-one"),
        ("${A:-x} ${EMPTY:-x} ${NO:-x}", "one x x"),
        ("${A-x} ${EMPTY-x} ${NO-x}", "one  x"),
        ("${A:+x} ${EMPTY:+x} ${NO:+x}", "x  "),
        ("${A+x} ${EMPTY+x} ${NO+x}", "x x "),
        ("${A:?m} ${EMPTY?m}", "one "),
        ("${NO:-${EMPTY:-$A}}", "one"),
        ("${NO:-a}b}", "ab}"),
        ('${NO:-{"a": {"b": "${A}"}}}', '{"a": {"b": "one"}}'),
        ('${A:-{"a": ${NO:?}}}', "one"),
        ("${NO:-$$A}", "$A"),
        ("${A:-${NO:?never asked}}", "one"),
        ("$$A $$$A $ 5 $5 100$", "$A $one $ 5 $5 100$"),
        ("$DOLLAR", "$A"),
        ("${NO:-}${NO}", ""),
        ("${A:-}}", "one}"),
    ],
)
def test_interpolated(text: str, expected: str) -> None:
    assert Interpolation(VARIABLES).text(text, "compose.yaml line 1") == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${NO:?set it}", "the variable NO is not set: set it"),
        ("${EMPTY:?}", "the variable EMPTY is not set"),
        ("${NO?need $A}", "the variable NO is not set: need one"),
        ("${A", "'${A' is not a variable"),
        ("${}", "'${}' is not a variable"),
        ("${A/a/b}", "'${A/a/b}' is not a variable"),
        ("${NO:-" * 50 + "}" * 50, "is not a variable"),
        ("${!A}", "is not a variable"),
    ],
)
def test_what_cannot_be_interpolated_names_its_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        Interpolation(VARIABLES).text(text, "compose.yaml line 7")
    assert error.value.message.startswith("compose.yaml line 7: ")
    assert message in error.value.message


def test_large_values_put_in_often_are_an_error() -> None:
    with pytest.raises(ConfigError, match="make the file larger than 1 MB"):
        Interpolation({"BIG": "x" * 100_000}).text("$BIG" * 20, "compose.yaml line 1")


def test_what_is_not_set_is_remembered_by_its_first_line() -> None:
    scope = Interpolation(VARIABLES)
    scope.text("$NO", "compose.yaml line 2")
    scope.text("${NO} ${OTHER:-x}", "compose.yaml line 3")
    assert scope.unset == {"NO": "compose.yaml line 2"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A1=VAL", "VAL"),
        ("A1='VAL'", "VAL"),
        ('A1="VAL" # comment', "VAL"),
        ("A1=VAL # comment", "VAL"),
        ("A1=VAL# not a comment", "VAL# not a comment"),
        ('A1="VAL # not a comment"', "VAL # not a comment"),
        ("A1='$OTHER ${OTHER}'", "$OTHER ${OTHER}"),
        (r"A1='Let\'s go!'", "Let's go!"),
        (r'A1="{\"hello\": \"json\"}"', '{"hello": "json"}'),
        (r'A1="some\tvalue"', "some\tvalue"),
        (r"A1='some\tvalue'", r"some\tvalue"),
        (r"A1=some\tvalue", r"some\tvalue"),
        ("A1=", ""),
        ("A1", None),
        ("export A1 = x", "x"),
        ("A1: x", "x"),
        ("B=b\nA1=$B-${A}-${NO:-d}", "b-one-d"),
        ('A1="two\nlines"', "two\nlines"),
        (r'A1="\$A"', "$A"),
        ("A=mine\nA1=$A", "one"),
        ("\ufeffA1=x\r\n", "x"),
    ],
)
def test_env_files(text: str, expected: str | None) -> None:
    assert read_env(".env", text.encode(), Interpolation(VARIABLES))["A1"] == expected


@pytest.mark.parametrize("text", ["=x", "A='x", 'A="x', "A B=x", "A='x' y", "'A'=x", "A=${"])
def test_a_broken_env_file_names_its_line(text: str) -> None:
    with pytest.raises(ConfigError, match=r"web\.env line 3"):
        read_env("web.env", f"\n# first\n{text}".encode(), Interpolation({}))


def test_raw_files_are_taken_as_they_stand() -> None:
    assert read_raw("web.env", b"# c\nA='$B' # d\n\nC\n") == {"A": "'$B' # d", "C": None}
    with pytest.raises(ConfigError, match=r"web\.env line 1"):
        read_raw("web.env", b"a b=c")
