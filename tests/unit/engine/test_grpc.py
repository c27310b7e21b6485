"""The gRPC server against h2's own client: flow control, calls beside each other, and what is no gRPC."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest
from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes

from gitship.engine.grpc import GATHER_BYTES, MAX_MESSAGE_BYTES, NOT_FOUND, UNIMPLEMENTED, GrpcServer, Headers, Refused


class Echo:
    """Answers each message with itself, ``times`` times; ends after an empty one."""

    closed = 0

    def __init__(self, asked: Headers) -> None:
        self.times = int(asked["times"][0])
        self.came: list[bytes] = []

    def feed(self, message: bytes) -> None:
        self.came.append(message)

    def messages(self) -> Iterator[bytes | None]:
        try:
            while True:
                if not self.came:
                    yield None
                    continue
                message = self.came.pop(0)
                if not message:
                    return
                for _ in range(self.times):
                    yield message
        finally:
            Echo.closed += 1


def refuse(asked: Headers) -> Echo:
    raise Refused(NOT_FOUND)


class Client:
    """What BuildKit is to us. ``window`` is how much it takes before it has read."""

    def __init__(self, window: int = 65535) -> None:
        self.server = GrpcServer({"/echo": Echo, "/refuse": refuse})
        self.h2 = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: window})
        self.data: dict[int, bytes] = {}
        self.headers: dict[int, dict[str, str]] = {}
        self.ended: set[int] = set()
        self.largest = 0

    def call(self, path: str, times: int = 1) -> int:
        stream = self.h2.get_next_available_stream_id()
        headers = [(":method", "POST"), (":scheme", "http"), (":authority", "x"), (":path", path)]
        self.h2.send_headers(stream, [*headers, ("te", "trailers"), ("times", str(times))])
        self.data[stream] = b""
        return stream

    def send(self, stream: int, *messages: bytes) -> None:
        for message in messages:
            self.h2.send_data(stream, b"\0" + len(message).to_bytes(4, "big") + message)

    def exchange(self) -> None:
        """Until neither side has anything to say."""
        while True:
            if asked := self.h2.data_to_send():
                self.server.feed(asked)
            answer = self.server.outgoing()
            if not asked and not answer:
                return
            self.largest = max(self.largest, len(answer))
            for event in self.h2.receive_data(answer):
                self._take(event)

    def _take(self, event: events.Event) -> None:
        if isinstance(event, events.DataReceived):
            self.data[event.stream_id] += event.data
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, events.ResponseReceived | events.TrailersReceived):
            found: Mapping[str, str] = dict(event.headers)  # type: ignore[arg-type]
            self.headers.setdefault(event.stream_id, {}).update(found)
        elif isinstance(event, events.StreamEnded):
            self.ended.add(event.stream_id)

    def messages(self, stream: int) -> list[bytes]:
        data, found = self.data[stream], []
        while data:
            size = int.from_bytes(data[1:5], "big")
            found.append(data[5 : 5 + size])
            data = data[5 + size :]
        return found


@pytest.mark.parametrize("window", [100, 65535, 1 << 20])
def test_more_than_the_window_goes_as_the_client_reads(window: int) -> None:
    client = Client(window)
    stream = client.call("/echo", times=40)
    client.send(stream, b"x" * 5000, b"y", b"")
    client.exchange()
    assert client.messages(stream) == [b"x" * 5000] * 40 + [b"y"] * 40
    assert client.headers[stream] == {":status": "200", "content-type": "application/grpc", "grpc-status": "0"}
    assert stream in client.ended
    assert client.largest < 2 * GATHER_BYTES


def test_calls_go_on_beside_each_other() -> None:
    client = Client()
    streams = [client.call("/echo") for _ in range(5)]
    for word in (b"one", b"two"):
        for stream in streams:
            client.send(stream, word + b"%d" % stream)
        client.exchange()
    assert all(client.messages(stream) == [b"one%d" % stream, b"two%d" % stream] for stream in streams)
    assert not client.ended
    client.send(streams[0], b"")
    client.exchange()
    assert client.ended == {streams[0]}


@pytest.mark.parametrize(("path", "code"), [("/none", UNIMPLEMENTED), ("/refuse", NOT_FOUND)])
def test_a_call_that_is_not_taken_is_told_why(path: str, code: int) -> None:
    client = Client()
    stream = client.call(path)
    client.exchange()
    assert client.headers[stream]["grpc-status"] == str(code) and stream in client.ended


@pytest.mark.parametrize("how", ["reset", "close"])
def test_a_call_that_is_left_is_closed(how: str) -> None:
    client = Client()
    stream = client.call("/echo")
    client.send(stream, b"x")
    client.exchange()
    before = Echo.closed
    if how == "reset":
        client.h2.reset_stream(stream)
        client.exchange()
    else:
        client.server.close()
    assert Echo.closed == before + 1


def test_messages_may_come_in_pieces() -> None:
    client = Client()
    stream = client.call("/echo")
    for byte in b"\0\0\0\0\x03abc\0\0\0\0\0":
        client.h2.send_data(stream, bytes((byte,)))
        client.exchange()
    assert client.messages(stream) == [b"abc"] and stream in client.ended


@pytest.mark.parametrize("start", [b"\1\0\0\0\1x", b"\0" + (MAX_MESSAGE_BYTES + 1).to_bytes(4, "big")])
def test_what_is_compressed_or_too_large_is_refused(start: bytes) -> None:
    client = Client()
    stream = client.call("/echo")
    client.h2.send_data(stream, start)
    with pytest.raises(ValueError):
        client.exchange()


def test_what_is_no_http_2_is_refused() -> None:
    with pytest.raises(ValueError, match="no HTTP/2"):
        GrpcServer({}).feed(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 3)
