"""What a command gets: who asks, the store, the operations, and where to print."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.text import Text

from gitship.commands.escapes import coloured, plain
from gitship.commands.registry import Command
from gitship.commands.session import Session
from gitship.config import Settings
from gitship.deploy.operations import Operations
from gitship.errors import DeployError, GitshipError, NotFound, nearest
from gitship.model import App, Identity, Role
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

    @property
    def terminal(self) -> bool:
        return self.session.pty is not None

    @property
    def identity(self) -> Identity:
        return self.session.identity

    def line(self, text: str) -> None:
        """One line of stdout as it is, without wrapping; raises ClientGone."""
        self.console.file.write(f"{text}\n")

    def foreign_line(self, text: str) -> None:
        """One line that an app or a build has printed: its colours only on a terminal, no other escape sequence."""
        self.line(coloured(text) if self.console.color_system else plain(text))

    def note(self, text: str) -> None:
        """A remark for people, on stderr, so that scripts' stdout stays clean."""
        self.errors.print(Text(plain(text), style="dim"), soft_wrap=True)

    def require(self, role: Role, what: str) -> None:
        """For a part of a command that needs more than the command; call it before anything else is looked up."""
        if not self.identity.role.allows(role):
            raise denied(what, self.identity, role)

    def app(self, name: str) -> App:
        """Raises NotFound, with the nearest name."""
        app = self.store.find_app(name)
        if app is None:
            near = nearest(name, [a.name for a in self.store.apps()])
            raise NotFound(f"no app '{name[:80]}'", f"did you mean '{near}'?" if near else "see `apps:list`")
        return app


Ctx = Annotated[Context, Parameter(parse=False)]
AppName = Annotated[str, Parameter(name="APP", help="the app's name")]


def denied(what: str, identity: Identity, role: Role) -> GitshipError:
    """The answer to a key that may not: made before any look-up, so that it tells nothing of what exists."""
    return GitshipError(
        f"no permission for {what}",
        f"it needs the role {role}, and the key '{identity.key_name}' is {identity.role}; ask an admin",
    )


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
