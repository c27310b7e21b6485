"""`gitship <command>` on the server itself, against a real server and on a real terminal."""

from __future__ import annotations

import fcntl
import io
import os
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path

import pytest

from gitship.config_values import Address
from gitship.console import command_registry
from gitship.console.session import Session
from gitship.errors import GitshipError
from gitship.ssh import host_key
from gitship.ssh.client import run_remote
from gitship.ssh.client_terminal import PROGRAM_COMMANDS
from tests.places import refusing_port
from tests.unit.ssh.conftest import TIMEOUT_S, KeyFile, Running, Serve, ssh_threads
from tests.waiting import wait_until

pytestmark = pytest.mark.clients

PROGRAM = """
import sys
from pathlib import Path
from gitship.config_values import Address
from gitship.ssh.client import run_remote
port, key, host_key, pty, *argv = sys.argv[1:]
sys.exit(run_remote(Address("127.0.0.1", int(port)), Path(key), host_key, argv,
                    sys.stdin.buffer, sys.stdout.buffer, sys.stderr.buffer, pty == "pty"))
"""


def host_line(server: Running) -> str:
    return host_key.public_line(server.server._host_key)


def call(server: Running, *argv: str, stdin: bytes = b"", key: KeyFile | None = None) -> tuple[int, bytes, bytes]:
    out, err = io.BytesIO(), io.BytesIO()
    path = (key or server.key).path
    status = run_remote(server.server.address, path, host_line(server), argv, io.BytesIO(stdin), out, err, False)
    return status, out.getvalue(), err.getvalue()


def program(server: Running, pty: bool, *argv: str) -> list[str]:
    words = [str(server.port), str(server.key.path), host_line(server), "pty" if pty else "plain"]
    return [sys.executable, "-c", PROGRAM, *words, *argv]


def test_words_streams_and_exit_status_pass_through(serve: Serve) -> None:
    def run(session: Session) -> int:
        session.stdout.write("|".join(session.argv).encode() + b":")
        session.stderr.write(b"warning")
        while data := session.stdin.read(1000):
            session.stdout.write(data)
        return 7

    server = serve(run)
    status = call(server, "config:set", "A=two words", "B=it's", stdin=b"input" * 100_000)
    assert status == (7, b"config:set|A=two words|B=it's:" + b"input" * 100_000, b"warning")
    wait_until(lambda: not server.server._snapshot(), what="the server to see the end")
    assert [name for name in ssh_threads() if "client" in name] == []


def test_a_command_that_ends_without_reading_its_input_ends_the_client(serve: Serve) -> None:
    """Not even when the input is longer than the window, or never ends."""
    server = serve(lambda session: 3)
    child = subprocess.Popen(program(server, False, "x"), stdin=subprocess.PIPE)
    server.children.append(child)
    assert child.wait(TIMEOUT_S) == 3
    assert call(server, "x", stdin=bytes(20_000_000))[0] == 3


def test_input_from_a_file_arrives_whole(serve: Serve, tmp_path: Path) -> None:
    def run(session: Session) -> int:
        size = 0
        while data := session.stdin.read(100_000):
            size += len(data)
        session.stdout.write(str(size).encode())
        return 0

    server = serve(run)
    (tmp_path / "file").write_bytes(bytes(1_000_001))
    with (tmp_path / "file").open("rb") as file:
        done = subprocess.run(program(server, False, "x"), stdin=file, capture_output=True, timeout=TIMEOUT_S)
    assert (done.stdout, done.stderr) == (b"1000001", b"")


def test_a_server_that_is_not_running_is_named(serve: Serve) -> None:
    server = serve(lambda session: 0)
    out = io.BytesIO()
    with refusing_port() as port, pytest.raises(GitshipError, match="the server is not running") as error:
        run_remote(Address("127.0.0.1", port), server.key.path, host_line(server), ["x"], out, out, out, False)
    assert error.value.hint == "start `gitship serve`"


def test_what_is_no_ssh_server_is_named(serve: Serve) -> None:
    server = serve(lambda session: 0)
    out = io.BytesIO()
    with socket.create_server(("127.0.0.1", 0)) as sock:

        def answer() -> None:
            with sock.accept()[0] as accepted:
                accepted.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        answering = threading.Thread(target=answer)
        answering.start()
        address = Address("127.0.0.1", sock.getsockname()[1])
        with pytest.raises(GitshipError, match="no SSH session with what listens at"):
            run_remote(address, server.key.path, host_line(server), ["x"], out, out, out, False)
        answering.join()


def test_a_server_with_another_host_key_gets_nothing(serve: Serve, keys: dict[str, KeyFile]) -> None:
    server = serve(lambda session: 0)
    out = io.BytesIO()
    with pytest.raises(GitshipError, match="it has another host key"):
        run_remote(server.server.address, server.key.path, keys["stranger"].line, ["x"], out, out, out, False)
    assert server.sessions == []


