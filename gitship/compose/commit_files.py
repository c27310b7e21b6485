"""The files of the pushed commit, as a Compose file's reader asks for them."""

from __future__ import annotations

from typing import Protocol


class CommitFiles(Protocol):
    def read(self, path: str) -> bytes | None:
        """The file's content; None when there is no such file."""

    def is_directory(self, path: str) -> bool:
        """Whether the commit has something below ``path``; "" is its top."""
