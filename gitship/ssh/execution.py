"""Runs the command of a session channel in a thread."""

from __future__ import annotations

import contextlib
import itertools
import logging
import re
import shlex
import threading
from collections.abc import Callable
from typing import Any

from paramiko import Channel, Message, SSHException
from paramiko.common import cMSG_CHANNEL_FAILURE, cMSG_CHANNEL_SUCCESS

from gitship import log_context
from gitship.console.session import Pty, Session
from gitship.errors import GitshipError
from gitship.model import Identity
from gitship.ssh.channel import ChannelInput, ChannelOutput
from gitship.ssh.channel_buffer import BoundedPipe
from gitship.ssh.connection_limits import ConnectionLimits

log = logging.getLogger("gitship.ssh")

CTRL_C = b"\x03"
DEFAULT_COLUMNS, DEFAULT_ROWS = 80, 24
MAX_COLUMNS, MAX_ROWS = 1000, 1000
MAX_TERM_CHARACTERS = 64
CUT_GRACE_S = 2.0
CUT = "your key may no longer do this, or the app is gone: the command was stopped"
# What `ssh` sends for a signal that ended or interrupted it (RFC 4254 section 6.9).
ENDING_SIGNALS = frozenset({"INT", "TERM", "HUP", "QUIT", "KILL"})

_GIT_PROTOCOL = re.compile(rb"version=[012]")
_numbers = itertools.count(1)


