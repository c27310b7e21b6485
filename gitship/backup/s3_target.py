"""Backups in a bucket of an S3-compatible service.

Objects go up as multipart uploads, which become visible when they are completed and are aborted otherwise. No checksum
headers are sent, which some services refuse: every part's SHA-256 is signed instead, as all of them check.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from gitship.backup import s3_errors, targets
from gitship.backup.s3_address import S3Address
from gitship.backup.s3_leftovers import Leftovers
from gitship.backup.stream import Meter, handed_over, until_gone
from gitship.backup.target_probe import probe
from gitship.backup.targets import StoredObject, TargetDefinition, Written
from gitship.errors import GitshipError

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig, S3Config

PART_BYTES = 12 << 20  # all of one size, which some services demand
PARTS_AT_ONCE = 2  # and one that is filled: 36 MiB in memory
MOST_PARTS = 10_000  # of S3 itself: 117 GiB
READ_BYTES = 1 << 20
SIDECARS_AT_ONCE = 8
_FAILURES = (BaseError, OSError, ValueError)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """In seconds. An upload that hangs ends after twice ``part_s`` (with its abort), all else after ``request_s``."""

    connect_s: float = 10
    request_s: float = 30  # of list, remove and small objects; of a read, between two pieces
    part_s: float = 180  # of a part: at 1.2 Mbit/s two of them go up in this time
    retries: int = 3  # of what was refused or reset


class S3Target:
    """See BackupTarget."""

    encrypts = False

    def __init__(self, definition: TargetDefinition, timeouts: Timeouts | None = None) -> None:
        limits = timeouts or Timeouts()
        self._definition = definition
        self._address = S3Address.of(definition)
        self._prefix = targets.bucket_and_prefix(definition.url)[1]
        self._leftovers = Leftovers(self._address, definition.options["key-id"], definition.secret, limits.request_s)
        self._small = self._store(limits, timeout_s=limits.request_s)
        self._parts = self._store(limits, timeout_s=limits.part_s)
        self._long = self._store(limits, timeout_s=None)

    def put(self, key: str, chunks: Iterable[bytes], gone: threading.Event) -> Written:
        meter = Meter()
        path = self._path(key)

        def upload(chunks: Iterator[bytes]) -> None:
            with self._asking("write"):
                obstore.put(
                    self._parts, path, chunks, use_multipart=True, chunk_size=PART_BYTES, max_concurrency=PARTS_AT_ONCE
                )

        # In a thread of its own: what is read there, such as another bucket's object, must not use obstore again.
        handed_over(self._limited(meter, until_gone(chunks, gone)), upload, "backup-upload")
        written = Written(meter.bytes, meter.sha256)
        try:
            with self._asking("write"):
                obstore.put(self._small, f"{path}{targets.SIDECAR}", targets.sidecar(key, written), use_multipart=False)
            found = next((stored for stored in self._listed(key) if stored[0] == key), None)
            if found is None or found[1] != written.bytes:
                raise GitshipError(
                    f"target {self._definition.name} lists {key} with {found[1] if found else 'no'} bytes "
                    f"of {written.bytes}",
                    "try again; if it stays, the service loses data: use another",
                )
        except BaseException:
            with suppress(GitshipError):
                self.remove(key)
            raise
        self._leftovers.abort(path.rpartition("/")[0])
        return written

    def _limited(self, meter: Meter, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in meter.metered(chunks):
            if meter.bytes > PART_BYTES * MOST_PARTS:
                raise GitshipError(
                    f"the backup is larger than {PART_BYTES * MOST_PARTS >> 30} GiB, the most of one object",
                    "use a directory or restic target for it",
                )
            yield chunk

    def listed(self, prefix: str) -> list[StoredObject]:
        found = self._listed(prefix)
        keys = {key for key, _, _ in found}
        objects = [entry for entry in found if targets.is_key(entry[0])]
        keys -= {f"{key}{targets.SIDECAR}" for key in keys if key.endswith(targets.WAL)}
        with ThreadPoolExecutor(SIDECARS_AT_ONCE, thread_name_prefix="backup-hashes") as pool:
            hashes = list(
                pool.map(
                    lambda entry: self._hash(entry[0]) if f"{entry[0]}{targets.SIDECAR}" in keys else None, objects
                )
            )
        return sorted(
            (StoredObject(*entry, digest) for entry, digest in zip(objects, hashes, strict=True)),
            key=lambda stored: stored.key,
        )

    @contextmanager
    def read(self, key: str) -> Iterator[Iterator[bytes]]:
        try:
            got = obstore.get(self._long, self._path(key))
        except _FAILURES as error:
            if s3_errors.is_missing(error):
                raise targets.missing(self._definition, key) from None
            raise self._explained("read", error) from error
        yield self._pieces(got, key)

    def remove(self, key: str) -> None:
        for path in (
            f"{self._path(key)}{targets.SIDECAR}",
            self._path(key),
        ):  # so that no hash is left without its object
            try:
                obstore.delete(self._small, path)
            except _FAILURES as error:
                if not s3_errors.is_missing(error):
                    raise self._explained("remove", error) from error

    def check(self, *, prepare: bool = True) -> None:
        probe(self, self._definition.name)

    def _listed(self, prefix: str) -> list[tuple[str, int, float]]:
        """Also sidecars. A prefix of S3's client is a directory: the rest of it is compared here."""
        directory = self._full(prefix).rpartition("/")[0]
        skipped = len(self._prefix) + 1 if self._prefix else 0
        with self._asking("list"):
            return [
                (entry["path"][skipped:], entry["size"], entry["last_modified"].timestamp())
                for batch in obstore.list(self._small, prefix=directory or None)
                for entry in batch
                if entry["path"][skipped:].startswith(prefix)
            ]

    def _hash(self, key: str) -> str | None:
        try:
            return targets.sidecar_hash(bytes(obstore.get(self._small, f"{self._path(key)}{targets.SIDECAR}").bytes()))
        except _FAILURES as error:
            if s3_errors.is_missing(error):
                return None
            raise self._explained("read", error) from error

    def _pieces(self, got: obstore.GetResult, key: str) -> Iterator[bytes]:
        size, count = got.meta["size"], 0
        with self._asking("read"):
            for piece in got.stream(min_chunk_size=READ_BYTES):
                content = bytes(piece)
                count += len(content)
                yield content
        if count != size:
            raise GitshipError(f"{key} ended after {count} of {size} bytes", "try again")

    @contextmanager
    def _asking(self, action: str) -> Iterator[None]:
        try:
            yield
        except _FAILURES as error:
            raise self._explained(action, error) from error

    def _explained(self, action: str, error: Exception) -> GitshipError:
        return s3_errors.explained(self._definition, action, error)

    def _path(self, key: str) -> str:
        return self._full(targets.checked_key(key))

    def _full(self, key: str) -> str:
        return f"{self._prefix}/{key}" if self._prefix else key

    def _store(self, limits: Timeouts, timeout_s: float | None) -> S3Store:
        address = self._address
        config: S3Config = {
            "access_key_id": self._definition.options["key-id"],
            "secret_access_key": self._definition.secret,
            "region": address.region,
            "endpoint": address.bucket_url if address.virtual else address.endpoint,
            "virtual_hosted_style_request": address.virtual,
            "disable_bulk_delete": True,  # which some services lack
        }
        client: ClientConfig = {
            "allow_http": address.endpoint.startswith("http://"),
            "connect_timeout": timedelta(seconds=limits.connect_s),
        }
        if timeout_s is None:
            client["timeout"] = timedelta(days=7)
            client["read_timeout"] = timedelta(seconds=limits.request_s)
        else:
            client["timeout"] = timedelta(seconds=timeout_s)
        # What timed out once is not tried again: by then all of retry_timeout is over.
        retry: RetryConfig = {
            "max_retries": limits.retries,
            "retry_timeout": timedelta(seconds=timeout_s or limits.request_s),
            "backoff": {"init_backoff": timedelta(seconds=0.5), "max_backoff": timedelta(seconds=5), "base": 2},
        }
        return S3Store(address.bucket, config=config, client_options=client, retry_config=retry)
