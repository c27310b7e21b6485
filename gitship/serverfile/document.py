"""Server file: its sections, and the commands that apply them.

A section that the document has is the whole truth of its subject; what it leaves out stays as it is. Every change is
made by the command that a person would type, so one set of rules holds for both.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gitship.console.context import Context
from gitship.console.visible_apps import NO_APPS
from gitship.model import App, app_name
from gitship.schema import Value, decode, read_toml

FILE = "standard input"
DOCUMENT_BYTES = 64 << 20
CONFIG, KEYS, WEBHOOKS, STATUS, SERVICES, APPS = "config", "keys", "webhooks", "status_page", "services", "apps"


@dataclass(frozen=True, slots=True)
class Step:
    """A command to run; ``stdin`` is piped into it. ``shown`` is what the plan says: never a secret."""

    argv: tuple[str, ...]
    stdin: str = ""
    shown: str = ""

    @property
    def text(self) -> str:
        return self.shown or " ".join(self.argv)


@dataclass(frozen=True, slots=True)
class Section:
    """A subject of an app. ``read`` gives what the document says in the form in which ``current`` gives what is there;
    ``steps`` lead from one to the other, for the app of that name.

    ``waits``: its steps take --no-restart, so that one deploy brings all of them. ``secret``: it holds values that an
    export without secrets leaves out. ``closes``: it comes after the deploy.
    """

    key: str
    read: Callable[[Value], Any]
    current: Callable[[Context, App], Any]
    steps: Callable[[str, Any, Any], Iterable[Step]]
    empty: Any
    waits: bool = False
    secret: bool = False
    closes: bool = False


_sections: dict[str, Section] = {}


def section(made: Section) -> Section:
    """Declares it; the order of declaration is the order of the steps."""
    assert made.key not in _sections, f"{made.key} is declared twice"
    _sections[made.key] = made
    return made


def sections() -> tuple[Section, ...]:
    """In the order in which a document has them: what a section needs stands before it."""
    # Each of these declares its sections when it is first imported, so nothing else imports one.
    for name in ("app_storage", "app_limits", "app_run", "app_links", "app_visitors"):
        importlib.import_module(f"gitship.serverfile.{name}")
    return tuple(_sections.values())


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """A key as the document has it; ``apps`` None is no limit, an empty one is a limit to no app."""

    key: str
    role: str
    apps: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class ServerFile:
    """``apps`` by name, each with the sections that the document has. None: it does not say."""

    config: Mapping[str, str] | None = None
    keys: Mapping[str, KeyEntry] | None = None
    webhooks: Value | None = None
    status: Value | None = None
    services: Value | None = None
    apps: Mapping[str, Mapping[str, Any]] | None = None


def parse(text: str) -> ServerFile:
    """Raises ConfigError naming the key and, for an unknown one, the nearest; GitshipError for an app's name."""
    known = (CONFIG, KEYS, WEBHOOKS, STATUS, SERVICES, APPS)
    top = read_toml(FILE, decode(FILE, text.encode(), DOCUMENT_BYTES)).known(known)
    return ServerFile(
        config=variables(top[CONFIG]) if CONFIG in top else None,
        keys={name: _key(value) for name, value in top[KEYS].table().items()} if KEYS in top else None,
        webhooks=top.get(WEBHOOKS),
        status=top.get(STATUS),
        services=top.get(SERVICES),
        apps={app_name(name): _app(value) for name, value in top[APPS].table().items()} if APPS in top else None,
    )


def limited_to(apps: Iterable[str] | None) -> list[str]:
    """The words of ``keys:add`` and ``notify:add`` for that limit: none at all is no limit."""
    if apps is None:
        return []
    return [word for app in apps for word in ("--app", app)] or [NO_APPS]


def variables(value: Value) -> dict[str, str]:
    return {name: item.text() for name, item in value.table().items()}


def texts(value: Value) -> list[str]:
    return [item.text() for item in value.items()]


def some(value: Value, without: str) -> Value:
    """The list or table, which has something in it: an empty one would read as the opposite of what it looks like.

    ``without`` is what to write for no limit. Raises ConfigError.
    """
    if value.raw in ([], {}):
        raise value.error("is empty", without)
    return value


def _key(value: Value) -> KeyEntry:
    table = value.known(("key", "role", "apps"))
    for name in ("key", "role"):
        if name not in table:
            raise value.error(f"needs {name}", 'as in: key = "ssh-ed25519 AAAA...", role = "deployer"')
    role = table["role"].choice("admin", "deployer", "viewer")
    apps = tuple(texts(table["apps"])) if "apps" in table else None
    if role == "admin" and apps is not None:
        raise value.error("is an admin key, which cannot be limited to apps", "leave apps out")
    return KeyEntry(" ".join(table["key"].text().split()[:2]), role, apps)


def _app(value: Value) -> dict[str, Any]:
    known = sections()
    table = value.known(tuple(one.key for one in known))
    return {one.key: one.read(table[one.key]) for one in known if one.key in table}
