"""Volumes and host directories of apps."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gitship.appfiles import mounts
from gitship.appfiles.mounts import DeclaredMount
from gitship.appsettings import DISCARDED, MOUNT, PENDING, VOLUME
from gitship.containers.attach_client import ClientLeft
from gitship.deploy.job import Request
from gitship.engine import gzip_stream, volume_archive
from gitship.engine.timeouts import WaitInterrupted
from gitship.errors import Conflict, GitshipError, NotFound, nearest
from gitship.model import App, Deploy, DeployKind, Identity, Mount
from gitship.operations.app_lock import ensure_unlocked
from gitship.operations.shared import Shared
from gitship.volumes.host_directories import HostDirectories
from gitship.volumes.lifecycle import VolumeLifecycle


@dataclass(frozen=True, slots=True)
class Kept:
    """A mount, or a volume that is mounted nowhere (``path`` None). ``source`` is Docker's name or the directory.

    ``name`` is None for a directory of the host; ``live`` is True when the live release has the mount.
    """

    name: str | None
    source: str
    path: str | None
    read_only: bool = False
    processes: tuple[str, ...] | None = None
    size_bytes: int | None = None
    live: bool = False


class Storage:
    """Every method raises GitshipError (NotFound, Conflict, ...) with a hint, and then no data have changed."""

    def __init__(self, shared: Shared, volume_lifecycle: VolumeLifecycle) -> None:
        self._shared = shared
        self._store = shared.store
        self._host_directories = HostDirectories(shared.store)
        self._volumes = shared.engine.volumes
        self._volume_lifecycle = volume_lifecycle

    # -- looking

    def kept(self, app: App) -> list[Kept]:
        """Mounts by path, then the volumes that are mounted nowhere."""
        volumes = self._volume_lifecycle.of(app)
        sizes = {name: self._volumes.size_bytes(volume) for name, volume in volumes.items()}
        wanted = mounts.stored(self._store.app_settings(app.id))
        live = self._live_mounts(app)
        rows = [
            Kept(
                name=None if w.host else w.source,
                source=w.source if w.host else volumes.get(w.source, ""),
                path=w.path,
                read_only=w.read_only,
                processes=w.processes,
                size_bytes=sizes.get(w.source),
                live=Mount(w.source, w.path, w.read_only) in live,
            )
            for w in wanted
        ]
        idle = volumes.keys() - {w.source for w in wanted}
        return rows + [Kept(name, volumes[name], None, size_bytes=sizes[name]) for name in sorted(idle)]

    def _live_mounts(self, app: App) -> tuple[Mount, ...]:
        live = self._store.app_by_id(app.id).live_release
        return self._store.release(live).mounts if live else ()

    # -- mounts: the settings to change, which `tuning.change` brings live

    def mount(self, app: App, wanted: DeclaredMount, by: Identity) -> dict[str, Any]:
        """Makes the volume when it is not there yet."""
        app = self._store.confirm(app, by)
        ensure_unlocked(self._store, app)
        if wanted.host:
            wanted = self._on_the_host(wanted)
        there = {w.path: w for w in mounts.stored(self._store.app_settings(app.id))}.get(wanted.path)
        if there is not None and there.source != wanted.source:
            raise Conflict(
                f"{there.source} is mounted at {wanted.path} of {app.name} already",
                f"choose another path, or first: storage:unmount {app.name} {there.source}:{wanted.path}",
            )
        if not wanted.host:
            self._volume_lifecycle.ensure(app, wanted.source)
        return MOUNT(wanted.path).to(wanted.setting)

    def _on_the_host(self, wanted: DeclaredMount) -> DeclaredMount:
        source = self._volumes.host_path(wanted.source)
        own = self._shared.settings.data_dir.resolve()
        if own.is_relative_to(source) or Path(source).is_relative_to(own):
            raise GitshipError(f"{source} contains gitship's own data", "choose another directory")
        self._host_directories.ensure_apart(source, read_only=wanted.read_only)
        return DeclaredMount(source, wanted.path, wanted.read_only, wanted.processes)

    def unmount(self, app: App, word: str) -> dict[str, Any]:
        """``word`` is a source, a path, or both with a colon. The data stay."""
        there = mounts.stored(self._store.app_settings(app.id))
        meant = [w for w in there if word in (w.source, w.path, f"{w.source}:{w.path}")]
        if not meant:
            known = [form for w in there for form in (f"{w.source}:{w.path}", w.source, w.path)]
            near = nearest(word, known)
            hint = f"did you mean '{near}'?" if near else f"see `storage:list {app.name}`"
            raise NotFound(f"{app.name} has no mount '{word[:200]}'", hint)
        return MOUNT.to(dict.fromkeys(w.path for w in meant))

    def ensure_destroyable(self, app: App, name: str) -> None:
        """Raises NotFound, or Conflict while the volume is in use."""
        self._volume_lifecycle.named(app, name)
        if any(w.source == name for w in mounts.stored(self._store.app_settings(app.id))):
            raise Conflict(f"'{name}' is mounted in {app.name}", f"first: storage:unmount {app.name} {name}")
        live = self._store.app_by_id(app.id)
        if not self._shared.stopped(app) and any(m.source == name for m in self._live_mounts(live)):
            raise Conflict(
                f"the live release of {app.name} still has '{name}'", f"ps:restart {app.name} ends its containers"
            )
        if self._volume_lifecycle.deploying(app):
            raise Conflict(f"a deploy of {app.name} is in progress", "wait for it, or cancel it with `deploys:cancel`")

    def destroy(self, app: App, name: str, by: Identity) -> None:
        """Removes the volume with its data."""
        with self._volume_lifecycle.claim(app, name):
            app = self._store.confirm(app, by)
            ensure_unlocked(self._store, app)
            self._volume_lifecycle.ensure_still(app)
            self.ensure_destroyable(app, name)
            with self._store.acting(app, by):
                self._volume_lifecycle.discard(app, name)
            self._volume_lifecycle.clear(app)

    # -- content

    def export(
        self, app: App, name: str, write: Callable[[bytes], object], gone: threading.Event, *, gzip: bool = False
    ) -> None:
        """Hands over the volume's content as a tar archive. Raises ClientLeft when ``write`` fails or ``gone`` is set.

        Raises GitshipError when what was handed over is not whole.
        """
        volume = self._volume_lifecycle.named(app, name)
        try:
            with self._volume_lifecycle.moving(app), self._read(app, name, volume, gone) as chunks:
                pieces = volume_archive.whole(chunks)
                for piece in volume_archive.gathered(gzip_stream.zipped(pieces) if gzip else pieces):
                    write(piece)
        except volume_archive.BrokenArchive:
            raise GitshipError(
                "the content changed while it was read: the archive is incomplete",
                f"try again, or while nothing writes to it: `ps:stop {app.name}`, export, `ps:start {app.name}`",
            ) from None
        except (OSError, WaitInterrupted):
            raise ClientLeft from None

    def restore(
        self, app: App, name: str, chunks: Iterable[bytes], gone: threading.Event, by: Identity, *, replace: bool
    ) -> Deploy | None:
        """The content of a tar archive (or one with gzip) takes the place of the volume's, which goes.

        It is unpacked into a volume of its own first: until that is whole, and its deploy live, nothing has changed.
        None when no container has to be told. Raises ClientLeft when ``gone`` is set.
        """
        app = self._store.confirm(app, by)
        ensure_unlocked(self._store, app)
        self._volume_lifecycle.named(app, name)
        try:
            with (
                self._volume_lifecycle.claim(app, name),
                self._volume_lifecycle.moving(app),
                self._volume_lifecycle.filling(app, name) as fresh,
            ):
                if not replace:
                    self._ensure_empty(app, name, gone)
                self._volumes.write(fresh, gzip_stream.unzipped(chunks), self._volume_lifecycle.labels(app, name), gone)
                if gone.is_set():
                    raise ClientLeft
                if not replace:  # what the app has written meanwhile
                    self._ensure_empty(app, name, gone)
                return self._bring_in(app, name, fresh, by)
        except WaitInterrupted:
            raise ClientLeft from None

    def _read(self, app: App, name: str, volume: str, gone: threading.Event) -> Any:
        return self._volumes.read(volume, self._volume_lifecycle.labels(app, name), gone)

    def _ensure_empty(self, app: App, name: str, gone: threading.Event) -> None:
        with self._read(app, name, self._volume_lifecycle.named(app, name), gone) as chunks:
            if not volume_archive.is_empty(chunks):
                raise Conflict(f"'{name}' of {app.name} is not empty", "add --replace to replace its content")

    def _bring_in(self, app: App, name: str, fresh: str, by: Identity) -> Deploy | None:
        """Containers that have the volume are replaced by a deploy; for all others it is a matter of the record."""
        discarded = DISCARDED.to({fresh: None, self._volume_lifecycle.named(app, name): time.time()})
        changes = VOLUME(name).to(fresh) | discarded
        with self._store.acting(app, by) as now:
            under_way = self._volume_lifecycle.deploying(app)
            runs = now.live_release is not None and not self._shared.stopped(app)
            if not runs and under_way:
                raise Conflict(f"a deploy of {app.name} is in progress", "import again when it has finished")
            if not runs or (not under_way and not any(m.source == name for m in self._live_mounts(now))):
                self._store.change_settings(app.id, changes)
                if not runs:
                    self._store.set_setting(app.id, PENDING, time.time())
                return None
        request = Request(DeployKind.CONFIG, f"import into volume {name}", settings=changes)
        deploy = self._shared.jobs.submit(now, request, by)
        self._volume_lifecycle.claimed_by(app, name, deploy.id)
        return deploy
