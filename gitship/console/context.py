"""Context of a running command: identity, store, operations and output."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.text import Text

from gitship.config import Settings
from gitship.console import visible_apps
from gitship.console.audit_entry import SessionAuditEntry
from gitship.console.command_registry import Command
from gitship.console.escapes import coloured, plain
from gitship.console.session import Session
from gitship.errors import DeployError, GitshipError
from gitship.model import App, Identity, Role
from gitship.operations.operations import Operations
from gitship.store import Store


@dataclass(frozen=True, slots=True)
class Services:
    """What all sessions share."""

    store: Store
    settings: Settings
    operations: Operations


@dataclass(frozen=True, slots=True)
class Context:
    """One run of one command."""

    session: Session
    store: Store
    settings: Settings
    operations: Operations
    console: Console
    errors: Console
    command: Command
    trail: SessionAuditEntry
    quiet: bool = False

    @property
    def terminal(self) -> bool:
        return self.session.pty is not None

    @property
    def identity(self) -> Identity:
        return self.session.identity

    @property
    def ssh_host(self) -> str:
        """What the client can call this server: its domain or, while it has none, the address they have come to."""
        domain, reached = self.settings.domain, self.session.reached
        if domain != "localhost" or not reached or ip_address(reached).is_loopback:
            return domain
        return f"[{reached}]" if ":" in reached else reached

    def remote(self, app: str) -> str:
        """Where an app is pushed to."""
        return f"ssh://deploy@{self.ssh_host}:{self.settings.ssh.listen.port}/{app}"

    def line(self, text: str) -> None:
        """One line of stdout as it is, without wrapping; raises ClientGone."""
        self.console.file.write(f"{text}\n")

    def foreign_line(self, text: str) -> None:
        """One line that an app or a build has printed: its colours only on a terminal, no other escape sequence."""
        self.line(coloured(text) if self.console.color_system else plain(text))

    def note(self, text: str) -> None:
        """A remark for people, on stderr, so that scripts' stdout stays clean; none with `--quiet`."""
        if self.quiet:
            return
        self.errors.print(Text(plain(text), style="dim"), soft_wrap=True)

    def require(self, role: Role, what: str) -> None:
        """For a part of a command that needs more than the command; call it before anything else is looked up."""
        if not self.identity.role.allows(role):
            raise visible_apps.denied(what, self.identity, role)

    def app(self, name: str) -> App:
        """Every name of an app that a client gives is resolved here. Raises NotFound, with the nearest name."""
        found = visible_apps.app(self.store, self.identity, name)
        self.session.about(found)
        return found

    def apps(self) -> list[App]:
        """The apps that the key may know of: what a listing of apps lists."""
        return visible_apps.apps(self.store, self.identity)

    def record(self, detail: str) -> None:
        """Adds words to the session's entry in the audit log; never a config value or a key."""
        self.trail.detail = detail


Ctx = Annotated[Context, Parameter(parse=False)]
AppName = Annotated[str, Parameter(name="APP", help="the app's name")]


def report(errors: Console, error: GitshipError) -> None:
    """``error: ...`` and ``hint: ...`` on stderr. Raises ClientGone."""
    text = Text()
    if isinstance(error, DeployError):
        for line in error.lines:
            text.append(f"    {plain(line)}\n")
    text.append("error: ", style="bold red").append(plain(error.message))
    if error.hint:
        text.append("\nhint: ", style="bold").append(plain(error.hint))
    errors.print(text, soft_wrap=True)
