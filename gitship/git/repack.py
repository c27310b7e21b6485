"""Packs repositories: loose objects and small packs into one.

No object is ever dropped, whether a ref leads to it or not: releases, retries and rollbacks name commits that no branch
has any more.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gitship.errors import GitError
from gitship.git import git_process
from gitship.git.repository import LEFT_OVER_OBJECTS, Repository

TIMEOUT_S = 1800.0
MANY_LOOSE, MANY_PACKS = 200, 10
ABANDONED_S = 86_400.0  # no push takes a day


@dataclass(frozen=True, slots=True)
class Scattered:
    """What is to be packed: ``bytes`` of loose objects on disk, and of what pushes that ended badly have left."""

    loose: int
    packs: int
    bytes: int
    abandoned: tuple[Path, ...]

    @property
    def worth_it(self) -> bool:
        return self.loose >= MANY_LOOSE or self.packs >= MANY_PACKS or bool(self.abandoned)


def scattered(repository: Repository) -> Scattered:
    """Looks, and changes nothing."""
    loose = packs = size = 0
    for directory in repository.objects.iterdir():
        if directory.name == "pack":
            packs = sum(1 for _ in directory.glob("*.idx"))
        elif len(directory.name) == 2:
            for file in directory.iterdir():
                with suppress(FileNotFoundError):
                    size += file.stat().st_blocks * 512
                    loose += 1
    abandoned = tuple(_abandoned(repository))
    return Scattered(loose, packs, size + sum(map(_size, abandoned)), abandoned)


def pack(repository: Repository) -> None:
    """Makes one pack of all, and removes what was abandoned; nothing to pack without git. Raises GitError."""
    for path in _abandoned(repository):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    if not shutil.which("git"):
        return
    command = git_process.git_command(
        ["repack", "-a", "-d", "--keep-unreachable", "--quiet"], {"pack.threads": "1", "pack.windowMemory": "64m"}
    )
    process = git_process.start(command, repository.path, {}, stdin=subprocess.DEVNULL)
    try:
        done = git_process.finish(process, TIMEOUT_S)
    except TimeoutError:
        raise GitError(f"packing {repository.path.name} took longer than {TIMEOUT_S:g} s", "it is as it was") from None
    if done.code != 0:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.code}"])[-1]
        raise GitError(f"packing {repository.path.name} failed: {reason}", "it is unchanged; check the disk")


def _abandoned(repository: Repository) -> Iterator[Path]:
    before = time.time() - ABANDONED_S
    for pattern in LEFT_OVER_OBJECTS:
        for path in repository.objects.glob(pattern):
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < before:
                    yield path


def _size(path: Path) -> int:
    with suppress(FileNotFoundError):
        files = path.rglob("*") if path.is_dir() else [path]
        return sum(file.stat().st_blocks * 512 for file in files)
    return 0
