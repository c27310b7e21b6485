"""A Unix socket before the engine's own: it counts what goes to the engine, and may refuse a path."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Self

NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"


class Relay:
    """``host`` is its address. Connections of which the request's path has ``refused`` in it get 404."""

    def __init__(self, path: Path, host: str, refused: str = "") -> None:
        self.host = f"unix://{path}"
        self.sent = 0  # bytes to the engine
        self._engine = host.removeprefix("unix://")
        self._refused = refused.encode()
        self._counting = threading.Lock()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(64)
        self._thread = threading.Thread(target=self._accept, name="relay", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), name="relayed", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as engine, suppress(OSError):
            first = client.recv(65536)
            if self._refused and self._refused in first.partition(b"\r\n")[0]:
                client.sendall(NOT_FOUND)
                return
            engine.connect(self._engine)
            back = threading.Thread(target=self._pass_on, args=(engine, client), name="relayed-back", daemon=True)
            back.start()
            while first:
                with self._counting:
                    self.sent += len(first)
                engine.sendall(first)
                first = client.recv(65536)
            engine.shutdown(socket.SHUT_WR)
            back.join()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
