"""Sections of an app in the server file: branch, mounts and cron entries."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from gitship.appfiles import cron_schedule, mounts
from gitship.appfiles.command_line import read_command
from gitship.appsettings import MOUNT
from gitship.console.context import Context
from gitship.errors import ConfigError, GitshipError
from gitship.model import CRON_TIMEOUT_S, App, Overlap
from gitship.oneoff import crontab
from gitship.schema import Value
from gitship.serverfile.document import Section, Step, section, some, texts

WAIT = "--no-restart"
MOUNT_KEYS = ("source", "read_only", "processes")
CRON_KEYS = ("schedule", "command", "timezone", "overlap", "timeout", "suspended")
LONGEST_RUN_S = 30 * 86_400


def _branch_steps(app: str, before: str | None, wanted: str) -> Iterable[Step]:
    yield Step(("git:set", app, "deploy-branch", wanted))


section(Section("deploy_branch", Value.line, lambda c, app: app.deploy_branch, _branch_steps, None))


# -- mounts, by their path in containers


def _mounts(value: Value) -> dict[str, Any]:
    read = {}
    for path, item in value.table().items():
        table = item.known(MOUNT_KEYS)
        if "source" not in table:
            raise item.error("needs source", 'as in: { source = "data" }')
        try:
            source, clean = mounts.parse(f"{table['source'].text()}:{path}")
        except GitshipError as error:
            raise ConfigError(f"{item.file}: {item.path}: {error.message}", error.hint) from None
        entry: dict[str, Any] = {"source": source}
        if "read_only" in table and table["read_only"].flag():
            entry["read_only"] = True
        if "processes" in table:
            entry["processes"] = texts(some(table["processes"], "leave it out for every process type"))
        read[clean] = entry
    return read


def _mounts_now(context: Context, app: App) -> dict[str, Any]:
    return {
        path: {"source": mount.source}
        | ({"read_only": True} if mount.read_only else {})
        | ({"processes": [*mount.processes]} if mount.processes else {})
        for path, mount in context.store.app_settings(app.id).all(MOUNT).items()
    }


def _mount_steps(app: str, before: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterable[Step]:
    for path in before:
        if path not in wanted:
            yield Step(("storage:unmount", app, path, WAIT))
    for path, mount in wanted.items():
        if before.get(path) != mount:
            words = [w for process in mount.get("processes", []) for w in ("--process", process)]
            words += ["--read-only"] if mount.get("read_only") else []
            yield Step(("storage:mount", app, f"{mount['source']}:{path}", *words, WAIT))


section(Section("mounts", _mounts, _mounts_now, _mount_steps, {}, waits=True))


# -- cron entries that were made by command


def _entries(value: Value) -> dict[str, Any]:
    return {name: _entry(item) for name, item in value.table().items()}


def _entry(value: Value) -> dict[str, Any]:
    table = value.known(CRON_KEYS)
    for name in ("schedule", "command"):
        if name not in table:
            raise value.error(f"needs {name}", 'as in: { schedule = "@daily", command = ["./report"] }')
    read: dict[str, Any] = {
        "schedule": table["schedule"].parsed(cron_schedule.parse),
        "command": list(read_command(table["command"])),
    }
    if "timezone" in table:
        read["timezone"] = table["timezone"].timezone()
    if "overlap" in table:
        read["overlap"] = table["overlap"].choice(*Overlap)
    if "timeout" in table:
        read["timeout"] = math.ceil(table["timeout"].seconds(1, LONGEST_RUN_S))
    if "suspended" in table:
        read["suspended"] = table["suspended"].flag()
    return _plain(read)


def _plain(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is so anyway."""
    usual = {"timezone": "", "overlap": Overlap.SKIP.value, "timeout": math.ceil(CRON_TIMEOUT_S), "suspended": False}
    return {key: entry[key] for key in CRON_KEYS if key in entry and entry[key] != usual.get(key)}


def _entries_now(context: Context, app: App) -> dict[str, Any]:
    entries = crontab.entries(context.store, app).values()
    return {
        entry.name: _plain(
            {
                "schedule": entry.schedule,
                "command": list(entry.command),
                "timezone": entry.timezone,
                "overlap": entry.overlap.value,
                "timeout": math.ceil(entry.timeout_s),
                "suspended": entry.suspended,
            }
        )
        for entry in entries
        if entry.source == crontab.COMMAND
    }


def _cron_steps(app: str, before: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterable[Step]:
    for name in before:
        if name not in wanted:
            yield Step(("cron:remove", app, name))
    for name, entry in wanted.items():
        there = before.get(name, {})
        if {**there, "suspended": None} != {**entry, "suspended": None}:
            yield Step(("cron:add", *_options(entry), app, name, *entry["schedule"].split(), *entry["command"]))
            there = {}
        if entry.get("suspended", False) != there.get("suspended", False):
            yield Step(("cron:suspend" if entry.get("suspended") else "cron:resume", app, name))


def _options(entry: Mapping[str, Any]) -> list[str]:
    words = [f"--{key}={entry[key]}" for key in ("timezone", "overlap") if key in entry]
    return words + ([f"--timeout={entry['timeout']}s"] if "timeout" in entry else [])


section(Section("cron", _entries, _entries_now, _cron_steps, {}))
