"""Mounts of a service in a Compose file: named volumes, files of the commit, memory; never paths of the server."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from gitship.appfiles.mounts import VOLUME_NAME
from gitship.compose import values
from gitship.compose.commit_files import CommitFiles
from gitship.compose.keys import Findings
from gitship.compose.model import ComposeFile, ComposeVolume, TemporaryDirectory
from gitship.compose.options import container_path
from gitship.compose.service_keys import LOCAL
from gitship.schema import Value

_LONG = ("type", "source", "target", "read_only", "bind", "volume", "tmpfs", "image", "consistency")
_VOLUME = ("nocopy", "subpath", "labels")
_MODES = ("rw", "ro", "z", "Z", "cached", "delegated", "consistent", "nocopy")
_SOCKETS = re.compile(r"(?:/var)?/run(?:/.*)?/(?:docker|containerd|podman)\.sock")
_CLOCK = ("/etc/localtime", "/etc/timezone")


@dataclass(frozen=True, slots=True)
class WrittenMount:
    """As the file has it. ``kind`` is `bind`, `volume` or `tmpfs`; ``source`` "" for a volume without a name."""

    value: Value
    kind: str
    source: str
    path: str
    read_only: bool = False
    subpath: str = ""
    options: str = ""


@dataclass(slots=True)
class ReadMounts:
    volumes: list[ComposeVolume] = field(default_factory=list)
    files: list[ComposeFile] = field(default_factory=list)
    tmpfs: list[TemporaryDirectory] = field(default_factory=list)
    data_directories: dict[str, str] = field(default_factory=dict)  # not in the commit, by their path in the container


def written_mounts(value: Value) -> list[WrittenMount]:
    """Raises ConfigError. Of two at one path the last counts, as when files are merged."""
    found = [_long(item) if isinstance(item.raw, dict) else _short(item) for item in value.items()]
    return list({mount.path: mount for mount in found}.values())


def _short(value: Value) -> WrittenMount:
    parts = values.line(value).split(":")
    if len(parts) == 1:
        return WrittenMount(value, "volume", "", container_path(value, parts[0]))
    if len(parts) > 3 or not parts[0]:
        raise value.error("must be SOURCE:PATH or SOURCE:PATH:ro", "for instance data:/var/lib/shop")
    modes = parts[2].split(",") if len(parts) == 3 else []
    for mode in modes:
        if mode not in _MODES:
            raise value.error(f"has an unknown mode {mode[:20]}", "write ro for read-only, or nothing")
    kind = "bind" if parts[0].startswith((".", "/", "~")) else "volume"
    return WrittenMount(value, kind, parts[0], container_path(value, parts[1]), "ro" in modes)


def _long(value: Value) -> WrittenMount:
    table = values.known(value, _LONG)
    for key in ("type", "target"):
        if key not in table:
            raise value.error(f"must have a {key}", "for instance type: volume, source: data, target: /data")
    kind = values.text(table["type"])
    if kind not in ("bind", "volume", "tmpfs"):
        raise values.refused(table["type"], f"a mount of type {kind[:20]} is not made", "write a volume or a tmpfs")
    options = []
    if kind == "tmpfs" and "tmpfs" in table:
        for name, one in values.known(table["tmpfs"], ("size", "mode")).items():
            octal = name == "mode" and isinstance(one.raw, int)
            options.append(f"{name}={one.raw:o}" if octal else f"{name}={values.size(one)}")
    volume = values.known(table["volume"], _VOLUME) if kind == "volume" and "volume" in table else {}
    return WrittenMount(
        value,
        kind,
        values.line(table["source"]) if "source" in table else "",
        container_path(table["target"], values.line(table["target"])),
        "read_only" in table and values.flag(table["read_only"]),
        _subpath(volume["subpath"]) if "subpath" in volume else "",
        ",".join(options),
    )


def _subpath(value: Value) -> str:
    path = posixpath.normpath(values.line(value))
    if path.startswith(("/", "..")):
        raise value.error("must be a path within the volume")
    return "" if path == "." else path


def read_mounts(
    mounts: list[WrittenMount],
    volumes: Mapping[str, object],
    files: CommitFiles,
    context: str | None,
    found: Findings,
    of: str,
) -> ReadMounts:
    """What they are on the server. ``volumes`` are those the file names; ``context`` is where the image is built from.

    Problems and notes go to ``found``.
    """
    read = ReadMounts()
    for mount in mounts:
        if mount.kind == "tmpfs":
            read.tmpfs.append(TemporaryDirectory(mount.path, mount.options))
        elif mount.kind == "volume":
            found.attempt(None, _volume, mount, volumes, read, found, of)
        else:
            found.attempt(None, _bind, mount, files, context, read, found, of)
    return read


def _volume(mount: WrittenMount, volumes: Mapping[str, object], read: ReadMounts, found: Findings, of: str) -> None:
    if not mount.source:
        found.note(mount.value, mount.path, "is kept by no deploy: to keep it, give the volume a name", of)
        return
    if mount.source not in volumes:
        raise mount.value.error(
            f"has the volume '{mount.source[:60]}', which the file does not name",
            f"add it below `volumes:` at the top; a file of the repository begins with ./, as ./{mount.source[:60]}",
        )
    read.volumes.append(ComposeVolume(mount.source, mount.path, mount.read_only, mount.subpath))


def _bind(
    mount: WrittenMount, files: CommitFiles, context: str | None, read: ReadMounts, found: Findings, of: str
) -> None:
    source = mount.source
    if _SOCKETS.fullmatch(source):
        hint = f"gitship routes, updates and restarts by itself: remove the service, {LOCAL}"
        raise values.refused(mount.value, "whoever has Docker's socket has the whole server", hint)
    if source in _CLOCK:
        found.note(mount.value, source, "is not mounted: containers have UTC; set TZ for another time", of)
        return
    if source.startswith(("/", "~")):
        hint = "keep data in a named volume"
        if source.startswith("/"):
            hint += f"; an admin may mount a directory: storage:mount APP {source[:60]}:{mount.path}"
        raise values.refused(mount.value, f"{source[:60]} is a path of the machine, not of the repository", hint)
    path = posixpath.normpath(source)
    if path == ".." or path.startswith("../"):
        hint = "move it into the repository"
        raise values.refused(mount.value, f"{source[:60]} is outside of the repository", hint)
    path = "" if path == "." else path
    directory = files.is_directory(path)
    if not directory and files.read(path) is None:
        read.data_directories[mount.path] = source
        return
    if context is not None and _overlap(path, context):
        found.note(mount.value, source, "is not mounted: the image has the files that it was built from", of)
        return
    if not mount.read_only:
        found.note(mount.value, source, "is read-only: it is the commit's", of)
    read.files.append(ComposeFile(mount.path, source=path, directory=directory))


def _overlap(path: str, context: str) -> bool:
    """Whether one is within the other: the source tree, which is mounted over the image's on a developer's machine."""
    return not path or not context or f"{path}/".startswith(f"{context}/") or f"{context}/".startswith(f"{path}/")


def refuse_data(mounts: list[WrittenMount], read: ReadMounts, found: Findings) -> None:
    """Directories that git does not have, of a service whose data are nobody's else to keep."""
    for mount in mounts:
        if mount.path in read.data_directories:
            stem = re.sub(r"[^A-Za-z0-9]+", "-", mount.source).strip("-")[:40] or "data"
            name = stem if VOLUME_NAME.fullmatch(stem) else "data"
            found.add(
                values.refused(
                    mount.value,
                    f"{mount.source[:60]} is not in the repository, and no data are kept beside it",
                    f"name a volume: write {name}:{mount.path} here and `{name}:` below `volumes:` at the top",
                )
            )
