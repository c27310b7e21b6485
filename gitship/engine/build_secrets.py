"""Build secrets as temporary files, for docker's client.

A directory per build, in memory where there is a place for it, readable by gitship's user alone, gone when the build is
over. A gitship that was killed finds it at its next start, with the client that may still use it, and ends both.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

log = logging.getLogger("gitship.build")
PLACES = (Path("/dev/shm"), Path("/run"), Path(tempfile.gettempdir()))  # noqa: S108 (0700, and of random name)
PID = "pid"


def prefix(owner: str) -> str:
    """How the directories of a gitship begin; ``owner`` is its server's id."""
    return f"gitship-build-{owner}-"


@contextmanager
def directory(owner: str, places: tuple[Path, ...] = PLACES) -> Iterator[Path]:
    """A directory of mode 0700 for one build. Raises OSError when no place takes one."""
    path = _made(owner, places)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def write(path: Path, secrets: Mapping[str, str]) -> dict[str, Path]:
    """Each secret as a file of mode 0600 in that directory, by its id."""
    files: dict[str, Path] = {}
    for number, (name, value) in enumerate(sorted(secrets.items())):
        files[name] = path / f"secret-{number}"
        with os.fdopen(os.open(files[name], os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(value.encode("utf-8", "surrogateescape"))
    return files


def sweep(owner: str, places: tuple[Path, ...] = PLACES) -> int:
    """Ends what a killed gitship has left, before its first build; how many builds that were."""
    left = [path for place in places for path in place.glob(f"{prefix(owner)}*") if path.is_dir()]
    for path in left:
        _end_client(path)
        shutil.rmtree(path, ignore_errors=True)
        log.warning("removed %s, which a build of an earlier gitship had left", path)
    return len(left)


def _made(owner: str, places: tuple[Path, ...]) -> Path:
    refused: OSError | None = None
    for place in places:
        try:
            return Path(tempfile.mkdtemp(prefix=prefix(owner), dir=place))
        except OSError as error:
            refused = error
    assert refused is not None
    raise refused


def _end_client(path: Path) -> None:
    """Kills the client of that build: it is the process of that number only if its words name this directory."""
    with suppress(OSError, ValueError):
        pid = int((path / PID).read_text())
        if str(path).encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.killpg(pid, signal.SIGKILL)
