"""Restores a server from a backup: unpacks and checks it beside the data directory, then swaps it in.

Nothing of the old is touched before the archive is known to be whole. A gitship that is started after a restore that
was cut short finds PLACING and refuses, instead of beginning an empty server.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from gitship import config
from gitship.backup import archive_format
from gitship.backup.archive_format import BackupHeader, IncompleteBackup
from gitship.backup.reading import BackupEntry, BackupReader
from gitship.backup.restore_volumes import VolumeRestore
from gitship.config import Settings
from gitship.engine.interface import Volumes
from gitship.errors import Conflict, GitshipError
from gitship.store import Store, data_directory_lock, database_copies

STAGING = ".restoring"  # what is unpacked; the old data are as they were
PLACING = ".placing"  # the old data are being moved away, the new ones in
RESTORED = "restored"  # the server's setting: what has to be done at the next start
DATABASE = "gitship.db"
RUNTIME = ("varnish", "tls")  # of a front that may be running; made anew from the database


@dataclass(frozen=True, slots=True)
class Restored:
    """``aside`` is where the data are that were there before; ``config_kept``: the settings' file was there already."""

    about: BackupHeader
    data_dir: Path
    aside: Path | None
    config_kept: bool
    volumes: int


def check(stream: IO[bytes]) -> tuple[BackupHeader, int]:
    """Reads the archive to its end: what it is, and its bytes of content. Raises IncompleteBackup."""
    reader, total = BackupReader(stream), 0
    for entry in reader:
        total += sum(len(piece) for piece in entry.content)
    return reader.about, total


def ensure_not_cut_short(data_dir: Path) -> None:
    """Raises GitshipError when a restore was ended while it put the new data in place."""
    if (data_dir / PLACING).exists():
        raise GitshipError(f"a restore into {data_dir} was cut short", "run it again: gitship restore FILE --force")


def restore(stream: IO[bytes], path: Path, *, force: bool, volumes_of: Callable[[Settings], Volumes]) -> Restored:
    """Makes the server of the backup, with its settings in ``path``, or with those that are there already.

    ``volumes_of`` gives the engine's volumes when the backup has some. Raises GitshipError, and then nothing has
    changed: IncompleteBackup for an archive that is damaged or cut off, Conflict when there are data and not
    ``force``, or a gitship runs on them.
    """
    reader = BackupReader(stream)
    entries = iter(reader)
    first = next(entries, None)
    text = b""
    if first is not None and first.name == archive_format.CONFIG:
        text = reader.small(first)
        first = next(entries, None)
    config_kept = path.exists()
    settings = config.load(path) if config_kept else _settings(text)
    data_dir = settings.data_dir
    with data_directory_lock.claimed(data_dir):
        if _there(data_dir) and not force:
            raise Conflict(
                f"{data_dir} already contains data",
                "restore into an empty directory, or add --force to move the existing data aside",
            )
        staging = data_dir / STAGING
        try:
            shutil.rmtree(staging, ignore_errors=True)
            staging.mkdir(mode=0o700)
            with ExitStack() as undo:
                undo.callback(shutil.rmtree, staging, ignore_errors=True)
                filled = _unpack(staging, first, entries, undo, lambda: volumes_of(settings))
                aside = _place(data_dir, staging)
                undo.pop_all()
            if not config_kept:
                _write_config(path, text)
        except OSError as error:
            raise GitshipError(
                f"the backup cannot be unpacked into {data_dir}: {error}", "free some space, then run it again"
            ) from error
    return Restored(reader.about, data_dir, aside, config_kept, filled)


def _settings(text: bytes) -> Settings:
    if not text:
        raise GitshipError("the backup has no settings", "run `gitship init` first, then restore with --force")
    return config.parse(text.decode("utf-8", "replace"))


def _there(data_dir: Path) -> bool:
    return any(entry.name not in (STAGING, data_directory_lock.NAME) for entry in data_dir.iterdir())


def _unpack(
    staging: Path,
    first: BackupEntry | None,
    entries: Iterator[BackupEntry],
    undo: ExitStack,
    volumes: Callable[[], Volumes],
) -> int:
    """Everything into ``staging``, the volumes into Docker; ready to be put in place. How many volumes."""
    store: Store | None = None
    filling: VolumeRestore | None = None
    entry = first
    while entry is not None:
        if archive_format.volume_piece(entry.name) is None:
            _write(staging, entry)
            entry = next(entries, None)
            continue
        if filling is None:
            store = _opened(staging, undo)
            filling = VolumeRestore(store, volumes())
            undo.callback(filling.undo)
        entry = filling.fill(entry, entries)
    store = store or _opened(staging, undo)
    if filling is not None:
        filling.keep()
    store.set_server_setting(RESTORED, {"at": time.time()})
    store.close()  # leaves one file
    return len(filling.filled) if filling is not None else 0


def _opened(staging: Path, undo: ExitStack) -> Store:
    """The restored database, checked and brought to this gitship's schema."""
    if not (staging / DATABASE).exists():
        raise IncompleteBackup("it has no database")
    store = Store(staging / DATABASE, copies=0)  # the backup itself is the copy
    undo.callback(store.close)
    return store


def _write(staging: Path, entry: BackupEntry) -> None:
    place = staging / archive_format.inside_data(entry.name)
    if entry.kind == "directory":
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        return
    if any(parent.is_symlink() for parent in place.parents if parent.is_relative_to(staging)):
        raise IncompleteBackup(f"'{entry.name[:200]}' goes through a link")
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if entry.kind == "link":
        place.symlink_to(entry.target)
        return
    handle = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as file:
        for piece in entry.content:
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
        os.fchmod(file.fileno(), entry.mode & 0o700)


def _place(data_dir: Path, staging: Path) -> Path | None:
    """Moves what was there aside and the new data in."""
    placing = data_dir / PLACING
    shutil.rmtree(placing, ignore_errors=True)  # of a restore that was cut short here
    old = [entry for entry in data_dir.iterdir() if entry.name not in (STAGING, data_directory_lock.NAME, *RUNTIME)]
    staging.rename(placing)
    aside = None
    if old:
        beside = data_dir if data_dir.is_mount() else data_dir.parent
        aside = Path(tempfile.mkdtemp(prefix=f"{data_dir.name}.before-restore-{database_copies.stamp()}-", dir=beside))
        for entry in old:
            entry.rename(aside / entry.name)
    for entry in list(placing.iterdir()):
        entry.rename(data_dir / entry.name)
    placing.rmdir()
    return aside


def _write_config(path: Path, text: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(text)
