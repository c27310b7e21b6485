"""git-upload-pack: clone and fetch, by git or by Dulwich (protocol version 0 only)."""

from __future__ import annotations

import logging
import os
import re
import select
import shutil
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress

from dulwich.errors import GitProtocolError, HangupException
from dulwich.objects import ObjectID
from dulwich.refs import Ref
from dulwich.repo import Repo
from dulwich.server import Backend, BackendRepo, UploadPackHandler

from gitship.git import git_process
from gitship.git.push_request import PktLines
from gitship.git.ref_names import HIDDEN_PREFIX
from gitship.git.repository import Repository
from gitship.git.streams import ByteSink, ByteSource

IDLE_S = 600
"""A client that says nothing for so long, while it is its turn, is hung up on."""
_SETTINGS = {
    "uploadpack.hideRefs": HIDDEN_PREFIX.rstrip("/"),
    "uploadpack.allowFilter": "true",
    # The end of the client's stream does not mean that it left (Dulwich's ends its side early), but a failed write
    # does: while a large pack is being made, a sign of life per second finds out.
    "uploadpack.keepAlive": "1",
}
_LOOK_MS = 500
_VERSION = re.compile(r"version=[012]")
_CHUNK_BYTES = 256 << 10
log = logging.getLogger(__name__)


def upload_pack(
    stdin: ByteSource,
    stdout: ByteSink,
    repository: Repository,
    *,
    protocol: str = "",
    git: bool | None = None,
    gone: threading.Event | None = None,
    opened: Callable[[], None] = lambda: None,
) -> int:
    """Serves one ``git-upload-pack``; the exit code. Ends, with its child, when the client goes.

    ``protocol`` is the client's GIT_PROTOCOL, which counts only as ``version=0`` to ``2``. ``git`` False takes Dulwich
    even though git is there. ``gone`` (the session's ``closed``) tells that the client left; without it that is noticed
    at the next write, within 2 s. ``opened`` is called once the repository is held by its directory, whatever its path
    leads to from then on; what it raises ends all of it.
    The caller closes ``stdin`` afterwards, which ends the thread that reads it.
    """
    if git is False or not shutil.which("git"):
        return _serve_by_dulwich(stdin, stdout, repository, opened)
    return _serve_by_git(stdin, stdout, repository, protocol, gone or threading.Event(), opened)


def _serve_by_git(
    stdin: ByteSource,
    stdout: ByteSink,
    repository: Repository,
    protocol: str,
    gone: threading.Event,
    opened: Callable[[], None],
) -> int:
    environment = {"GIT_PROTOCOL": protocol} if _VERSION.fullmatch(protocol) else {}
    command = git_process.git_command(["upload-pack", "--strict", f"--timeout={IDLE_S}", "."], _SETTINGS)
    reader, writer = os.pipe()
    try:
        process = git_process.start(command, repository.path, environment, stdin=reader, stderr=subprocess.DEVNULL)
    except OSError:
        os.close(writer)
        raise
    finally:
        os.close(reader)
    threading.Thread(target=_pass_on, args=(stdin, writer), name="git-upload-feed", daemon=True).start()
    assert process.stdout is not None
    poll = select.poll()
    poll.register(process.stdout, select.POLLIN)
    try:
        opened()
        while not gone.is_set():
            if not poll.poll(_LOOK_MS):
                continue
            data = os.read(process.stdout.fileno(), _CHUNK_BYTES)
            if not data:
                return process.wait(timeout=IDLE_S)
            stdout.write(data)
        return 1
    except (OSError, subprocess.TimeoutExpired):
        return 1  # the client has gone
    finally:
        git_process.end(process)


def _pass_on(stdin: ByteSource, writer: int) -> None:
    """What the client says goes to the child, until either of them ends."""
    try:
        with suppress(OSError):
            while data := stdin.read(_CHUNK_BYTES):
                rest = memoryview(data)
                while rest:
                    rest = rest[os.write(writer, rest) :]
    finally:
        os.close(writer)


def _serve_by_dulwich(stdin: ByteSource, stdout: ByteSink, repository: Repository, opened: Callable[[], None]) -> int:
    wire = PktLines(stdin, stdout)
    with _VisibleRepo(str(repository.path)) as repo:
        opened()
        try:
            UploadPackHandler(_One(repo), [""], wire).handle()
        except HangupException:
            return 0  # a client that has all it wants hangs up here
        except (GitProtocolError, OSError) as error:
            log.debug("a fetch from %s ended early: %s", repository.path.name, error)
            return 1
    return 0


class _VisibleRepo(Repo):
    """The repository without the refs that are the server's own."""

    def get_refs(self) -> dict[Ref, ObjectID]:
        return {name: sha for name, sha in super().get_refs().items() if not name.startswith(HIDDEN_PREFIX.encode())}


class _One(Backend):
    def __init__(self, repo: Repo) -> None:
        super().__init__()
        self._repo = repo

    def open_repository(self, path: str) -> BackendRepo:
        return self._repo
