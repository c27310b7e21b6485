"""Backups in a restic repository, which stores only what is new: for plain data, as restic itself encrypts.

An object is a snapshot of one file. A second, of its hash, is made when the first is whole, and has hash and size in
its tags: a snapshot without that one, such as of a gitship that was killed, is no object.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gitship.backup import targets
from gitship.backup.restic import MissingRepository, Restic, object_of
from gitship.backup.stream import Meter, until_gone
from gitship.backup.target_probe import probe
from gitship.backup.targets import StoredObject, TargetDefinition, Written
from gitship.errors import GitshipError

TAG = "gitship"
UNFINISHED_S = 48 * 3600.0  # by then no upload is under way whose hash is to come


@dataclass(frozen=True, slots=True)
class _Snapshots:
    """``data`` has the object, ``mark`` says that it is whole."""

    stored: StoredObject
    data: str
    mark: str


class ResticTarget:
    """See BackupTarget."""

    encrypts = True

    def __init__(self, definition: TargetDefinition) -> None:
        self._definition = definition
        self._restic = Restic(definition)

    def put(self, key: str, chunks: Iterable[bytes], gone: threading.Event) -> Written:
        path = targets.checked_key(key)
        before = self._objects(key).get(key)
        meter = Meter()
        summary = self._restic.backup(path, [TAG], meter.metered(until_gone(chunks, gone)), gone)
        data, written = str(summary["snapshot_id"]), Written(meter.bytes, meter.sha256)
        try:
            data = self._listed_back(data, path, written)
            tags = [TAG, f"sha256={written.sha256}", f"bytes={written.bytes}", f"of={data}"]
            mark = [targets.sidecar(key, written)]
            self._restic.backup(f"{path}{targets.SIDECAR}", tags, mark, threading.Event())
        except BaseException:
            with suppress(GitshipError):
                self._restic.forget([data])
            raise
        if before is not None:
            self._restic.forget([before.mark, before.data])
        return written

    def listed(self, prefix: str) -> list[StoredObject]:
        return sorted((found.stored for found in self._objects(prefix).values()), key=lambda stored: stored.key)

    @contextmanager
    def read(self, key: str) -> Iterator[Iterator[bytes]]:
        with self._restic.dump(self._object(key).data, f"/{key}") as pieces:
            yield pieces

    def remove(self, key: str) -> None:
        """Also what killed uploads have left."""
        snapshots = self._snapshots()
        found = [entry for entry in snapshots if object_of(entry) in (key, f"{key}{targets.SIDECAR}")]
        marked = {_tag(entry, "of") for entry in snapshots}
        left = [
            entry
            for entry in snapshots
            if not object_of(entry).endswith(targets.SIDECAR)
            and entry["id"] not in marked
            and _made_at(entry) < time.time() - UNFINISHED_S
        ]
        if found:
            self._restic.forget(dict.fromkeys(entry["id"] for entry in [*found, *left]))

    def check(self, *, prepare: bool = True) -> None:
        try:
            self._restic.json("cat", "config")
        except MissingRepository:
            if not prepare:
                raise
            self._restic.init()
        probe(self, self._definition.name)

    def _listed_back(self, snapshot: str, path: str, written: Written) -> str:
        """The whole id of ``snapshot``, of which restic's summary may have only the beginning. Compares the size."""
        about, *nodes = self._restic.lines("ls", snapshot)
        sizes = [node.get("size", 0) for node in nodes if node.get("path") == f"/{path}"]
        if sizes != [written.bytes]:
            raise GitshipError(
                f"target {self._definition.name} lists {path} with {sizes or 'no'} bytes of {written.bytes}",
                "run `restic check` on the repository, and try again",
            )
        return str(about["id"])

    def _object(self, key: str) -> _Snapshots:
        found = self._objects(key).get(targets.checked_key(key))
        if found is None:
            raise targets.missing(self._definition, key)
        return found

    def _objects(self, prefix: str) -> dict[str, _Snapshots]:
        snapshots = self._snapshots()
        there = {entry["id"] for entry in snapshots}
        objects = {}
        for entry in sorted(snapshots, key=_made_at):
            key, data = object_of(entry).removesuffix(targets.SIDECAR), _tag(entry, "of")
            if data is not None and data in there and key.startswith(prefix):
                stored = StoredObject(key, int(_tag(entry, "bytes") or 0), _made_at(entry), _tag(entry, "sha256"))
                objects[key] = _Snapshots(stored, data, entry["id"])
        return objects

    def _snapshots(self) -> list[dict[str, Any]]:
        return self._restic.json("snapshots", "--tag", TAG) or []


def _tag(snapshot: dict[str, Any], name: str) -> str | None:
    found = [tag.partition("=")[2] for tag in snapshot.get("tags") or () if tag.startswith(f"{name}=")]
    return found[0] if found else None


def _made_at(snapshot: dict[str, Any]) -> float:
    return datetime.fromisoformat(snapshot["time"]).timestamp()
