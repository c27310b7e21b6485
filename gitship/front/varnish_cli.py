"""Client of Varnish's control protocol (0.06 ms per command; a varnishadm process takes 4.3 ms).

A request is one line; an answer is ``<status, 3 digits> <length, 8>\\n<text>\\n``. See varnish-cli(7).
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gitship.config_values import Address
from gitship.errors import FrontError

CONNECT_TIMEOUT_S = 5.0
COMMAND_TIMEOUT_S = 30.0
COMPILE_TIMEOUT_S = 120.0  # the table of 1000 hosts: 2 s with gcc on an idle machine

AUTH = 107
OK = 200
TRUNCATED = 201
NO_WORKER = 400
WORKER_RETURN_S = 15.0
_PAUSE_S = 0.1
_HEADER_BYTES = 13
DISCARD_TRIES = 4  # another VCL may be loaded between two commands
_IN_USE = re.compile(r"Cannot discard (?:labeled VCL program|VCL label) ([\w-]+)")
_NAME = re.compile(r"vcl 4\.1;\n# ([\w-]+): ")  # as the templates begin
_NOTHING = "vcl 4.1; backend default none;"
_LIMIT_WHEN_TRUNCATED = "90m"  # Varnish allows 99,999,999 bytes
_HINT = "check that varnishd is running; `gitship serve` starts it"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer; ``status`` 200 is success."""

    status: int
    text: str


@dataclass(frozen=True, slots=True)
class LoadedVcl:
    """One line of vcl.list. ``busy`` counts threads at work in it; ``target`` is set for a label.

    ``referred`` is true for a label that a VCL names.
    """

    name: str
    active: bool
    discarded: bool
    busy: int
    target: str | None
    referred: bool = False


class InUse(FrontError):
    """What was to be discarded is led to."""


class Gone(FrontError):
    """There is nothing of that name."""


