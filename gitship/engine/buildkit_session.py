"""BuildKit session: a connection over which the engine requests files during a build.

``POST /session`` is answered with 101, and from then on gRPC goes over the connection, with the engine as the client. A
build with ``remote=client-session&session=ID`` (every engine with BuildKit, from 18.09 on) takes its context from there
(``FileSync/DiffCopy``), and what the engine has of an earlier build of the same key does not go over again.

Source: moby/buildkit, session/manager.go, session/grpc.go and session/filesync; moby, builder-next/builder.go.
"""

from __future__ import annotations

import logging
import select
import socket
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from gitship.engine.buildkit_filesync import FileSyncSender
from gitship.engine.docker_http import READ_BYTES, DockerHttp, HttpStream
from gitship.engine.grpc import NOT_FOUND, GrpcServer, Headers, Refused
from gitship.engine.source_tree import SourceTree
from gitship.engine.timeouts import Timeout
from gitship.errors import GitshipError

log = logging.getLogger("gitship.build")
DIFF_COPY = "/moby.filesync.v1.FileSync/DiffCopy"
HEALTH = "/grpc.health.v1.Health/Check"
SERVING = b"\x08\x01"
END_S = 10.0


class BuildKitSession:
    """What a build needs to know of it. ``failed``: the context could not be read, and why.

    ``broken``: engine and gitship did not understand each other; the tar may do.
    """

    def __init__(self, tree: SourceTree) -> None:
        self.id = uuid.uuid4().hex
        self.broken = False
        self._tree = tree
        self._senders: list[FileSyncSender] = []

    @property
    def failed(self) -> Exception | None:
        return next((sender.failed for sender in self._senders if sender.failed is not None), None)

    def diff_copy(self, asked: Headers) -> FileSyncSender:
        """The files that a step asks for, and perhaps more: BuildKit takes what it wants of them.

        Patterns that it would have left out are not looked at: the tree has nothing that `.dockerignore` leaves out.
        """
        name, follow = asked.get("dir-name", [""])[0], asked.get("followpaths")
        if name == "dockerfile":
            wanted = {self._tree.dockerfile, f"{self._tree.dockerfile}.dockerignore", *_above(self._tree.dockerfile)}
        elif name == "context" and follow == [".dockerignore"]:
            wanted = set(follow)
        elif name == "context":
            return self._sender(range(len(self._tree.files)))
        else:
            raise Refused(NOT_FOUND)
        return self._sender([n for n, file in enumerate(self._tree.files) if file.path in wanted])

    def _sender(self, indices: Sequence[int]) -> FileSyncSender:
        sender = FileSyncSender(
            [self._tree.files[n] for n in indices],
            lambda wanted: self._tree.contents([indices[n] for n in wanted]),
        )
        self._senders.append(sender)
        return sender


def _above(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:n]) for n in range(1, len(parts))]


class _Health:
    def __init__(self, asked: Headers) -> None:
        self._asked = False

    def feed(self, message: bytes) -> None:
        self._asked = True

    def messages(self) -> Iterator[bytes | None]:
        while not self._asked:
            yield None
        yield SERVING


@contextmanager
def opened(wire: DockerHttp, api: str, tree: SourceTree, patience: Timeout) -> Iterator[BuildKitSession | None]:
    """A session that serves the tree until the block ends; None when the engine has none.

    Raises EngineError, or WaitInterrupted or TimeoutExpired by ``patience``.
    """
    session = BuildKitSession(tree)
    headers = {
        "X-Docker-Expose-Session-Uuid": session.id,
        "X-Docker-Expose-Session-Name": "gitship",
        "X-Docker-Expose-Session-Sharedkey": tree.key,
        "X-Docker-Expose-Session-Grpc-Method": DIFF_COPY,
    }
    with wire.open("POST", f"{api}/session", headers=headers, patience=patience, upgrade="h2c") as stream:
        if stream.status != 101:
            log.warning("Docker answered %s to a session: the whole context goes to it", stream.status)
            yield None
            return
        thread = _Serving(stream, session)
        thread.start()
        try:
            yield session
        finally:
            thread.end()


class _Serving(threading.Thread):
    """Answers what the engine asks, until the connection ends."""

    def __init__(self, stream: HttpStream, session: BuildKitSession) -> None:
        super().__init__(name="build-session", daemon=True)
        self._socket, self._reader = stream.hijack()
        self._socket.patience = Timeout()  # the build is canceled first: it would fail if its session went before it
        self._session = session
        self._grpc = GrpcServer({DIFF_COPY: session.diff_copy, HEALTH: _Health})

    def end(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self.join(END_S)

    def run(self) -> None:
        try:
            self._serve()
        except (OSError, GitshipError):
            pass  # the build has ended, or ends for the same reason, and tells
        except Exception as error:
            log.warning("a build's session: %r", error)
            self._session.broken = True
        finally:
            self._grpc.close()
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)  # so that the engine does not wait for us

    def _serve(self) -> None:
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        data = self._reader.read1(READ_BYTES)  # what came with the answer is not seen by poll
        while data:
            self._grpc.feed(data)
            while not poll.poll(0) and (going := self._grpc.outgoing()):
                self._socket.sendall(going)
            poll.poll()  # ``end`` wakes it
            data = self._reader.read1(READ_BYTES)
