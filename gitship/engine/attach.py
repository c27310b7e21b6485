"""Attached streams of a Docker container or exec: raw bytes after ``101 UPGRADED``."""

from __future__ import annotations

import json
import math
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress

from gitship.engine import oneoff
from gitship.engine.docker_http import READ_BYTES, DockerHttp, HttpStream
from gitship.engine.errors import runtime_cause
from gitship.engine.stream_frames import frames
from gitship.engine.timeouts import Timeout
from gitship.errors import EngineError

# Docker switches to the stream before it starts a command, and writes into it why that failed.
NOT_STARTED = b"OCI runtime exec failed:"
CODES_NOT_STARTED = (126, 127)
END_OF_INPUT = b"\x04"  # what Ctrl-D sends: a terminal cannot be half-closed


class Attached:
    """A Program (see ``interface``)."""

    def __init__(
        self,
        wire: DockerHttp,
        stream: HttpStream,
        path: str,
        terminal: bool,
        code: Callable[[], int],
        kill: Callable[[], None] | None,
    ) -> None:
        """``path`` is the container's or the exec's; ``kill`` ends what does not end with its container."""
        self._wire = wire
        self._stream = stream
        self._socket, self._reader = stream.hijack()
        self._path = path
        self._terminal = terminal
        self._code = code
        self._kill = kill

    def output(self) -> Iterator[tuple[str, bytes]]:
        refusal: tuple[str, bytes] | None = None
        chunks = self._terminal_output() if self._terminal else frames(self._read)
        for number, chunk in enumerate(chunks):
            if number == 0 and self._kill is not None and chunk[1].startswith(NOT_STARTED):
                refusal = chunk
                continue
            if refusal is not None:  # no refusal, but a program that prints these words
                yield refusal
                refusal = None
            yield chunk
        self._socket.unread = True  # a child of the program may keep its input open, and Docker does not tell
        if refusal is not None:
            if self._code() in CODES_NOT_STARTED:
                cause = runtime_cause(refusal[1].decode("utf-8", "replace"))
                raise EngineError(f"the command cannot be run: {cause}", "check that it is in the image")
            yield refusal

    def _terminal_output(self) -> Iterator[tuple[str, bytes]]:
        while data := self._read():
            yield "stdout", data

    def _read(self) -> bytes:
        try:
            return self._reader.read1(READ_BYTES)
        except OSError as error:
            raise EngineError(
                f"the connection to Docker at {self._wire.host} broke off: has Docker been restarted?",
                "try again; see `journalctl -u docker` on the server",
            ) from error

    def send(self, data: bytes) -> bool:
        try:
            self._socket.sendall(data)
        except (OSError, ValueError):  # it has ended, and is closed on our side, perhaps in another thread
            return False
        return True

    def end_input(self) -> None:
        if self._terminal:
            self.send(END_OF_INPUT)
            return
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def resize(self, columns: int, rows: int) -> bool:
        query = {"w": str(columns), "h": str(rows)}
        patience = Timeout(time.monotonic() + self._wire.timeout_s)
        with self._wire.open("POST", f"{self._path}/resize", query=query, patience=patience) as answer:
            return answer.status < 300

    def exit_code(self) -> int:
        return self._code()

    def close(self) -> None:
        try:
            if self._kill is not None:  # first: a program that sees its input end believes that it has had it all
                self._kill()
        finally:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)  # a thread that reads holds what closing would wait for
            self._stream.close()


def attach(
    engine: oneoff.TemporaryContainers,
    wire: DockerHttp,
    api: str,
    container_id: str,
    terminal: bool,
    gone: threading.Event,
    timeout_s: float,
) -> Attached:
    """The streams of a container; attached before its start, so that not a byte is lost."""
    patience = Timeout(time.monotonic() + timeout_s, (gone,))
    path = f"{api}/containers/{container_id}"
    query = {"stream": "1", "stdin": "1", "stdout": "1", "stderr": "1"}
    stream = _upgraded(wire, f"{path}/attach", query, b"", patience)
    return Attached(wire, stream, path, terminal, lambda: oneoff.exit_code(engine, container_id, patience), None)


def execute(
    wire: DockerHttp,
    api: str,
    container_id: str,
    command: tuple[str, ...],
    env: Mapping[str, str],
    terminal: tuple[int, int] | None,
    gone: threading.Event,
    timeout_s: float = math.inf,
) -> Attached:
    """A command in a running container, with streams. Raises EngineError when Docker refuses."""
    patience = Timeout(time.monotonic() + timeout_s, (gone,))
    body = {
        "AttachStdin": True, "AttachStdout": True, "AttachStderr": True, "Tty": terminal is not None,
        "Cmd": list(command), "Env": [f"{name}={value}" for name, value in env.items()],
    }  # fmt: skip
    size = {"ConsoleSize": [terminal[1], terminal[0]]} if terminal else {}  # from Docker 23 on
    exec_id = oneoff.post(wire, f"{api}/containers/{container_id}/exec", body | size)["Id"]
    path = f"{api}/exec/{exec_id}"
    start = json.dumps({"Detach": False, "Tty": terminal is not None} | size).encode()
    stream = _upgraded(wire, f"{path}/start", {}, start, patience)
    return Attached(
        wire,
        stream,
        path,
        terminal is not None,
        lambda: oneoff.exec_code(wire, api, exec_id, patience),
        lambda: oneoff.kill(wire, path, container_id),
    )


def _upgraded(wire: DockerHttp, path: str, query: Mapping[str, str], body: bytes, patience: Timeout) -> HttpStream:
    stream = wire.open("POST", path, query=query, body=body, patience=patience, upgrade="tcp")
    try:
        oneoff.check(stream, "connect to the program")
    except BaseException:
        stream.close()
        raise
    return stream
