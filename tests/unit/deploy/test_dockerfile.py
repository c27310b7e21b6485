"""Which images a Dockerfile uses: nothing that a builder would fetch may be missing."""

from __future__ import annotations

import re
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gitship.deploy import dockerfile
from gitship.deploy.dockerfile_words import Unreadable
from tests.examples import examples


def images(text: str, **arguments: str) -> list[str]:
    return [use.image for use in dockerfile.images(text, arguments)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM python:3.11", ["python:3.11"]),
        ("from python as base\nFROM base", ["python"]),
        ("FROM --platform=$BUILDPLATFORM golang AS Build\nFROM scratch\nCOPY --from=build /a /a", ["golang"]),
        ("FROM a AS x\nFROM b\nCOPY --from=0 / /\nCOPY --chown=1 --from=nginx:1 / /", ["a", "b", "nginx:1"]),
        ("FROM a\nCOPY --from=7 / /", ["a", "7"]),
        ("FROM a\nCOPY --from=later / /\nFROM b AS later", ["a", "later", "b"]),
        ("FROM a\nRUN --mount=type=bind,from=busybox,target=/x ls", ["a", "busybox"]),
        ('FROM a\nRUN --mount=type=cache,target=$HOME --mount="type=bind,FROM=x" ls', ["a", "x"]),
        ("FROM a\nONBUILD COPY --from=evil / /", ["a", "evil"]),
        ("FROM scratch", []),
        ("FROM a\\\nlpine\n", ["alpine"]),
        ("# escape=`\nFROM a`\nlpine", ["alpine"]),
        ("FROM a\nRUN x \\\n# a comment\n\nFROM b", ["a"]),
        ("FROM a\nRUN x \\\u00a0\nFROM b", ["a", "b"]),  # a blank that does not end a continued line
        ("FROM a\nRUN x \\\\\nFROM b", ["a", "b"]),
        ("FROM a\r\nRUN x\\\r\n y\r\n", ["a"]),
        ("FROM a\nRUN x\x0cFROM b", ["a"]),
        ("\ufeffFROM a", ["a"]),
        ("FROM a\nRUN echo FROM b", ["a"]),
    ],
)
def test_what_a_builder_would_fetch(text: str, expected: list[str]) -> None:
    assert images(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# syntax=docker/dockerfile:1\nFROM a", ["docker/dockerfile:1", "a"]),
        ("#  Syntax = evil/frontend with words\nFROM a", ["evil/frontend", "a"]),
        ("//syntax=evil\nFROM a", ["evil", "a"]),
        ("#!/usr/bin/env x\n# escape=\\\n# syntax=evil\nFROM a", ["evil", "a"]),
        ("# a comment\n# syntax=evil\nFROM a", ["a"]),  # no directive any more
    ],
)
def test_the_builders_own_frontend_is_an_image_too(text: str, expected: list[str]) -> None:
    assert images(text) == expected


def test_a_build_argument_can_name_the_frontend() -> None:
    assert images("FROM a", BUILDKIT_SYNTAX="evil/frontend") == ["evil/frontend", "a"]


@pytest.mark.parametrize(
    ("text", "arguments", "expected"),
    [
        ("ARG V=3\nFROM python:$V", {}, "python:3"),
        ("ARG V=3\nFROM python:$V", {"V": "4"}, "python:4"),
        ("ARG V\nFROM python:${V}", {"V": "4"}, "python:4"),
        ('ARG V="3" W=alpine\nARG I=python:${V}-$W\nFROM "$I"', {}, "python:3-alpine"),
        ("FROM python:${V:-9}", {"V": "undeclared"}, "python:9"),
        ("ARG V=\nFROM python:${V:-${W:-8}}", {}, "python:8"),
        ("ARG V=1\nFROM python${V:+:new}", {}, "python:new"),
        ("ARG V=1\nFROM '$V'", {}, "$V"),
        ("FROM a AS b\nARG V=1\nFROM python:${V:-2}", {}, "python:2"),  # an ARG of a stage is not seen by FROM
    ],
)
def test_arguments_are_substituted_as_the_builder_does(text: str, arguments: dict[str, str], expected: str) -> None:
    assert images(text, **arguments)[-1] == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("ARG V\nFROM python:$V", "line 2 uses the argument V"),
        ("FROM python:$V", "line 1 uses the argument V"),
        ("FROM base-${TARGETARCH}", "TARGETARCH"),
        ("ARG V=1.2\nFROM python:${V%.*}", "not known before the build"),
        ("FROM a\nCOPY --from=$X / /", "variable where none is allowed"),
        ("FROM a\nRUN --mount=from=$X ls", "variable where none is allowed"),
        ("FROM a b", "must be `FROM IMAGE`"),
        ("FROM", "must be `FROM IMAGE`"),
        ("FROM python:${V", "not closed"),
        ("RUN x", "no FROM"),
        ('{"syntax": "evil"}', "JSON"),
        ("# escape=x\nFROM a", "escape character"),
    ],
)
def test_what_cannot_be_known_is_not_guessed(text: str, why: str) -> None:
    with pytest.raises(Unreadable, match=why.replace("$", r"\$")):
        images(text)


