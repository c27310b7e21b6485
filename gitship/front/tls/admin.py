"""haproxy's admin socket: adds, lists and removes certificates at run time (2.7 ms each)."""

from __future__ import annotations

import socket
from pathlib import Path

from gitship.errors import FrontError

TIMEOUT_S = 10.0
_READ_BYTES = 65536


class Admin:
    """Each command is a connection of its own, as haproxy wants it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def ask(self, command: str, payload: str = "") -> str:
        """haproxy's answer, whatever it is. ``payload`` has no empty line. Raises FrontError when there is none."""
        text = f"{command} <<\n{payload.rstrip()}\n\n" if payload else f"{command}\n"
        answer = bytearray()
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(TIMEOUT_S)
                connection.connect(str(self._path))
                connection.sendall(text.encode())
                while piece := connection.recv(_READ_BYTES):
                    answer += piece
        except OSError as error:
            raise FrontError(f"haproxy does not answer: {error}", "gitship restarts it within seconds") from None
        return answer.decode(errors="replace").strip()

    def alive(self) -> bool:
        try:
            return bool(self.ask("show version"))
        except FrontError:
            return False

    def shown(self, crt_list: Path) -> str:
        """The entries in force. Raises FrontError."""
        answer = self.ask(f"show ssl crt-list -n {crt_list}")
        if not answer.startswith("# "):
            raise FrontError(f"haproxy does not show its certificates: {answer[:200]}", "see the server's log")
        return answer

    def add(self, crt_list: Path, file: Path, pem: str, line: str) -> None:
        """``pem`` is shown for the hosts in ``line`` from the next connection on, or FrontError and no change."""
        self._expect("New empty certificate store", f"new ssl cert {file}")
        try:
            self._expect("Transaction created", f"set ssl cert {file}", pem)
            self._expect("Success!", f"commit ssl cert {file}")
            self._expect("Success!", f"add ssl crt-list {crt_list}", line)
        except FrontError:
            self.ask(f"abort ssl cert {file}")
            self.ask(f"del ssl cert {file}")
            raise

    def remove(self, crt_list: Path, file: Path) -> None:
        """Nothing happens when it is gone already. Connections that were opened with it go on."""
        self.ask(f"del ssl crt-list {crt_list} {file}")
        self.ask(f"del ssl cert {file}")

    def _expect(self, wanted: str, command: str, payload: str = "") -> None:
        answer = self.ask(command, payload)
        if wanted not in answer:
            reason = next((row.strip() for row in answer.splitlines() if row.strip()), "no answer")
            raise FrontError(f"haproxy rejected the certificate: {reason[:300]}", "see the server's log")
