"""Exports a repository's files for a backup while pushes go on.

Objects are only ever added, so what is there now has everything that the given refs need. The refs are those that the
caller has looked up, not what the disk says by now.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from gitship.git.repository import Repository

_PACK_PARTS = (".pack", ".rev", ".bitmap", ".keep", ".idx")  # the .idx last: a pack is whole once it is there
_PLAIN = ("config", "description")
DIRECTORIES = ("", "objects", "objects/pack", "objects/info", "refs", "refs/heads", "refs/tags", "hooks")


def packed_refs(refs: Mapping[str, str]) -> bytes:
    """gitrepository-layout(5): the file that has all refs. Tags are not peeled: git does that itself."""
    rows = "".join(f"{sha} {ref}\n" for ref, sha in sorted(refs.items()))
    return f"# pack-refs with: sorted \n{rows}".encode("utf-8", "surrogateescape")


def head(branch: str) -> bytes:
    return f"ref: {branch}\n".encode("utf-8", "surrogateescape")


def files(repository: Repository) -> Iterator[Path]:
    """Files below the repository, without refs, hooks, quarantines and what is just being written. Raises OSError."""
    yield from (path for name in _PLAIN if (path := repository.path / name).is_file())
    objects = repository.objects
    for fan in sorted(entry.name for entry in os.scandir(objects) if len(entry.name) == 2 and entry.is_dir()):
        yield from sorted(Path(entry.path) for entry in os.scandir(objects / fan) if len(entry.name) == 38)
    packs = objects / "pack"
    whole = sorted(entry.name[:-4] for entry in os.scandir(packs) if entry.name.endswith(".idx"))
    for pack in whole:
        yield from (path for part in _PACK_PARTS if (path := packs / f"{pack}{part}").is_file())
