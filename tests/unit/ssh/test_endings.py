"""How sessions end: the client goes, Ctrl-C, signals, and the server's own stop."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading

import paramiko
import pytest

from gitship.config_values import Address
from gitship.console.session import Session
from gitship.errors import ConfigError
from gitship.ssh.execution import first_words
from gitship.ssh.server import SshServer
from tests.unit.ssh.conftest import TIMEOUT_S, Serve, ssh_threads
from tests.waiting import wait_until

pytestmark = pytest.mark.clients


def until_closed(session: Session) -> int:
    return 130 if session.closed.wait(TIMEOUT_S) else 1


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_client_sets_closed_while_the_command_is_busy(serve: Serve, number: signal.Signals) -> None:
    """SIGINT is Ctrl-C of `ssh host logs -f` without a terminal."""
    server = serve(until_closed)
    child = server.popen("x")
    session = server.session()
    assert not session.closed.is_set()
    child.send_signal(number)
    assert session.closed.wait(5)
    wait_until(lambda: not server.server._snapshot(), what="the connection to be forgotten")


def test_closed_is_not_set_by_the_end_of_the_input(serve: Serve) -> None:
    def run(session: Session) -> int:
        assert session.stdin.read(10) == b""
        return 1 if session.closed.wait(0.3) else 0

    assert serve(run).ssh("x", stdin=b"").returncode == 0


def test_ctrl_c_on_a_terminal_sets_closed_and_the_exit_status_arrives(serve: Serve) -> None:
    server = serve(until_closed)
    main, other = os.openpty()
    try:
        child = subprocess.Popen(server.argv("x", options=("-tt",)), stdin=other, stdout=other, stderr=other)
        server.children.append(child)
        server.session()
        os.write(main, b"\x03")
        assert child.wait(TIMEOUT_S) == 130
    finally:
        os.close(main)
        os.close(other)


def test_ctrl_c_is_a_byte_like_any_other_for_a_program_on_a_raw_terminal(serve: Serve) -> None:
    def run(session: Session) -> int:
        assert session.pty is not None
        session.pty.raw = True
        session.stdout.write(b"ready")
        return 1 if session.closed.wait(0.5) else 0

    child = serve(run).popen("x", options=("-tt",))
    assert child.stdin is not None and child.stdout is not None
    assert child.stdout.read(5) == b"ready"
    child.stdin.write(b"\x03")
    child.stdin.flush()
    assert child.wait(TIMEOUT_S) == 0


def test_ctrl_c_goes_to_a_command_that_waits_for_input(serve: Serve) -> None:
    read: list[bytes] = []

    def run(session: Session) -> int:
        read.append(session.stdin.read(10))
        return 1 if session.closed.is_set() else 0

    server = serve(run)
    child = server.popen("x", options=("-tt",))
    wait_until(lambda: server.session().stdin.waiting, what="the command to read")  # type: ignore[attr-defined]
    assert child.stdin is not None
    child.stdin.write(b"\x03")
    child.stdin.flush()
    assert child.wait(TIMEOUT_S) == 0
    assert read == [b"\x03"]


def test_the_byte_of_ctrl_c_in_piped_input_is_only_a_byte(serve: Serve) -> None:
    def run(session: Session) -> int:
        return 1 if session.closed.wait(0.5) else 0

    assert serve(run).ssh("x", stdin=b"\x03\x03").returncode == 0


def test_a_signal_from_the_client_sets_closed(serve: Serve) -> None:
    server = serve(until_closed)
    with socket.create_connection(("127.0.0.1", server.port)) as sock:
        transport = paramiko.Transport(sock)
        transport.start_client(timeout=TIMEOUT_S)
        transport.auth_publickey("deploy", paramiko.Ed25519Key.from_private_key_file(str(server.key.path)))
        channel = transport.open_session()
        channel.exec_command("x")
        message = paramiko.Message()
        message.add_byte(b"\x62")  # SSH_MSG_CHANNEL_REQUEST
        message.add_int(channel.remote_chanid)
        message.add_string("signal")
        message.add_boolean(False)
        message.add_string("INT")
        transport._send_user_message(message)  # type: ignore[attr-defined]
        assert channel.recv_exit_status() == 130
        transport.close()


def test_stop_lets_a_running_command_finish_within_the_grace(serve: Serve) -> None:
    go = threading.Event()

    def run(session: Session) -> int:
        go.wait(TIMEOUT_S)
        session.stdout.write(b"done")
        return 4

    server = serve(run)
    child = server.popen("x")
    server.session()
    threading.Timer(0.3, go.set).start()
    server.server.stop(TIMEOUT_S)
    assert child.communicate(timeout=TIMEOUT_S)[0] == b"done"
    assert child.returncode == 4


def test_stop_ends_every_thread_and_closes_the_port(serve: Serve) -> None:
    server = serve(until_closed)
    port = server.port
    busy = server.popen("x")
    session = server.session()
    silent = socket.create_connection(("127.0.0.1", port))
    half_way = socket.create_connection(("127.0.0.1", port))
    half_way.sendall(b"SSH-2.0-x\r\n")
    wait_until(lambda: len(server.server._snapshot()) == 3, what="three connections")
    before = set(threading.enumerate())
    server.server.stop(0.1)
    assert session.closed.is_set()
    assert busy.wait(TIMEOUT_S) == 255
    assert ssh_threads() == []
    assert not [t for t in before if t.is_alive() and isinstance(t, threading.Timer)]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    silent.close()
    half_way.close()


def test_a_taken_port_is_named(serve: Serve) -> None:
    server = serve(until_closed)
    second = SshServer(Address("127.0.0.1", server.port), server.server._host_key_path, lambda *a: None, until_closed)
    with pytest.raises(ConfigError, match=f"cannot listen for SSH on 127.0.0.1:{server.port}"):
        second.start()


def test_the_server_starts_again_at_once_on_its_port(serve: Serve) -> None:
    server = serve(until_closed)
    child = server.popen("x")
    server.session()
    port = server.port
    server.server.stop(0.0)
    child.wait(TIMEOUT_S)
    again = SshServer(Address("127.0.0.1", port), server.server._host_key_path, lambda *a: None, until_closed)
    again.start()
    again.stop(0.0)


def test_the_log_has_no_more_of_a_command_than_what_and_which_app() -> None:
    assert first_words(b"config:set shop KEY=se cret") == "config:set shop ..."
    assert first_words(b"config:global:set KEY=secret") == "config:global:set"
    assert first_words(b"git-receive-pack '/shop'") == "git-receive-pack '/shop'"
    assert first_words(b"\xff") == "\ufffd"