def test_a_script_in_a_heredoc_is_no_dockerfile() -> None:
    script = "RUN <<EOF python3\nfrom os import path\nFrom here on it's fine\nEOF\n"
    assert images(f"FROM a\n{script}FROM b") == ["a", "b"]
    assert images("FROM a\nCOPY <<-'X' <<Y /d/\n\tone\n\tX\ntwo\nY\nFROM b") == ["a", "b"]


@pytest.mark.parametrize("text", ["FROM a\nRUN <<EOF\nFROM b\nEOF\n", 'FROM a\nRUN echo "x <<EOF y"\nFROM b\n'])
def test_a_builder_without_heredocs_hides_nothing(text: str) -> None:
    assert images(text) == ["a", "b"]


def test_a_heredoc_that_is_none_does_not_hide_an_unreadable_from() -> None:
    with pytest.raises(Unreadable):
        images('FROM a\nRUN echo "x <<EOF y"\nARG V=b\nFROM ${V#z}\n')


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("ARG a=xxxxxxxxxx\n" + "ARG a=$a$a\n" * 40 + "FROM $a", "the argument a"),  # ten terabytes
        ("ARG a=x\nFROM " + "$a" * 5000, "more than 4096 characters"),
        ("ARG A\nFROM " + "${A:-" * 21 + "x" + "}" * 21, "more than 20 substitutions within each other"),
        ("FROM a\n" * 1001, "line 1001 has stage 1001"),
        ("FROM a\n#" + "x" * (128 << 10), "more than 128 KB"),
        ('FROM a\nRUN --mount="from=b\rc" ls', "a mount that cannot be read"),
        ("FROM a\nRUN --mount=from=" + '"' * 3, "open quote"),
    ],
)
def test_one_that_is_made_to_take_long_is_refused(text: str, why: str) -> None:
    with pytest.raises(Unreadable, match=re.escape(why)):
        images(text)


def test_a_stage_by_a_number_that_no_computer_counts_to_is_an_image() -> None:
    number = "1" * 5000
    assert images(f"FROM a\nCOPY --from={number} a b") == ["a", number]
    assert images("FROM a\nCOPY --from=0 a b") == ["a"]


PARTS = [
    "FROM ", "ARG ", "COPY ", "RUN ", "ONBUILD ", "--from=", "--mount=", "from=", "a", "b", "0", " AS ", "$", "${", "}",
    ":-", "=", '"', "'", "\\", "\n", "\r", ",", "<<", "<<-E", "E", "#", "syntax=", "escape=`", "`", "\0",
    "\ufeff", " ", "\t",
]  # fmt: skip


@given(st.lists(st.sampled_from(PARTS), max_size=25).map("".join) | st.text(max_size=40))
@examples(100)
@example("\\")
@example("FROM a\nCOPY --from=\u00b2 a b")
def test_any_text_is_images_or_unreadable(text: str) -> None:
    for whole in (text, f"FROM a\n{text}"):
        with suppress(Unreadable):
            assert all(isinstance(image, str) for image in images(whole, A="x"))


def test_a_huge_dockerfile_is_read_in_the_time_of_its_length() -> None:
    assert images("FROM a\nRUN " + "x\\\n" * 40_000) == ["a"]  # half a minute, were each line joined to all before
    with pytest.raises(Unreadable, match="substitutions"):
        images("FROM " + "${A:-" * 1200 + "}" * 1200)
