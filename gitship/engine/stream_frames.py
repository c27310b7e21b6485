"""Decodes Docker's streams: frames of attached containers, lines and JSON messages. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from gitship.errors import EngineError

MAX_LINE_BYTES = 64 << 10  # a longer line is handed over in pieces
MAX_MESSAGE_BYTES = 16 << 20
_STREAMS = {1: "stdout", 2: "stderr"}


def frames(read: Callable[[], bytes]) -> Iterator[tuple[str, bytes]]:
    """(stdout or stderr, payload) from the Engine API's raw stream: 1 byte stream, 3 of zero, 4 of length (big-endian).

    ``read`` gives some bytes at a time and b"" at the end; a frame that was cut off is dropped.
    """
    buffer = bytearray()
    while chunk := read():
        buffer += chunk
        while len(buffer) >= 8:
            end = 8 + int.from_bytes(buffer[4:8], "big")
            if len(buffer) < end:
                break
            yield _STREAMS.get(buffer[0], "stdout"), bytes(buffer[8:end])
            del buffer[:end]


class Lines:
    """Collects bytes into whole lines; at most MAX_LINE_BYTES are held."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        """The lines that ``data`` completes, without their ends."""
        *whole, rest = (self._rest + data).split(b"\n")
        while len(rest) > MAX_LINE_BYTES:
            whole.append(rest[:MAX_LINE_BYTES])
            rest = rest[MAX_LINE_BYTES:]
        self._rest = rest
        return [_text(line) for line in whole]

    def end(self) -> list[str]:
        """What is left without a line end, if anything."""
        rest, self._rest = self._rest, b""
        return [_text(rest)] if rest else []


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace").rstrip("\r")


def shown(line: str) -> str:
    """What a terminal would show of a line that a progress bar wrote over and over."""
    return line.rpartition("\r")[2]


def messages(read: Callable[[], bytes]) -> Iterator[dict[str, Any]]:
    """The JSON objects of a stream, one a line. Raises EngineError when something else comes."""
    buffer = b""
    while chunk := read():
        *whole, buffer = (buffer + chunk).split(b"\n")
        for line in whole:
            if line.strip():
                yield _message(line)
        if len(buffer) > MAX_MESSAGE_BYTES:
            raise EngineError("Docker sent a message over 16 MiB", "see `journalctl -u docker` on the server")
    if buffer.strip():
        yield _message(buffer)


def error_of(message: Mapping[str, Any]) -> str:
    """What went wrong, by a message of a build or a pull; "" in all others.

    Newer engines are to leave `error` out, which stood beside `errorDetail` all the time.
    """
    detail = message.get("errorDetail")
    said = detail.get("message") if isinstance(detail, dict) else None
    return str(said or message.get("error") or ("unknown error" if "error" in message or detail else ""))


def _message(line: bytes) -> dict[str, Any]:
    try:
        message = json.loads(line)
    except ValueError as error:
        raise EngineError("Docker sent something that is not JSON", "check docker.host") from error
    if not isinstance(message, dict):
        raise EngineError("Docker sent something that is not a message", "check docker.host")
    return message