class VarnishCli:
    """Safe from any thread. A lost connection is opened again once per command, then FrontError."""

    def __init__(self, admin: Callable[[], Address], secret: Path) -> None:
        self._admin = admin
        self._secret = secret
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._deadline = 0.0

    def close(self) -> None:
        with self._lock:
            self._close()

    def ask(self, line: str, timeout_s: float = COMMAND_TIMEOUT_S) -> Reply:
        """Sends a command as it stands; whatever is answered. Raises FrontError when nothing is, even on a second try.

        A command may thus be carried out twice: each one used here has the same effect once or twice.
        """
        with self._lock:
            for last in (False, True):
                try:
                    self._deadline = time.monotonic() + timeout_s
                    return self._exchange(line)
                except TimeoutError:
                    self._close()  # a late answer would be taken for the next command's
                    raise FrontError(f"Varnish did not answer within {timeout_s:g} s", _HINT) from None
                except (OSError, EOFError) as error:
                    self._close()
                    if last:
                        raise FrontError(f"cannot reach Varnish's control port: {error}", _HINT) from None
            raise AssertionError("unreachable")

    def command(self, *words: str) -> str:
        """Sends a command; the answer's text. Raises FrontError with Varnish's own words when it refuses."""
        line = " ".join(_quoted(w) for w in words)
        reply = self._patiently(line, COMMAND_TIMEOUT_S)
        if reply.status == TRUNCATED:
            self.ask(f"param.set cli_limit {_LIMIT_WHEN_TRUNCATED}")
            reply = self._patiently(line, COMMAND_TIMEOUT_S)
        if reply.status != OK:
            raise FrontError(
                f"Varnish refused {words[0]}: {reply.text.strip() or reply.status}", "see the server's log"
            )
        return reply.text

    def inline(self, name: str, vcl: str) -> None:
        """Compiles and loads ``vcl`` as ``name``. Raises FrontError with the compiler's message."""
        vcl = vcl.strip()  # as it is written down: the next varnishd shall compile the very same
        token = f"EOF{secrets.token_hex(8)}"
        reply = self._patiently(f"vcl.inline {name} << {token}\n{vcl}\n{token}", COMPILE_TIMEOUT_S)
        if reply.status != OK and not reply.text.startswith(
            "Already a VCL named"
        ):  # sent twice: names are never reused
            raise FrontError(f"Varnish cannot load {name}: {reply.text.strip()}", "see the server's log")

    def discard(self, name: str) -> None:
        """Unloads a VCL, or a label, to which nothing leads. Raises InUse when something does, Gone, or FrontError.

        Varnish 6.6 and 7.0 look at all VCLs loaded later, too, and refuse when a label leads to one of those. They look
        from the first of those named on: one that was loaded last of all takes the others with it (mended in 7.1).
        """
        last: list[str] = []
        for _ in range(DISCARD_TRIES):
            reply = self._patiently(" ".join(["vcl.discard", *reversed(last), name]), COMMAND_TIMEOUT_S)
            refused = _IN_USE.match(reply.text)
            if reply.status == OK:
                return
            if reply.text.startswith("No VCL name"):
                raise Gone(f"Varnish refused vcl.discard: {reply.text.strip()}", "see the server's log")
            if refused is not None and refused[1] == name:
                raise InUse(f"Varnish refused vcl.discard: {reply.text.strip()}", "see the server's log")
            if refused is None:
                break
            last.append(f"last_{secrets.token_hex(8)}")
            self.inline(last[-1], _NOTHING)
            if self._is_led_to(name):  # it would be discarded unasked, and varnishd die of it
                break
        for other in last:
            self.ask(f"vcl.discard {other}")
        raise FrontError(f"Varnish refused vcl.discard: {reply.text.strip()}", "see the server's log")

    def _is_led_to(self, name: str) -> bool:
        return any(v.target == name or (v.name == name and (v.active or v.referred)) for v in self.loaded())

    def text(self, name: str) -> str:
        """The source of a loaded VCL (vcl.show)."""
        return self.command("vcl.show", name).strip()

    def led_to(self, label: str) -> str | None:
        """The VCL that ``label`` leads to, as that VCL's first lines say; None when there is no such label, or no name.

        In 0.1 ms; the list of 1000 apps takes 12.
        """
        reply = self._patiently(f"vcl.show {label}", COMMAND_TIMEOUT_S)
        found = _NAME.match(reply.text) if reply.status == OK else None
        return found[1] if found else None

    def loaded(self) -> list[LoadedVcl]:
        """Every VCL and label (vcl.list)."""
        text = self.command("vcl.list", "-j")
        try:
            return [_loaded(entry) for entry in json.loads(text)[3:]]  # [version, command, time, entry, entry, ...]
        except (ValueError, KeyError, TypeError) as error:
            raise FrontError(
                f"Varnish's list of VCLs is not as expected: {error!r} in {text[:200]!r}", "see the server's log"
            ) from None

    def _patiently(self, line: str, timeout_s: float) -> Reply:
        """As ``ask``, and again while varnishd is replacing a worker that died: 0.6 s, 10 s at 1000 apps."""
        deadline = time.monotonic() + WORKER_RETURN_S
        while True:
            reply = self.ask(line, timeout_s)
            lost = reply.status == NO_WORKER or (reply.status == OK and not reply.text and line.startswith("vcl.list"))
            if not lost or time.monotonic() > deadline:
                return reply
            time.sleep(_PAUSE_S)

    # -- under the lock

    def _exchange(self, line: str) -> Reply:
        if self._socket is None:
            self._open()
        self._send(line)
        return self._receive()

    def _open(self) -> None:
        address = self._admin()
        self._socket = socket.create_connection((address.host, address.port), CONNECT_TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        reply = self._receive()
        if reply.status == AUTH:
            challenge = reply.text[:32].encode()
            proof = hashlib.sha256(challenge + b"\n" + self._secret.read_bytes() + challenge + b"\n").hexdigest()
            self._send(f"auth {proof}")
            reply = self._receive()
        if reply.status != OK:
            self._close()
            raise FrontError(
                f"{address} rejects gitship's secret: another varnishd is running there",
                "stop that varnishd, then start gitship again",
            )

    def _send(self, line: str) -> None:
        assert self._socket is not None
        self._socket.settimeout(self._left())
        self._socket.sendall(line.encode() + b"\n")

    def _receive(self) -> Reply:
        header = self._read(_HEADER_BYTES)
        try:
            status, length = int(header[:3]), int(header[4:12])
        except ValueError:
            raise EOFError(f"not Varnish's protocol: {header!r}") from None
        return Reply(status, self._read(length + 1)[:-1].decode(errors="replace"))

    def _read(self, size: int) -> bytes:
        assert self._socket is not None
        data = bytearray()
        while len(data) < size:
            self._socket.settimeout(self._left())
            piece = self._socket.recv(size - len(data))
            if not piece:
                raise EOFError("the connection was closed")
            data += piece
        return bytes(data)

    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _loaded(entry: dict[str, Any]) -> LoadedVcl:
    return LoadedVcl(
        name=entry["name"],
        active=entry["status"] == "active",
        discarded=entry["status"] == "discarded",
        busy=int(entry.get("busy", 0)),  # not told while there is no worker
        target=entry["label"]["name"] if entry["state"] == "label" else None,
        referred=bool(entry.get("label", {}).get("refs")),
    )


def _quoted(word: str) -> str:
    """A word as Varnish's CLI reads it."""
    if word and all(c.isalnum() or c in "_-./=:&~" for c in word):
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
