"""A commit without a usable Dockerfile, or with files in Git LFS, is answered with what to do."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from gitship.errors import GitError
from gitship.git.blobs import DulwichBlobs, GitBlobs
from gitship.git.starter_dockerfile import starting_dockerfile
from tests.unit.git.commits import bare, build_context, commit, link

STARTERS = Path(__file__).parent / "starters"
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"4d7a" * 16 + b"\nsize 12345\n"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return bare(tmp_path / "shop.git")


def names(repository: Path, made: str, dockerfile: str = "Dockerfile") -> list[str]:
    data = b"".join(build_context(repository, made, dockerfile=dockerfile))
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return archive.getnames()


@pytest.mark.parametrize(
    ("starter", "language", "paths"),
    [
        ("python", "Python", ["requirements.txt", "app.py", "README.md"]),
        ("python-django", "Python", ["manage.py", "requirements.txt", "shop/wsgi.py", "shop/settings.py"]),
        ("python-pyproject", "Python", ["pyproject.toml", "src/shop/__init__.py"]),
        ("python-manage", "Python", ["manage.py", "shop/wsgi.py"]),
        ("node", "Node.js", ["package.json", "package-lock.json", "server.js"]),
        ("node-without-lock", "Node.js", ["package.json", "index.html"]),
        ("go", "Go", ["go.mod", "main.go"]),
        ("ruby", "Ruby", ["Gemfile", "config.ru"]),
        ("ruby-rails", "Ruby", ["Gemfile", "Gemfile.lock", "bin/rails", "package.json/none"]),
        ("rust", "Rust", ["Cargo.toml", "src/main.rs"]),
        ("php", "PHP", ["composer.json", "index.php"]),
        ("static", "static pages", ["index.html", "style.css"]),
        ("generic", "", ["main.zig", "sub/package.json"]),
    ],
)
def test_the_starting_dockerfile_fits_the_language(starter: str, language: str, paths: list[str]) -> None:
    found, text = starting_dockerfile(paths)
    golden = STARTERS / f"{starter}.Dockerfile"
    if os.environ.get("GITSHIP_REWRITE_GOLDEN") == "1":
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text)
    assert found == language
    assert text == golden.read_text(), f"{golden.name} differs; GITSHIP_REWRITE_GOLDEN=1 rewrites it"


def test_a_missing_dockerfile_is_answered_with_one_to_start_with(repository: Path) -> None:
    made = commit(repository, {"requirements.txt": b"flask\n", "app.py": b""})
    with pytest.raises(GitError) as caught:
        build_context(repository, made)
    assert caught.value.message == "the commit has no Dockerfile"
    text = (STARTERS / "python.Dockerfile").read_text()
    assert caught.value.hint == (
        f"commit a Dockerfile and push again; one to start with (this looks like Python):\n\n{text}"
    )


def test_an_empty_commit_is_answered_too(repository: Path) -> None:
    with pytest.raises(GitError, match="the commit has no Dockerfile"):
        build_context(repository, commit(repository, {}))


@pytest.mark.parametrize("found", ["dockerfile", "DockerFile", "DOCKERFILE"])
def test_a_dockerfile_in_other_letters_is_named(repository: Path, found: str) -> None:
    with pytest.raises(GitError) as caught:
        build_context(repository, commit(repository, {found: b"", "docker/Dockerfile": b""}))
    assert caught.value.message == f"the commit has no Dockerfile; found '{found}'"
    assert f"git mv {found} Dockerfile" in caught.value.hint


def test_a_dockerfile_in_another_place_is_named(repository: Path) -> None:
    made = commit(
        repository, {"api/Dockerfile": b"", "web.Dockerfile": b"", "Dockerfile.old": b"", "mydockerfiles": b""}
    )
    with pytest.raises(GitError) as caught:
        build_context(repository, made)
    assert caught.value.message == (
        "the commit has no Dockerfile; found 'Dockerfile.old', 'api/Dockerfile', 'web.Dockerfile'"
    )
    assert 'dockerfile = "Dockerfile.old"' in caught.value.hint


def test_the_configured_dockerfile_is_the_one_that_must_be_there(repository: Path) -> None:
    made = commit(repository, {"Dockerfile": b"", "docker/prod": b""})
    assert "docker/prod" in names(repository, made, "./docker//prod")
    with pytest.raises(GitError, match="no docker/test; found 'Dockerfile'"):
        build_context(repository, made, dockerfile="docker/test")


def test_a_directory_is_not_a_dockerfile_but_a_link_is(repository: Path) -> None:
    with pytest.raises(GitError, match="the commit has no Dockerfile"):
        build_context(repository, commit(repository, {"Dockerfile/x": b""}))
    made = commit(repository, {"Dockerfile": link(b"docker/prod"), "docker/prod": b""})
    assert names(repository, made) == [".", "Dockerfile", "docker", "docker/prod"]


@pytest.mark.parametrize("ignore", ["*", "Dockerfile\n.dockerignore", "**", "docker\nDocker*\n.*"])
def test_dockerfile_and_dockerignore_are_sent_even_when_ignored(repository: Path, ignore: str) -> None:
    made = commit(
        repository, {".dockerignore": ignore.encode(), "Dockerfile": b"", "docker/other": b"", "docker/x": b""}
    )
    assert {"Dockerfile", ".dockerignore"} <= set(names(repository, made))
    assert {"docker/other", ".dockerignore"} <= set(names(repository, made, "docker/other"))


def test_a_dockerignore_of_the_dockerfiles_own_comes_first(repository: Path) -> None:
    made = commit(
        repository,
        {
            ".dockerignore": b"a",
            "docker/prod.dockerignore": b"b",
            "Dockerfile": b"",
            "docker/prod": b"",
            "a": b"",
            "b": b"",
        },
    )
    assert {"a", "b"} & set(names(repository, made)) == {"b"}
    assert {"a", "b"} & set(names(repository, made, "docker/prod")) == {"a"}


def test_a_dockerignore_that_cannot_be_used_is_refused_by_name_and_line(repository: Path) -> None:
    with pytest.raises(GitError, match=r"\.dockerignore line 2: '\[a' is not a pattern"):
        build_context(repository, commit(repository, {"Dockerfile": b"", ".dockerignore": b"x\n[a\n"}))
    with pytest.raises(GitError, match=r"\.dockerignore is a link"):
        build_context(repository, commit(repository, {"Dockerfile": b"", ".dockerignore": link(b".gitignore")}))
    with pytest.raises(GitError, match=r"\.dockerignore has more than"):
        build_context(repository, commit(repository, {"Dockerfile": b"", ".dockerignore": b"#" * (1 << 21)}))


@pytest.mark.parametrize("reader", [GitBlobs, DulwichBlobs])
@pytest.mark.clients
def test_files_in_git_lfs_are_refused_by_name(repository: Path, reader: type[GitBlobs] | type[DulwichBlobs]) -> None:
    made = commit(
        repository, {"Dockerfile": b"", "assets/big.bin": LFS, "logo.png": LFS + b"x-more 1\n", "ok": b"x" * 200}
    )
    with pytest.raises(GitError) as caught:
        build_context(repository, made, reader=reader(repository))
    assert caught.value.message == "stored in Git LFS, which builds cannot read: assets/big.bin, logo.png"
    assert "git lfs migrate export" in caught.value.hint


def test_many_files_in_git_lfs_are_named_in_part(repository: Path) -> None:
    with pytest.raises(GitError) as caught:
        build_context(repository, commit(repository, {"Dockerfile": b"", **{f"{n}.bin": LFS for n in range(9)}}))
    assert caught.value.message.endswith(": 0.bin, 1.bin, 2.bin, 3.bin, 4.bin, ...")


def test_files_in_git_lfs_that_are_ignored_or_only_spoken_of_are_no_trouble(repository: Path) -> None:
    made = commit(
        repository,
        {"Dockerfile": b"", ".dockerignore": b"assets", "assets/big.bin": LFS, "doc.md": b"See " + LFS, "l": link(LFS)},
    )
    assert "doc.md" in names(repository, made)
    assert "assets" not in names(repository, made)


def test_names_are_shown_without_control_characters(repository: Path) -> None:
    made = commit(repository, {"Dockerfile": b"", "\x1b[2Jé".encode() + b"\xff": LFS})
    with pytest.raises(GitError) as caught:
        build_context(repository, made)
    assert caught.value.message.endswith(r": \x1b[2Jé\xff")
