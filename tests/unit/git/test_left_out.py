"""A file of the commit that .dockerignore keeps from the build is told with the line that does."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitship.git import left_out
from gitship.git.build_context import prepare
from tests.unit.git.commits import Content, bare, commit

IGNORE = b"# not for images\n*.env\n\n**/*.txt\nassets/\n!assets/keep.css\nnode_modules\nkept\n!kept/*\n"
FILES = (
    "requirements.txt", "deep/down/notes.txt", "assets/x.css", "assets/keep.css", "node_modules/a/index.js", "app.py",
    "a.env", "kept/x",
)  # fmt: skip


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return bare(tmp_path / "shop.git")


def told(repository: Path, *texts: str, directory: str = "") -> list[tuple[str, str]]:
    above = f"{directory}/" if directory else ""
    files = {**dict.fromkeys(FILES, b""), "Dockerfile": b"", ".dockerignore": IGNORE}
    made = commit(repository, {f"{above}{path}": content for path, content in files.items()})
    context = prepare(repository, made, subdirectory=directory)
    return [(found.path, found.by) for found in left_out.named(repository, made, context, texts)]


@pytest.mark.parametrize("directory", ["", "web"])
@pytest.mark.parametrize(
    ("text", "path", "by"),
    [
        ("requirements.txt", "requirements.txt", ".dockerignore line 4, '**/*.txt'"),
        ("./deep//down/notes.txt", "deep/down/notes.txt", ".dockerignore line 4, '**/*.txt'"),
        ("ERROR: Could not open: '/app/requirements.txt'", "requirements.txt", ".dockerignore line 4, '**/*.txt'"),
        ("[3/4] COPY assets/x.css /css/", "assets/x.css", ".dockerignore line 5, 'assets/'"),
        ("cat: a.env: No such file or directory", "a.env", ".dockerignore line 2, '*.env'"),
        ("sh -c 'node node_modules/a/index.js;'", "node_modules/a/index.js", ".dockerignore line 7, 'node_modules'"),
        ("COPY node_modules /", "node_modules", ".dockerignore line 7, 'node_modules'"),
    ],
)
def test_what_a_text_names_is_told_with_file_line_and_pattern(
    repository: Path, directory: str, text: str, path: str, by: str
) -> None:
    assert told(repository, text, directory=directory) == [(path, by)]


@pytest.mark.parametrize(
    "text", ["app.py", "assets/keep.css kept kept/x", "nothing.txt", "assets", "../a.env", "", "/ . .."]
)
def test_what_is_sent_or_is_not_in_the_commit_is_not_told(repository: Path, text: str) -> None:
    assert told(repository, text) == []


def test_each_is_told_once(repository: Path) -> None:
    assert [path for path, _ in told(repository, "a.env requirements.txt", "a.env")] == ["a.env", "requirements.txt"]


def test_a_dockerignore_of_the_dockerfiles_own_is_the_one_that_is_named(repository: Path) -> None:
    files: dict[str | bytes, Content] = {
        "prod": b"",
        "prod.dockerignore": b"x",
        ".dockerignore": b"y",
        "x": b"",
        "y": b"",
    }
    made = commit(repository, files)
    context = prepare(repository, made, dockerfile="prod")
    assert [found.by for found in left_out.named(repository, made, context, ["x y"])] == [
        "prod.dockerignore line 1, 'x'"
    ]
