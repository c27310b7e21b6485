"""Report of `gitship doctor`: a list of findings. Checks change nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from gitship import config
from gitship.config import Settings
from gitship.errors import GitshipError


class Level(StrEnum):
    """How bad it is: nothing to do, works but not for ever, does not work."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line; ``fix`` is what to do, empty when there is nothing to."""

    subject: str
    level: Level
    text: str
    fix: str = ""


Look = Callable[[Settings], Iterator[Finding]]


def ok(subject: str, text: str) -> Finding:
    return Finding(subject, Level.OK, text)


def warn(subject: str, text: str, fix: str) -> Finding:
    return Finding(subject, Level.WARN, text, fix)


def fail(subject: str, text: str, fix: str) -> Finding:
    return Finding(subject, Level.FAIL, text, fix)


def examine(path: Path) -> Iterator[Finding]:
    """Findings in the order of the house: settings, files, machine, network, Docker, Varnish, images, services.

    Never raises.
    """
    from gitship.doctor import (  # they use what is defined above
        backing_services,
        files,
        images,
        machine,
        network,
        service_backups,
        services,
    )

    try:
        settings = config.load(path)
    except GitshipError as error:
        yield fail("config", error.message, error.hint)
        return
    yield ok("config", str(path))
    for module in (files, machine, network, services, images, backing_services, service_backups):
        for name, look in module.LOOKS:
            yield from _guarded(name, look, settings)


def _guarded(subject: str, look: Look, settings: Settings) -> Iterator[Finding]:
    try:
        yield from look(settings)
    except GitshipError as error:
        yield fail(subject, error.message, error.hint)
    except OSError as error:
        yield fail(subject, f"cannot be checked: {error}", "run this as root")
    except sqlite3.Error as error:
        yield fail(subject, f"cannot be checked without the database: {error}", "run this as root; see `database`")


def shown(finding: Finding) -> str:
    """``warn  clock     not synchronised`` and, below it, the fix."""
    line = f"{finding.level:<5} {finding.subject:<9} {finding.text}"
    return f"{line}\n{'':<16}fix: {finding.fix}" if finding.fix else line
