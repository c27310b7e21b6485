"""Backup targets: where backups are stored, as what a user types defines them.

A target keeps objects under keys such as ``db/2026-12-01T02-00.age``. Nothing is visible under a key until it is whole.
"""

from __future__ import annotations

import re
import shlex
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from gitship.errors import NotFound, UsageError, nearest

KINDS = {"s3": "S3-compatible", "directory": "directory", "restic": "restic"}
_OPTIONS: Mapping[str, frozenset[str]] = {
    "s3": frozenset({"endpoint", "region", "key-id", "style"}),
    "directory": frozenset(),
    "restic": frozenset({"key-id"}),
}
_STYLES = ("path", "virtual")
_FORMS = "give s3://BUCKET/PATH, a directory such as /var/backups/gitship, or restic:REPOSITORY"
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]")
_SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,120}")
WAL = ".gz.age"  # a file of WAL: too many to look up the hash of each, and each proves itself when it is read
SIDECAR = ".sha256"  # of an object whose hash is only known when all of it has been sent


@dataclass(frozen=True, slots=True)
class StoredObject:
    """``modified_at`` in seconds since the epoch. ``sha256`` in hex, None when the target has no hash of it."""

    key: str
    bytes: int
    modified_at: float
    sha256: str | None


@dataclass(frozen=True, slots=True)
class Written:
    """What went to a target: its size, and its SHA-256 in hex."""

    bytes: int
    sha256: str


class BackupTarget(Protocol):
    """Safe from any thread. Every method raises GitshipError that says what is wrong, and what to do."""

    @property
    def encrypts(self) -> bool:
        """The target encrypts by itself, and stores less of what it has already if it is given plain data."""

    def put(self, key: str, chunks: Iterable[bytes], gone: threading.Event) -> Written:
        """Stores one stream, replacing what was there, and compares what the target then lists.

        Memory is bounded, whatever the size. Nothing is visible under ``key`` until it is whole. Raises what ``chunks``
        raises, and ClientLeft when ``gone`` is set; nothing is left of it then.
        """

    def listed(self, prefix: str) -> list[StoredObject]:
        """The objects whose key starts with ``prefix``, by key."""

    def read(self, key: str) -> AbstractContextManager[Iterator[bytes]]:
        """Raises NotFound when there is no such object. The target's own hash is not compared."""

    def remove(self, key: str) -> None:
        """No error when there is no such object."""

    def check(self, *, prepare: bool = True) -> None:
        """Writes, lists, reads and removes a small object.

        ``prepare`` also makes what the target needs once: a directory with its marker file, or a restic repository.
        Without it, a directory whose disk is not mounted, or a repository that is gone, is an error.
        """


@dataclass(frozen=True, slots=True)
class TargetDefinition:
    """A valid definition: ``kind`` is one of KINDS, ``options`` are of that kind. See ``parse``."""

    name: str
    kind: str
    url: str
    options: Mapping[str, str]
    secret: str = field(repr=False)

    @staticmethod
    def parse(name: str, words: Sequence[str], secret: str) -> TargetDefinition:
        """``words`` as a user types them: ``s3://bucket/path --endpoint URL --region R --key-id ID``.

        Raises UsageError.
        """
        url, options = "", {}
        rest = list(words)
        while rest:
            word = rest.pop(0)
            if not word.startswith("--"):
                if url:
                    raise UsageError(f"'{word}' is one word too many after {url}", _FORMS)
                url = word
                continue
            option, equals, value = word[2:].partition("=")
            if not equals:
                if not rest or rest[0].startswith("--"):
                    raise UsageError(f"--{option} needs a value", f"for example --{option} VALUE")
                value = rest.pop(0)
            if option in options:
                raise UsageError(f"--{option} is given twice", "give it once")
            options[option] = value
        return TargetDefinition.of(name, url, options, secret)

    @staticmethod
    def of(name: str, url: str, options: Mapping[str, str], secret: str) -> TargetDefinition:
        """Raises UsageError that names what is wrong. ``options`` have names without dashes before them."""
        kind, url = _kind(url)
        for option, value in options.items():
            if option not in _OPTIONS[kind]:
                close = nearest(option, _OPTIONS[kind])
                known = ", ".join(f"--{word}" for word in sorted(_OPTIONS[kind])) or "none"
                hint = f"did you mean --{close}?" if close else f"its options: {known}"
                raise UsageError(f"a {KINDS[kind]} target has no option --{option}", hint)
            if not value or not value.isprintable():
                raise UsageError(f"--{option} has an invalid value", f"for example --{option} VALUE")
        secret = secret.strip()
        _CHECKS[kind](url, options, secret)
        return TargetDefinition(name, kind, url, dict(options), secret)

    @property
    def typed(self) -> str:
        """As a user types it, without the secret."""
        url = f"restic:{self.url}" if self.kind == "restic" else self.url
        return shlex.join([url, *(word for key, value in self.options.items() for word in (f"--{key}", value))])


