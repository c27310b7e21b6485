"""Bytes through a session: all of them, in order, both ways; and bounded when one side does not read."""

from __future__ import annotations

import hashlib
import random
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import paramiko
import pytest

from gitship.console.session import Session
from gitship.ssh.connection_limits import ConnectionLimits
from gitship.ssh.packet_limits import Packets
from tests.unit.ssh.conftest import TIMEOUT_S, Running, Serve
from tests.waiting import wait_until

pytestmark = pytest.mark.clients

SIZE = 50_000_000


@pytest.fixture(scope="module")
def payload() -> bytes:
    return random.Random(1).randbytes(1_000_003) * (SIZE // 1_000_003 + 1)


def digest_of_input(session: Session) -> int:
    digest = hashlib.sha256()
    while data := session.stdin.read(262_144):
        digest.update(data)
    session.stdout.write(digest.hexdigest().encode())
    return 0


def test_fifty_megabytes_arrive_unchanged(serve: Serve, payload: bytes) -> None:
    result = serve(digest_of_input).ssh("x", stdin=payload)
    assert result.stdout.decode() == hashlib.sha256(payload).hexdigest(), result.stderr


def test_fifty_megabytes_are_sent_unchanged(serve: Serve, payload: bytes) -> None:
    def run(session: Session) -> int:
        for start in range(0, len(payload), 3_000_017):
            assert session.stdout.write(payload[start : start + 3_000_017]) == len(payload[start : start + 3_000_017])
        return 0

    assert hashlib.sha256(serve(run).ssh("x").stdout).digest() == hashlib.sha256(payload).digest()


@pytest.mark.parametrize("asked_by", ["server", "client"])
def test_keys_are_exchanged_anew_in_mid_stream_both_ways(
    serve: Serve, payload: bytes, monkeypatch: pytest.MonkeyPatch, asked_by: str
) -> None:
    """The server's limit is 512 MiB, OpenSSH's higher; here 4 MB, so that each direction passes it several times."""
    if asked_by == "server":
        monkeypatch.setattr(Packets, "REKEY_BYTES", 4_000_000)
    options = ("-o", "RekeyLimit=4M") if asked_by == "client" else ()
    exchanges: list[int] = []
    negotiate = paramiko.Transport._negotiate_keys  # type: ignore[attr-defined]

    def counted(transport: paramiko.Transport, message: paramiko.Message) -> None:
        exchanges.append(1)
        negotiate(transport, message)

    monkeypatch.setattr(paramiko.Transport, "_negotiate_keys", counted)

    def run(session: Session) -> int:
        while data := session.stdin.read(100_000):
            session.stdout.write(data)
        return 0

    result = serve(run).ssh("x", stdin=payload[:20_000_000], options=options)
    assert result.returncode == 0, result.stderr
    assert result.stdout == payload[:20_000_000]
    assert len(exchanges) > 4


def test_read_gives_what_is_there_without_waiting_for_more(serve: Serve) -> None:
    def run(session: Session) -> int:
        session.stdout.write(session.stdin.read(1_000_000))
        return 0

    child = serve(run).popen("x")
    assert child.stdin is not None
    child.stdin.write(b"a few bytes, and the input stays open")
    child.stdin.flush()
    assert child.wait(TIMEOUT_S) == 0
    assert child.stdout is not None
    assert child.stdout.read() == b"a few bytes, and the input stays open"


def test_two_threads_that_write_do_not_mix_their_pieces(serve: Serve) -> None:
    """Sideband packets of 64 KiB from a build and its keep-alive: longer than an SSH packet."""

    def run(session: Session) -> int:
        def write(letter: bytes) -> None:
            for _ in range(30):
                session.stdout.write(letter * 65_000)

        threads = [threading.Thread(target=write, args=(letter,)) for letter in (b"a", b"b", b"c")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return 0

    output = serve(run).ssh("x").stdout
    pieces = [output[start : start + 65_000] for start in range(0, len(output), 65_000)]
    assert len(pieces) == 90
    assert all(len(set(piece)) == 1 for piece in pieces)


def test_input_that_nobody_reads_stays_within_the_window(serve: Serve) -> None:
    """An honest client waits for the window; its bytes must neither be lost nor pile up."""
    go = threading.Event()

    def run(session: Session) -> int:
        go.wait(TIMEOUT_S)
        return digest_of_input(session)

    window = 1 << 20
    server = serve(run, ConnectionLimits(window_bytes=window))
    data = bytes(8 << 20)
    sent: list[bytes] = []
    client = threading.Thread(target=lambda: sent.append(server.ssh("x", stdin=data).stdout))
    client.start()
    buffered = server.session().stdin._channel.in_buffer  # type: ignore[attr-defined]
    wait_until(lambda: len(buffered) == window, what="a full window")
    go.set()
    client.join(TIMEOUT_S)
    assert sent == [hashlib.sha256(data).hexdigest().encode()]


@contextmanager
def logged_in(server: Running) -> Iterator[paramiko.Transport]:
    with socket.create_connection(("127.0.0.1", server.port)) as sock:
        transport = paramiko.Transport(sock)
        transport.start_client(timeout=TIMEOUT_S)
        transport.auth_publickey("deploy", paramiko.Ed25519Key.from_private_key_file(str(server.key.path)))
        yield transport
        transport.close()


def test_a_client_that_ignores_the_window_is_cut_off(serve: Serve) -> None:
    def run(session: Session) -> int:
        session.closed.wait(TIMEOUT_S)
        return 0

    server = serve(run, ConnectionLimits(window_bytes=1 << 20))
    with logged_in(server) as transport:
        channel = transport.open_session()
        channel.exec_command("x")
        session = server.session()
        channel.out_window_size = 1 << 40
        with pytest.raises((OSError, EOFError, paramiko.SSHException)):
            for _ in range(2000):
                channel.sendall(bytes(32_000))
                if not transport.is_active():
                    raise EOFError
        assert session.closed.wait(TIMEOUT_S)
        assert len(session.stdin._channel.in_buffer) <= 1 << 20  # type: ignore[attr-defined]


def test_data_for_the_commands_stderr_is_cut_off(serve: Serve) -> None:
    """Nobody would ever read it."""
    server = serve(lambda session: 0 if session.closed.wait(TIMEOUT_S) else 1)
    with logged_in(server) as transport:
        channel = transport.open_session()
        channel.exec_command("x")
        session = server.session()
        channel.sendall_stderr(b"x")
        assert session.closed.wait(TIMEOUT_S)
        wait_until(lambda: not transport.is_active(), what="the server to hang up")


def test_a_write_that_paramiko_would_drop_without_a_word_raises(serve: Serve) -> None:
    """Between the end of a connection and that of its channels."""
    result: list[object] = []

    def run(session: Session) -> int:
        transport = session.stdout._channel.get_transport()  # type: ignore[attr-defined]
        transport.active = False
        try:
            result.append(session.stdout.write(b"lost"))
        except OSError as error:
            result.append(error)
        finally:
            transport.active = True
        return 0

    assert serve(run).ssh("x").returncode == 0
    assert isinstance(result[0], BrokenPipeError)


def test_a_client_that_stops_reading_ends_the_write_and_the_session(serve: Serve) -> None:
    ended: list[BaseException] = []

    def run(session: Session) -> int:
        try:
            while True:
                session.stdout.write(bytes(100_000))
        except OSError as error:
            ended.append(error)
            assert session.closed.is_set()
            raise

    server = serve(run, ConnectionLimits(stalled_write_s=0.5))
    child = server.popen("x")
    assert child.stdout is not None
    child.stdout.read(10)
    wait_until(lambda: ended, what="the write to give up")
    assert isinstance(ended[0], BrokenPipeError)


def test_a_client_whose_machine_takes_nothing_ends_the_write(serve: Serve) -> None:
    """The channel's window is open, but the TCP buffers are full: the packet layer itself has to give up."""
    ended = threading.Event()

    def run(session: Session) -> int:
        try:
            while True:
                session.stdout.write(bytes(100_000))
        finally:
            ended.set()

    server = serve(run, ConnectionLimits(stalled_write_s=0.5))
    with socket.create_connection(("127.0.0.1", server.port)) as sock:
        transport = paramiko.Transport(sock, default_window_size=1 << 30)
        transport.start_client(timeout=TIMEOUT_S)
        transport.auth_publickey("deploy", paramiko.Ed25519Key.from_private_key_file(str(server.key.path)))
        channel = transport.open_session()
        stopped = threading.Event()
        channel._feed = lambda message: stopped.wait(TIMEOUT_S)  # type: ignore[attr-defined]
        transport._channel_handler_table = {  # type: ignore[attr-defined]
            **transport._channel_handler_table,  # type: ignore[attr-defined]
            94: lambda channel, message: stopped.wait(TIMEOUT_S),  # CHANNEL_DATA: the reading thread hangs
        }
        channel.exec_command("x")
        assert ended.wait(TIMEOUT_S)
        stopped.set()
        transport.close()


def test_a_write_to_a_client_that_has_gone_raises_and_sets_closed(serve: Serve) -> None:
    result: list[object] = []

    def run(session: Session) -> int:
        session.closed.wait(TIMEOUT_S)
        try:
            session.stdout.write(b"too late")
        except OSError as error:
            result.append(error)
        return 0

    server = serve(run)
    child = server.popen("x")
    server.session()
    child.kill()
    wait_until(lambda: result, what="the write to raise")
    assert isinstance(result[0], OSError)


def test_a_channel_request_in_mid_key_exchange_is_answered_after_it(serve: Serve) -> None:
    """It comes between the server's KEXINIT and the client's: Paramiko's reading thread would wait for itself."""

    def run(session: Session) -> int:
        while session.stdin.read(1) != b"q":
            pass
        return 6

    server = serve(run)
    with logged_in(server) as transport:
        channel, other = transport.open_session(), transport.open_session()
        channel.exec_command("x")
        server.session()
        request = paramiko.Message()
        request.add_byte(b"\x62")  # SSH_MSG_CHANNEL_REQUEST
        request.add_int(other.remote_chanid)
        request.add_string("exec")
        request.add_boolean(True)
        request.add_string("y")
        answer_kex_init = transport._send_kex_init  # type: ignore[attr-defined]

        def request_first() -> None:
            transport._send_message(request)  # type: ignore[attr-defined]
            answer_kex_init()

        transport._send_kex_init = request_first  # type: ignore[attr-defined]
        (connection,) = server.server._snapshot()
        assert connection._transport is not None
        connection._transport.packetizer._trigger_rekey()  # type: ignore[attr-defined]
        channel.sendall(b"now")
        assert server.session(1).argv == ("y",)
        wait_until(lambda: other.event_ready, what="the answer to the request")
        for each in (channel, other):
            each.sendall(b"q")
            assert each.recv_exit_status() == 6


def test_the_output_of_a_command_that_fails_is_complete(serve: Serve, tmp_path: Path) -> None:
    """The exit status must not overtake the last bytes."""

    def run(session: Session) -> int:
        session.stdout.write(b"x" * 3_000_000 + b"end")
        return 9

    server = serve(run)
    with (tmp_path / "out").open("wb") as out:
        child = subprocess.run(server.argv("x"), stdin=subprocess.DEVNULL, stdout=out, timeout=TIMEOUT_S)
    assert child.returncode == 9
    assert (tmp_path / "out").stat().st_size == 3_000_003
