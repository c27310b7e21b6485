"""Copies a repository for a cloned app, with hard-linked objects."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dulwich.objects import ObjectID
from dulwich.refs import DiskRefsContainer, Ref

from gitship.errors import GitError
from gitship.git import ref_names
from gitship.git.repository import LEFT_OVER_OBJECTS, Repositories, Repository


@contextmanager
def prepared(repositories: Repositories, source: str) -> Iterator[Path]:
    """A whole copy beside the repositories, gone at the end unless ``Repositories.adopt`` has given it a name.

    Refs are read first: the objects of what is pushed meanwhile may come along, and harm nothing. Raises GitError.
    """
    original = repositories.open(source)
    refs = {ref: sha for ref, sha in original.refs().items() if not ref_names.hidden(ref)}
    try:
        aside = repositories.aside()
        try:
            shutil.copytree(
                original.objects,
                aside / "objects",
                copy_function=_link,
                ignore=shutil.ignore_patterns(*(Path(pattern).name for pattern in LEFT_OVER_OBJECTS)),
                dirs_exist_ok=True,
            )
            container = DiskRefsContainer(aside)
            container.add_packed_refs({Ref(ref.encode()): ObjectID(sha.encode()) for ref, sha in refs.items()})
            Repository(aside).point_head(original.head())
            yield aside
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    except OSError as error:
        raise GitError(f"cannot copy the repository of {source}: {error.strerror}", "check the disk") from error


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except FileExistsError:
        pass
    except OSError:  # a file system without links
        shutil.copy2(source, target)
