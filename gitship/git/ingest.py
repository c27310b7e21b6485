"""Interface for receiving packs, with two implementations (git and Dulwich)."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Sequence
from typing import Protocol

from gitship.errors import GitError
from gitship.git.pack_feed import PackFeed
from gitship.git.push_limits import ReceiveLimits
from gitship.git.quarantine import Quarantine
from gitship.git.repository import Repository

UNPACK_LIMIT = 100  # packs with fewer objects become loose objects, as in git: a pack per small push would pile up


MISSING = "missing necessary objects"


class IngestError(GitError):
    """The pack cannot be taken; the message is the reason, in one line, that the client gets."""


class Ingest(Protocol):
    """Takes the pack into the quarantine and checks every object in it; a way to do it without ``git`` and one with."""

    def __call__(
        self, feed: PackFeed, quarantine: Quarantine, repository: Repository, tips: Sequence[str], limits: ReceiveLimits
    ) -> Collection[str]:
        """The ``tips`` (hex) from which some object cannot be reached. Raises IngestError, OSError when out of disk."""
        ...


def choose() -> Ingest:
    """git's own indexer when the binary is there, else Dulwich's parts: 1.5 to 2 times the CPU, and under the GIL."""
    if shutil.which("git"):
        from gitship.git.ingest_git import GitIngest

        return GitIngest()
    from gitship.git.ingest_dulwich import DulwichIngest

    return DulwichIngest()
