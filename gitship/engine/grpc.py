"""gRPC server over an existing connection, with HTTP/2 by h2. Pure.

Source: gRPC over HTTP2 (PROTOCOL-HTTP2.md). A message is one byte 0 (not compressed), four of length, and its bytes;
the answer ends with trailers that carry ``grpc-status``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import ProtocolError, StreamClosedError

OK, NOT_FOUND, UNIMPLEMENTED = 0, 5, 12
MAX_MESSAGE_BYTES = 4 << 20
GATHER_BYTES = 64 << 10  # small messages go out together

Headers = Mapping[str, list[str]]


class Call(Protocol):
    """One call of a method."""

    def feed(self, message: bytes) -> None:
        """Takes a message of the client's. Raises ValueError for what cannot be read."""
        ...

    def messages(self) -> Iterator[bytes | None]:
        """What to answer; None while there is nothing until something is fed. Its end ends the call."""
        ...


class Refused(Exception):
    """A method does not take the call: ``code`` is gRPC's."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@dataclass(slots=True)
class _Open:
    call: Call
    messages: Iterator[bytes | None]
    came: bytearray = field(default_factory=bytearray)
    going: bytearray = field(default_factory=bytearray)
    answered: bool = False


class GrpcServer:
    """Feed it what the connection brings, and write what ``outgoing`` gives. ``methods`` by their path."""

    def __init__(self, methods: Mapping[str, Callable[[Headers], Call]]) -> None:
        self._methods = methods
        self._open: dict[int, _Open] = {}
        self._h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self._h2.initiate_connection()

    def feed(self, data: bytes) -> None:
        """Raises ValueError when the other side does not keep to the protocol."""
        try:
            for event in self._h2.receive_data(data):
                self._take(event)
        except ProtocolError as error:
            raise ValueError(f"no HTTP/2: {error}") from error

    def outgoing(self) -> bytes:
        """What can be sent now, a piece of it: b"" when there is nothing before something is fed."""
        for stream_id in list(self._open):
            with suppress(StreamClosedError):
                self._answer(stream_id, self._open[stream_id])
        return self._h2.data_to_send()

    def close(self) -> None:
        """Ends what the calls have open."""
        for stream_id in list(self._open):
            self._forget(stream_id)

    def _take(self, event: events.Event) -> None:
        if isinstance(event, events.RequestReceived):
            self._begin(event.stream_id, [(_text(name), _text(value)) for name, value in event.headers])
        elif isinstance(event, events.DataReceived):
            self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            if (opened := self._open.get(event.stream_id)) is not None:
                opened.came += event.data
                for message in _whole(opened.came):
                    opened.call.feed(message)
        elif isinstance(event, events.StreamReset):
            self._forget(event.stream_id)

    def _begin(self, stream_id: int, headers: list[tuple[str, str]]) -> None:
        asked: dict[str, list[str]] = {}
        for name, value in headers:
            asked.setdefault(name, []).append(value)
        try:
            method = self._methods.get(asked[":path"][0])
            if method is None:
                raise Refused(UNIMPLEMENTED)
            call = method(asked)
        except Refused as refused:
            answer = [(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", str(refused.code))]
            self._h2.send_headers(stream_id, answer, end_stream=True)
            return
        self._open[stream_id] = _Open(call, iter(call.messages()))

    def _answer(self, stream_id: int, opened: _Open) -> None:
        room = min(self._h2.local_flow_control_window(stream_id), GATHER_BYTES)
        ended = False
        while len(opened.going) < room:
            try:
                message = next(opened.messages)
            except StopIteration:
                ended = True
                break
            if message is None:
                break
            opened.going += b"\0" + len(message).to_bytes(4, "big") + message
        if (opened.going or ended) and not opened.answered:
            opened.answered = True
            self._h2.send_headers(stream_id, [(":status", "200"), ("content-type", "application/grpc")])
        self._write(stream_id, opened, room)
        if ended and not opened.going:
            self._h2.send_headers(stream_id, [("grpc-status", str(OK))], end_stream=True)
            self._forget(stream_id)

    def _write(self, stream_id: int, opened: _Open, room: int) -> None:
        data = memoryview(bytes(opened.going[:room]))
        for at in range(0, len(data), self._h2.max_outbound_frame_size):
            self._h2.send_data(stream_id, data[at : at + self._h2.max_outbound_frame_size].tobytes())
        del opened.going[: len(data)]

    def _forget(self, stream_id: int) -> None:
        opened = self._open.pop(stream_id, None)
        close = getattr(opened.messages, "close", None) if opened else None
        if close is not None:
            close()


def _text(word: str | bytes) -> str:
    """h2 has decoded it already; its types do not tell."""
    return word if isinstance(word, str) else word.decode("utf-8", "replace")


def _whole(buffer: bytearray) -> Iterator[bytes]:
    """Takes the whole messages out of the buffer. Raises ValueError when one is too large or compressed."""
    while len(buffer) >= 5:
        size = int.from_bytes(buffer[1:5], "big")
        if buffer[0] or size > MAX_MESSAGE_BYTES:
            raise ValueError("a compressed or oversized gRPC message")
        if len(buffer) < 5 + size:
            return
        message = bytes(buffer[5 : 5 + size])
        del buffer[: 5 + size]
        yield message
