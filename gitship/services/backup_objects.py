"""Objects of backups at a target: their keys, whom they are encrypted for, and the manifest beside each."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields

from gitship import __version__
from gitship.backup import encryption
from gitship.backup.targets import BackupTarget, StoredObject, TargetDefinition, target_of
from gitship.config import Settings
from gitship.errors import GitshipError
from gitship.model import Role
from gitship.model.backups import ServiceBackup, StoredTarget
from gitship.model.services import Service
from gitship.store import Store

MANIFEST = ".json"  # after the key of the object that it is of
MANIFEST_BYTES = 1 << 20
DUMP, ENCRYPTED = ".dump", ".age"


@dataclass(frozen=True, slots=True)
class DumpManifest:
    """What a dump is, for a machine that knows nothing of it. It names no table: it is not encrypted.

    ``tables`` and ``rows`` are as when the dump was made, None when its engine cannot count.
    """

    service: str
    engine: str
    version: str
    database: str
    bytes: int
    sha256: str
    tables: int | None
    rows: int | None
    created: str
    server: str
    gitship: str = __version__


def parse_manifest(key: str, content: bytes) -> DumpManifest:
    """Raises GitshipError."""
    try:
        document = json.loads(content)
        return DumpManifest(**{field.name: document[field.name] for field in fields(DumpManifest)})
    except (ValueError, TypeError, KeyError):
        raise GitshipError(f"{key}{MANIFEST} is not the manifest of a backup", "use another backup") from None


class BackupObjects:
    """Safe from any thread. ``open_target`` is another one in tests."""

    def __init__(
        self, store: Store, settings: Settings, open_target: Callable[[TargetDefinition], BackupTarget] = target_of
    ) -> None:
        self._store = store
        self._settings = settings
        self._open = open_target

    def at(self, target: StoredTarget) -> BackupTarget:
        return self._open(TargetDefinition(target.name, target.kind, target.url, target.options, target.secret))

    def key(self, service: Service, backup: ServiceBackup) -> str:
        """Where the backup goes; by its time, and by its id, so that none ever takes another's place."""
        at = time.strftime("%Y-%m-%dT%H-%M-%SZ", time.gmtime(backup.started_at))
        end = ENCRYPTED if backup.encrypted else ""
        return f"{self._store.server_id()}/{service.name}/{at}-{backup.id}.{service.engine}{DUMP}{end}"

    def recipients(self) -> tuple[list[str], list[str]]:
        """The public keys to encrypt for, and what is to be told of the admins' that cannot be used.

        Raises ConfigError when the server's own cannot be read.
        """
        known = self._store.keys()
        keys = {key.public_key: key.name for key in known if key.role is Role.ADMIN and key.apps is None}
        fit, unfit = encryption.usable(keys)
        told = [f"the key '{keys[line]}' will not decrypt it: {reason}" for line, reason in unfit]
        own, _ = encryption.server_key(self._settings.backup_key)
        return [*fit, own], told

    def identity(self) -> str:
        """Raises ConfigError."""
        return encryption.server_key(self._settings.backup_key)[1]

    def write_manifest(self, target: BackupTarget, service: Service, backup: ServiceBackup) -> None:
        counted = backup.counts.after
        manifest = DumpManifest(
            service.name, service.engine, service.version, service.database, backup.bytes, backup.sha256,
            len(counted) or None, backup.counts.rows if counted else None,
            time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(backup.started_at)), self._store.server_id(),
        )  # fmt: skip
        content = json.dumps(asdict(manifest), indent=2).encode() + b"\n"
        target.put(f"{backup.key}{MANIFEST}", [content], threading.Event())

    def read_manifest(self, target: BackupTarget, key: str) -> DumpManifest:
        """Raises NotFound, GitshipError."""
        content = bytearray()
        with target.read(f"{key}{MANIFEST}") as chunks:
            for chunk in chunks:
                content += chunk
                if len(content) > MANIFEST_BYTES:
                    break
        return parse_manifest(key, bytes(content))

    def remove(self, target: BackupTarget, key: str) -> None:
        """The manifest last: what has none is no backup that somebody made whole."""
        target.remove(key)
        target.remove(f"{key}{MANIFEST}")

    def listed(self, target: BackupTarget, prefix: str = "") -> list[StoredObject]:
        """The dumps, without their manifests."""
        return [found for found in target.listed(prefix) if is_dump(found.key)]

    @contextmanager
    def plain(
        self, target: BackupTarget, key: str, encrypted: bool, metered: Callable[[Iterator[bytes]], Iterator[bytes]]
    ) -> Iterator[Iterator[bytes]]:
        """The dump itself; ``metered`` sees what lies at the target pass."""
        with target.read(key) as chunks:
            passed = metered(chunks)
            yield encryption.decrypted(passed, self.identity()) if encrypted else passed


def is_dump(key: str) -> bool:
    return key.endswith((DUMP, DUMP + ENCRYPTED))


def service_of(key: str) -> tuple[str, str]:
    """The names of service and engine that a key was made of; empty for another's."""
    parts = key.removesuffix(ENCRYPTED).removesuffix(DUMP).split("/")
    return (parts[-2], parts[-1].rpartition(".")[2]) if len(parts) >= 3 else ("", "")
