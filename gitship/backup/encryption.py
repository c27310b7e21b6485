"""Encryption of backups in age's format (age-encryption.org/v1), to SSH public keys and age recipients.

Whoever has one of the private keys can decrypt with ``age -d``, without gitship.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pyrage

from gitship.backup.stream import CHUNK_BYTES, rechunked
from gitship.errors import ConfigError, GitshipError

_WRONG = "the backup cannot be decrypted"


class DamagedBackup(GitshipError):
    """What was decrypted is not all that was encrypted, or not that."""


def encrypted(chunks: Iterable[bytes], recipients: Sequence[str]) -> Iterator[bytes]:
    """Age's format, for whoever has the private key of one of ``recipients``; see ``usable``.

    ``chunks`` is read by the thread that iterates, and what it raises comes out.
    Raises GitshipError when nobody, or somebody impossible, is to be encrypted for.
    """
    if not recipients:
        raise GitshipError("there is nobody to encrypt the backup for", "add an SSH key of type ed25519 or RSA")
    keys = [_recipient(line) for line in recipients]
    return _passed(chunks, lambda source, sink: pyrage.encrypt_io(source, sink, keys))


def decrypted(chunks: Iterable[bytes], identity: str) -> Iterator[bytes]:
    """``identity`` is an ``AGE-SECRET-KEY-1...``, or an SSH private key without passphrase.

    Raises DamagedBackup when something is missing or changed: what came before that is right, but it is not all.
    Raises GitshipError when ``identity`` is none, or not one of those it was encrypted for.
    """
    key = _identity(identity)

    def run(source: _ChunkSource, sink: _ChunkSink) -> None:
        try:
            pyrage.decrypt_io(source, sink, [key])
        except (pyrage.DecryptError, OSError) as error:
            if source.turns.abandoned:
                raise
            if "No matching keys" in str(error):
                raise GitshipError(f"{_WRONG} with this key", "use a key that it was encrypted for") from None
            raise DamagedBackup(f"{_WRONG}: it is cut off or changed ({error})", "use another backup") from None

    return _passed(chunks, run)


def usable(keys: Iterable[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """Splits public keys into those that can be encrypted for, and the others, each with the reason."""
    fit: list[str] = []
    unfit: list[tuple[str, str]] = []
    for line in keys:
        kind = line.split(maxsplit=1)[0] if line.strip() else ""
        if kind.startswith("sk-"):
            unfit.append((line, "a security key can sign, but not decrypt"))
        elif kind.startswith("ecdsa-"):
            unfit.append((line, "age cannot encrypt for ECDSA keys"))
        else:
            try:
                _recipient(line)
            except GitshipError as error:
                unfit.append((line, error.message))
            else:
                fit.append(line)
    return fit, unfit


def server_key(path: Path) -> tuple[str, str]:
    """The server's own (recipient, identity), made first when there is no file: mode 0600, whole or not there at all.

    Raises ConfigError.
    """
    try:
        if not path.exists():
            _make(path)
        path.chmod(0o600)
        text = path.read_text(encoding="ascii")
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot use the key {path}: {error}", "run this as the user that owns data_dir") from None
    identity = next((line.strip() for line in text.splitlines() if line.startswith("AGE-SECRET-KEY-")), "")
    try:
        key = pyrage.x25519.Identity.from_str(identity)
    except pyrage.IdentityError:
        raise ConfigError(
            f"{path} holds no age key", "restore the right file: backups that were encrypted for it alone need it"
        ) from None
    return str(key.to_public()), identity


def _make(path: Path) -> None:
    """As ``age-keygen`` writes it, so that ``age -d -i`` reads it."""
    key = pyrage.x25519.Identity.generate()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # made with mode 0600
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(f"# public key: {key.to_public()}\n{key}\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):  # another process was first; its key counts
            path.hardlink_to(name)
    finally:
        Path(name).unlink()


def _recipient(line: str) -> pyrage.ssh.Recipient | pyrage.x25519.Recipient:
    text = line.strip()
    kind = pyrage.x25519.Recipient if text.startswith("age1") else pyrage.ssh.Recipient
    try:
        return kind.from_str(text)
    except pyrage.RecipientError as error:
        what = text.split(maxsplit=1)[0][:40] if text else "an empty line"
        raise GitshipError(
            f"age cannot encrypt for this key ({what}): {error}", "use a key of type ssh-ed25519, ssh-rsa or age1..."
        ) from None


def _identity(text: str) -> pyrage.ssh.Identity | pyrage.x25519.Identity:
    try:
        if "PRIVATE KEY" in text:
            return pyrage.ssh.Identity.from_buffer(text.encode())
        lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
        return pyrage.x25519.Identity.from_str(lines[0] if lines else "")
    except pyrage.IdentityError as error:
        raise GitshipError(
            f"that is no key to decrypt with: {error}", "give an AGE-SECRET-KEY-1... or an SSH key without passphrase"
        ) from None


class _Abandoned(Exception):
    """Ends the library's thread: nobody wants the rest."""


