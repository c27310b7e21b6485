"""From a session's words to an exit code.

Exit codes: 0 done; 1 an error, no permission, or a deploy that did not go live; 2 typed wrongly or no such command;
130 ended by Ctrl-C or because the client went away (a deploy that was followed goes on).
"""

from __future__ import annotations

from gitship.commands import registry
from gitship.commands.console import ClientGone, consoles
from gitship.commands.context import Context, Services, denied, report
from gitship.commands.escapes import printable
from gitship.commands.prompt import Interrupted
from gitship.commands.registry import Command, UsageError
from gitship.commands.session import Session
from gitship.errors import GitshipError, nearest

EXIT_OK = 0
EXIT_ERROR = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

HELP_FLAGS = ("-h", "--help")
SPOKEN = {"-h": "help", "--help": "help", "-V": "version", "--version": "version"}


def run(services: Services, session: Session) -> int:
    """Runs the session's command; its exit code. GitshipErrors are printed, all other errors are the caller's."""
    console, errors = consoles(session)
    try:
        try:
            found, tokens = _lookup(session)
            context = Context(session, services.store, services.settings, services.operations, console, errors, found)
            bound = registry.parse(found, tokens)
            bound.arguments["context"] = context
            return found.handler(*bound.args, **bound.kwargs) or EXIT_OK
        except GitshipError as error:
            report(errors, error)
            return EXIT_USAGE if isinstance(error, UsageError) else EXIT_ERROR
    except (ClientGone, Interrupted):
        return EXIT_INTERRUPTED


def _lookup(session: Session) -> tuple[Command, tuple[str, ...]]:
    """The command and its tokens; permission is decided here, before anything that the tokens name is looked up."""
    argv = session.argv or ("help",)
    name, tokens = SPOKEN.get(argv[0], argv[0]), tuple(argv[1:])
    role = session.identity.role
    found = registry.find(name)
    if found is None or (found.hidden and not role.allows(found.role)):
        raise _unknown(name, session)
    before_delimiter = tokens[: tokens.index("--")] if "--" in tokens else tokens
    if any(flag in before_delimiter for flag in HELP_FLAGS):
        helper = registry.find("help")
        assert helper is not None
        return helper, (found.name,)
    if not role.allows(found.role):
        raise denied(f"`{found.name}`", session.identity, found.role)
    return found, tokens


def _unknown(name: str, session: Session) -> UsageError:
    allowed = [c for c in registry.load().values() if not c.hidden and session.identity.role.allows(c.role)]
    near = nearest(name, [known for c in allowed for known in (c.name, *c.aliases)])
    hint = f"did you mean `{near}`?" if near else "`help` lists all commands"
    return UsageError(f"no command '{printable(name[:80])}'", hint)
