"""Prompts and standard input of a client, with echo and line editing for its raw terminal."""

from __future__ import annotations

from gitship.console.session import Session
from gitship.errors import GitshipError

LINE_BYTES = 64 * 1024
READ_BYTES = 4096
CTRL_C, CTRL_D = b"\x03", b"\x04"


class PromptInterrupted(Exception):
    """Ctrl-C, Ctrl-D at a question, or the client has gone: exit code 130."""


def ask(session: Session, question: str, *, hidden: bool = False) -> str:
    """One line from the terminal, edited with Backspace, Ctrl-U and Ctrl-W. Raises PromptInterrupted.

    ``hidden``: nothing of it is shown, as for a password.
    """
    line = _Line()
    try:
        session.stdout.write(question.encode())
        while not line.ended:
            data = session.stdin.read(READ_BYTES)
            if not data:
                raise PromptInterrupted
            echo = line.feed(data)
            if not hidden:
                session.stdout.write(echo)
            elif line.ended or line.interrupted:
                session.stdout.write(b"\r\n")
            if line.interrupted:
                raise PromptInterrupted
    except OSError as error:
        session.closed.set()
        raise PromptInterrupted from error
    return line.text


def read_all(session: Session, limit_bytes: int) -> str:
    """Standard input to its end, as text. Raises GitshipError when it is longer than ``limit_bytes`` or not UTF-8.

    A terminal may have a file piped in (`ssh -tt`); what is typed on one has no end. Raises PromptInterrupted for a key
    that would end it, and when the client has gone: half a file is no file.
    """
    data = bytearray()
    if session.pty is not None:
        _tell(session, b"waiting for standard input, as in `COMMAND < FILE`; Ctrl-C leaves\r\n")
    while chunk := session.stdin.read(READ_BYTES):
        if session.pty is not None and (CTRL_C in chunk or CTRL_D in chunk):
            raise PromptInterrupted
        data += chunk
        if len(data) > limit_bytes:
            raise GitshipError(f"standard input is longer than {limit_bytes:,} bytes", "send less")
    if session.closed.is_set():
        raise PromptInterrupted
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise GitshipError("standard input is not UTF-8 text", "encode binary values, for instance as base64") from None


def _tell(session: Session, text: bytes) -> None:
    try:
        session.stderr.write(text)
    except OSError as error:
        session.closed.set()
        raise PromptInterrupted from error


class _Line:
    """The line so far. ``feed`` returns what to echo."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._escape = b""
        self.ended = False
        self.interrupted = False

    @property
    def text(self) -> str:
        return self._bytes.decode("utf-8", "replace")

    def feed(self, data: bytes) -> bytes:
        echo = bytearray()
        for number in data:
            byte = bytes([number])
            if self._swallow(byte):
                continue
            if byte in b"\r\n":
                self.ended = True
                return bytes(echo + b"\r\n")
            if byte == CTRL_C or (byte == CTRL_D and not self._bytes):
                self.interrupted = True
                return bytes(echo + b"^C\r\n")
            if byte in b"\x7f\x08":
                echo += self._erase(1)
            elif byte == b"\x15":
                echo += self._erase(len(self.text))
            elif byte == b"\x17":
                echo += self._erase(len(self.text) - len(self.text.rstrip().rpartition(" ")[0]))
            elif number >= 0x20 and len(self._bytes) < LINE_BYTES:
                self._bytes += byte
                echo += byte
        return bytes(echo)

    def _swallow(self, byte: bytes) -> bool:
        """True for the bytes of an arrow or function key, which this line has no use for."""
        if byte == b"\x1b":
            self._escape = byte
        elif self._escape == b"\x1b":
            self._escape = byte if byte in b"[O" else b""
        elif self._escape and b"@" <= byte <= b"~":
            self._escape = b""
        elif not self._escape:
            return False
        return True

    def _erase(self, characters: int) -> bytes:
        gone = self.text[len(self.text) - characters :] if characters else ""
        if gone:
            del self._bytes[-len(gone.encode()) :]
        return b"\b \b" * len(gone)
