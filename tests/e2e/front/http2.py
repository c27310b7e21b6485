"""A visitor who speaks HTTP/2: one connection, one request after the other."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, ResponseReceived, StreamEnded, StreamReset

from gitship.config_values import Address
from tests.e2e.front.asking import TIMEOUT_S


@dataclass
class Reply:
    status: int = 0
    body: bytes = b""
    ended: bool = False


class Visitor:
    """A connection by prior knowledge, or ``over`` one by TLS on which HTTP/2 was agreed."""

    def __init__(self, address: Address, host: str, over: socket.socket | None = None) -> None:
        self._host = host
        self._socket = over or socket.create_connection((address.host, address.port), TIMEOUT_S)
        self._http2 = H2Connection(H2Configuration(client_side=True))
        self._http2.initiate_connection()
        self._replies: dict[int, Reply] = {}
        self._send()

    def close(self) -> None:
        self._socket.close()

    def ask(self, path: str, body: bytes = b"") -> Reply:
        """A GET, or a POST of ``body`` without a Content-Length. Raises EOFError when Varnish hangs up."""
        return self.finish(self.begin(path, "POST" if body else "GET", ended=not body), body)

    def finish(self, stream: int, body: bytes = b"") -> Reply:
        """Sends the rest of a request."""
        left = body
        while left and not self._replies[stream].ended:
            size = min(len(left), self._http2.local_flow_control_window(stream), self._http2.max_outbound_frame_size)
            if not size:
                self._receive()
                continue
            self._http2.send_data(stream, left[:size], end_stream=size == len(left))
            left = left[size:]
            self._send()
        return self.reply(stream)

    def begin(self, path: str, method: str = "GET", ended: bool = True) -> int:
        """Sends the headers of a request; its stream."""
        stream = int(self._http2.get_next_available_stream_id())
        headers = [(":method", method), (":path", path), (":scheme", "http"), (":authority", self._host)]
        self._replies[stream] = Reply()
        self._http2.send_headers(stream, headers, end_stream=ended)
        self._send()
        return stream

    def reply(self, stream: int) -> Reply:
        while not self._replies[stream].ended:
            self._receive()
        return self._replies[stream]

    def _send(self) -> None:
        self._socket.sendall(self._http2.data_to_send())

    def _receive(self) -> None:
        data = self._socket.recv(65536)
        if not data:
            raise EOFError("Varnish has closed the connection")
        for event in self._http2.receive_data(data):
            if isinstance(event, ResponseReceived):
                status = dict(event.headers or [])[b":status"]
                self._replies[event.stream_id].status = int(status)
            elif isinstance(event, DataReceived):
                self._replies[event.stream_id].body += event.data or b""
                self._http2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, StreamEnded):
                self._replies[event.stream_id].ended = True
            elif isinstance(event, StreamReset):
                raise EOFError("Varnish has reset the stream")
        self._send()
