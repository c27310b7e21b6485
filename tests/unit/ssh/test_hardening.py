"""What clients without a key can cost: little memory, few connections, a short time, never other people's logins."""

from __future__ import annotations

import contextlib
import logging
import socket
import struct
import time
from pathlib import Path

import paramiko
import pytest

from gitship.ssh import pending_connections
from gitship.ssh.connection_limits import ConnectionLimits
from tests.unit.ssh.conftest import TIMEOUT_S, KeyFile, Running, Serve, ssh_threads
from tests.waiting import wait_until

pytestmark = pytest.mark.clients

MIB = 1 << 20


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def connect(server: Running, source: str = "127.0.0.1") -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", server.port), source_address=(source, 0), timeout=TIMEOUT_S)
    sock.settimeout(TIMEOUT_S)
    return sock


def is_cut(sock: socket.socket) -> bool:
    """True once the server has hung up, whatever it has said before."""
    sock.settimeout(0.05)
    try:
        while sock.recv(4096):
            pass
    except TimeoutError:
        return False
    except OSError:
        return True
    return True


def flood(sock: socket.socket, total: int) -> int:
    """How many of ``total`` bytes the server let itself be sent."""
    sent = 0
    block = b"A" * 65536
    with contextlib.suppress(OSError):
        while sent < total:
            sent += sock.send(block)
    return sent


def test_a_packet_of_64_mib_before_login_is_cut_at_once(serve: Serve) -> None:
    server = serve(lambda session: 0)
    before = resident_bytes()
    with connect(server) as sock:
        sock.recv(100)
        sock.sendall(b"SSH-2.0-evil\r\n" + struct.pack(">I", 64 * MIB + 4))
        sent = flood(sock, 64 * MIB)
    assert sent < 16 * MIB, "the rest is in the kernel's buffers"
    assert resident_bytes() - before < 16 * MIB


def test_a_banner_without_end_is_cut(serve: Serve) -> None:
    """Paramiko collects it in quadratic time for as long as it comes."""
    server = serve(lambda session: 0, ConnectionLimits(login_grace_s=60.0))
    with connect(server) as sock:
        sock.sendall(b"A" * 8000)
        assert not is_cut(sock)
        sock.sendall(b"A" * 1000)
        wait_until(lambda: is_cut(sock), what="the server to hang up")


def test_a_second_key_exchange_before_login_is_cut(serve: Serve) -> None:
    server = serve(lambda session: 0)
    with connect(server) as sock:
        transport = paramiko.Transport(sock)
        transport.start_client(timeout=TIMEOUT_S)
        with contextlib.suppress(paramiko.SSHException, EOFError, OSError):
            transport.renegotiate_keys()
        wait_until(lambda: not transport.is_active(), what="the server to hang up")
        transport.close()