def target_of(definition: TargetDefinition) -> BackupTarget:
    """Opens no connection yet. The libraries of a kind (7 MB for S3) are loaded by its first target."""
    if definition.kind == "s3":
        from gitship.backup.s3_target import S3Target

        return S3Target(definition)
    if definition.kind == "restic":
        from gitship.backup.restic_target import ResticTarget

        return ResticTarget(definition)
    from gitship.backup.directory_target import DirectoryTarget

    return DirectoryTarget(definition)


def checked_key(key: str) -> str:
    """A key that means the same in a bucket, in a directory and in restic. Raises ValueError."""
    if not is_key(key):
        raise ValueError(f"invalid key of a backup: {key!r}")
    return key


def is_key(name: str) -> bool:
    """False of what others keep at a target, and of sidecars."""
    return all(_SEGMENT.fullmatch(part) for part in name.split("/")) and not name.endswith(SIDECAR)


def missing(definition: TargetDefinition, key: str) -> NotFound:
    return NotFound(f"the target {definition.name} has no {key}", "it may have been removed: list the backups")


def sidecar(key: str, written: Written) -> bytes:
    """What ``sha256sum`` prints and ``sha256sum --check`` reads."""
    return f"{written.sha256}  {key.rpartition('/')[2]}\n".encode("ascii")


def sidecar_hash(content: bytes) -> str | None:
    found = re.match(rb"([0-9a-f]{64})\s", content)
    return found[1].decode("ascii") if found else None


def bucket_and_prefix(url: str) -> tuple[str, str]:
    """The prefix without slashes around it: empty for the whole bucket."""
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    return bucket, prefix.strip("/")


def _kind(url: str) -> tuple[str, str]:
    if not url:
        raise UsageError("a target needs a place", _FORMS)
    if url.startswith("s3://"):
        return "s3", url
    if url.startswith("restic:"):
        return "restic", url.removeprefix("restic:")
    if url.startswith("/"):
        return "directory", url
    raise UsageError(f"'{url[:80]}' is not a place for backups", _FORMS)


def _check_s3(url: str, options: Mapping[str, str], secret: str) -> None:
    bucket, prefix = bucket_and_prefix(url)
    if not _BUCKET.fullmatch(bucket):
        raise UsageError(
            f"'{bucket}' is not the name of a bucket", "give s3://BUCKET/PATH; the host goes to --endpoint"
        )
    if prefix and not all(_SEGMENT.fullmatch(part) for part in prefix.split("/")):
        raise UsageError(f"the path '{prefix}' has characters that stores treat differently", "use A-Z a-z 0-9 . _ - /")
    if "key-id" not in options:
        raise UsageError("an S3 target needs the id of an access key", "add --key-id ID")
    if not secret:
        raise UsageError("an S3 target needs the secret of its access key", "give it on standard input")
    if len(secret.split()) != 1:
        raise UsageError("the secret has more than one word", "give the secret access key alone on standard input")
    if "endpoint" in options:
        parts = urlsplit(options["endpoint"])
        if (
            parts.scheme not in ("http", "https")
            or not parts.hostname
            or parts.username
            or parts.query
            or parts.path.strip("/")
        ):
            raise UsageError(
                f"'{options['endpoint']}' is not the URL of an S3 service",
                "give --endpoint https://HOST, without the bucket; for AWS give only --region",
            )
    elif "region" not in options:
        raise UsageError("the region is missing", "add --region REGION for AWS, or --endpoint URL for another service")
    if options.get("style", "path") not in _STYLES:
        raise UsageError(f"'{options['style']}' is not a style of S3 URLs", "give --style path or --style virtual")


def _check_directory(url: str, options: Mapping[str, str], secret: str) -> None:
    if Path(url) == Path("/") or ".." in Path(url).parts or not url.isprintable():
        raise UsageError(f"'{url[:80]}' is not a directory for backups", "give one of its own: /var/backups/gitship")
    if secret:
        raise UsageError("a directory needs no secret", "give nothing on standard input")


def _check_restic(url: str, options: Mapping[str, str], secret: str) -> None:
    if not url or not url.isprintable() or url.startswith("-"):
        raise UsageError(f"'{url[:80]}' is not a restic repository", "for example restic:sftp:user@host:/srv/restic")
    if not secret:
        raise UsageError("a restic repository needs its password", "give it on standard input")
    if "key-id" in options and len(secret.splitlines()) != 2:
        raise UsageError(
            "with --key-id two secrets are needed",
            "give two lines on standard input: the repository's password, then the secret access key",
        )
    if "key-id" not in options and len(secret.splitlines()) != 1:
        raise UsageError("the password has more than one line", "give only the repository's password on standard input")


_CHECKS = {"s3": _check_s3, "directory": _check_directory, "restic": _check_restic}
