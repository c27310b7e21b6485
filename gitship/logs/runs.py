"""Output files of detached one-offs.

Those of cron entries stand in a directory per entry, so that a busy one does not push out another's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

MOST_BYTES = 50 << 20  # of one run's output
MOST_CRON_BYTES = 5 << 20  # of one run of a cron entry, of which there are many
KEPT = 100  # files per directory
_NAME = re.compile(r".+\.run\.(?:cron-)?([0-9]{1,12})\.v[0-9]+\.log")


def cron_directory(directory: Path, entry: str) -> Path:
    """Where a cron entry's runs are, below the app's directory."""
    return directory / "cron" / entry


def names(directory: Path) -> dict[str, int]:
    """The runs that have a file there, with their numbers, oldest first."""
    found = {}
    with suppress(FileNotFoundError):
        for path in directory.iterdir():
            if match := _NAME.fullmatch(path.name):
                found[path.name.removesuffix(".log")] = int(match[1])
    return dict(sorted(found.items(), key=lambda item: item[1]))


def write(directory: Path, name: str, lines: Iterable[str], most_bytes: int | None = None) -> None:
    """Keeps the lines as they come, from the beginning; those beyond MOST_BYTES (else given) are read and dropped."""
    directory.mkdir(parents=True, exist_ok=True)
    for old in list(names(directory))[: 1 - KEPT]:
        if old != name:
            (directory / f"{old}.log").unlink(missing_ok=True)
    room = most_bytes = MOST_BYTES if most_bytes is None else most_bytes
    with (directory / f"{name}.log").open("wb") as file:
        for line in lines:
            data = f"{line}\n".encode("utf-8", "replace")
            if room >= 0 > room - len(data):
                file.write(f"[only the first {most_bytes >> 20} MB are kept]\n".encode())
            room -= len(data)
            if room >= 0:
                file.write(data)
                file.flush()


def append(directory: Path, name: str, line: str) -> None:
    """Adds a line of gitship's own at the end."""
    with suppress(FileNotFoundError), (directory / f"{name}.log").open("ab") as file:  # the app may be gone
        file.write(f"{line}\n".encode())


def read(directory: Path, name: str) -> Iterator[str]:
    """The lines so far. ``name`` must be one of ``names``."""
    with suppress(FileNotFoundError), (directory / f"{name}.log").open("rb") as file:
        for line in file:
            yield line.decode("utf-8", "replace").rstrip("\n")
