"""Webhooks in the server file; exports without secrets leave them out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gitship.console.context import Context
from gitship.errors import ConfigError, GitshipError
from gitship.notify import webhooks
from gitship.schema import Value
from gitship.serverfile.document import Step, limited_to, some, texts

KEYS = ("url", "events", "format", "secret", "apps")
JSON = "json"


def read(value: Value) -> dict[str, Any]:
    """By name, in the form of ``current``. Raises ConfigError."""
    return {name: _webhook(item) for name, item in value.table().items()}


def _webhook(value: Value) -> dict[str, Any]:
    table = value.known(KEYS)
    if "url" not in table:
        raise value.error("needs url", 'as in: url = "https://hooks.example.com/deploys"')
    found: dict[str, Any] = {"url": table["url"].text()}
    try:
        webhooks.split(found["url"])
        if "events" in table:
            events = webhooks.events(",".join(texts(some(table["events"], "leave it out for every event"))))
            found |= {"events": list(events)} if events else {}
    except GitshipError as error:
        raise ConfigError(f"{value.file}: {value.path}: {error.message}", error.hint) from None
    if "format" in table and (format := table["format"].choice(JSON, "slack", "discord")) != JSON:
        found["format"] = format
    if "secret" in table and table["secret"].text():
        found["secret"] = table["secret"].text()
    if "apps" in table:
        found["apps"] = sorted(texts(table["apps"]))
    return found


def current(context: Context) -> dict[str, Any]:
    names = {app.id: app.name for app in context.store.apps()}
    found = {}
    for webhook in context.store.webhooks():
        entry: dict[str, Any] = {"url": webhook.url}
        if webhook.events:
            entry["events"] = list(webhook.events)
        if webhook.format != JSON:
            entry["format"] = webhook.format
        if webhook.secret:
            entry["secret"] = webhook.secret
        if webhook.apps is not None:
            entry["apps"] = sorted(names[app] for app in webhook.apps)
        found[webhook.name] = entry
    return found


def steps(before: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterable[Step]:
    for name in before:
        if before[name] != wanted.get(name):
            yield Step(("notify:remove", name))
    for name, entry in wanted.items():
        if before.get(name) != entry:
            words = limited_to(entry.get("apps"))
            words += ["--events", ",".join(entry.get("events", ["all"])), "--format", entry.get("format", JSON)]
            words += ["--secret"] if "secret" in entry else []
            argv = ("notify:add", name, entry["url"], *words)
            yield Step(argv, entry.get("secret", ""), f"notify:add {name} {' '.join(words)}")
