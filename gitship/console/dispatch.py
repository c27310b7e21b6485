"""Dispatches a session's command line to its command, and returns the exit code.

Exit codes: 0 done, or so already; 1 an error, no permission, or a deploy that did not go live; 2 typed wrongly or no
such command; 3 what was to be made is there, or what was to be removed is not; 130 ended by Ctrl-C or because the
client went away (a deploy that was followed goes on).
"""

from __future__ import annotations

import re

from gitship.console import command_registry, suggestions, visible_apps
from gitship.console.audit_entry import SessionAuditEntry, apps_named, apps_typed
from gitship.console.command_registry import Command
from gitship.console.context import Context, Services, report
from gitship.console.escapes import printable
from gitship.console.prompt import PromptInterrupted
from gitship.console.session import Session
from gitship.console.terminal import ClientGone, consoles
from gitship.errors import AlreadyGone, AlreadyThere, GitshipError, NotFound, UsageError, nearest
from gitship.model import Outcome, Role
from gitship.model.names import APP_NAME

EXIT_OK = 0
EXIT_ERROR = 1
EXIT_USAGE = 2
EXIT_UNCHANGED = 3
EXIT_INTERRUPTED = 130

HELP_FLAGS = ("-h", "--help")
_COMMAND = re.compile(r"`([a-z]+(?::[a-z-]+)+)`")
SPOKEN = {"-h": "help", "--help": "help", "-V": "version", "--version": "version"}


def run(services: Services, session: Session) -> int:
    """Runs the session's command; its exit code. GitshipErrors are printed, all other errors are the caller's."""
    console, errors = consoles(session)
    name, tokens = _words(session)
    named = command_registry.spoken(name, tokens)
    trail = SessionAuditEntry(services.store, session.identity, named.name if named else "")
    tokens, quiet = command_registry.quieted(named, tokens) if named else (tokens, False)
    try:
        try:
            found, tokens = _permitted(name, named, tokens, session)
            context = Context(
                session, services.store, services.settings, services.operations, console, errors, found, trail, quiet
            )
            bound = command_registry.parse(found, tokens)
            trail.app = apps_named(found, bound.arguments)
            if found.role is not Role.VIEWER:
                trail.begin()
            bound.arguments["context"] = context
            code = found.handler(*bound.args, **bound.kwargs) or EXIT_OK
            if session.cut.is_set() and code:
                trail.cut()
            else:  # also what was done, and cut while it said so
                trail.end(Outcome.FAILED if code else Outcome.OK)
            return code
        except GitshipError as error:
            _end(trail, error, named, tokens, session)
            error.hint = with_app(error.hint, trail.app)
            if isinstance(error, UsageError | NotFound) and (meant := _spaced(name, tokens, session.identity.role)):
                error.hint = f"did you mean `{meant.name}`? see `help {meant.name}`"
            report(errors, error)
            return _code(error)
    except (ClientGone, PromptInterrupted):
        if session.cut.is_set():
            trail.cut()
        return EXIT_INTERRUPTED
    except Exception:
        trail.end(Outcome.FAILED)
        raise


def with_app(hint: str, app: str) -> str:
    """As it can be typed: `releases:list` becomes `releases:list shop`. Who raised the error knows no command line."""

    def whole(mention: re.Match[str]) -> str:
        command = command_registry.find(mention[1])
        of_app = command is not None and command_registry.usage(command).split()[1:2] == ["APP"]
        return f"`{mention[1]} {app}`" if of_app else mention[0]

    return _COMMAND.sub(whole, hint) if APP_NAME.fullmatch(app) else hint


def _code(error: GitshipError) -> int:
    if isinstance(error, UsageError):
        return EXIT_USAGE
    return EXIT_UNCHANGED if isinstance(error, AlreadyThere | AlreadyGone) else EXIT_ERROR


def _end(
    trail: SessionAuditEntry, error: GitshipError, named: Command | None, tokens: tuple[str, ...], session: Session
) -> None:
    """Notes how a command came to nothing; a hidden one that the key may not run is refused, too."""
    denied = named is not None and not session.identity.role.allows(named.role)
    if denied and named is not None:
        trail.app = apps_typed(named, tokens)
    trail.end(Outcome.REFUSED if denied or isinstance(error, visible_apps.REFUSALS) else Outcome.FAILED)


def _words(session: Session) -> tuple[str, tuple[str, ...]]:
    argv = session.argv or ("help",)
    return SPOKEN.get(argv[0], argv[0]), tuple(argv[1:])


def _permitted(
    name: str, found: Command | None, tokens: tuple[str, ...], session: Session
) -> tuple[Command, tuple[str, ...]]:
    """The command and its tokens; permission is decided here, before anything that the tokens name is looked up."""
    role = session.identity.role
    if found is None or (found.hidden and not role.allows(found.role)):
        raise _unknown(name, session)
    tokens = command_registry.delimited(found, tokens)
    before_delimiter = tokens[: tokens.index("--")] if "--" in tokens else tokens
    if any(flag in before_delimiter for flag in HELP_FLAGS):
        helper = command_registry.find("help")
        assert helper is not None
        return helper, (found.name,)
    if not role.allows(found.role):
        raise visible_apps.denied(f"`{found.name}`", session.identity, found.role)
    return found, tokens


def _unknown(name: str, session: Session) -> UsageError:
    said = f"no command '{printable(name[:80])}'"
    if (ours := suggestions.here(name)) is not None:
        return UsageError(said, ours)
    allowed = [c for c in command_registry.load().values() if not c.hidden and session.identity.role.allows(c.role)]
    near = nearest(name, [known for c in allowed for known in (c.name, *c.aliases)])
    hint = f"did you mean `{near}`?" if near else "`help` lists all commands"
    return UsageError(said, hint)


def _spaced(name: str, tokens: tuple[str, ...], role: Role) -> Command | None:
    """The command that was meant when a blank was typed for the colon, as in `config set shop A=1`."""
    found = command_registry.find(f"{name}:{tokens[0]}") if tokens else None
    return found if found is not None and not found.hidden and role.allows(found.role) else None