class Execution:
    """A channel from its opening to its exit status.

    ``identity`` gives the client's identity as of now, or None when its key has been removed meanwhile.
    ``finished`` is called in the command's thread once the exit status is sent. ``running`` is True while it has not.
    """

    def __init__(
        self,
        channel: Channel,
        limits: ConnectionLimits,
        identity: Callable[[], Identity | None],
        run: Callable[[Session], int],
        finished: Callable[[Execution], None],
    ) -> None:
        self.channel = channel
        self.thread: threading.Thread | None = None
        self.running = False
        self._identity = identity
        self._run_command = run
        self._finished = finished
        self._session: Session | None = None
        self._pty: Pty | None = None
        self._env: dict[str, str] = {}
        self._input = ChannelInput(channel)
        # Paramiko sets this event when the channel closes, by whichever side or cause.
        self._closed = channel.status_event
        channel.settimeout(limits.stalled_write_s)
        channel.in_buffer = BoundedPipe(limits.window_bytes, self._arrived)  # type: ignore[assignment]

    def recheck(self, still_may: Callable[[Session], bool]) -> None:
        """Ends the command whose key has lost a right that it began with. The one that took it goes on."""
        session = self._session
        if not self.running or session is None or self.thread is threading.current_thread():
            return
        if still_may(session):
            return
        log.info("%s: a command of a key that may not any more is ended", session.identity.key_name)
        session.cut.set()
        self._closed.set()
        threading.Thread(target=self._hang_up, name="gitship-ssh-cut", daemon=True).start()

    def _hang_up(self) -> None:
        """A command that does not look at ``closed``, as it waits for its input, has no client any more."""
        assert self.thread is not None
        self.thread.join(CUT_GRACE_S)
        if self.thread.is_alive():
            with contextlib.suppress(OSError, SSHException, EOFError):
                self.channel.sendall_stderr(self._shown(f"error: {CUT}\n"))
                self.channel.send_exit_status(1)
        self.channel.close()

    def _shown(self, text: str) -> bytes:
        """As the client's terminal, which is in raw mode, needs it."""
        return (text if self._pty is None else text.replace("\n", "\r\n")).encode("utf-8", "replace")

    def request(self, message: Message) -> None:
        """Answers one channel request; the command starts only after the answer, so that its output comes second."""
        kind = _word(message)
        wants_answer = message.get_boolean()
        thread: threading.Thread | None = None
        if kind in ("exec", "shell") and self.thread is None:
            command = message.get_binary() if kind == "exec" else b""
            self.thread = thread = threading.Thread(
                target=self._run, args=(command,), name=f"gitship-ssh-session-{next(_numbers)}", daemon=True
            )
            accepted = True
        else:
            accepted = self._prepare(kind, message)
        if wants_answer:
            answer = Message()
            answer.add_byte(cMSG_CHANNEL_SUCCESS if accepted else cMSG_CHANNEL_FAILURE)
            answer.add_int(self.channel.remote_chanid)
            self.channel.get_transport()._send_user_message(answer)  # type: ignore[attr-defined]
        if thread is not None:
            self.running = True
            thread.start()

    def _prepare(self, kind: str, message: Message) -> bool:
        """Takes what may be asked beside a command. Agent, X11 and subsystems are refused by not being here."""
        if kind == "env":
            name, value = message.get_binary(), message.get_binary()
            if name != b"GIT_PROTOCOL" or not _GIT_PROTOCOL.fullmatch(value):
                return False
            self._env["GIT_PROTOCOL"] = value.decode("ascii")
            return True
        if kind == "pty-req" and self.thread is None:
            term = _word(message)
            self._pty = Pty(
                term="".join(c for c in term if c.isalnum() or c in "-+._")[:MAX_TERM_CHARACTERS] or "dumb",
                columns=_size(message.get_int(), DEFAULT_COLUMNS, MAX_COLUMNS),
                rows=_size(message.get_int(), DEFAULT_ROWS, MAX_ROWS),
            )
            return True
        if kind == "window-change" and self._pty is not None:
            self._pty.columns = _size(message.get_int(), DEFAULT_COLUMNS, MAX_COLUMNS)
            self._pty.rows = _size(message.get_int(), DEFAULT_ROWS, MAX_ROWS)
            self._tell_size(self._pty)
            return True
        if kind == "signal" and _word(message) in ENDING_SIGNALS:
            self._closed.set()
            return True
        return False

    def _tell_size(self, pty: Pty) -> None:
        if pty.resized is not None:
            try:
                pty.resized(pty.columns, pty.rows)
            except Exception:  # the command's own code, in the thread that the whole connection lives by
                log.exception("a command failed to take its terminal's new size")

    def _arrived(self, data: bytes) -> None:
        # The client's terminal is in raw mode, so Ctrl-C comes as a byte. A command that is waiting for input sees it.
        if self._pty is not None and not self._pty.raw and not self._input.waiting and CTRL_C in data:
            self._closed.set()

    def _run(self, command: bytes) -> None:
        with log_context.traced(request=log_context.new_request()):
            self._execute(command)

    def _execute(self, command: bytes) -> None:
        lock = threading.Lock()
        stdout = ChannelOutput(self.channel, self.channel.send, lock)
        stderr = ChannelOutput(self.channel, self.channel.send_stderr, lock)
        status = 1
        try:
            status = self._run_and_report(command, stdout, stderr)
        finally:
            # The client may be gone already; then there is nobody to tell.
            with contextlib.suppress(OSError, SSHException, EOFError):
                self.channel.send_exit_status(status if 0 <= status <= 255 else 1)
            with contextlib.suppress(OSError, SSHException, EOFError):
                self.channel.close()
            self.running = False
            self._finished(self)

    def _run_and_report(self, command: bytes, stdout: ChannelOutput, stderr: ChannelOutput) -> int:
        """The command's exit status; whatever it raises becomes lines on the client's stderr."""
        try:
            identity = self._identity()
            if identity is None:
                raise GitshipError("your key may no longer log in", "ask an administrator to add it again")
            session = Session(
                argv=split(command),
                identity=identity,
                stdin=self._input,
                stdout=stdout,
                stderr=stderr,
                pty=self._pty,
                env=dict(self._env),
                closed=self._closed,
                reached=_reached(self.channel),
            )
            self._session = session  # from here on ``recheck`` sees it; what changed before that is seen here
            if self._identity() != identity:
                raise GitshipError("your key's rights have just changed", "repeat the command")
            with log_context.traced(key=identity.key_name):
                status = self._run_command(session)
            if not session.cut.is_set():
                return status
            text = f"error: {CUT}\nhint: see `help` for what it may do now, or ask an administrator\n"
        except GitshipError as error:
            text = f"error: {error.message}\n" + (f"hint: {error.hint}\n" if error.hint else "")
        except Exception as error:
            if isinstance(error, OSError) and self.channel.closed:
                return 1  # a write to a client that has gone
            number = log_context.request()
            log.exception("internal error (id %s) in %r", number, first_words(command))
            text = f"error: internal error (id {number})\nhint: the server's log has the details under this id\n"
        with contextlib.suppress(OSError):
            stderr.write(self._shown(text))
        return 1


def _reached(channel: Channel) -> str:
    """This machine's address at the connection's end; "" for a connection that is gone or has none."""
    sock: Any = channel.get_transport().sock  # what reads ahead stands before the real one
    try:
        return str(sock.getsockname()[0]).removeprefix("::ffff:")
    except OSError:
        return ""


def split(command: bytes) -> tuple[str, ...]:
    """The words of a command line by shell rules. Raises GitshipError when quotes do not close."""
    try:
        text = command.decode("utf-8")
    except UnicodeDecodeError:
        raise GitshipError("the command is not UTF-8 text", "check your terminal's character encoding") from None
    if "\0" in text:
        raise GitshipError("the command contains a NUL character", "leave it out")
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise GitshipError(
            f"the command's quotes do not close ({error})",
            """quote twice, once for your shell and once for the server: ssh ... config:set 'KEY="two words"'""",
        ) from None


def first_words(command: bytes) -> str:
    """For the log: ``config:set shop ...``, since what follows may hold secrets."""
    words = command[:200].decode("utf-8", "replace").split()
    return " ".join([*(word for word in words[:2] if "=" not in word), *(["..."] if len(words) > 2 else [])])


def _word(message: Message) -> str:
    return message.get_binary().decode("ascii", "replace")


def _size(value: int, default: int, largest: int) -> int:
    return min(value, largest) if value > 0 else default
