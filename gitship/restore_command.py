"""`gitship restore`: restores a server from a backup, or its database from an automatic copy."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from gitship import config, private_files
from gitship.backup import restore as restoring
from gitship.backup.archive_format import BackupHeader
from gitship.config import Settings
from gitship.engine.docker import DockerEngine
from gitship.engine.interface import Volumes
from gitship.errors import GitshipError
from gitship.git import ref_names
from gitship.git.repository import Repositories
from gitship.init import initialise
from gitship.store import Store, data_directory_lock
from gitship.store.database_copies import DatabaseCopies


def restore(path: Path, file: str | None, format: str, *, force: bool, check: bool, copy: bool) -> list[str]:
    """What was done, a line each, or one JSON document. Raises GitshipError; then nothing has changed."""
    if copy == (file is not None):
        raise GitshipError("nothing to restore", "give the FILE of a backup (- for stdin), or --newest-copy")
    with private_files.to_others():
        if copy:
            said = _newest_copy(path)
        else:
            with _opened(file or "") as stream:
                said = _checked(stream) if check else _restored(stream, path, force)
    if format == "json":
        return [json.dumps(said, indent=2)]
    return [f"{name:<9} {value}" for name, value in said.items() if value not in (None, "")]


@contextmanager
def _opened(file: str) -> Iterator[IO[bytes]]:
    if file == "-":
        yield sys.stdin.buffer
        return
    try:
        stream = Path(file).open("rb")  # noqa: SIM115
    except OSError as error:
        raise GitshipError(f"cannot read {file}: {error.strerror}", "give the path of a backup") from None
    with stream:
        yield stream


def _checked(stream: IO[bytes]) -> dict[str, Any]:
    about, size = restoring.check(stream)
    return {**_about(about), "bytes": size, "state": "whole"}


def _about(about: BackupHeader) -> dict[str, Any]:
    holds = ["logs"] * about.logs + ["volumes"] * about.volumes
    return {
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(about.created_at)),
        "gitship": about.gitship,
        "apps": about.apps,
        "with": ", ".join(holds),
    }


def _restored(stream: IO[bytes], path: Path, force: bool) -> dict[str, Any]:
    done = restoring.restore(stream, path, force=force, volumes_of=_volumes_of)
    initialise(path, None, [])
    settings = config.load(path)
    store = Store(settings.database, copies=settings.disk.copies)
    try:
        repositories = Repositories(settings.repositories, settings.hooks_dir / "post-receive")
        for app in store.apps():
            repositories.create(app.name)  # one that is there gets this installation's hook
    finally:
        store.close()
    _hand_over(settings.data_dir, None if done.config_kept else path)
    return {
        **_about(done.about),
        "config": f"{path} ({'kept' if done.config_kept else 'from the backup'})",
        "data": str(done.data_dir),
        "volumes": done.volumes,
        "aside": str(done.aside) if done.aside else None,
        "next": "gitship serve: it builds every app that was live from its commit",
    }


def _take_refs_back(settings: Settings, store: Store) -> None:
    """A branch that has moved for a deploy which the copy knows nothing of returns, so that the next push deploys."""
    repositories = Repositories(settings.repositories, None)
    for app in store.apps():
        if app.live_release is None or app.deploy_branch is None:
            continue
        with suppress(GitshipError):  # no repository, or it does not have the commit
            repository, commit = repositories.open(app.name), store.release(app.live_release).commit
            ref = ref_names.HEADS + app.deploy_branch
            if commit is not None and repository.commit(commit):
                repository.compare_and_set(ref, repository.ref(ref), commit)


def _hand_over(data_dir: Path, config_file: Path | None) -> None:
    """What root has restored belongs to whom the data directory belongs: the user that `gitship serve` runs as."""
    owner = data_dir.stat()
    if os.geteuid() != 0 or owner.st_uid == 0:
        return
    for place, directories, names in os.walk(data_dir):
        for path in (Path(place, name) for name in (*directories, *names)):
            if path.lstat().st_uid == 0:
                os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
    if config_file is not None:
        os.chown(config_file, 0, owner.st_gid)
        config_file.chmod(0o640)


def _volumes_of(settings: Settings) -> Volumes:
    return DockerEngine(settings.docker.host).volumes


def _newest_copy(path: Path) -> dict[str, Any]:
    settings = config.load(path)
    with data_directory_lock.claimed(settings.data_dir):
        copy, aside = DatabaseCopies(settings.database).bring_back()
        store = Store(settings.database, copies=settings.disk.copies)
        try:
            # images of releases from before may be gone: what was live then is built again where that is so
            store.set_server_setting(restoring.RESTORED, {"at": time.time()})
            _take_refs_back(settings, store)
        finally:
            store.close()
        _hand_over(settings.data_dir, None)
    return {
        "copy": copy.path.name,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(copy.at)),
        "aside": str(aside) if aside else None,
        "next": "gitship serve: push again what was deployed after the copy was made",
    }
