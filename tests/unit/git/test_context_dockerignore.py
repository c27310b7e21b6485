"""Which files a .dockerignore leaves out. The expectations are those of the Docker clients themselves.

They were taken with the client of Docker 28.2 on this very tree; where BuildKit decides otherwise (an exception below
an ignored directory), from BuildKit's rule.
"""

from __future__ import annotations

import io
import re
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitship.errors import GitError
from gitship.git import dockerignore
from gitship.git.dockerignore import Dockerignore
from tests.examples import examples
from tests.unit.git.commits import Content, bare, build_context, commit
from tests.unit.git.dockerignore_cases import CASES, TREE


def left_out(repository: Path, text: bytes) -> set[str]:
    """The files of TREE that are not in the context."""
    files: dict[str | bytes, Content] = {path: path.encode() for path in TREE}
    made = commit(repository, {**files, "Dockerfile": b"", ".dockerignore": text})
    with tarfile.open(fileobj=io.BytesIO(b"".join(build_context(repository, made)))) as archive:
        return set(TREE) - {member.name for member in archive if member.isreg()}


@pytest.mark.parametrize(("text", "expected"), CASES, ids=[repr(text) for text, _ in CASES])
def test_leaves_out_what_docker_leaves_out(tmp_path: Path, text: str, expected: set[str]) -> None:
    assert left_out(bare(tmp_path / "r.git"), text.encode()) == expected


def test_what_is_kept_in_an_ignored_directory_comes_with_its_directories(tmp_path: Path) -> None:
    ignore = b"*\n!docs/deep/keep\n!empty.d\nempty.d/*"
    files: dict[str | bytes, Content] = {"Dockerfile": b"", ".dockerignore": ignore, "src/a": b"", "empty.d/x": b""}
    repository = bare(tmp_path / "r.git")
    made = commit(repository, {**files, "docs/deep/keep": b"", "docs/deep/not": b"", "docs/other/x": b""})
    with tarfile.open(fileobj=io.BytesIO(b"".join(build_context(repository, made)))) as archive:
        assert archive.getnames() == [
            ".", ".dockerignore", "Dockerfile", "docs", "docs/deep", "docs/deep/keep", "empty.d"
        ]  # fmt: skip


@pytest.mark.parametrize("text", ["!", " ! ", "!/", "[a-", "[]a]", "a[", "foo\\", "[b-a]", "a**b**c", "\n" * 9 + "["])
def test_what_docker_refuses_is_refused_with_the_line(text: str) -> None:
    line = text.count("\n") + 1
    with pytest.raises(GitError, match=rf"^\.dockerignore line {line}: ") as caught:
        dockerignore.parse(text.encode())
    assert caught.value.hint


def test_more_patterns_than_anybody_writes_are_refused() -> None:
    with pytest.raises(GitError, match="more than 1000 patterns"):
        dockerignore.parse(b"".join(b"%d\n" % n for n in range(1001)))


@given(st.binary(max_size=60) | st.text("ab*?[]!^-\\/.# \n\r\ufeff", max_size=30).map(str.encode))
@examples(100)
def test_no_text_makes_the_parser_fail_otherwise(text: bytes) -> None:
    try:
        patterns = dockerignore.parse(text)
    except GitError as error:
        assert error.hint
        return
    ignore = Dockerignore(patterns)
    for path in ("a", "b/a", "a*b"):
        ignore.ignores(path, ignore.root)


@given(
    st.text("ab*?/.", min_size=1, max_size=9),
    st.lists(st.text("ab./", min_size=1, max_size=12), min_size=1, max_size=20),
)
@examples(150)
def test_matching_is_that_of_the_plain_expression(text: str, paths: list[str]) -> None:
    try:
        patterns = dockerignore.parse(text.encode())
    except GitError:
        return
    for pattern in patterns:
        plain = re.compile(plain_expression(pattern.text), re.DOTALL)
        for path in paths:
            assert bool(pattern.regex.match(path)) == bool(plain.match(path)), (pattern.text, path)


def plain_expression(pattern: str) -> str:
    """moby/patternmatcher's translation, which backtracks."""
    if pattern.startswith("**") and not set(pattern[2:]) & set("*?") and not pattern.startswith("**/"):
        return ".*" + re.escape(pattern[2:]) + r"\Z"
    tokens = re.findall(r"\*\*/?|\*|.", pattern)
    parts = {"*": "[^/]*", "?": "[^/]", "**": "(.*/)?", "**/": "(.*/)?"}
    regex = "".join(parts.get(token) or re.escape(token) for token in tokens[:-1])
    last = ".*" if tokens[-1].startswith("**") else parts.get(tokens[-1]) or re.escape(tokens[-1])
    return regex + last + r"\Z"


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "pattern",
    ["*a" * 12 + "b", "**/*a*a*a*a/**/*a*a*b", "**/a/" * 9 + "b", "*?" * 20 + "b", "a**a*a*a*a*b", "**a*a*a*b"],
)
@pytest.mark.parametrize("path", ["a" * 255, "/".join(["a" * 8] * 400), "/".join(["a"] * 2000)], ids=len)
def test_no_pattern_takes_for_ever(pattern: str, path: str) -> None:
    (made,) = dockerignore.parse(pattern.encode())
    assert made.regex.match(path) is None
