"""What an SSH server usually also does, and this one does not: forwarding, files, agents, windows, other channels."""

from __future__ import annotations

import socket
import subprocess

import paramiko
import pytest

from gitship.console.session import Session
from tests.places import free_port
from tests.unit.ssh.conftest import TIMEOUT_S, Serve
from tests.waiting import wait_until

pytestmark = pytest.mark.clients


def wait_for_client(session: Session) -> int:
    session.closed.wait(TIMEOUT_S)
    return 0


def test_local_forwarding_reaches_nothing(serve: Serve) -> None:
    """`ssh -L`: a service on the server's loopback must not be reachable through it."""
    server = serve(wait_for_client)
    with socket.create_server(("127.0.0.1", 0)) as inside:
        inside.settimeout(0.5)
        port = free_port()
        server.popen("x", options=("-L", f"127.0.0.1:{port}:127.0.0.1:{inside.getsockname()[1]}"))
        server.session()
        with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S) as client:
            client.settimeout(TIMEOUT_S)
            assert client.recv(10) == b"", "the tunnel is closed at once"
        with pytest.raises(TimeoutError):
            inside.accept()


def test_remote_forwarding_is_refused(serve: Serve) -> None:
    server = serve(wait_for_client)
    port = free_port()
    options = ("-R", f"127.0.0.1:{port}:127.0.0.1:1", "-o", "ExitOnForwardFailure=yes")
    result = server.ssh("x", options=options)
    assert result.returncode == 255
    assert b"remote port forwarding failed" in result.stderr
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=1)


def test_sftp_and_every_other_subsystem_is_refused(serve: Serve) -> None:
    server = serve(wait_for_client)
    result = server.ssh("sftp", options=("-s",))
    assert result.returncode != 0
    assert b"subsystem request failed" in result.stderr
    assert server.sessions == []


def test_agent_and_x11_requests_are_refused_and_the_command_runs(serve: Serve) -> None:
    server = serve(lambda session: 0)
    with socket.create_connection(("127.0.0.1", server.port)) as sock:
        transport = paramiko.Transport(sock)
        transport.start_client(timeout=TIMEOUT_S)
        transport.auth_publickey("deploy", paramiko.Ed25519Key.from_private_key_file(str(server.key.path)))
        with pytest.raises(paramiko.SSHException):
            transport.open_session().request_x11(handler=lambda channel, origin: None)
        with pytest.raises(paramiko.ChannelException):
            transport.open_channel("direct-tcpip", ("127.0.0.1", 1), ("127.0.0.1", 1))
        with pytest.raises(paramiko.ChannelException):
            transport.open_channel("x11", src_addr=("127.0.0.1", 1))
        with pytest.raises(paramiko.ChannelException):
            transport.open_channel("auth-agent@openssh.com")
        transport.close()
    result = server.ssh("x", options=("-A", "-X"))
    assert result.returncode == 0, result.stderr


def test_a_second_command_on_one_channel_is_refused(serve: Serve) -> None:
    server = serve(wait_for_client)
    with socket.create_connection(("127.0.0.1", server.port)) as sock:
        transport = paramiko.Transport(sock)
        transport.start_client(timeout=TIMEOUT_S)
        transport.auth_publickey("deploy", paramiko.Ed25519Key.from_private_key_file(str(server.key.path)))
        channel = transport.open_session()
        channel.exec_command("one")
        server.session()
        with pytest.raises(paramiko.SSHException):
            channel.exec_command("two")
        transport.close()
    wait_until(lambda: server.sessions[0].closed.is_set(), what="the end of the first")
    assert [s.argv for s in server.sessions] == [("one",)]


def test_nothing_but_login_is_answered_before_login(serve: Serve) -> None:
    server = serve(wait_for_client)
    with socket.create_connection(("127.0.0.1", server.port)) as sock:
        transport = paramiko.Transport(sock)
        transport.start_client(timeout=TIMEOUT_S)
        with pytest.raises(paramiko.ChannelException):
            transport.open_session(timeout=TIMEOUT_S)
        transport.close()
    assert server.sessions == []


def test_ssh_audit_finds_no_failure(serve: Serve) -> None:
    server = serve(wait_for_client)
    command = ["ssh-audit", "--skip-rate-test", "--no-colors", "-p", str(server.port), "127.0.0.1"]
    report = subprocess.run(command, capture_output=True, text=True, timeout=60).stdout
    assert "aes256-gcm@openssh.com" in report, report
    assert "[fail]" not in report, report
    assert "kex-strict-s-v00@openssh.com" in report, "Terrapin"