def test_a_key_of_absurd_length_is_refused_without_being_read(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """Paramiko reads an RSA number of 32 KiB in quadratic time, before it knows whose key it is."""
    caplog.set_level(logging.INFO, "gitship.ssh")
    server = serve(lambda session: 0)
    with connect(server) as sock:
        transport = paramiko.Transport(sock)
        transport.start_client(timeout=TIMEOUT_S)

        blob = paramiko.Message()
        blob.add_string("ssh-rsa")
        blob.add_string(b"\x03")
        blob.add_string(b"\x00" + b"\xff" * 30_000)
        key = paramiko.RSAKey.generate(1024)
        key.get_name = lambda: "rsa-sha2-512"  # type: ignore[method-assign]
        key.asbytes = blob.asbytes  # type: ignore[method-assign]
        key.sign_ssh_data = lambda data, algorithm=None: paramiko.Message(b"")  # type: ignore[method-assign]
        with pytest.raises(paramiko.AuthenticationException):
            transport.auth_publickey("x", key)
        assert transport.is_active()
        assert "unknown key" not in caplog.text, "it was read, and its fingerprint looked up"
        transport.close()


def test_300_silent_connections_do_not_keep_others_out(serve: Serve) -> None:
    """From many addresses and from the client's own: the longest silent one makes way."""
    server = serve(lambda session: 0, ConnectionLimits(eviction_age_s=0.2))
    for sources in (5, 1):
        with contextlib.ExitStack() as stack:
            for number in range(300):
                last = stack.enter_context(connect(server, f"127.0.0.{1 + number % sources}"))
            assert last.recv(1), "the server has come to the last of them"
            wait_until(lambda: len(ssh_threads()) <= ConnectionLimits().unauthenticated + 3, what="the evicted to end")
            time.sleep(0.3)  # longer than eviction_age_s
            assert server.ssh("x").returncode == 0


def test_a_flood_of_silent_connections_that_does_not_end_keeps_nobody_out(serve: Serve) -> None:
    """All places are taken by connections too young to be evicted, and more come all the time."""
    server = serve(lambda session: 0, ConnectionLimits(unauthenticated=10, lobby=20, lobby_s=20.0, eviction_age_s=60.0))
    with contextlib.ExitStack() as stack:
        for number in range(50):  # places, lobby, and others that have to leave it
            stack.enter_context(connect(server, f"127.0.0.{2 + number}"))
        wait_until(lambda: len(server.server._snapshot()) == 10, what="the places to be taken")
        for _ in range(3):
            assert server.ssh("x").returncode == 0
    assert "gitship-ssh-lobby" in ssh_threads()
    server.server.stop(0.0)
    assert "gitship-ssh-lobby" not in ssh_threads()


def test_the_lobby_ends_at_once(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending_connections, "LOOK_S", 1e6)  # whoever waited for that would wait in vain
    server = serve(lambda session: 0)
    server.server.stop(0.0)
    assert "gitship-ssh-lobby" not in ssh_threads()


def test_one_address_gets_only_its_share_of_places(serve: Serve) -> None:
    server = serve(lambda session: 0, ConnectionLimits(unauthenticated_per_address=3))
    with contextlib.ExitStack() as stack:
        first = [stack.enter_context(connect(server)) for _ in range(3)]
        wait_until(lambda: len(server.server._snapshot()) == 3, what="three connections")
        fourth = stack.enter_context(connect(server))
        assert fourth.recv(100) == b"gitship: too many connections, try again in a minute\r\n"
        assert is_cut(fourth)
        assert not any(is_cut(sock) for sock in first)
        elsewhere = stack.enter_context(connect(server, "127.0.0.9"))
        assert elsewhere.recv(100).startswith(b"SSH-2.0-gitship")


def test_whoever_does_not_log_in_is_cut_after_the_login_grace(serve: Serve) -> None:
    """Silent, only a banner, and a finished key exchange: Paramiko itself would keep the last one for ever."""
    server = serve(lambda session: 0, ConnectionLimits(login_grace_s=0.5))
    with connect(server) as silent, connect(server) as banner, connect(server) as exchanged:
        banner.sendall(b"SSH-2.0-x\r\n")
        transport = paramiko.Transport(exchanged)
        transport.start_client(timeout=TIMEOUT_S)
        wait_until(lambda: is_cut(silent), what="the silent one to be cut")
        wait_until(lambda: is_cut(banner), what="the one with a banner to be cut")
        wait_until(lambda: not transport.is_active(), what="the one after its key exchange to be cut")
        transport.close()
    wait_until(lambda: not server.server._snapshot(), what="all places to be free")


def test_places_are_free_again_after_use(serve: Serve, keys: dict[str, KeyFile]) -> None:
    """However connections end: after a command, without a login, in a broken handshake."""
    server = serve(lambda session: 0, ConnectionLimits(connections=2))
    for _ in range(3):
        assert server.ssh("x").returncode == 0
        assert server.ssh("x", key=keys["stranger"]).returncode == 255
        with connect(server) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        wait_until(lambda: not server.server._snapshot(), what="all connections to be forgotten")


def test_a_login_ends_the_grace(serve: Serve) -> None:
    def run(session: object) -> int:
        time.sleep(1.2)
        return 5

    assert serve(run, ConnectionLimits(login_grace_s=0.3)).ssh("x").returncode == 5


def test_who_knows_a_good_key_gets_time_to_type_its_passphrase(serve: Serve) -> None:
    server = serve(lambda session: 0, ConnectionLimits(login_grace_s=0.3))
    with connect(server) as sock:
        transport = paramiko.Transport(sock)
        transport.start_client(timeout=TIMEOUT_S)
        key = paramiko.Ed25519Key.from_private_key_file(str(server.key.path))
        probe = paramiko.Message()
        probe.add_byte(b"\x32")  # SSH_MSG_USERAUTH_REQUEST without a signature: would this key do?
        for text in ("deploy", "ssh-connection", "publickey"):
            probe.add_string(text)
        probe.add_boolean(False)
        probe.add_string("ssh-ed25519")
        probe.add_string(key.asbytes())
        transport._send_message(probe)  # type: ignore[attr-defined]
        time.sleep(1.2)
        assert transport.is_active()
        transport.auth_publickey("deploy", key)
        assert transport.is_authenticated()
        transport.close()


def test_after_too_many_failed_logins_an_address_is_refused(serve: Serve, keys: dict[str, KeyFile]) -> None:
    """Until the window has passed, which test_limits.py shows by a clock of its own."""
    server = serve(lambda session: 0, ConnectionLimits(failed_logins_per_address=3))
    for _ in range(3):
        assert server.ssh("x", key=keys["stranger"]).returncode == 255
    wait_until(lambda: not server.server._snapshot(), what="the failures to be counted")
    with connect(server) as sock:
        assert sock.recv(100) == b"gitship: too many failed logins, try again in a minute\r\n"
    assert server.ssh("x").returncode == 255
    with connect(server, "127.0.0.9") as sock:
        assert sock.recv(100).startswith(b"SSH-2.0-gitship"), "another address is not concerned"


def test_a_connection_that_runs_nothing_is_cut_after_a_while(serve: Serve) -> None:
    server = serve(lambda session: 0, ConnectionLimits(idle_s=0.5))
    with connect(server) as sock:
        transport = paramiko.Transport(sock)
        transport.start_client(timeout=TIMEOUT_S)
        transport.auth_publickey("deploy", paramiko.Ed25519Key.from_private_key_file(str(server.key.path)))
        wait_until(lambda: not transport.is_active(), what="the idle connection to be cut")
        transport.close()


@pytest.mark.parametrize("name", ["curve25519-sha256", "curve25519-sha256@libssh.org"])
def test_openssh_agrees_on_a_key_exchange_under_either_name(serve: Serve, name: str) -> None:
    options = ("-o", f"KexAlgorithms={name}", "-o", "LogLevel=DEBUG")
    result = serve(lambda session: 0).ssh("x", options=options)
    assert result.returncode == 0
    assert f"kex: algorithm: {name}\r\n".encode() in result.stderr
    assert b"cipher: aes128-gcm@openssh.com" in result.stderr


@pytest.mark.parametrize("name", ["mlkem768x25519-sha256", "curve25519-sha256@libssh.org"])
def test_both_key_exchanges_lead_to_a_login(serve: Serve, name: str) -> None:
    server = serve(lambda session: 0)
    with connect(server) as sock:
        transport = paramiko.Transport(sock)
        transport._preferred_kex = (name,)  # type: ignore[attr-defined]
        transport.start_client(timeout=TIMEOUT_S)
        transport.auth_publickey("deploy", paramiko.Ed25519Key.from_private_key_file(str(server.key.path)))
        assert transport.is_authenticated()
        transport.close()


@pytest.mark.parametrize("cipher", ["aes128-ctr", "aes256-cbc", "3des-cbc"])
def test_a_client_without_aes_gcm_gets_no_connection(serve: Serve, cipher: str) -> None:
    server = serve(lambda session: 0)
    with connect(server) as sock:
        transport = paramiko.Transport(sock)
        transport._preferred_ciphers = (cipher,)  # type: ignore[attr-defined]
        with pytest.raises((paramiko.SSHException, EOFError)):
            transport.start_client(timeout=TIMEOUT_S)
        transport.close()
