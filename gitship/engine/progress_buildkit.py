"""Parses BuildKit's trace (``POST /build?version=2``) into build events. Pure.

Each ``moby.buildkit.trace`` message carries a base64 protobuf ``StatusResponse`` (moby/buildkit, api/services/control).
Four message types with ten fields in all are read here.
"""

from __future__ import annotations

import base64
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gitship.engine.protobuf import Message, fields
from gitship.engine.stream_frames import Lines, error_of, shown
from gitship.engine.types import BuildOutput, BuildStep
from gitship.errors import EngineError

LAST_LINES = 20
MAX_LAST_LINE_CHARS = 2000
CANCELED = "context canceled"  # the error of steps that ran beside the one that failed

# StatusResponse
_VERTEXES, _LOGS = 1, 3
# Vertex
_DIGEST, _NAME, _CACHED, _STARTED, _COMPLETED, _ERROR = 1, 3, 4, 5, 6, 7
# VertexLog
_LOG_VERTEX, _LOG_STREAM, _LOG_MESSAGE = 1, 3, 4


def wire_fields(data: bytes) -> Message:
    """``protobuf.fields`` of what Docker sent. Raises EngineError when it is no message."""
    try:
        return fields(data)
    except ValueError:
        raise EngineError("Docker sent a build trace that cannot be read", 'set builder = "classic"') from None


def _text(message: Message, number: int) -> str:
    value = message.get(number, [b""])[-1]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""


def _time(message: Message, number: int) -> float | None:
    """Seconds of a google.protobuf.Timestamp field, or None."""
    value = message.get(number, [None])[-1]
    if not isinstance(value, bytes):
        return None
    stamp = wire_fields(value)
    return float(stamp.get(1, [0])[-1]) + float(stamp.get(2, [0])[-1]) / 1e9


@dataclass(slots=True)
class _Vertex:
    """What is known of a step; a step that BuildKit starts anew after its end stays ended."""

    number: int
    name: str
    ended: bool = False
    error: str = ""
    lines: dict[int, Lines] = field(default_factory=dict)
    last: deque[str] = field(default_factory=lambda: deque(maxlen=LAST_LINES))


class BuildKitTrace:
    """Feed it the stream's messages; it gives the events, and afterwards tells which step failed."""

    def __init__(self) -> None:
        self._vertexes: dict[str, _Vertex] = {}
        self.image_id = ""
        self.error = ""

    def feed(self, message: Mapping[str, Any]) -> Iterator[BuildStep | BuildOutput]:
        """The events in one message of the stream."""
        if error := error_of(message):
            self.error = error
        elif message.get("id") == "moby.image.id":
            self.image_id = str(message["aux"]["ID"])
        elif message.get("id") == "moby.buildkit.trace":
            status = wire_fields(base64.b64decode(message["aux"]))
            for raw in status.get(_VERTEXES, []):
                yield from self._vertex(wire_fields(raw))
            for raw in status.get(_LOGS, []):
                yield from self._log(wire_fields(raw))

    def failed_step(self) -> tuple[str, tuple[str, ...]]:
        """Name and last output lines of the step that failed; empty when no single step did."""
        failed = [v for v in self._vertexes.values() if v.error and CANCELED not in v.error]
        if not failed:
            return "", ()
        return failed[0].name, tuple(failed[0].last)

    def running_step(self) -> tuple[str, tuple[str, ...]]:
        """Name and last output lines of the step that began last and has not ended; empty when there is none."""
        running = [v for v in self._vertexes.values() if not v.ended]
        return (running[-1].name, tuple(running[-1].last)) if running else ("", ())

    def _vertex(self, message: Message) -> Iterator[BuildStep | BuildOutput]:
        started, completed = _time(message, _STARTED), _time(message, _COMPLETED)
        if started is None and completed is None:
            return  # announced only; numbered when it starts, so that the numbers follow each other
        digest = _text(message, _DIGEST)
        vertex = self._vertexes.get(digest)
        if vertex is None:
            vertex = self._vertexes[digest] = _Vertex(len(self._vertexes) + 1, _text(message, _NAME))
            yield BuildStep(vertex.number, vertex.name)
        error = _text(message, _ERROR)
        if completed is None or (vertex.ended and not (error and not vertex.error)):
            return
        vertex.ended, vertex.error = True, error
        yield from self._rest(vertex)
        seconds = max(0.0, completed - (completed if started is None else started))
        cached = bool(message.get(_CACHED, [0])[-1])
        yield BuildStep(vertex.number, vertex.name, seconds=seconds, cached=cached, error=error)

    def _log(self, message: Message) -> Iterator[BuildOutput]:
        vertex = self._vertexes.get(_text(message, _LOG_VERTEX))
        if vertex is None:
            return
        stream = message.get(_LOG_STREAM, [0])[-1]
        data = message.get(_LOG_MESSAGE, [b""])[-1]
        yield from self._output(vertex, vertex.lines.setdefault(stream, Lines()).feed(data))

    def _rest(self, vertex: _Vertex) -> Iterator[BuildOutput]:
        for lines in vertex.lines.values():
            yield from self._output(vertex, lines.end())

    def _output(self, vertex: _Vertex, lines: list[str]) -> Iterator[BuildOutput]:
        for line in map(shown, lines):
            vertex.last.append(line[:MAX_LAST_LINE_CHARS])
            yield BuildOutput(vertex.number, line)
