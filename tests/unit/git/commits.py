"""Commits made object by object, so that a test can have any tree, also one that no client would make."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dulwich.objects import Blob, Commit, ObjectID, Tree
from dulwich.repo import Repo

from gitship.git.blobs import Blobs
from gitship.git.build_context import prepare

TIME = 1_700_000_000


@dataclass(frozen=True)
class Mode:
    """A blob with another mode than 0644."""

    mode: int
    content: bytes = b""


def link(target: bytes) -> Mode:
    return Mode(0o120000, target)


def executable(content: bytes) -> Mode:
    return Mode(0o100755, content)


@dataclass(frozen=True)
class Object:
    """An object that exists already (or, as a submodule's commit, never does)."""

    mode: int
    id: str


SUBMODULE = Object(0o160000, "1" * 40)
Content = bytes | Mode | Object


def bare(path: Path) -> Path:
    """A new empty repository."""
    Repo.init_bare(str(path), mkdir=True).close()
    return path


def commit(
    repository: Path, files: Mapping[str | bytes, Content], *, message: bytes = b"First\n\nbody", time: int = TIME
) -> str:
    """The id of a new commit with these files by path; nothing else in the repository changes."""
    with Repo(str(repository)) as repo:
        top: dict[bytes, Any] = {}
        for path, content in files.items():
            *above, name = (path.encode() if isinstance(path, str) else path).split(b"/")
            where = top
            for directory in above:
                where = where.setdefault(directory, {})
            where[name] = content
        made = Commit()
        made.tree = _tree(repo, top)
        made.author = made.committer = b"Ada <ada@example.com>"
        made.author_time = made.commit_time = time
        made.author_timezone = made.commit_timezone = 0
        made.message = message
        repo.object_store.add_object(made)
        return made.id.decode()


def tree(repository: Path, entries: Mapping[bytes, tuple[int, str]]) -> str:
    """The id of one tree object with exactly these names."""
    with Repo(str(repository)) as repo:
        made = Tree()
        for name, (mode, id_) in entries.items():
            made.add(name, mode, ObjectID(id_.encode()))
        repo.object_store.add_object(made)
        return made.id.decode()


def id_at(repository: Path, commit_id: str, path: str) -> str:
    """The id of the object at ``path`` of a commit."""
    with Repo(str(repository)) as repo:
        found = repo[ObjectID(commit_id.encode())]
        assert isinstance(found, Commit)
        return found_at(repo, found.tree, path)


def found_at(repo: Repo, tree_id: ObjectID, path: str) -> str:
    id_ = tree_id
    for name in path.split("/"):
        here = repo[id_]
        assert isinstance(here, Tree)
        id_ = here[name.encode()][1]
    return id_.decode()


def lose(repository: Path, id_: str) -> None:
    """Removes a loose object."""
    (repository / "objects" / id_[:2] / id_[2:]).unlink()


def _tree(repo: Repo, entries: Mapping[bytes, Any]) -> ObjectID:
    made = Tree()
    for name, content in entries.items():
        if isinstance(content, dict):
            made.add(name, 0o040000, _tree(repo, content))
        elif isinstance(content, Object):
            made.add(name, content.mode, ObjectID(content.id.encode()))
        else:
            mode, data = (content.mode, content.content) if isinstance(content, Mode) else (0o100644, content)
            blob = Blob.from_string(data)
            repo.object_store.add_object(blob)
            made.add(name, mode, blob.id)
    repo.object_store.add_object(made)
    return made.id


def build_context(
    repository_path: Path,
    commit: str,
    *,
    subdirectory: str = "",
    dockerfile: str = "Dockerfile",
    reader: Blobs | None = None,
) -> Generator[bytes, None, None]:
    """The tar that a build is sent."""
    return prepare(repository_path, commit, subdirectory=subdirectory, dockerfile=dockerfile, reader=reader).tar()
