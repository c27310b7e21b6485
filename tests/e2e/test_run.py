"""`run` and `enter`: streams, terminals, exit codes, and that nothing is left of a one-off container."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import pty
import random
import select
import signal
import struct
import subprocess
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import apps, docker_cli
from tests.e2e.apps import clean_env
from tests.e2e.harness import Server
from tests.waiting import wait_until

pytestmark = pytest.mark.e2e

PROGRAMS = ("sh", "cat", "stty", "sleep", "tty")
APP = "errands"
LEFT_S = 5.0


@pytest.fixture(scope="module")
def shop(server: Server, module_base: Path) -> Server:
    """A server with an app that has busybox's shell."""
    repository = module_base / APP
    apps.busybox(repository)
    copies = [f"COPY busybox /bin/{name}" for name in PROGRAMS]
    text = (apps.APPS / "busybox" / "Dockerfile").read_text().replace("EXPOSE", "\n".join([*copies, "EXPOSE"]))
    apps.commit(repository, "A shell", {"Dockerfile": text})
    server.push_ok(repository, APP)
    assert server.ssh("config:set", APP, "COLOUR=red").returncode == 0
    return server


def one_offs(server: Server) -> list[str]:
    return server.containers("gitship.one-off", f"gitship.app={APP}")


def processes_in(server: Server, text: str) -> list[str]:
    """Command lines with ``text`` in the app's containers."""
    [name] = server.containers(f"gitship.app={APP}", "gitship.process=web")
    lines = docker_cli.docker(server.docker_host, "top", name, "-o", "pid,args").splitlines()
    return [line for line in lines if text in line]


def raw(server: Server, *command: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*server.ssh_command(), "deploy@127.0.0.1", *command], input=stdin, capture_output=True, timeout=60,
        env=clean_env(), check=False,
    )  # fmt: skip


class Terminal:
    """`ssh -t` on a terminal of its own."""

    def __init__(self, server: Server, *command: str, columns: int = 101, rows: int = 33) -> None:
        self._master, slave = pty.openpty()
        self.resize(columns, rows)
        self.process = subprocess.Popen(
            [*server.ssh_command(), "-tt", "deploy@127.0.0.1", *command], stdin=slave, stdout=slave, stderr=slave,
            env=clean_env(TERM="xterm"), start_new_session=True,
        )  # fmt: skip
        os.close(slave)
        self.text = ""

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def read(self) -> None:
        if select.select([self._master], [], [], 0.1)[0]:
            with contextlib.suppress(OSError):
                self.text += os.read(self._master, 65536).decode(errors="replace")

    def expect(self, text: str, timeout_s: float = 20.0) -> None:
        def seen() -> bool:
            self.read()
            return text in self.text

        try:
            wait_until(seen, timeout_s, f"{text!r} on the terminal")
        except AssertionError as error:
            raise AssertionError(f"{error}; it shows {self.text!r}") from None

    def ended(self) -> int:
        def over() -> bool:
            self.read()
            return self.process.poll() is not None

        wait_until(over, 20, "ssh ends")
        return int(self.process.returncode)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        os.close(self._master)


@contextlib.contextmanager
def terminal(server: Server, *command: str) -> Iterator[Terminal]:
    opened = Terminal(server, *command)
    try:
        yield opened
    finally:
        opened.close()


def test_streams_stay_apart_and_the_exit_code_is_the_commands(shop: Server) -> None:
    done = raw(shop, "run", APP, "-e", "SHAPE=round", "sh", "-c", "'echo $COLOUR $SHAPE; echo oh >&2; exit 7'")
    assert (done.returncode, done.stdout, done.stderr) == (7, b"red round\n", b"oh\n")
    assert one_offs(shop) == []


def test_five_megabytes_go_through_unchanged(shop: Server) -> None:
    blob = random.Random(1).randbytes(5 << 20)
    for words in (["run", APP, "cat"], ["enter", APP, "web", "cat"]):
        done = raw(shop, *words, stdin=blob)
        assert done.returncode == 0, done.stderr
        assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(blob).digest(), words


@pytest.mark.parametrize("words", [["run", APP], ["enter", APP, "web"]], ids=["run", "enter"])
def test_a_command_that_is_not_there_is_127_with_its_name(shop: Server, words: list[str]) -> None:
    done = shop.ssh(*words, "no-such-thing", "-l")
    assert done.returncode == 127
    assert "no-such-thing" in done.stderr and "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_terminal_has_the_clients_size_follows_it_and_takes_ctrl_c(shop: Server) -> None:
    with terminal(shop, "run", APP, "sh") as shell:
        shell.type("while [ \"$(stty size)\" = '0 0' ]; do :; done; echo size: $(stty size) at $(tty)\r")
        shell.expect("size: 33 101 at /dev/pts/")
        shell.resize(77, 22)
        os.kill(shell.process.pid, signal.SIGWINCH)
        shell.type("while [ \"$(stty size)\" != '22 77' ]; do :; done; echo now: $(stty size)\r")
        shell.expect("now: 22 77")
        shell.type("sh -c \"echo be''gun; exec sleep 60\"; echo interrupted: $?\r")
        shell.expect("begun")
        shell.type("\x03")
        shell.expect("\r\n/ #")
        shell.type("echo be''gun anew; exit 5\r")
        shell.expect("begun anew")
        assert shell.ended() == 5
    assert one_offs(shop) == []


