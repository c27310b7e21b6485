"""Differences between two releases, for people: names of variables, never values. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gitship.model import Release

VERBS = {"added": "adds", "removed": "removes", "changed": "changes"}


def config_changes(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, list[str]]:
    """Names only: values stay where they are."""
    return {
        "added": sorted(after.keys() - before.keys()),
        "removed": sorted(before.keys() - after.keys()),
        "changed": sorted(name for name in after.keys() & before.keys() if after[name] != before[name]),
    }


def told(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """``adds OLD; removes DATABASE_URL; changes MODE``, or an empty text."""
    changes = config_changes(before, after)
    return "; ".join(f"{VERBS[how]} {', '.join(names)}" for how, names in changes.items() if names)


def alike(one: Release, other: Release) -> bool:
    """True when nobody could tell which of them runs."""
    return _content(one) == _content(other)


def other_than(release: Release, among: Iterable[Release]) -> Release | None:
    """The first that differs from it in anything."""
    return next((r for r in among if not alike(r, release)), None)


def _content(release: Release) -> tuple[object, ...]:
    return release.image_id, release.config, release.processes, release.cron, release.cache
