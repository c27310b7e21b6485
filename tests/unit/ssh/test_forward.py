"""Forwarded connections by the real `ssh -N -L`: both ways, each closed by itself, bounded, ended with the right."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from gitship.console.session import Session
from gitship.errors import GitshipError, NotFound
from gitship.model import Identity
from gitship.ssh.connection_limits import ConnectionLimits
from gitship.ssh.forward import ForwardTarget
from tests.places import free_port
from tests.unit.ssh.conftest import TIMEOUT_S, Running, Serve, ssh_threads
from tests.waiting import wait_until

pytestmark = pytest.mark.clients


@dataclass
class Place:
    """Where a listener of the test's is reached under the name ``db``, as long as ``may``."""

    listener: socket.socket
    may: bool = True
    ends: list[tuple[str, int, int]] = field(default_factory=list)
    asked: list[tuple[str, str, int]] = field(default_factory=list)

    def __call__(self, identity: Identity, host: str, port: int) -> ForwardTarget:
        self.asked.append((identity.key_name, host, port))
        if (host, port) != ("db", 5432):
            raise NotFound(f"no service '{host}'")
        return self

    def connect(self) -> socket.socket:
        return socket.create_connection(self.listener.getsockname())

    def still_may(self) -> bool:
        return self.may

    def ended(self, error: str, to_target: int, from_target: int) -> None:
        self.ends.append((error, to_target, from_target))

    def accept(self) -> socket.socket:
        made, _ = self.listener.accept()
        made.settimeout(TIMEOUT_S)
        return made


@pytest.fixture
def place() -> Iterator[Place]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(TIMEOUT_S)
        yield Place(listener)


def no_command(session: Session) -> int:
    return 1


def tunnel(server: Running, to: str = "db:5432") -> int:
    """The port on this side, once `ssh -N -L` listens there."""
    port = free_port()
    server.popen(options=("-N", "-L", f"127.0.0.1:{port}:{to}"))
    wait_until(lambda: listens(port), TIMEOUT_S, "ssh listens")
    return port


def listens(port: int) -> bool:
    """Without a connection, which would be forwarded."""
    with open("/proc/net/tcp") as file:
        return any(f":{port:04X} 00000000:0000 0A" in line for line in file)


def client(port: int) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)
    made.settimeout(TIMEOUT_S)
    return made


def send_all(sock: socket.socket, data: bytes) -> None:
    sock.sendall(data)
    sock.shutdown(socket.SHUT_WR)


def whole(sock: socket.socket) -> bytes:
    """Until the end that the other side sends."""
    found = bytearray()
    while data := sock.recv(1 << 16):
        found += data
    return bytes(found)


def test_bytes_go_both_ways_and_each_way_ends_by_itself(serve: Serve, place: Place) -> None:
    server = serve(no_command, forward_to=place)
    port = tunnel(server)
    sent = bytes(range(256)) * 20_000  # 5 MB: more than a window
    with client(port) as mine, place.accept() as theirs:
        received: list[bytes] = []
        reader = threading.Thread(target=lambda: received.append(whole(theirs)))
        reader.start()
        mine.sendall(sent)
        mine.shutdown(socket.SHUT_WR)  # the other way stays open
        reader.join(TIMEOUT_S)
        assert received == [sent]
        writer = threading.Thread(target=send_all, args=(theirs, sent))
        writer.start()
        assert whole(mine) == sent
        writer.join(TIMEOUT_S)
    wait_until(lambda: place.ends, TIMEOUT_S, "its end is told")
    assert place.ends == [("", len(sent), len(sent))]
    assert place.asked == [("ed25519", "db", 5432)]


def test_the_service_may_close_its_way_first(serve: Serve, place: Place) -> None:
    port = tunnel(serve(no_command, forward_to=place))
    with client(port) as mine, place.accept() as theirs:
        theirs.sendall(b"bye")
        theirs.shutdown(socket.SHUT_WR)
        assert whole(mine) == b"bye"
        mine.sendall(b"and thanks")
        mine.shutdown(socket.SHUT_WR)
        assert whole(theirs) == b"and thanks"


