"""Who gets in: public keys that the server knows, under any user name, and nothing else."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import paramiko
import pytest

from gitship.console.session import Session
from tests.unit.ssh.conftest import TIMEOUT_S, KeyFile, Serve, make_key

pytestmark = pytest.mark.clients


def who(session: Session) -> int:
    session.stdout.write(session.identity.key_name.encode())
    return 0


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa256", "ecdsa384", "ecdsa521", "rsa"])
def test_a_known_key_logs_in_as_itself(serve: Serve, keys: dict[str, KeyFile], kind: str) -> None:
    result = serve(who).ssh("x", key=keys[kind])
    assert (result.returncode, result.stdout) == (0, kind.encode()), result.stderr


def test_the_user_name_does_not_matter(serve: Serve) -> None:
    assert serve(who).ssh("x", options=("-l", "git")).stdout == b"ed25519"


def test_an_unknown_key_is_refused_and_nothing_runs(serve: Serve, keys: dict[str, KeyFile]) -> None:
    server = serve(who)
    result = server.ssh("x", key=keys["stranger"])
    assert result.returncode == 255
    assert b"Permission denied (publickey)." in result.stderr
    assert server.sessions == []


def test_neither_passwords_nor_dialogues_are_offered_or_taken(serve: Serve) -> None:
    server = serve(who)
    with socket.create_connection(("127.0.0.1", server.port)) as sock:
        transport = paramiko.Transport(sock)
        transport.start_client(timeout=TIMEOUT_S)
        with pytest.raises(paramiko.BadAuthenticationType) as refused:
            transport.auth_none("root")
        assert refused.value.allowed_types == ["publickey"]
        with pytest.raises(paramiko.BadAuthenticationType):
            transport.auth_password("root", "root", fallback=False)
        transport.close()


def test_a_key_shown_without_its_signature_is_not_enough(serve: Serve, keys: dict[str, KeyFile]) -> None:
    """The public half of a known key, signed for with another key's private half."""
    server = serve(who)
    known = paramiko.Ed25519Key.from_private_key_file(str(keys["ed25519"].path))
    stranger = paramiko.Ed25519Key.from_private_key_file(str(keys["stranger"].path))
    known._signing_key = stranger._signing_key  # type: ignore[attr-defined]
    public = paramiko.Ed25519Key.from_private_key_file(str(keys["ed25519"].path)).asbytes()
    known.asbytes = lambda: public  # type: ignore[method-assign]
    with socket.create_connection(("127.0.0.1", server.port)) as sock:
        transport = paramiko.Transport(sock)
        transport.start_client(timeout=TIMEOUT_S)
        with pytest.raises(paramiko.AuthenticationException):
            transport.auth_publickey("deploy", known)
        transport.close()


@pytest.fixture
def certified(tmp_path: Path) -> KeyFile:
    """A key with a certificate beside it, which OpenSSH offers before the key itself."""
    key = make_key(tmp_path, "certified", "-t", "ed25519")
    authority = make_key(tmp_path, "authority", "-t", "ed25519")
    command = ["ssh-keygen", "-q", "-s", str(authority.path), "-I", "me", "-n", "deploy", str(key.path) + ".pub"]
    subprocess.run(command, check=True, timeout=TIMEOUT_S)
    return key


def test_a_certificate_is_refused_even_of_a_known_key(serve: Serve, certified: KeyFile) -> None:
    server = serve(who)
    server.known[certified.fingerprint] = server.known[server.key.fingerprint]
    key = paramiko.Ed25519Key.from_private_key_file(str(certified.path))
    key.load_certificate(str(certified.path) + "-cert.pub")
    with socket.create_connection(("127.0.0.1", server.port)) as sock:
        transport = paramiko.Transport(sock)
        transport.start_client(timeout=TIMEOUT_S)
        with pytest.raises(paramiko.AuthenticationException):
            transport.auth_publickey("deploy", key)
        assert transport.is_active(), "the client may go on to its next key"
        transport.close()


def test_openssh_with_a_certificate_goes_on_to_the_plain_key(serve: Serve, certified: KeyFile) -> None:
    server = serve(who)
    server.known[certified.fingerprint] = server.known[server.key.fingerprint]
    result = server.ssh("x", key=certified, options=("-v", "-o", "LogLevel=DEBUG"))
    assert b"ED25519-CERT" in result.stderr, "the certificate was offered"
    assert result.stdout == b"ed25519"


def test_a_key_kind_that_the_server_cannot_check_does_not_end_the_login(serve: Serve) -> None:
    """A FIDO key first in the agent must not lock its owner out."""
    server = serve(who)
    good = paramiko.Ed25519Key.from_private_key_file(str(server.key.path))

    with socket.create_connection(("127.0.0.1", server.port)) as sock:
        transport = paramiko.Transport(sock)
        transport.start_client(timeout=TIMEOUT_S)
        fido = paramiko.Ed25519Key.from_private_key_file(str(server.key.path))
        fido.get_name = lambda: "sk-ssh-ed25519@openssh.com"  # type: ignore[method-assign]
        with pytest.raises(paramiko.AuthenticationException):
            transport.auth_publickey("deploy", fido)
        transport.auth_publickey("deploy", good)
        assert transport.is_authenticated()
        transport.close()


def test_a_key_removed_after_login_runs_no_further_command(serve: Serve) -> None:
    server = serve(who)
    with socket.create_connection(("127.0.0.1", server.port)) as sock:
        transport = paramiko.Transport(sock)
        transport.start_client(timeout=TIMEOUT_S)
        transport.auth_publickey("deploy", paramiko.Ed25519Key.from_private_key_file(str(server.key.path)))
        server.known.clear()
        channel = transport.open_session()
        channel.exec_command("x")
        assert b"your key may no longer log in" in channel.makefile_stderr("rb").read()
        assert channel.recv_exit_status() == 1
        transport.close()
    assert server.sessions == []
