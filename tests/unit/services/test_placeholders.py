"""Placeholders: which there are, what may stand for them, and that no secret is shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitship.errors import ServiceError
from gitship.services import placeholders

VALUES = {"database": "shop", "login": "shop_1", "password": "S3cret-_", "memory_mb": "500", "host": "db.1.internal"}


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ('CREATE DATABASE "{database}";', 'CREATE DATABASE "shop";'),
        ("{login}{login}", "shop_1shop_1"),
        ("{host}", "db.1.internal"),
        ("{memory_mb}M {memory_mb_25} {memory_mb_100} {memory_mb_1}", "500M 125 500 5"),
        ("{ping:1} ${HOME} {} { database } {{", "{ping:1} ${HOME} {} { database } {{"),
    ],
)
def test_known_names_are_filled_and_nothing_else(text: str, filled: str) -> None:
    assert placeholders.filled(text, VALUES) == filled


@given(st.text(max_size=20))
def test_a_value_has_no_character_that_needs_quotes(value: str) -> None:
    plain = bool(value) and all(c.isascii() and (c.isalnum() or c in "_-") for c in value)
    try:
        assert placeholders.filled("{login}", {"login": value}) == value
        assert plain
    except ServiceError as error:
        assert not plain
        assert len(value) < 3 or value not in error.message


@pytest.mark.parametrize("value", ["a.b", "a:b", "a'b", "a b", "a\nb", "ä", "a\n"])
def test_only_a_host_has_dots(value: str) -> None:
    with pytest.raises(ServiceError, match="has other characters"):
        placeholders.filled("{password}", {"password": value})


def test_a_value_that_is_not_there_is_named() -> None:
    with pytest.raises(ServiceError, match=r"asks for \{owner\}"):
        placeholders.filled("{owner}", VALUES)


@pytest.mark.parametrize("name", ["memory_mb_0", "memory_mb_101", "memory_mb_025", "memory"])
def test_no_other_share_of_the_memory_is_known(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        placeholders.check("{" + name + "}", {"memory_mb"})


def test_secrets_are_blanked() -> None:
    values = {"password": "S3cret-_", "root_password": "R00t", "login": "shop_1"}
    said = placeholders.blanked("login shop_1: S3cret-_ and R00t and S3cret-_", values)
    assert said == "login shop_1: *** and *** and ***"


def test_what_names_a_snapshot_is_left_out_while_there_is_none() -> None:
    words = ("pg_dump", "--snapshot={snapshot}", "{database}")
    assert list(placeholders.wanted(words, {})) == ["pg_dump", "{database}"]
    assert list(placeholders.wanted(words, {"snapshot": "00000003-0000001B-1"})) == list(words)
