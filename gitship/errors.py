"""Error types whose message and hint are shown to users.

GitshipError            message (what happened) and hint (what to do next)
├── UsageError          typed wrongly, whatever exists: exit code 2
├── ConfigError         a server setting or an app's own file is wrong
├── DamagedSetting      the database holds a value of an app that its setting cannot have
├── NotFound            no such app, release, key, ... (or no permission: the same answer)
│   ├── OutOfReach      ... for a key that is limited to some apps, whether it exists or not
│   └── AlreadyGone     ... and so there is nothing to remove: exit code 3
├── NoPermission        the key's role, or its limit to some apps, does not allow it
├── Conflict            taken, locked, or moved meanwhile
│   └── AlreadyThere    there is nothing to make: exit code 3
├── EngineError         Docker said no, or does not answer
├── ServiceError        the server of a backing service said no, or a program beside it
├── FrontError          Varnish said no, or does not answer
├── CertificateError    the authority gave no certificate
├── GitError            a repository or a push that cannot be taken
│   └── NoDockerfile    the commit has none under that path
└── DeployError         a deploy ended early
    ├── BuildError      at a step of its build
    └── DeployCanceled  because somebody asked for it
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class GitshipError(Exception):
    """An error meant for people: ``message`` says what happened, ``hint`` what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(GitshipError):
    """The command was typed wrongly, or a word of it is nothing of its kind, whatever exists: exit code 2."""


class ConfigError(GitshipError):
    """A setting is unknown, of the wrong type, or out of range."""


class DamagedSetting(GitshipError):
    """What the database holds for an app is not a value of that setting."""


class NotFound(GitshipError):
    """The thing named does not exist, or the caller may not know that it does."""


class OutOfReach(NotFound):
    """No such app among those that a limited key may use. Whether it exists elsewhere is not said."""


class AlreadyGone(NotFound):
    """What was to be removed is not there. Scripts tell it from an error that matters by its exit code."""


class NoPermission(GitshipError):
    """The key may not, whatever exists."""


class Conflict(GitshipError):
    """The name is taken, or the state moved while the caller was waiting."""


class AlreadyThere(Conflict):
    """What was to be made is there. Scripts tell it from an error that matters by its exit code."""


class EngineError(GitshipError):
    """The container engine refused, failed, or did not answer in time."""


class ServiceError(GitshipError):
    """A backing service's server, or a program in its container, failed; ``lines`` are the last that it printed."""

    def __init__(self, message: str, hint: str = "", lines: Iterable[str] = ()) -> None:
        super().__init__(message, hint)
        self.lines = tuple(lines)


class FrontError(GitshipError):
    """Varnish refused, failed, or did not answer in time."""


class CertificateError(GitshipError):
    """``hosts`` are those that could not be proved; ``hold_s``: the authority wants to be left alone for so long.

    ``hold_all_s`` is that for everybody on this server; the rest concerns the names that were asked for alone.
    """

    def __init__(
        self, message: str, hint: str = "", *, hosts: Iterable[str] = (), hold_s: float = 0.0, hold_all_s: float = 0.0
    ) -> None:
        super().__init__(message, hint)
        self.hosts = tuple(hosts)
        self.hold_s = hold_s
        self.hold_all_s = hold_all_s


class GitError(GitshipError):
    """A repository, an object or a push cannot be used."""


class NoDockerfile(GitError):
    """The commit has no file under the Dockerfile's path; ``command`` would name another that it has, or is ""."""

    def __init__(self, message: str, hint: str = "", command: str = "") -> None:
        super().__init__(message, hint)
        self.command = command


class DeployError(GitshipError):
    """A deploy cannot go on; ``lines`` are the last lines of the container or step concerned."""

    def __init__(self, message: str, hint: str = "", lines: Iterable[str] = ()) -> None:
        super().__init__(message, hint)
        self.lines = tuple(lines)


class BuildError(DeployError):
    """A build has failed at ``step``; ``missing`` is the file that the step did not find in its context, or ""."""

    def __init__(
        self, message: str, hint: str = "", lines: Iterable[str] = (), *, step: str = "", missing: str = ""
    ) -> None:
        super().__init__(message, hint, lines)
        self.step = step
        self.missing = missing


class DeployCanceled(DeployError):
    """Somebody, or a newer push, ended the deploy."""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that ``word`` was probably meant to be, or None."""
    matches = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return matches[0] if matches else None
