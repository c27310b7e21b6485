"""Audit log entry of one session, written by the dispatchers so that no command can forget it.

What changes nothing (what viewers may do) is written only when it is refused. Of what was typed, an entry has the
command's name, its APP and what the command says itself with ``Context.record``: never a value or a key.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Iterable, Mapping
from typing import Any, get_type_hints

from cyclopts import Parameter

from gitship.console import command_registry
from gitship.console.command_registry import Command
from gitship.console.escapes import printable
from gitship.errors import GitshipError, UsageError
from gitship.model import Identity, Outcome
from gitship.store import Store

log = logging.getLogger("gitship.audit")

MOST_CHARS = 200  # of the names that were typed
CUT = "ended: the key is no longer allowed to"
APP_NAMES = {"APP", "TO_APP", "--app"}
SUBJECT = "SUBJECT"  # of a backup: an app's volume is APP/VOLUME


class SessionAuditEntry:
    """``begin`` before anything happens, ``end`` when it is over; ``detail`` may be set in between."""

    def __init__(self, store: Store, identity: Identity, action: str, app: str = "") -> None:
        self._store = store
        self._identity = identity
        self._action = action
        self.app = app
        self._entry: int | None = None
        self.detail = ""

    def begin(self) -> None:
        """Written before it happens, so that it is in the log even when the server is killed half-way."""
        self._entry = self._write(Outcome.STARTED)

    def cut(self) -> None:
        """It was ended half-way, since the key has lost its right to it."""
        self.detail = ", ".join(filter(None, (self.detail, CUT)))
        self.end(Outcome.FAILED)

    def end(self, outcome: Outcome) -> None:
        """Notes the outcome; what was not begun is written only when it was refused."""
        try:
            if self._entry is not None:
                self._store.end_audit(self._entry, outcome, _short(self.detail))
            elif outcome is Outcome.REFUSED:
                self._write(outcome)
        except (sqlite3.Error, GitshipError):  # what was done is done, and its client gets the true answer
            log.exception("%s %s by %s: %s", self._action, self.app, self._identity.key_name, outcome)

    def _write(self, outcome: Outcome) -> int:
        return self._store.begin_audit(self._identity, self._action, _short(self.app), outcome, _short(self.detail))


def apps_typed(command: Command, tokens: tuple[str, ...]) -> str:
    """The apps that the command's words name; nothing when they cannot be parsed."""
    with contextlib.suppress(UsageError):
        return apps_named(
            command, command_registry.parse(command, command_registry.delimited(command, tokens)).arguments
        )
    return ""


def apps_named(command: Command, arguments: Mapping[str, Any]) -> str:
    """The apps that the command's parsed arguments name."""
    apps = [name for p in _parameters(command, APP_NAMES) for name in _texts(arguments.get(p))]
    subjects = [name for p in _parameters(command, {SUBJECT}) for name in _texts(arguments.get(p))]
    return ", ".join([*apps, *(name.partition("/")[0] for name in subjects if name.count("/") == 1)])


def _parameters(command: Command, names: set[str]) -> list[str]:
    hints = get_type_hints(command.handler, include_extras=True)
    return [
        name
        for name, hint in hints.items()
        for mark in getattr(hint, "__metadata__", ())
        if isinstance(mark, Parameter) and names & set(mark.name or ())
    ]


def _short(text: str) -> str:
    return printable(text)[:MOST_CHARS]


def _texts(value: Any) -> Iterable[str]:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else map(str, value)
