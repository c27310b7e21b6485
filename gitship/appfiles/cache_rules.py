"""Cache rules of an app: `cache:set` over gitship.toml over the defaults. Pure.

One stored setting per rule (``cache.ttl_s``), of the value that the release has when it comes from the file.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gitship.appsettings import CACHE
from gitship.front.cache_settings import (
    ALL_COOKIES,
    DEFAULT,
    MOST_NAMES,
    MOST_WARM,
    CacheSettings,
    is_name,
    is_path,
)
from gitship.schema import Value
from gitship.store.settings import AppSettings

BY_COMMAND, BY_FILE, BY_DEFAULT = "cache:set", "gitship.toml", "default"


@dataclass(frozen=True, slots=True)
class CacheRule:
    """``key`` is its name in gitship.toml, ``field`` the one in CacheSettings; ``option`` is how a command calls it."""

    key: str
    field: str
    default: str
    about: str
    read: Callable[[Value], Any]

    @property
    def option(self) -> str:
        return self.key.replace("_", "-")


@dataclass(frozen=True, slots=True)
class CacheRuleInUse:
    """``value`` is seconds, true or false, a list of names, or None for nothing.

    ``source`` is BY_COMMAND, BY_FILE or BY_DEFAULT.
    """

    rule: CacheRule
    value: int | bool | list[str] | None
    source: str


def _words(value: Value) -> list[Value]:
    """A list, or a text with commas between; "off" and "" are none."""
    if not isinstance(value.raw, str):
        return value.items()
    if value.raw.strip().lower() in ("", "off"):
        return []
    return [Value(value.file, value.path, word.strip()) for word in value.raw.split(",")]


def _names(value: Value) -> list[str]:
    words = _words(value)
    for word in words:
        if not is_name(word.text()):
            raise word.error("must be names of letters, digits, '_', '.' and '-', optionally ending with '*'")
    return _bounded(value, [word.text() for word in words], MOST_NAMES)


def _cookies(value: Value) -> list[str]:
    if value.raw is True or (isinstance(value.raw, str) and value.raw.strip().lower() == "on"):
        return [ALL_COOKIES]
    return [] if value.raw is False else _names(value)


def _paths(value: Value) -> list[str]:
    words = _words(value)
    for word in words:
        if not is_path(word.text()):
            raise word.error("must be paths that begin with '/', without spaces", "write other characters as %20")
    return _bounded(value, [word.text() for word in words], MOST_WARM)


def _flag(value: Value) -> bool:
    if isinstance(value.raw, str):
        return value.choice("on", "off") == "on"
    return value.flag()


def _bounded(value: Value, words: list[str], most: int) -> list[str]:
    words = list(dict.fromkeys(words))
    if len(words) > most:
        raise value.error(f"must be at most {most}", f"there are {len(words)}")
    return words


RULES = (
    CacheRule("ttl", "ttl_s", "0", "how long to cache pages without cache headers; 0: not at all",
        Value.duration),
    CacheRule("grace", "grace_s", "1d", "how long to serve expired pages while the app fails",
        Value.duration),
    CacheRule("ignore_cookies", "ignore_cookies", "off",
        "cookies that do not prevent caching: names (`_ga*`), or `on` for all; uncached requests still get them",
        _cookies),
    CacheRule("strip_query", "strip_query", "off",
        "query parameters to remove from GET requests for cache and app, for instance `utm_*,fbclid`", _names),
    CacheRule("assets_for", "assets_for_s", "1h",
        "how long to serve the previous release's cached files where the live one answers 404; 0: not at all",
        Value.duration),
    CacheRule("warm", "warm", "off", "paths to fetch into the cache before switching to a new release", _paths),
    CacheRule("sticky", "sticky", "off",
        "`on`: keep each visitor on one container, by a cookie, as socket.io's polling needs it", _flag),
)  # fmt: skip


def stored(values: Mapping[str, Any]) -> dict[str, Any]:
    """What is read by key, by the fields of CacheSettings: as it is kept in a release and in settings."""
    return {rule.field: values[rule.key] for rule in RULES if rule.key in values}


def cache(of_release: Mapping[str, Any], settings: AppSettings) -> CacheSettings:
    """The rules in force. Raises DamagedSetting."""
    known = {rule.field for rule in RULES}
    fields: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in of_release.items() if n in known}
    return dataclasses.replace(DEFAULT, **{**fields, **settings.all(CACHE)})


def in_use(of_release: Mapping[str, Any], settings: AppSettings) -> list[CacheRuleInUse]:
    """Every rule, with where it comes from."""
    now, own = cache(of_release, settings), settings.all(CACHE)
    found = []
    for rule in RULES:
        value = getattr(now, rule.field)
        source = BY_COMMAND if rule.field in own else BY_FILE if rule.field in of_release else BY_DEFAULT
        found.append(CacheRuleInUse(rule, list(value) if isinstance(value, tuple) else value, source))
    return found
