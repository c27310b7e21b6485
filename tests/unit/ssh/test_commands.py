"""One command's world: words, streams, exit status, terminal, environment."""

from __future__ import annotations

import fcntl
import logging
import os
import re
import signal
import struct
import subprocess
import termios
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitship.console.session import Session
from gitship.errors import GitshipError
from gitship.ssh.execution import first_words, split
from tests.examples import examples
from tests.unit.ssh.conftest import TIMEOUT_S, Serve
from tests.waiting import wait_until

pytestmark = pytest.mark.clients


def show_words(session: Session) -> int:
    session.stdout.write("|".join(session.argv).encode())
    return 0


@pytest.mark.parametrize("status", [0, 1, 7, 130, 255])
def test_the_value_of_run_is_the_exit_status(serve: Serve, status: int) -> None:
    assert serve(lambda session: status).ssh("x").returncode == status


def test_a_value_that_is_no_exit_status_becomes_one(serve: Serve) -> None:
    assert serve(lambda session: 256).ssh("x").returncode == 1


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("apps:list --format json", "apps:list|--format|json"),
        ("config:set shop 'KEY=two words' \"B=it's\"", "config:set|shop|KEY=two words|B=it's"),
        ("git-receive-pack '/shop.git'", "git-receive-pack|/shop.git"),
        ("echo $HOME; `id` && x > y", "echo|$HOME;|`id`|&&|x|>|y"),
        ("größe", "größe"),
    ],
)
def test_words_are_split_by_shell_rules_and_never_run_by_a_shell(serve: Serve, command: str, words: str) -> None:
    assert serve(show_words).ssh(command).stdout.decode() == words