def test_what_is_not_known_is_refused_and_the_log_says_why(
    serve: Serve, place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve(no_command, forward_to=place)
    with caplog.at_level(logging.INFO, "gitship.ssh"):
        for to in ("127.0.0.1:22", "db:22", f"localhost:{place.listener.getsockname()[1]}"):
            with client(tunnel(server, to)) as mine:
                assert whole(mine) == b""
    assert "forwarding by ed25519 refused: no service '127.0.0.1'" in caplog.text
    assert place.ends == []


def test_a_slow_client_holds_up_the_service_not_the_servers_memory(serve: Serve, place: Place) -> None:
    limits = ConnectionLimits(window_bytes=256 << 10)
    port = tunnel(serve(no_command, limits, forward_to=place))
    with client(port) as mine, place.accept() as theirs:
        theirs.settimeout(0.5)
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 256 << 20:
                sent += theirs.send(bytes(1 << 16))
        assert sent < 64 << 20, "it must not take all"
        theirs.settimeout(TIMEOUT_S)
        threading.Thread(target=lambda: theirs.shutdown(socket.SHUT_WR)).start()
        assert len(whole(mine)) == sent  # and none is lost


def test_a_slow_service_holds_up_the_client(serve: Serve, place: Place) -> None:
    limits = ConnectionLimits(window_bytes=256 << 10)
    port = tunnel(serve(no_command, limits, forward_to=place))
    with client(port) as mine, place.accept() as theirs:
        mine.settimeout(0.5)
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 256 << 20:
                sent += mine.send(bytes(1 << 16))
        assert sent < 64 << 20
        mine.shutdown(socket.SHUT_WR)
        assert len(whole(theirs)) == sent


def test_a_connection_ends_with_the_right_to_it(serve: Serve, place: Place) -> None:
    server = serve(no_command, forward_to=place)
    port = tunnel(server)
    with client(port) as mine, place.accept() as theirs:
        mine.sendall(b"x")
        assert theirs.recv(1) == b"x"
        server.server.recheck(lambda session: True)
        mine.sendall(b"y")
        assert theirs.recv(1) == b"y"  # nothing has changed for it
        place.may = False
        server.server.recheck(lambda session: True)
        assert whole(theirs) == b""
        assert whole(mine) == b""
    wait_until(lambda: place.ends, TIMEOUT_S, "its end is told")
    assert place.ends[0][0] == "the key may no longer use it"


def test_a_key_that_is_removed_takes_its_tunnel_with_it(serve: Serve, place: Place) -> None:
    server = serve(no_command, forward_to=place)
    server.known[server.key.fingerprint] = Identity("ada", server.known[server.key.fingerprint].role, key_id=7)
    port = tunnel(server)
    with client(port) as mine, place.accept() as theirs:
        del server.known[server.key.fingerprint]
        server.server.recheck(lambda session: True)
        assert whole(theirs) == b""
        assert whole(mine) == b""
    assert server.children[0].wait(TIMEOUT_S) == 255


def test_a_client_that_goes_ends_the_connection_and_no_thread_stays(serve: Serve, place: Place) -> None:
    server = serve(no_command, forward_to=place)
    port = tunnel(server)
    with client(port), place.accept() as theirs:
        server.children[0].kill()
        assert whole(theirs) == b""
    wait_until(lambda: not [n for n in ssh_threads() if "forward" in n], TIMEOUT_S, "its threads have ended")
    assert len(place.ends) == 1


def test_there_are_only_so_many(serve: Serve, place: Place) -> None:
    limits = ConnectionLimits(forwards_per_connection=2, forwards=3)
    server = serve(no_command, limits, forward_to=place)
    first, second = tunnel(server), tunnel(server)
    with contextlib.ExitStack() as stack:
        for port in (first, first, second):
            stack.enter_context(client(port))
            stack.enter_context(place.accept())
        for port in (first, second):  # its own two; all three
            assert whole(stack.enter_context(client(port))) == b""
    wait_until(lambda: len(place.ends) == 3, TIMEOUT_S, "they have ended")
    with client(second) as mine, place.accept() as theirs:
        mine.sendall(b"x")
        assert theirs.recv(1) == b"x"


def test_a_service_that_does_not_listen_is_told_in_the_end(serve: Serve, place: Place) -> None:
    def broken() -> socket.socket:
        raise GitshipError("db does not run now")

    place.connect = broken  # type: ignore[method-assign]
    with client(tunnel(serve(no_command, forward_to=place))) as mine:
        assert whole(mine) == b""
    wait_until(lambda: place.ends, TIMEOUT_S, "its end is told")
    assert place.ends == [("db does not run now", 0, 0)]


def test_a_tunnel_in_use_is_not_idle(serve: Serve, place: Place) -> None:
    limits = ConnectionLimits(idle_s=0.6, forward_idle_s=1.2)
    server = serve(no_command, limits, forward_to=place)
    began = time.monotonic()
    port = tunnel(server)
    with client(port) as mine, place.accept() as theirs:
        wait_until(lambda: time.monotonic() - began > 2.5, 5, "both limits have passed")
        mine.sendall(b"x")
        assert theirs.recv(1) == b"x"
    assert server.children[0].wait(TIMEOUT_S) == 255  # now it is
