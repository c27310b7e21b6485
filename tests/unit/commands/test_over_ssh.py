"""The commands through the real SSH server, with OpenSSH's client: terminals, Ctrl-C, quoting, standard input."""

from __future__ import annotations

import shlex
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitship.config_values import Address
from gitship.console.dispatch import run
from gitship.console.session import Session
from gitship.engine.types import LogLine
from gitship.model import DeployState, Identity, Role
from gitship.ssh.server import SshServer
from tests.unit.commands.world import ADA, World
from tests.waiting import wait_until

pytestmark = pytest.mark.clients

TIMEOUT_S = 20


class Remote:
    """A server of ``world``'s commands, and a user's ssh."""

    def __init__(self, world: World, directory: Path) -> None:
        self.world = world
        self.reached, self.running = "nothing yet", False
        self._key = directory / "key"
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self._key)],
            check=True, timeout=TIMEOUT_S, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        self.server = SshServer(
            Address("127.0.0.1", 0),
            directory / "host_key",
            lambda fingerprint, line, address: Identity("ada", Role.ADMIN, fingerprint, address),
            self._run,
        )
        self.server.start()
        self._children: list[subprocess.Popen[bytes]] = []

    def _run(self, session: Session) -> int:
        self.reached, self.running = session.reached, True
        try:
            return run(self.world.services, session)
        finally:
            self.running = False

    def popen(self, *argv: str, terminal: bool = False, quoted: bool = True) -> subprocess.Popen[bytes]:
        words = ["ssh", "-F", "none", "-i", str(self._key), "-p", str(self.server.address.port)]
        for option in ("IdentitiesOnly=yes", "IdentityAgent=none", "StrictHostKeyChecking=no", "LogLevel=ERROR",
                       "UserKnownHostsFile=/dev/null", "BatchMode=yes"):  # fmt: skip
            words += ["-o", option]
        words += ["-tt"] if terminal else []
        child = subprocess.Popen(
            [*words, "deploy@127.0.0.1", shlex.join(argv) if quoted else " ".join(argv)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self._children.append(child)
        return child

    def ssh(
        self, *argv: str, stdin: bytes = b"", terminal: bool = False, quoted: bool = True
    ) -> subprocess.CompletedProcess[str]:
        child = self.popen(*argv, terminal=terminal, quoted=quoted)
        out, err = child.communicate(stdin, timeout=TIMEOUT_S)
        return subprocess.CompletedProcess(argv, child.returncode, out.decode(), err.decode())

    def close(self) -> None:
        for child in self._children:
            child.kill()
            child.communicate(timeout=TIMEOUT_S)
        self.server.stop(1.0)


@pytest.fixture
def remote(world: World, tmp_path: Path) -> Iterator[Remote]:
    made = Remote(world, tmp_path)
    yield made
    made.close()


def test_a_session_knows_the_address_that_its_client_came_to(remote: Remote) -> None:
    assert remote.ssh("version").returncode == 0
    assert remote.reached == "127.0.0.1"


def read_until(child: subprocess.Popen[bytes], text: bytes) -> bytes:
    assert child.stdout is not None
    data = b""
    deadline = time.monotonic() + TIMEOUT_S
    while text not in data:
        assert time.monotonic() < deadline
        chunk = child.stdout.read1(65536)  # type: ignore[attr-defined]
        assert chunk, data
        data += chunk
    return data


def test_streams_and_exit_codes_arrive(remote: Remote) -> None:
    made = remote.ssh("apps:create", "shop")
    assert (made.returncode, made.stdout) == (0, "created shop\n")
    assert "git push deploy main" in made.stderr
    assert remote.ssh("apps:create", "shop").returncode == 3
    unknown = remote.ssh("apps:creat", "shop")
    assert (unknown.returncode, unknown.stdout) == (2, "")
    assert "did you mean `apps:create`?" in unknown.stderr


def test_values_survive_both_shells_and_standard_input(remote: Remote) -> None:
    remote.ssh("apps:create", "shop")
    values = {"A": "two words", "Q": "\"'`$HOME\\", "LINES": "a\n\tb", "UTF8": "grüße 🚀", "LONG": "x" * 65536}
    assert remote.ssh("config:set", "shop", *(f"{n}={v}" for n, v in values.items())).returncode == 0
    assert remote.ssh("config:set", "shop", "--stdin", "PEM", stdin=b"-----\nkey\n").returncode == 0
    assert remote.world.store.config(1) == {**values, "PEM": "-----\nkey"}
    unquoted = remote.ssh("config:set", "shop", "B=x", "y", quoted=False)
    assert unquoted.returncode == 2
    assert "quotes for both shells" in unquoted.stderr


def test_a_key_comes_from_a_file(remote: Remote) -> None:
    added = remote.ssh("keys:add", "bob", "--role", "viewer", stdin=f"{ADA}\n".encode())
    assert added.returncode == 0, added.stderr
    assert remote.world.store.keys()[0].role is Role.VIEWER


def test_what_a_killed_client_had_sent_of_a_file_is_not_taken_for_the_file(remote: Remote) -> None:
    remote.ssh("apps:create", "shop")
    child = remote.popen("config:import", "shop")
    assert child.stdin is not None
    child.stdin.write(b"NAME=whole\nTOKEN=on")
    child.stdin.flush()
    wait_until(lambda: remote.world.store.audit()[0].action == "config:import", what="it has begun to read")
    child.kill()
    child.wait(TIMEOUT_S)
    wait_until(lambda: not remote.running)
    assert remote.world.store.config(1) == {}


def test_a_terminal_gets_carriage_returns_once(remote: Remote) -> None:
    remote.ssh("apps:create", "shop")
    for argv in (("apps:list",), ("help",), ("nothing",)):
        done = remote.ssh(*argv, terminal=True)
        out = done.stdout + done.stderr
        assert "\r\n" in out
        assert "\r\r" not in out
        assert out.count("\n") == out.count("\r\n")


def test_a_question_is_answered_on_a_terminal(remote: Remote) -> None:
    remote.ssh("apps:create", "shop")
    child = remote.popen("apps:destroy", "shop", terminal=True)
    assert child.stdin is not None
    read_until(child, b"Type its name to continue: ")
    child.stdin.write(b"shpo\x7f\x7fop\r")
    child.stdin.flush()
    assert b"destroyed shop" in read_until(child, b"destroyed shop\r\n")
    assert child.wait(TIMEOUT_S) == 0
    assert remote.world.store.apps() == []


def test_ctrl_c_at_a_question_does_nothing(remote: Remote) -> None:
    remote.ssh("apps:create", "shop")
    child = remote.popen("apps:destroy", "shop", terminal=True)
    assert child.stdin is not None
    read_until(child, b"Type its name to continue: ")
    child.stdin.write(b"shop\x03")
    child.stdin.flush()
    assert child.wait(TIMEOUT_S) == 130
    assert [app.name for app in remote.world.store.apps()] == ["shop"]


def test_ctrl_c_ends_the_logs(remote: Remote) -> None:
    remote.world.memory.push("shop")
    remote.world.memory.engine.print_line(LogLine("shop.web.1.v1", 1_700_000_000.0, "stdout", "hello"))
    child = remote.popen("logs", "shop", "-f", terminal=True)
    assert child.stdin is not None
    read_until(child, b"hello")
    child.stdin.write(b"\x03")
    child.stdin.flush()
    assert child.wait(TIMEOUT_S) == 130


def test_ctrl_c_leaves_the_deploy_running_and_says_so(remote: Remote) -> None:
    remote.world.memory.push("shop")
    remote.world.memory.hold()
    child = remote.popen("ps:restart", "shop", terminal=True)
    read_until(child, b"Deploy 2")
    _, errors = child.communicate(b"\x03", TIMEOUT_S)
    assert b"deploy 2 of shop goes on" in errors
    assert child.returncode == 130
    assert remote.world.store.deploy(2).state is DeployState.STARTING
    remote.world.memory.release()
    assert remote.ssh("logs:deploy", "shop").returncode == 0


def test_a_killed_client_ends_its_command_and_not_the_deploy(remote: Remote) -> None:
    remote.world.memory.push("shop")
    remote.world.memory.hold()
    for argv, sign in ((("logs", "shop", "-f"), b"hello"), (("ps:restart", "shop"), b"Deploy 2")):
        remote.world.memory.engine.print_line(LogLine("shop.web.1.v1", 1_700_000_000.0, "stdout", "hello"))
        child = remote.popen(*argv)
        read_until(child, sign)
        child.kill()
        child.wait(TIMEOUT_S)
    remote.world.memory.release()
    assert remote.ssh("logs:deploy", "shop", "2").returncode == 0
    assert remote.world.store.deploy(2).state is DeployState.LIVE