def test_a_word_of_a_hundred_kilobytes_arrives(serve: Serve) -> None:
    """A certificate in config:set: more than the length that packets may have before login."""
    server = serve(lambda session: len(session.argv[1]) // 1000)
    assert server.ssh(f"config:set {'x' * 100_000}").returncode == 100


def test_without_a_command_there_are_no_words(serve: Serve) -> None:
    server = serve(show_words)
    assert server.ssh().returncode == 0
    assert server.session().argv == ()


def test_quotes_that_do_not_close_are_named(serve: Serve) -> None:
    result = serve(show_words).ssh("config:set shop KEY='two")
    assert result.returncode == 1
    assert result.stderr.startswith(b"error: the command's quotes do not close")
    assert b"\nhint: " in result.stderr


def test_a_command_that_is_not_text_is_named(serve: Serve) -> None:
    server = serve(show_words)
    result = subprocess.run([*server.argv(), b"caf\xe9"], capture_output=True, timeout=TIMEOUT_S, input=b"")
    assert (result.returncode, result.stderr.splitlines()[0]) == (1, b"error: the command is not UTF-8 text")


def test_the_three_streams_are_kept_apart(serve: Serve) -> None:
    def run(session: Session) -> int:
        session.stderr.write(b"to stderr\n")
        while data := session.stdin.read(100):
            session.stdout.write(data.upper())
        return 3

    result = serve(run).ssh("x", stdin=b"from stdin")
    assert (result.stdout, result.stderr, result.returncode) == (b"FROM STDIN", b"to stderr\n", 3)


def test_a_gitship_error_reaches_the_client_as_message_and_hint(serve: Serve) -> None:
    def run(session: Session) -> int:
        raise GitshipError("no app 'shop'", "see `apps:list`")

    result = serve(run).ssh("x")
    assert (result.stderr, result.returncode) == (b"error: no app 'shop'\nhint: see `apps:list`\n", 1)


def test_any_other_error_shows_a_number_that_the_log_explains(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    def run(session: Session) -> int:
        raise ZeroDivisionError("secret detail")

    with caplog.at_level(logging.ERROR, "gitship.ssh"):
        result = serve(run).ssh("x")
    assert result.returncode == 1
    found = re.match(rb"error: internal error \(id ([0-9a-f]{8})\)\n", result.stderr)
    assert found, result.stderr
    assert b"secret detail" not in result.stderr
    logged = next(record for record in caplog.records if found[1].decode() in record.getMessage())
    assert logged.exc_info is not None
    assert logged.exc_info[0] is ZeroDivisionError


def test_only_gits_protocol_version_comes_from_the_clients_environment(serve: Serve) -> None:
    server = serve(lambda session: 0)
    sent = {"GIT_PROTOCOL": "version=2", "LC_ALL": "version=1"}
    server.ssh("x", options=("-o", "SendEnv=GIT_PROTOCOL LC_ALL"), env={**os.environ, **sent})
    server.ssh("x", options=("-o", "SendEnv=GIT_PROTOCOL"), env={**os.environ, "GIT_PROTOCOL": "version=2:x"})
    assert [dict(s.env) for s in server.sessions] == [{"GIT_PROTOCOL": "version=2"}, {}]


def test_without_t_there_is_no_terminal(serve: Serve) -> None:
    server = serve(lambda session: 0)
    server.ssh("x")
    assert server.session().pty is None


def test_a_terminal_has_name_and_size_and_tells_when_it_changes(serve: Serve) -> None:
    changed = threading.Event()
    sizes: list[tuple[int, int]] = []

    def run(session: Session) -> int:
        assert session.pty is not None
        sizes.append((session.pty.columns, session.pty.rows))

        def resized(columns: int, rows: int) -> None:
            sizes.append((columns, rows))
            changed.set()

        session.pty.resized = resized
        session.stdout.write(session.pty.term.encode() + b"\r\n")
        return 0 if changed.wait(TIMEOUT_S) else 1

    server = serve(run)
    main, other = os.openpty()
    os.set_blocking(main, False)
    try:
        set_size(main, 132, 43)
        env = {**os.environ, "TERM": "xterm-256color"}
        child = subprocess.Popen(server.argv("x", options=("-tt",)), stdin=other, stdout=other, stderr=other, env=env)
        server.children.append(child)
        server.session()
        wait_until(lambda: sizes, what="the first size")
        set_size(main, 90, 20)
        child.send_signal(signal.SIGWINCH)  # the terminal is not the client's controlling one
        assert child.wait(TIMEOUT_S) == 0
        assert b"xterm-256color" in os.read(main, 1000)
    finally:
        os.close(main)
        os.close(other)
    assert sizes == [(132, 43), (90, 20)]


def set_size(terminal: int, columns: int, rows: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def test_twenty_sessions_run_side_by_side(serve: Serve) -> None:
    """Each waits for all others, so one after the other would never end."""
    together = threading.Barrier(20)

    def run(session: Session) -> int:
        together.wait(TIMEOUT_S)
        session.stdout.write(session.argv[0].encode())
        return 0

    server = serve(run)
    children = [server.popen(str(number)) for number in range(20)]
    outputs = [child.communicate(timeout=TIMEOUT_S)[0] for child in children]
    assert outputs == [str(number).encode() for number in range(20)]


def test_one_connection_runs_several_commands_up_to_its_limit(serve: Serve, tmp_path: Path) -> None:
    """OpenSSH's ControlMaster: many commands over one login."""
    release = threading.Event()

    def run(session: Session) -> int:
        if session.argv == ("hold",):
            release.wait(TIMEOUT_S)
        return 0

    server = serve(run)
    control = ("-o", f"ControlPath={tmp_path}/control")
    server.popen("hold", options=(*control, "-M"))
    server.session(0)
    holders = [server.popen("hold", options=control) for _ in range(9)]
    server.session(9)
    refused = server.ssh("one-more", options=(*control, "-o", "ControlMaster=no"))
    assert b"Session open refused by peer" in refused.stderr
    assert refused.returncode == 0, "OpenSSH opens a connection of its own then"
    release.set()
    assert [holder.wait(TIMEOUT_S) for holder in holders] == [0] * 9


@given(st.binary(max_size=60) | st.text("ab \t\n'\"\\$;#\0-=:/", max_size=40).map(str.encode))
@examples(100)
def test_any_bytes_are_words_or_an_error(command: bytes) -> None:
    first_words(command)
    with suppress(GitshipError):
        assert all("\0" not in word for word in split(command))
