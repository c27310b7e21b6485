"""Finds the server's hooks: executables in `<data_dir>/hooks/<point>.d/`, sorted by name.

Whoever can write one acts as gitship does, which is as root on most servers; so a file, or a directory, that somebody
else could have written is refused.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class HookPoint(StrEnum):
    """Where in a deploy hooks run."""

    BEFORE_BUILD = "before-build"
    AFTER_BUILD = "after-build"
    BEFORE_SWITCH = "before-switch"
    AFTER_DEPLOY = "after-deploy"
    ON_FAILURE = "on-failure"


@dataclass(frozen=True, slots=True)
class HookFile:
    """``refusal`` says why it must not run, ``skipped`` why it need not; both are empty for one that runs."""

    point: HookPoint
    path: Path
    refusal: str = ""
    skipped: str = ""

    @property
    def name(self) -> str:
        return self.path.name


def directory(hooks_dir: Path, point: HookPoint) -> Path:
    return hooks_dir / f"{point}.d"


def at(hooks_dir: Path, point: HookPoint) -> list[HookFile]:
    """What lies there for a point, by name; hidden files and editors' copies (``~``) do not count."""
    place = directory(hooks_dir, point)
    try:
        names = sorted(n for n in os.listdir(place) if not n.startswith(".") and not n.endswith("~"))  # noqa: PTH208
    except FileNotFoundError:
        return []
    except OSError as error:  # a hook that may be there is not passed over
        return [HookFile(point, place, f"{place} cannot be read: {error.strerror}")]
    return [_looked_at(point, place / name) for name in names]


def everything(hooks_dir: Path) -> list[HookFile]:
    """What lies there for all points, in the order of a deploy."""
    return [hook for point in HookPoint for hook in at(hooks_dir, point)]


def _looked_at(point: HookPoint, path: Path) -> HookFile:
    try:
        real = path.resolve(strict=True)
        file = real.stat()
        places = [(str(p), p.stat()) for p in (path.parent.parent, path.parent, real.parent)]
    except (OSError, RuntimeError) as error:  # the latter for links that lead in a circle
        return HookFile(point, path, f"it cannot be read: {getattr(error, 'strerror', None) or error}")
    if not stat.S_ISREG(file.st_mode):
        return HookFile(point, path, skipped="it is not a file")
    refusals = [_unsafe(found, what) for what, found in (("it", file), *places)]
    if any(refusals):
        return HookFile(point, path, next(filter(None, refusals)))
    return HookFile(point, path, skipped="" if os.access(real, os.X_OK) else "it is not executable (chmod +x)")


def _unsafe(found: os.stat_result, what: str) -> str:
    if found.st_uid not in (0, os.geteuid()):
        return f"{what} belongs to user {found.st_uid}, not to root or gitship's user"
    if found.st_mode & stat.S_IWOTH:
        return f"{what} is writable by everyone (chmod o-w)"
    return ""
