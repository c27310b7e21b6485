"""The server's two git services behind git's own git:// transport, so that a stock client can talk to them.

A git:// client does not end its stream after the pack, which is the harder case; an SSH client does.
"""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from dulwich.protocol import ReceivableProtocol

from gitship.git.ingest import Ingest
from gitship.git.push_host import ReceiveHost
from gitship.git.push_limits import ReceiveLimits
from gitship.git.receive_pack import receive_pack
from gitship.git.refs import RefUpdate
from gitship.git.repository import Repositories, Repository
from gitship.git.upload_pack import upload_pack
from tests.places import free_port
from tests.unit.git.move_refs import MoveRefs

# Neither deltas nor compression: large random files are there to take long on the wire, not in the client.
SETTINGS = ("-c", "init.defaultBranch=main", "-c", "core.compression=0", "-c", "pack.window=0")


class SocketStream:
    """A session's stdin and stdout over a socket."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection

    def read(self, size: int, /) -> bytes:
        return self.connection.recv(size)

    def write(self, data: bytes, /) -> int:
        self.connection.sendall(data)
        return len(data)


class GitServer:
    """Serves the repositories below ``root``; ``host`` and ``limits`` may be set at any time."""

    def __init__(self, root: Path, ingest: Ingest, *, by_git: bool = True) -> None:
        self.repositories = Repositories(root, None)
        self.ingest = ingest
        self.by_git = by_git
        self.limits = ReceiveLimits()
        self.host: Callable[[Repository], ReceiveHost] = MoveRefs
        self.codes: list[int] = []
        self._listener = socket.create_server(("127.0.0.1", free_port()), backlog=64)
        self._accepter = threading.Thread(target=self._accept, name="test-gitd", daemon=True)
        self._accepter.start()

    def url(self, name: str = "shop") -> str:
        return f"git://127.0.0.1:{self._listener.getsockname()[1]}/{name}"

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepter.join(5)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), name="test-gitd-session", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        stream = SocketStream(connection)
        try:
            line = ReceivableProtocol(stream.read, stream.write).read_pkt_line() or b""
            service, _, rest = line.partition(b" ")
            path, *extra = rest.split(b"\0")
            repository = self.repositories.open(path.decode().strip("/"))
            if service == b"git-receive-pack":
                code = receive_pack(
                    stream, stream, repository, self.host(repository), limits=self.limits, ingest=self.ingest
                )
            else:
                version = next((word.decode() for word in extra if word.startswith(b"version=")), "")
                code = upload_pack(stream, stream, repository, protocol=version, git=self.by_git)
            self.codes.append(code)
        finally:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()


class Work:
    """A work tree with a stock git that has no settings of the machine it runs on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.path),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": "Ann",
            "GIT_AUTHOR_EMAIL": "ann@example.com",
            "GIT_COMMITTER_NAME": "Ann",
            "GIT_COMMITTER_EMAIL": "ann@example.com",
            "LC_ALL": "C",
        }

    def git(self, *arguments: str, fails: bool = False) -> str:
        """Output and messages of a git command that must succeed, or must fail."""
        done = subprocess.run(
            ["git", *SETTINGS, *arguments],
            cwd=self.path,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        text = done.stdout + done.stderr
        assert (done.returncode != 0) is fails, text
        return text

    def init(self) -> Work:
        self.git("init", "-q")
        return self

    def write(self, files: Mapping[str, str | bytes]) -> None:
        for name, content in files.items():
            file = self.path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content.encode() if isinstance(content, str) else content)

    def commit(self, files: Mapping[str, str | bytes], message: str = "Change") -> str:
        """Commits these files on the current branch; the commit's name."""
        self.write(files)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        branch = (self.path / ".git/HEAD").read_text().removeprefix("ref: ").strip()
        return (self.path / ".git" / branch).read_text().strip()

    def head(self, name: str = "HEAD") -> str:
        return self.git("rev-parse", name).strip()


class Refuse:
    """A host that refuses some refs with a reason, and otherwise moves them."""

    def __init__(self, repository: Repository, reasons: Mapping[str, str]) -> None:
        self._move = MoveRefs(repository)
        self._reasons = reasons
        self.options: Sequence[str] = ()

    def check(self, updates: Sequence[RefUpdate], options: Sequence[str]) -> Mapping[str, str]:
        self.options = options
        return {update.ref: self._reasons[update.ref] for update in updates if update.ref in self._reasons}

    def admitted(self) -> AbstractContextManager[None]:
        return self._move.admitted()

    def accept(
        self,
        updates: Sequence[RefUpdate],
        options: Sequence[str],
        progress: Callable[[str], None],
        gone: threading.Event,
    ) -> Mapping[str, str]:
        progress("step 1")
        return self._move.accept(updates, options, progress, gone)
