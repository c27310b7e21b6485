"""Session of one command: identity, arguments and the three streams. Created by ``ssh``."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from gitship.errors import Conflict
from gitship.model import App, Identity


class InputStream(Protocol):
    """Bytes from the client. ``read`` returns at most ``size`` bytes as soon as any are there; b"" at the end."""

    def read(self, size: int, /) -> bytes: ...


class OutputStream(Protocol):
    """Bytes to the client. ``write`` sends all of ``data`` or raises OSError when the client has gone."""

    def write(self, data: bytes, /) -> int: ...

    def flush(self) -> None: ...


@dataclass(slots=True)
class Pty:
    """The client's terminal; ``resized`` is called with (columns, rows) when the window changes.

    ``raw`` is set by a command that passes every key on to a program: Ctrl-C is then a byte like any other.
    """

    term: str
    columns: int
    rows: int
    resized: Callable[[int, int], None] | None = None
    raw: bool = False


@dataclass(slots=True)
class Session:
    """``argv`` is the command split by shell rules, never run by one; ``closed`` is set when the client has gone.

    ``reached`` is the address of this machine that the client has come to; "" when that isn't known. ``apps`` are
    those that it is about, id by name: it ends when its key may use one of them no longer.
    ``pushes``: it is a `git push`, which also ends when its app is renamed. ``cut`` is set when it was ended for that.
    """

    argv: tuple[str, ...]
    identity: Identity
    stdin: InputStream
    stdout: OutputStream
    stderr: OutputStream
    pty: Pty | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    closed: threading.Event = field(default_factory=threading.Event)
    reached: str = ""
    apps: dict[str, int] = field(default_factory=dict)
    pushes: bool = False
    cut: threading.Event = field(default_factory=threading.Event)

    def about(self, app: App) -> None:
        """Notes that it is about this app. Raises Conflict when the name was another app's before in this session."""
        if self.apps.setdefault(app.name, app.id) != app.id:
            raise Conflict(f"'{app.name}' is now a different app", "nothing was changed; see `apps:list`")
