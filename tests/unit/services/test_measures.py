"""What actions print is counts, figures or a version, or an error that shows the line."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitship.errors import ServiceError
from gitship.services import measures


def test_counts_and_metrics_are_read_by_name() -> None:
    assert measures.counts("public.a\t3\nb with\ttab\t0\n") == {"public.a": 3, "b with\ttab": 0}
    assert measures.metrics("connections\t2\nsize_bytes\t7843631\nload\t0.5\n") == {
        "connections": 2.0, "size_bytes": 7843631.0, "load": 0.5,
    }  # fmt: skip
    assert measures.counts("") == {}


@pytest.mark.parametrize("text", ["a 3", "a\t", "\t3", "a\t3x", "a\t-1", "a\t1.5", "a\t1\nerror: x", "a\t１"])
def test_anything_else_is_shown(text: str) -> None:
    with pytest.raises(ServiceError, match="in place of a name and a number"):
        measures.counts(text)


@given(st.text(max_size=60))
def test_any_text_is_counts_or_an_error(text: str) -> None:
    with contextlib.suppress(ServiceError):
        assert all(count >= 0 for count in measures.counts(text).values())


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("15.20 (Debian 15.20-0+deb12u1)\n", "15.20"),
        ("10.11.14-MariaDB-0+deb12u2\n", "10.11.14"),
        ("Valkey server v=8.1.1 sha=00000000:1\n", "8.1.1"),
        ("18", "18"),
    ],
)
def test_a_version_is_the_first_number_with_dots(text: str, version: str) -> None:
    assert measures.version(text) == version


def test_no_version_is_an_error() -> None:
    with pytest.raises(ServiceError, match="does not tell its version"):
        measures.version("not started\n")
