"""A real server on a free port, real OpenSSH clients, and keys of every kind."""

from __future__ import annotations

import contextlib
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gitship.config_values import Address
from gitship.console.session import Session
from gitship.model import Identity, Role
from gitship.public_key import parse
from gitship.ssh.connection_limits import ConnectionLimits
from gitship.ssh.forward import ForwardTo, nowhere
from gitship.ssh.server import SshServer
from tests.waiting import wait_until

Run = Callable[[Session], int]
TIMEOUT_S = 60.0  # a guard against hanging


@dataclass(frozen=True)
class KeyFile:
    """A private key in a file and what the server knows of it."""

    path: Path

    @property
    def line(self) -> str:
        return parse(self.path.with_suffix(".pub").read_text()).line

    @property
    def fingerprint(self) -> str:
        return parse(self.path.with_suffix(".pub").read_text()).fingerprint


def make_key(directory: Path, name: str, *options: str) -> KeyFile:
    path = directory / name
    command = ["ssh-keygen", "-q", "-N", "", "-C", f"{name}@test", "-f", str(path), *options]
    subprocess.run(command, check=True, timeout=TIMEOUT_S, stdin=subprocess.DEVNULL)
    return KeyFile(path)


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, KeyFile]:
    directory = tmp_path_factory.mktemp("keys")
    kinds = {
        "ed25519": ("-t", "ed25519"),
        "ecdsa256": ("-t", "ecdsa", "-b", "256"),
        "ecdsa384": ("-t", "ecdsa", "-b", "384"),
        "ecdsa521": ("-t", "ecdsa", "-b", "521"),
        "rsa": ("-t", "rsa", "-b", "2048"),
        "stranger": ("-t", "ed25519"),
    }
    return {name: make_key(directory, name, *options) for name, options in kinds.items()}


@dataclass
class Running:
    """A server, with OpenSSH's command line to reach it."""

    server: SshServer
    key: KeyFile
    known: dict[str, Identity]
    sessions: list[Session] = field(default_factory=list)
    children: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def port(self) -> int:
        return self.server.address.port

    def argv(self, *command: str, key: KeyFile | None = None, options: tuple[str, ...] = ()) -> list[str]:
        settings = [
            "IdentitiesOnly=yes",
            "IdentityAgent=none",
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "LogLevel=ERROR",
            "BatchMode=yes",
            "ConnectTimeout=10",
        ]
        # OpenSSH takes the first value of an option, so the test's own come first.
        words = ["ssh", *options, "-F", "none", "-i", str((key or self.key).path), "-p", str(self.port)]
        for setting in settings:
            words += ["-o", setting]
        return [*words, "-l", "deploy", "127.0.0.1", *command]

    def ssh(
        self,
        *command: str,
        key: KeyFile | None = None,
        options: tuple[str, ...] = (),
        stdin: bytes = b"",
        env: dict[str, str] | None = None,
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            self.argv(*command, key=key, options=options),
            input=stdin,
            capture_output=True,
            timeout=TIMEOUT_S,
            env=env,
        )

    def popen(self, *command: str, options: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
        """A client in the background, ended with the test."""
        child = subprocess.Popen(
            self.argv(*command, options=options),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.children.append(child)
        return child

    def session(self, number: int = 0) -> Session:
        """The server's side of the session that was begun as number ``number``."""
        wait_until(lambda: len(self.sessions) > number, what="a session")
        return self.sessions[number]


Serve = Callable[..., Running]


@pytest.fixture
def serve(tmp_path: Path, keys: dict[str, KeyFile]) -> Iterator[Serve]:
    """Starts servers: ``serve(run, limits)``. Every key but the stranger's may log in."""
    started: list[Running] = []

    def start(run: Run, limits: ConnectionLimits | None = None, forward_to: ForwardTo = nowhere) -> Running:
        known = {
            key.fingerprint: Identity(name, Role.DEPLOYER, key.fingerprint)
            for name, key in keys.items()
            if name != "stranger"
        }

        def authenticate(fingerprint: str, line: str, address: str) -> Identity | None:
            return known.get(fingerprint)

        sessions: list[Session] = []

        def recorded(session: Session) -> int:
            sessions.append(session)
            return run(session)

        server = SshServer(Address("127.0.0.1", 0), tmp_path / "host_key", authenticate, recorded, limits, forward_to)
        server.start()
        running = Running(server, keys["ed25519"], known, sessions)
        started.append(running)
        return running

    yield start
    for running in started:
        for child in running.children:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            child.communicate(timeout=TIMEOUT_S)
        running.server.stop(0.0)


def ssh_threads() -> list[str]:
    """The names of all threads that an SSH server or client has now."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("gitship-")]