class _Turns:
    """Two threads take turns: the consumer's, which reads the source, and the library's, which pulls and pushes.

    The library holds Python's lock while it works, so nothing is lost by it; and nothing is buffered.
    """

    def __init__(self) -> None:
        self.abandoned = False
        self.ended = False
        self._consumer = threading.Semaphore(0)
        self._library = threading.Semaphore(0)

    def start(self, run: Callable[[], None]) -> threading.Thread:
        """Begins with a turn of the library, and comes back at the consumer's."""

        def whole() -> None:
            try:
                run()
            finally:
                self.ended = True
                self._consumer.release()

        thread = threading.Thread(target=whole, name="backup-age", daemon=True)
        thread.start()
        self._consumer.acquire()
        return thread

    def to_library(self) -> None:
        self._library.release()
        self._consumer.acquire()

    def to_consumer(self) -> None:
        if not self.abandoned:
            self._consumer.release()
            self._library.acquire()
        if self.abandoned:  # also when the library writes once more after an error
            raise _Abandoned

    def abandon(self) -> None:
        self.abandoned = True
        self._library.release()


class _ChunkSource:
    """The file that the library reads: a turn of the consumer for each chunk."""

    def __init__(self, turns: _Turns) -> None:
        self.turns = turns
        self.wanted = False
        self._ended = False
        self._rest = memoryview(b"")

    def give(self, chunk: bytes | None) -> None:
        """None is the end."""
        self.wanted = False
        self._ended = chunk is None
        self._rest = memoryview(chunk or b"")

    def read(self, size: int = -1) -> bytes:
        if not self._rest and not self._ended:
            self.wanted = True
            self.turns.to_consumer()
        piece = self._rest if size < 0 else self._rest[:size]
        self._rest = self._rest[len(piece) :]
        return bytes(piece)


class _ChunkSink:
    """The file that the library writes: a turn of the consumer when there is a chunk worth one."""

    def __init__(self, turns: _Turns) -> None:
        self._turns = turns
        self._pieces: list[bytes] = []
        self._count = 0

    def write(self, piece: bytes) -> int:
        self._pieces.append(piece)
        self._count += len(piece)
        if self._count >= CHUNK_BYTES:
            self._turns.to_consumer()
        return len(piece)

    def flush(self) -> None:
        """Of no use here: the consumer takes what there is at each of its turns."""

    def taken(self) -> bytes:
        content = b"".join(self._pieces)
        self._pieces.clear()
        self._count = 0
        return content


def _passed(chunks: Iterable[bytes], run: Callable[[_ChunkSource, _ChunkSink], None]) -> Iterator[bytes]:
    """What ``run`` makes of ``chunks``. Its thread ends with the iterator: at its end, closed, or forgotten."""
    turns = _Turns()
    source, sink = _ChunkSource(turns), _ChunkSink(turns)
    failed: list[Exception] = []

    def library() -> None:
        try:
            run(source, sink)
        except Exception as error:
            failed.append(error)

    given = rechunked(chunks)
    thread = turns.start(library)
    try:
        while True:
            if content := sink.taken():
                yield content
            if turns.ended:
                break
            if source.wanted:
                source.give(next(given, None))
            turns.to_library()
        if failed:
            raise failed[0]
    finally:
        turns.abandon()
        thread.join()
