"""Runs the restic program (0.14 or newer) on one repository; its errors explained.

Secrets go by the environment, never by arguments.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any

from gitship.backup.targets import TargetDefinition
from gitship.containers.attach_client import ClientLeft
from gitship.errors import GitshipError

RUN_S = 300.0  # of a command without data
PRUNE_S = 6 * 3600.0
STALL_S = 600.0  # restic takes no data, or gives none
INTERRUPT_S = 15.0  # from SIGINT, which removes its lock, to SIGKILL
LOCK_WAIT_S = 900.0  # for another's backup into the same repository
RETRY_S = 2.0
POLL_S = 0.5
READ_BYTES = 1 << 20
PIPE_BYTES = 64 << 10  # what a pipe holds that nobody reads, pipe(7)


class Restic:
    """One repository."""

    def __init__(self, definition: TargetDefinition) -> None:
        self._definition = definition
        password, _, s3_secret = definition.secret.partition("\n")
        self._environment = {"RESTIC_REPOSITORY": definition.url, "RESTIC_PASSWORD": password.strip()}
        if "key-id" in definition.options:
            self._environment["AWS_ACCESS_KEY_ID"] = definition.options["key-id"]
            self._environment["AWS_SECRET_ACCESS_KEY"] = s3_secret.strip()

    def json(self, *arguments: str) -> Any:
        """What the command prints. It takes no lock."""
        return json.loads(self._run(["--no-lock", "--json", *arguments], RUN_S) or "null")

    def lines(self, *arguments: str) -> list[dict[str, Any]]:
        """As ``json``, of a command that prints a document a line."""
        printed = self._run(["--no-lock", "--json", *arguments], RUN_S)
        return [json.loads(line) for line in printed.splitlines() if line.startswith(b"{")]

    def init(self) -> None:
        self._run(["init"], RUN_S)

    def forget(self, snapshots: Iterable[str]) -> None:
        """Removes them and their data. Waits for backups into the same repository, which exclude it."""
        deadline = time.monotonic() + LOCK_WAIT_S
        while True:
            try:
                self._run(["unlock", "-q"], RUN_S)  # only what processes left that are gone
                self._run(["forget", "-q", "--prune", *snapshots], PRUNE_S)
                return
            except RepositoryLocked:
                if time.monotonic() > deadline:
                    raise
                time.sleep(RETRY_S)  # another process's lock: there is nothing to wait for

    def backup(self, path: str, tags: Iterable[str], chunks: Iterable[bytes], gone: threading.Event) -> dict[str, Any]:
        """Stores ``chunks`` as a snapshot of one file, and returns restic's summary.

        Waits for a removal from the same repository, which excludes it. When ``chunks`` fails, ``gone`` is set
        (ClientLeft) or restic takes nothing for STALL_S, restic is interrupted before it can take what it has for the
        whole: no snapshot is saved.
        """
        tagged = [word for tag in tags for word in ("--tag", tag)]
        command = ["backup", "-q", "--json", "--host", "gitship", "--stdin", "--stdin-filename", path, *tagged]
        content = _Replayed(chunks)
        deadline = time.monotonic() + LOCK_WAIT_S
        while True:
            try:
                return self._backup(command, content.again(), gone)
            except RepositoryLocked:
                if not content.whole or time.monotonic() > deadline:
                    raise
                if gone.wait(RETRY_S):
                    raise ClientLeft from None

    def _backup(self, command: list[str], chunks: Iterable[bytes], gone: threading.Event) -> dict[str, Any]:
        with tempfile.TemporaryFile() as printed, self._started(command, subprocess.PIPE, printed) as (process, said):
            assert process.stdin is not None
            handle = process.stdin.fileno()
            os.set_blocking(handle, False)
            for chunk in chunks:
                self._feed(process, handle, chunk, gone, said)
            if gone.is_set():
                raise ClientLeft
            process.stdin.close()
            self._ended(process, gone, said)
            printed.seek(0)
            summaries = [line for line in printed.read().splitlines() if b'"summary"' in line]
        summary: dict[str, Any] = json.loads(summaries[-1])
        return summary

    @contextmanager
    def dump(self, snapshot: str, path: str) -> Iterator[Iterator[bytes]]:
        command = ["dump", "-q", "--no-lock", snapshot, path]
        with self._started(command, subprocess.DEVNULL, subprocess.PIPE) as (process, said):
            yield self._pieces(process, said)

    def _pieces(self, process: subprocess.Popen[bytes], said: IO[bytes]) -> Iterator[bytes]:
        assert process.stdout is not None
        handle = process.stdout.fileno()
        while True:
            if not select.select([handle], [], [], STALL_S)[0]:
                raise self._stalled()
            piece = os.read(handle, READ_BYTES)
            if not piece:
                break
            yield piece
        self._ended(process, threading.Event(), said)

    def _feed(
        self, process: subprocess.Popen[bytes], handle: int, chunk: bytes, gone: threading.Event, said: IO[bytes]
    ) -> None:
        rest = memoryview(chunk)
        deadline = time.monotonic() + STALL_S
        while rest:
            if gone.is_set():
                raise ClientLeft
            if time.monotonic() > deadline:
                raise self._stalled()
            if not select.select([], [handle], [], POLL_S)[1]:
                continue
            try:
                rest = rest[os.write(handle, rest) :]
                deadline = time.monotonic() + STALL_S
            except BrokenPipeError:
                process.wait(RUN_S)
                raise self._explained(said) from None

    def _ended(self, process: subprocess.Popen[bytes], gone: threading.Event, said: IO[bytes]) -> None:
        deadline = time.monotonic() + STALL_S
        while True:
            try:
                if process.wait(POLL_S) != 0:
                    raise self._explained(said)
                return
            except subprocess.TimeoutExpired:
                if gone.is_set():
                    raise ClientLeft from None
                if time.monotonic() > deadline:
                    raise self._stalled() from None

    @contextmanager
    def _started(
        self, command: list[str], stdin: int, stdout: int | IO[bytes]
    ) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes]]]:
        """The process, and the file of what it says; it is ended with the context, and only then sees its input end."""
        with tempfile.TemporaryFile() as said:
            try:
                process = subprocess.Popen(
                    ["restic", *command], stdin=stdin, stdout=stdout, stderr=said, env=os.environ | self._environment,
                    start_new_session=True,
                )  # fmt: skip
            except FileNotFoundError:
                raise GitshipError("the program restic is missing", "install it: `apt-get install restic`") from None
            try:
                yield process, said
            finally:
                _end(process)

    def _run(self, command: list[str], limit_s: float) -> bytes:
        try:
            done = subprocess.run(
                ["restic", *command], stdin=subprocess.DEVNULL, capture_output=True, timeout=limit_s,
                env=os.environ | self._environment, check=False,
            )  # fmt: skip
        except FileNotFoundError:
            raise GitshipError("the program restic is missing", "install it: `apt-get install restic`") from None
        except subprocess.TimeoutExpired:
            raise self._stalled() from None
        if done.returncode != 0:
            raise self._error(done.stderr.decode(errors="replace"))
        return done.stdout

    def _explained(self, said: IO[bytes]) -> GitshipError:
        said.seek(0)
        return self._error(said.read(64 << 10).decode(errors="replace"))

    def _error(self, text: str) -> GitshipError:
        name = self._definition.name
        lower = text.lower()
        if "wrong password or no key found" in lower:
            return GitshipError(f"target {name}: wrong password of the restic repository", "give it again")
        if "already locked" in lower:
            return RepositoryLocked(
                f"target {name}: another restic uses the repository",
                "wait for it; if none runs any more, `restic unlock`",
            )
        if "no space left" in lower:
            return GitshipError(f"target {name} is full", "free space there, or keep fewer backups")
        if "permission denied" in lower or "read-only file system" in lower:
            return GitshipError(f"target {name}: {_last(text)}", "let gitship's user write there")
        if any(word in lower for word in _UNREACHABLE):
            return GitshipError(
                f"target {name} cannot be reached: {_last(text)}", "look at its address and the network"
            )
        if "is there a repository at the following location" in lower:
            return MissingRepository(
                f"target {name}: there is no restic repository",
                "mount its disk or mend its address; set the target again to make a new repository",
            )
        return GitshipError(f"target {name}: restic failed: {_last(text)}", "run `restic check` on the repository")

    def _stalled(self) -> GitshipError:
        return GitshipError(
            f"target {self._definition.name}: restic makes no progress", "look whether the repository can be reached"
        )


class _Replayed:
    """Content from its beginning again, as long as no more than a pipe of it was taken.

    restic locks the repository before it reads: one that was refused the lock has taken no more than that.
    """

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._kept: list[bytes] = []
        self.whole = True  # nothing of it is lost yet

    def again(self) -> Iterator[bytes]:
        yield from list(self._kept)
        for chunk in self._chunks:
            if self.whole:
                self._kept.append(chunk)
            yield chunk
            if self.whole and sum(map(len, self._kept)) > PIPE_BYTES:  # taken: by one that has the lock
                self.whole = False
                self._kept.clear()


class RepositoryLocked(GitshipError):
    """Another process holds a lock that excludes the command."""


class MissingRepository(GitshipError):
    """The place can be reached, and there is no repository."""


_UNREACHABLE: tuple[str, ...] = (
    "connection refused", "no such host", "i/o timeout", "network is unreachable", "no route to host",
    "connection reset", "could not resolve hostname", "connection timed out", "x509:", "permission denied (publickey",
)  # fmt: skip


def object_of(snapshot: Mapping[str, Any]) -> str:
    """The path of a snapshot's only file, without the slash before it."""
    return str(snapshot["paths"][0]).removeprefix("/")


def _end(process: subprocess.Popen[bytes]) -> None:
    """SIGINT while its input is still open: restic saves what it has when that ends."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(INTERRUPT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()


def _last(text: str) -> str:
    """The first line that says why; restic's other lines are about what it tried."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    fatal = next((line for line in lines if line.lower().startswith(("fatal", "error"))), lines[-1] if lines else "?")
    return fatal.removeprefix("Fatal: ")[:200]
