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
from gitship.backup.stream import Meter
from gitship.backup.targets import BackupTarget, StoredObject, TargetDefinition, target_of
from gitship.config import Settings
from gitship.errors import GitshipError, ServiceError
from gitship.model import Role
from gitship.model.backups import StoredBackup, StoredTarget, SubjectKind
from gitship.store import Store

MANIFEST = ".json"  # after the key of the object that it is of
MANIFEST_BYTES = 1 << 20
ENCRYPTED = ".age"
BASE = ".base"  # in the place of a service's dump
ENDS = {SubjectKind.SERVICE: ".dump", SubjectKind.VOLUME: ".volume.tar", SubjectKind.SERVER: ".gitship.tar"}


@dataclass(frozen=True, slots=True)
class BackupManifest:
    """What a backup is of, for a machine that knows nothing of it. It names no table or file: it is not encrypted.

    ``tables`` and ``rows`` are as when the dump was made, None when its engine cannot count. A volume has ``files``,
    their ``content_bytes``, and ``content`` as in ``RowCounts``. Of a base, ``wal`` is the folder of
    what goes on from it, and ``as_of`` the earliest time that it can be taken to, in epoch seconds.
    """

    kind: str
    name: str
    engine: str
    version: str
    database: str
    bytes: int
    sha256: str
    tables: int | None
    rows: int | None
    files: int | None
    content_bytes: int | None
    content: str
    created: str
    server: str
    gitship: str = __version__
    wal: str = ""
    as_of: float | None = None


def parse_manifest(key: str, content: bytes) -> BackupManifest:
    """Raises GitshipError."""
    try:
        document = json.loads(content)
        document = {"wal": "", "as_of": None, **document}  # of before there were bases
        return BackupManifest(**{field.name: document[field.name] for field in fields(BackupManifest)})
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

    def key(self, backup: StoredBackup) -> str:
        """Where the backup goes; by its time, and by its id, so that none ever takes another's place."""
        subject = backup.subject
        at = time.strftime("%Y-%m-%dT%H-%M-%SZ", time.gmtime(backup.started_at))
        what = f".{backup.engine}" if subject.kind is SubjectKind.SERVICE else ""
        end = (BASE if backup.is_base else ENDS[subject.kind]) + (ENCRYPTED if backup.encrypted else "")
        return f"{self._store.server_id()}/{subject.name}/{at}-{backup.id}{what}{end}"

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

    def write_manifest(self, target: BackupTarget, backup: StoredBackup, database: str) -> None:
        counted, kind = backup.counts.after, backup.subject.kind
        tables = counted if kind is SubjectKind.SERVICE else {}
        manifest = BackupManifest(
            kind, backup.subject.name, backup.engine, backup.version, database, backup.bytes, backup.sha256,
            len(tables) or None, backup.counts.rows if tables else None, backup.files, backup.content_bytes,
            backup.counts.content, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(backup.started_at)),
            self._store.server_id(),
            wal="" if backup.archive_id is None else self._store.wal_archive(backup.archive_id).folder,
            as_of=backup.as_of,
        )  # fmt: skip
        content = json.dumps(asdict(manifest), indent=2).encode() + b"\n"
        target.put(f"{backup.key}{MANIFEST}", [content], threading.Event())

    def read_manifest(self, target: BackupTarget, key: str) -> BackupManifest:
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
        """The backups, without their manifests."""
        return [found for found in target.listed(prefix) if subject_of(found.key)[0]]

    @contextmanager
    def plain(
        self, target: BackupTarget, key: str, encrypted: bool, metered: Callable[[Iterator[bytes]], Iterator[bytes]]
    ) -> Iterator[Iterator[bytes]]:
        """The content itself; ``metered`` sees what lies at the target pass."""
        with target.read(key) as chunks:
            passed = metered(chunks)
            yield encryption.decrypted(passed, self.identity()) if encrypted else passed

    @contextmanager
    def proved(self, target: BackupTarget, key: str, encrypted: bool, sha256: str) -> Iterator[Iterator[bytes]]:
        """The same; the end of the block, which reads the rest, raises ServiceError unless it is what was stored."""
        meter = Meter()
        with self.plain(target, key, encrypted, meter.metered) as chunks:
            yield chunks
            for _ in chunks:
                pass
        if meter.sha256 != sha256:
            raise ServiceError(
                f"the target gives back something else than was stored: SHA-256 {meter.sha256[:16]}...",
                "use another backup, and look at the target's disk",
            )


def is_base(key: str) -> bool:
    """As ``StoredBackup.is_base``."""
    return key.removesuffix(ENCRYPTED).endswith(BASE)


def subject_of(key: str) -> tuple[str, str, str]:
    """Kind, name and engine of what a key was made for; empty for another's."""
    _, _, rest = key.removesuffix(ENCRYPTED).partition("/")
    name, _, last = rest.rpartition("/")
    for kind, end in ((SubjectKind.SERVICE, BASE), *ENDS.items()):
        if name and last.endswith(end):
            engine = last.removesuffix(end).rpartition(".")[2] if kind is SubjectKind.SERVICE else ""
            return kind, name, engine
    return "", "", ""