def test_ctrl_c_ends_a_program_and_not_the_session_before_it(shop: Server) -> None:
    trap = "'trap \"echo caught; exit 9\" INT; echo ready; while :; do sleep 1; done'"
    with terminal(shop, "enter", APP, "web", "sh", "-c", trap) as client:
        client.expect("ready")
        client.type("\x03")
        client.expect("caught")
        assert client.ended() == 9


def test_a_client_that_is_killed_takes_its_container_along(shop: Server) -> None:
    with terminal(shop, "run", APP, "sh") as shell:
        shell.type("echo be''gun; sleep 600\r")
        shell.expect("begun")
        [name] = one_offs(shop)
        assert name.startswith(f"{APP}.run.")
        shell.process.kill()
        wait_until(lambda: one_offs(shop) == [], LEFT_S, "the container is gone")


def test_a_client_of_enter_that_is_killed_takes_its_command_along(shop: Server) -> None:
    with terminal(shop, "enter", APP, "web", "sh", "-c", "'echo begun; sleep 601; :'") as client:
        client.expect("begun")
        wait_until(lambda: processes_in(shop, "sleep 601"), 10, "it sleeps")
        client.process.kill()
        wait_until(lambda: not processes_in(shop, "sleep 601"), LEFT_S, "the command is gone")
    assert shop.get(APP).status == 200


def test_time_up_is_124_and_the_container_is_gone(shop: Server) -> None:
    done = shop.ssh("run", "--timeout", "1s", APP, "sleep", "60")
    assert done.returncode == 124, done.stdout + done.stderr
    assert "ended after 1 s" in done.stderr
    assert one_offs(shop) == []


def test_detached_is_listed_stopped_and_leaves_its_log(shop: Server) -> None:
    done = shop.ssh("run", "--detach", APP, "sh", "-c", "'echo first; echo second >&2; sleep 603; echo never'")
    name = done.stdout.strip()
    assert done.returncode == 0 and name in one_offs(shop), done.stderr
    [row] = json.loads(shop.ssh("run:list", APP, "--format", "json").stdout)
    assert (row["name"], row["mode"], row["status"]) == (name, "detached", "running")
    assert "sleep 603" in row["command"] and row["ends_at"] > row["started_at"]
    wait_until(lambda: "second" in shop.ssh("logs:run", APP, name).stdout, 10, "its output is there while it runs")
    assert shop.ssh("run:stop", APP, name).returncode == 0
    wait_until(lambda: one_offs(shop) == [], LEFT_S, "the container is gone")
    said = shop.ssh("logs:run", APP, name).stdout.splitlines()
    assert (sorted(said[:2]), said[2:]) == (["first", "second"], ["[exit code 143]"])


def test_after_kill_9_attached_ones_go_and_detached_ones_are_taken_up(shop: Server) -> None:
    detached = shop.ssh("run", "--detach", APP, "sh", "-c", "'echo before; sleep 6; echo after; exit 3'").stdout.strip()
    with terminal(shop, "run", APP, "sh") as shell:
        shell.type("echo be''gun; sleep 604\r")
        shell.expect("begun")
        assert len(one_offs(shop)) == 2
        shop.kill9()
        shop.start()
        wait_until(lambda: detached not in one_offs(shop), 20, "it has ended")
    assert one_offs(shop) == []
    assert shop.ssh("logs:run", APP, detached).stdout.splitlines() == ["before", "after", "[exit code 3]"]


def test_a_stop_of_gitship_ends_attached_ones(shop: Server) -> None:
    with terminal(shop, "run", APP, "sleep", "605") as client:
        wait_until(lambda: one_offs(shop), 10, "it runs")
        assert shop.stop() == 0
        assert one_offs(shop) == []
        assert client.ended() != 0
    shop.start()


def test_what_cannot_be_run_says_why(shop: Server) -> None:
    shop.ssh("apps:create", "empty")
    for words, said in (
        (["run", "empty", "ls"], "never been deployed"),
        (["enter", "empty"], "never been deployed"),
        (["enter", APP, "worker"], "no process type 'worker'"),
        (["enter", APP, "web.7"], "no web.7 of errands is running"),
        (["run:stop", APP, "run.99"], "no one-off container"),
    ):
        done = shop.ssh(*words)
        assert (
            done.returncode == (3 if words[0] == "run:stop" else 1) and said in done.stderr and "hint: " in done.stderr
        ), (words, done.stderr)
