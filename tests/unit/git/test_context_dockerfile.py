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
from tests.unit.git.commits import Content, bare, build_context, commit, link

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
    assert caught.value.hint == (
        f"names are case-sensitive: builder:set APP --dockerfile {found}, push again; or rename it: "
        f"git mv {found} Dockerfile"
    )


def test_dockerfiles_in_other_places_are_named_the_likeliest_first(repository: Path) -> None:
    files = ["api/Dockerfile", "web.Dockerfile", "Dockerfile.old", "mydockerfiles", "Dockerfile.dockerignore"]
    made = commit(repository, dict.fromkeys([".devcontainer/Dockerfile", "vendor/x/Dockerfile", *files], b""))
    with pytest.raises(GitError) as caught:
        build_context(repository, made)
    assert caught.value.message == (
        "the commit has no Dockerfile; found 'api/Dockerfile', 'Dockerfile.old', 'web.Dockerfile', "
        "'.devcontainer/Dockerfile', 'vendor/x/Dockerfile'"
    )
    assert "builder:set APP --dockerfile api/Dockerfile, push again (or another of these)" in caught.value.hint


PLACES: dict[str, tuple[dict[str | bytes, Content], str, str]] = {
    "another name": ({"Containerfile": b""}, "--dockerfile Containerfile", 'dockerfile = "Containerfile"'),
    "files beside it": (
        {"vote/Dockerfile": b"COPY requirements.txt ./requirements.txt\n", "vote/requirements.txt": b"", "a": b""},
        "--context vote",
        'context = "vote"',
    ),
    "files at the top": (
        {"docker/Dockerfile": b'FROM a\nADD ["assets", "./assets"]\n', "docker/run.sh": b"", "assets/x": b""},
        "--dockerfile docker/Dockerfile",
        'dockerfile = "docker/Dockerfile"',
    ),
    "all of the app beside it": (
        {"src/app/Dockerfile": b"COPY . .\nCOPY --from=x main.go /\n", "src/app/package.json": b"", "main.go": b""},
        "--context src/app",
        'context = "src/app"',
    ),
    "all at the top": (
        {"docker/Dockerfile": b"COPY . .\n", "docker/run.sh": b"", "go.mod": b""},
        "--dockerfile docker/Dockerfile",
        'dockerfile = "docker/Dockerfile"',
    ),
    "another name beside its files": (
        {"a b/web.Dockerfile": b"COPY ./x/y .\n", "a b/x/y/z": b""},
        "--context 'a b' --dockerfile web.Dockerfile",
        'context = "a b"\ndockerfile = "web.Dockerfile"',
    ),
}


@pytest.mark.parametrize("place", PLACES)
def test_the_command_for_a_dockerfile_in_another_place_fits_what_it_copies(repository: Path, place: str) -> None:
    files, options, table = PLACES[place]
    with pytest.raises(GitError) as caught:
        build_context(repository, commit(repository, files))
    command, toml = caught.value.hint.split(", push again", 1)
    assert command == f"builder:set APP {options}"
    assert toml.endswith(f"in a gitship.toml at the top of the repository:\n\n[build]\n{table}\n")


def test_in_a_directory_without_a_dockerfile_those_elsewhere_are_found(repository: Path) -> None:
    made = commit(repository, {"Dockerfile": b"COPY web /\n", "web/x": b""})
    with pytest.raises(GitError) as caught:
        build_context(repository, made, subdirectory="web")
    assert caught.value.message == "the commit has no web/Dockerfile; found 'Dockerfile'"
    assert caught.value.hint.startswith("builder:set APP --context ., push again; ")


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
