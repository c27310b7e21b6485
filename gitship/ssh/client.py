"""`gitship <command>` on the server: sends the command to the running server over SSH."""

from __future__ import annotations

import contextlib
import os
import shlex
import socket
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from paramiko import AuthenticationException, Channel, SSHException

from gitship.config_values import Address
from gitship.errors import GitshipError
from gitship.ssh import host_key
from gitship.ssh.client_terminal import PROGRAM_COMMANDS, Typing, raw, window_size
from gitship.ssh.connection_limits import ConnectionLimits
from gitship.ssh.transport import Transport

CONNECT_TIMEOUT_S = 5.0
HANDSHAKE_TIMEOUT_S = 20.0
CHUNK_BYTES = 32 << 10
EXIT_INTERRUPTED = 130


def run_remote(
    address: Address,
    key_path: Path,
    host_key_line: str,
    argv: Sequence[str],
    stdin: BinaryIO,
    stdout: BinaryIO,
    stderr: BinaryIO,
    pty: bool,
) -> int:
    """Runs ``argv`` on the server at ``address``; its exit status, or 130 when ended by Ctrl-C.

    ``host_key_line`` ("type base64") is the only key that the server may have. With ``pty`` the command sees this
    terminal: its size, also when it changes, and every key as it is typed. Raises GitshipError when no server
    listens, when it is not the right one, when it does not take the key, and when the connection breaks.
    """
    with _connected(address, key_path, host_key_line) as transport:
        try:
            channel = transport.open_session(timeout=HANDSHAKE_TIMEOUT_S)
            if pty:
                channel.get_pty(os.environ.get("TERM", "dumb"), *window_size(stdin))
            program = bool(argv) and argv[0] in PROGRAM_COMMANDS
            with Typing(channel, stdin, pty, program) as typing, raw(stdin, pty), _Errors(channel, stderr):
                if argv:
                    channel.exec_command(shlex.join(argv))
                else:
                    channel.invoke_shell()
                typing.start()
                while data := channel.recv(CHUNK_BYTES):
                    stdout.write(data)
                    stdout.flush()
                status = channel.recv_exit_status()
        except KeyboardInterrupt:
            return EXIT_INTERRUPTED
        except BrokenPipeError:  # our own reader has gone, as in `gitship apps:list | head -1`
            return 1
        except (SSHException, EOFError) as error:
            raise _lost() from error
    if status == -1:  # no status came
        if typing.left:
            return EXIT_INTERRUPTED
        raise _lost()
    return status


def _lost() -> GitshipError:
    return GitshipError("the connection to the server broke", "see the server's log, then try again")


@contextlib.contextmanager
def _connected(address: Address, key_path: Path, host_key_line: str) -> Iterator[Transport]:
    try:
        sock = socket.create_connection((address.host, address.port), timeout=CONNECT_TIMEOUT_S)
    except OSError as error:
        raise GitshipError(
            f"the server is not running: no answer at {address} ({error.strerror or error})",
            "start `gitship serve`",
        ) from None
    transport = Transport(sock, ConnectionLimits())
    transport.name = "gitship-client"
    try:
        try:
            transport.start_client(timeout=HANDSHAKE_TIMEOUT_S)
            if host_key.public_line(transport.get_remote_server_key()) != host_key_line:
                raise GitshipError(
                    f"what answers at {address} is not this gitship server: it has another host key",
                    "stop the other server, or set another ssh.listen",
                )
            transport.auth_publickey("gitship", host_key.ensure(key_path))
        except AuthenticationException:
            raise GitshipError(
                "the server rejects this machine's key", "restart `gitship serve`, which reads the key at start"
            ) from None
        except (SSHException, EOFError) as error:
            raise GitshipError(
                f"no SSH session with what listens at {address} ({error or 'it hung up'})", "see the server's log"
            ) from None
        yield transport
    finally:
        transport.close()
        transport.join(HANDSHAKE_TIMEOUT_S)


class _Errors:
    """A thread that copies the channel's stderr until it ends."""

    def __init__(self, channel: Channel, stderr: BinaryIO) -> None:
        self._channel = channel
        self._stderr = stderr
        self._thread = threading.Thread(target=self._copy, name="gitship-client-stderr", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *error: object) -> None:
        if error[0] is not None:
            self._channel.close()
        self._thread.join(HANDSHAKE_TIMEOUT_S)

    def _copy(self) -> None:
        with contextlib.suppress(OSError, SSHException, EOFError):
            while data := self._channel.recv_stderr(CHUNK_BYTES):
                self._stderr.write(data)
                self._stderr.flush()
