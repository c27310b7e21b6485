"""Format of a backup archive: its entries, their order, and the manifest that proves it complete.

A tar archive (pax) of: HEADER, CONFIG, everything of the data directory below DATA, volumes below VOLUMES in pieces
(tar wants a size before the content, and that of a volume is known at its end), and, last of all, MANIFEST with the
size and the SHA-256 of every entry. An archive that was cut off has no manifest, and is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from gitship.errors import GitshipError

FORMAT = 1
HEADER = "gitship-backup.json"
CONFIG = "gitship.toml"
DATA = "data/"
VOLUMES = "volumes/"
MANIFEST = "manifest.json"
PIECE_BYTES = 4 << 20
_DOCUMENT_BYTES = 256 << 20  # a header or manifest; 1 million files have 110 MB of names and sums
MOST_BYTES = {HEADER: 1 << 20, CONFIG: 1 << 20, MANIFEST: _DOCUMENT_BYTES}
_VOLUME = re.compile(r"volumes/([0-9]+)/([A-Za-z0-9][A-Za-z0-9_.-]{0,99})\.tar\.([0-9]{6})")


class IncompleteBackup(GitshipError):
    """The archive is no backup, or not all of one."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the backup cannot be used: {reason}", "nothing was changed; take another backup")


@dataclass(frozen=True, slots=True)
class BackupHeader:
    """The header: what is in the backup and where it comes from."""

    format: int
    gitship: str
    created_at: float
    server_id: str
    apps: int
    logs: bool
    volumes: bool

    @classmethod
    def read(cls, document: Any) -> BackupHeader:
        """Raises IncompleteBackup, and GitshipError for a backup that a newer gitship has made."""
        try:
            about = cls(**document)
        except TypeError:
            number = document.get("format") if isinstance(document, dict) else None
            if not isinstance(number, int) or number <= FORMAT:
                raise IncompleteBackup("it is not a gitship backup") from None
            about = cls(number, str(document.get("gitship")), 0.0, "", 0, False, False)
        if about.format > FORMAT:
            raise GitshipError(
                f"the backup was made by gitship {about.gitship}, in a newer format ({about.format})",
                "install that version or a newer one",
            )
        return about


@dataclass(frozen=True, slots=True)
class VolumePiece:
    """A part of a volume's tar archive: the app's id, what it calls the volume, and the part's number from 0 on."""

    app_id: int
    volume: str
    number: int

    @property
    def entry(self) -> str:
        return f"{VOLUMES}{self.app_id}/{self.volume}.tar.{self.number:06}"


def volume_piece(entry: str) -> VolumePiece | None:
    """What the name of an entry says, when it is one of a volume."""
    match = _VOLUME.fullmatch(entry)
    return VolumePiece(int(match[1]), match[2], int(match[3])) if match else None


def inside_data(entry: str) -> str:
    """Where below the data directory the entry goes. Raises IncompleteBackup for a name that would leave it."""
    name = entry.removeprefix(DATA)
    parts = name.split("/")
    if not entry.startswith(DATA) or any(part in ("", ".", "..") for part in parts) or "\0" in name:
        raise IncompleteBackup(f"'{entry[:200]}' has no place in it")
    return name
