"""Parses a client's receive-pack request (gitprotocol-pack(5))."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from dulwich.errors import GitProtocolError, HangupException
from dulwich.protocol import ReceivableProtocol

from gitship.errors import GitError
from gitship.git.push_limits import ReceiveLimits
from gitship.git.refs import RefUpdate
from gitship.git.streams import ByteSink, ByteSource

_COMMAND = re.compile(rb"([0-9a-fA-F]{40}) ([0-9a-fA-F]{40}) (.+)", re.DOTALL)
_SHALLOW = re.compile(rb"shallow ([0-9a-fA-F]{40})")
_ABSENT = "0" * 40
MAX_OPTION_BYTES = 4096


class ClientHungUp(Exception):
    """The client hung up before it had said what it wants; there is nobody to tell."""


class BadRequest(GitError):
    """The client does not speak the protocol, or asks for more than the limits allow."""


@dataclass(frozen=True, slots=True)
class PushRequest:
    """``shallow``: the commits (hex) whose parents the client lacks. ``options``: what stood behind ``git push -o``."""

    updates: tuple[RefUpdate, ...]
    capabilities: frozenset[str]
    options: tuple[str, ...] = ()
    shallow: tuple[str, ...] = ()

    @property
    def atomic(self) -> bool:
        return "atomic" in self.capabilities


class PktLines(ReceivableProtocol):
    """Dulwich's pkt-lines over a client's streams; never reads beyond the line it was asked for."""

    def __init__(self, stdin: ByteSource, stdout: ByteSink) -> None:
        super().__init__(stdin.read, stdout.write)

    def read(self, size: int) -> bytes:
        return super().read(size) if size else b""  # Dulwich's asserts on the empty packet of `git push -o ""`


def read_request(wire: PktLines, limits: ReceiveLimits) -> PushRequest | None:
    """The push that the client wants, or None when it wants nothing (it only looked at the refs).

    Never reads beyond the request: what follows is the pack. Raises ClientGone and BadRequest.
    """
    commands: list[tuple[str | None, str | None, str]] = []
    shallow: list[str] = []
    capabilities: frozenset[str] = frozenset()
    for line in _lines(wire):
        if match := _SHALLOW.fullmatch(line):
            shallow.append(match[1].decode().lower())
        else:
            text, nul, words = line.partition(b"\0")
            if nul and not commands:
                capabilities = frozenset(words.decode("utf-8", "replace").split())
            commands.append(_command(text))
        if len(commands) + len(shallow) > limits.max_refs:
            raise BadRequest(f"more than {limits.max_refs} refs in one push", "push them in several steps")
    if not commands:
        return None
    options: list[str] = []
    if "push-options" in capabilities:
        for line in _lines(wire):
            if len(line) > MAX_OPTION_BYTES or len(options) >= limits.max_options:
                raise BadRequest("too many push options, or too long ones", "use fewer -o options")
            options.append(line.decode("utf-8", "replace"))
    atomic = "atomic" in capabilities
    updates = tuple(RefUpdate(ref, old, new, atomic) for old, new, ref in commands)
    return PushRequest(updates, capabilities, tuple(options), tuple(shallow))


def _command(text: bytes) -> tuple[str | None, str | None, str]:
    match = _COMMAND.fullmatch(text)
    if not match:
        raise BadRequest(f"not a ref update: {text[:60]!r}", "use git or another client that speaks git's protocol")
    old, new = match[1].decode().lower(), match[2].decode().lower()
    return (
        old if old != _ABSENT else None,
        new if new != _ABSENT else None,
        match[3].decode("utf-8", "surrogateescape"),
    )


def _lines(wire: PktLines) -> Iterator[bytes]:
    """Pkt-lines up to the next flush, each without its line feed."""
    while True:
        try:
            line = wire.read_pkt_line()
        except HangupException:
            raise ClientHungUp from None
        except GitProtocolError as error:
            if isinstance(error.__cause__, OSError):
                raise ClientHungUp from error
            raise BadRequest(f"not git's protocol: {error}", "use git or another client that speaks it") from None
        if line is None:
            return
        yield line.removesuffix(b"\n")