def test_a_key_that_the_server_does_not_take_is_named(serve: Serve, keys: dict[str, KeyFile]) -> None:
    with pytest.raises(GitshipError, match="rejects this machine's key"):
        call(serve(lambda session: 0), "x", key=keys["stranger"])


def test_a_server_that_dies_in_the_middle_is_named(serve: Serve) -> None:
    def run(session: Session) -> int:
        server.server._snapshot()[0].close()
        return 0

    server = serve(run)
    with pytest.raises(GitshipError, match="the connection to the server broke"):
        call(server, "x")


def test_ctrl_c_without_a_terminal_ends_both_sides(serve: Serve) -> None:
    server = serve(lambda session: 0 if session.closed.wait(TIMEOUT_S) else 1)
    child = subprocess.Popen(program(server, False, "logs"), stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    server.children.append(child)
    session = server.session()
    child.send_signal(signal.SIGINT)
    assert child.wait(TIMEOUT_S) == 130
    assert session.closed.wait(5)
    assert child.stderr is not None
    assert child.stderr.read() == b""


class Terminal:
    """A client on a pseudo-terminal that is its controlling one."""

    def __init__(self, server: Running, *argv: str) -> None:
        self.main, self.other = os.openpty()
        self.resize(100, 30)
        self.before = termios.tcgetattr(self.other)
        self.child = subprocess.Popen(
            ["setsid", "-c", *program(server, True, *argv)],
            stdin=self.other,
            stdout=self.other,
            stderr=self.other,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "33", "LINES": "7"},  # the terminal knows better
        )
        server.children.append(self.child)

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self.main, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, data: bytes) -> None:
        os.write(self.main, data)

    def read_until(self, end: bytes) -> bytes:
        shown = b""
        deadline = time.monotonic() + TIMEOUT_S
        while end not in shown:
            assert time.monotonic() < deadline, shown
            shown += os.read(self.main, 1000)
        return shown

    def end(self) -> tuple[int, bool]:
        """Exit status, and whether the terminal is as it was before."""
        status = self.child.wait(TIMEOUT_S)
        restored = termios.tcgetattr(self.other) == self.before
        os.close(self.main)
        os.close(self.other)
        return status, restored


def test_on_a_terminal_keys_arrive_as_typed_and_the_terminal_is_restored(serve: Serve) -> None:
    def run(session: Session) -> int:
        assert session.pty is not None
        session.stdout.write(f"{session.pty.term} {session.pty.columns}x{session.pty.rows}\r\n".encode())

        def resized(columns: int, rows: int) -> None:
            session.stdout.write(f"now {columns}x{rows}\r\n".encode())

        session.pty.resized = resized
        while session.stdin.read(1) != b"\x03":
            session.stdout.write(b"[key]")
        return 5

    terminal = Terminal(serve(run), "x")
    terminal.read_until(b"xterm 100x30\r\n")
    terminal.type(b"k")
    assert terminal.read_until(b"[key]") == b"[key]", "no echo but the command's own"
    terminal.resize(70, 20)
    terminal.read_until(b"now 70x20\r\n")
    terminal.type(b"\x03")
    assert terminal.end() == (5, True)


def test_on_a_terminal_ctrl_c_ends_a_command_that_does_not_read(serve: Serve) -> None:
    server = serve(lambda session: 130 if session.closed.wait(TIMEOUT_S) else 1)
    terminal = Terminal(server, "logs")
    server.session()
    terminal.type(b"\x03")
    assert terminal.end() == (130, True)


def test_a_program_gets_every_ctrl_c(serve: Serve) -> None:
    def run(session: Session) -> int:
        assert session.pty is not None
        session.pty.raw = True
        session.stdout.write(b"busy")
        arrived = session.stdin._channel.in_buffer  # type: ignore[attr-defined]
        wait_until(lambda: len(arrived) == 1, what="the first key")
        session.stdout.write(b"one")
        wait_until(lambda: len(arrived) == 2, what="both keys")
        return len(session.stdin.read(10)) + (100 if session.closed.is_set() else 0)

    terminal = Terminal(serve(run), "enter")
    terminal.read_until(b"busy")
    terminal.type(b"\x03")
    terminal.read_until(b"one")
    terminal.type(b"\x03")
    assert terminal.end() == (2, True)


def test_the_client_knows_which_commands_run_programs() -> None:
    known = {n for c in command_registry.load().values() if c.program_after is not None for n in (c.name, *c.aliases)}
    assert known - {"cron:add"} == PROGRAM_COMMANDS  # that one keeps a program's words for later


def test_on_a_terminal_a_second_ctrl_c_leaves_a_command_that_ignores_the_first(serve: Serve) -> None:
    def run(session: Session) -> int:
        session.stdout.write(b"busy")
        while not session.stdin._channel.closed:  # type: ignore[attr-defined]
            time.sleep(0.01)
        return 0

    terminal = Terminal(serve(run), "x")
    terminal.read_until(b"busy")
    terminal.type(b"\x03")
    time.sleep(0.2)
    assert terminal.child.poll() is None
    terminal.type(b"\x03")
    assert terminal.end() == (130, True)
