"""Sections of an app in the server file: config, build and processes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gitship.appfiles.gitship_toml import MIN_MEMORY
from gitship.appsettings import CHECK, EVERY, SKIP_CHECKS, Skip
from gitship.console import env_file
from gitship.console.context import Context
from gitship.console.sizes import shown_memory
from gitship.containers import capabilities
from gitship.engine.hardening import capability
from gitship.model import App
from gitship.schema import Value
from gitship.serverfile.document import Section, Step, section, texts, variables

AUTO = "auto"
WAIT = "--no-restart"
CHECK_KEYS = ("path", "port", "timeout", "content", "headers")
LIMIT_KEYS = ("memory", "cpus", "pids", "read_only")
BUILD_KEYS = ("dockerfile", "context", "target", "platform", "network", "args", "args_from_config", "secrets")


def _config_steps(app: str, before: Mapping[str, str], wanted: Mapping[str, str]) -> Iterable[Step]:
    changed = {name: value for name, value in wanted.items() if before.get(name) != value}
    gone = [name for name in before if name not in wanted]
    if changed:
        names = ", ".join(changed)
        yield Step(("config:import", app, WAIT), env_file.dotenv(changed), f"config:import {app}: {names}")
    if gone:
        yield Step(("config:unset", app, *gone, WAIT), shown=f"config:unset {app} {' '.join(gone)}")


section(
    Section(
        "config", variables, lambda c, app: c.store.config(app.id), _config_steps, {}, waits=True, secret=True,
    )
)  # fmt: skip


def _scale_steps(app: str, before: Mapping[str, int], wanted: Mapping[str, int]) -> Iterable[Step]:
    changed = [f"{process}={number}" for process, number in wanted.items() if before.get(process) != number]
    if changed:
        yield Step(("ps:scale", app, *changed))


section(
    Section(
        "scale",
        lambda value: {process: number.whole(0, 100) for process, number in value.table().items()},
        lambda c, app: c.store.scale(app.id), _scale_steps, {}, closes=True,
    )
)  # fmt: skip


def _port(value: Value) -> int | str:
    return AUTO if value.raw == AUTO else value.whole(1, 65535)


def _port_steps(app: str, before: int | str, wanted: int | str) -> Iterable[Step]:
    yield Step(("ports:unset", app, WAIT) if wanted == AUTO else ("ports:set", app, str(wanted), WAIT))


section(
    Section(
        "port", _port, lambda c, app: c.operations.tuning.overrides(app).port or AUTO, _port_steps, AUTO, waits=True
    )
)


def _check(value: Value) -> dict[str, Any]:
    table = value.known(CHECK_KEYS)
    read: dict[str, Any] = {"path": table["path"].http_path() if "path" in table else "/"}
    if "port" in table:
        read["port"] = table["port"].whole(1, 65535)
    if "timeout" in table:
        read["timeout"] = table["timeout"].seconds(0.1)
    if "content" in table:
        read["content"] = table["content"].line()
    if "headers" in table:
        read["headers"] = {n: v.header_value() for n, v in table["headers"].table().items()}
    return read


def _checks(context: Context, app: App) -> dict[str, Any]:
    stored = context.store.app_settings(app.id).all(CHECK)
    return {process: {key.removesuffix("_s"): v for key, v in check.items()} for process, check in stored.items()}


def _check_steps(app: str, before: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterable[Step]:
    for process in before:
        if process not in wanted:
            yield Step(("checks:unset", app, "--process", process, WAIT))
    for process, check in wanted.items():
        if before.get(process) != check:
            words = [w for key in ("path", "port", "timeout", "content") if key in check for w in _option(key, check)]
            words += [w for name, text in check.get("headers", {}).items() for w in ("--header", f"{name}: {text}")]
            yield Step(("checks:set", app, "--process", process, *words, WAIT))


def _option(key: str, values: Mapping[str, Any]) -> tuple[str]:
    if isinstance(values[key], bool):
        return ("--read-only" if values[key] else "--writable",)
    return (f"--{key}={values[key]}",)  # one word: a value may begin with a dash


section(
    Section("checks", lambda v: {p: _check(c) for p, c in v.table().items()}, _checks, _check_steps, {}, waits=True)
)


section(
    Section(
        "skip_checks", Value.flag, lambda c, app: c.store.setting(app.id, SKIP_CHECKS) is Skip.ALWAYS,
        lambda app, before, wanted: [Step(("checks:skip", app, *(() if wanted else ("--off",))))], False,
    )
)  # fmt: skip


def _limit(value: Value) -> dict[str, Any]:
    table = value.known(LIMIT_KEYS)
    read: dict[str, Any] = {}
    if "memory" in table:
        read["memory"] = shown_memory(table["memory"].size(MIN_MEMORY))
    if "cpus" in table:
        read["cpus"] = table["cpus"].number(0.01, 1024)
    if "pids" in table:
        read["pids"] = table["pids"].whole(1, 4_000_000)
    if "read_only" in table:
        read["read_only"] = table["read_only"].flag()
    return read


def _limits(context: Context, app: App) -> dict[str, Any]:
    found = {}
    for process, limits in context.operations.tuning.overrides(app).limits.items():
        shown = {k.removesuffix("_bytes"): v for k, v in limits.items()}
        if "memory" in shown:
            shown["memory"] = shown_memory(shown["memory"])
        found[process] = {key: shown[key] for key in LIMIT_KEYS if key in shown}
    return found


def _limit_steps(app: str, before: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterable[Step]:
    changed = [p for p in {**before, **wanted} if before.get(p, {}) != wanted.get(p, {})]
    gone = [p for p in changed if before.get(p, {}).keys() - wanted.get(p, {}).keys()]
    if EVERY in gone:  # without --process, all of them are unset
        changed, gone = [p for p in wanted if wanted[p]], [EVERY]
    for process in gone:
        yield Step(("resources:unset", app, *_process(process), WAIT))
    for process in changed:
        if wanted.get(process):
            words = [w for key in LIMIT_KEYS if key in wanted[process] for w in _option(key, wanted[process])]
            yield Step(("resources:limit", app, *_process(process), *words, WAIT))


def _process(process: str) -> tuple[str, ...]:
    return () if process == EVERY else ("--process", process)


section(
    Section("limits", lambda v: {p: _limit(c) for p, c in v.table().items()}, _limits, _limit_steps, {}, waits=True)
)


def _capabilities(value: Value) -> list[str]:
    try:
        return sorted({capability(text) for text in texts(value)})
    except ValueError as error:
        raise value.error(f"has too many: {error}") from None


def _capabilities_now(context: Context, app: App) -> list[str]:
    return list(capabilities.stored(context.store.app_settings(app.id)))


def _capability_steps(app: str, before: list[str], wanted: list[str]) -> Iterable[Step]:
    for command, names in (
        ("capabilities:remove", sorted({*before} - {*wanted})), ("capabilities:add", sorted({*wanted} - {*before})),
    ):  # fmt: skip
        if names:
            yield Step((command, app, *names, WAIT))


section(Section("capabilities", _capabilities, _capabilities_now, _capability_steps, [], waits=True))


def _build(value: Value) -> dict[str, Any]:
    table = value.known(BUILD_KEYS)
    read: dict[str, Any] = {key: table[key].inside() for key in ("dockerfile", "context") if key in table}
    if "target" in table:
        read["target"] = table["target"].line()
    if "platform" in table:
        read["platform"] = table["platform"].line()
    if "network" in table:
        read["network"] = table["network"].choice("default", "none")
    for key in ("args", "secrets"):
        if key in table:
            read[key] = variables(table[key])
    if "args_from_config" in table:
        read["args_from_config"] = sorted(texts(table["args_from_config"]))
    return {key: found for key, found in read.items() if found not in ({}, [])}


def _build_now(context: Context, app: App) -> dict[str, Any]:
    own = context.operations.tuning.overrides(app)
    lists = {"args": dict(own.args), "args_from_config": sorted(own.args_from_config), "secrets": dict(own.secrets)}
    found = {**own.build, **lists}
    return {key: value for key, value in found.items() if value not in ({}, [])}


def _build_steps(app: str, before: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterable[Step]:
    if before:
        yield Step(("builder:unset", app))
    words = [
        w
        for key in ("dockerfile", "context", "target", "platform", "network")
        if key in wanted
        for w in _option(key, wanted)
    ]
    words += [f"--arg={name}={text}" for name, text in wanted.get("args", {}).items()]
    words += [f"--arg-from-config={name}" for name in wanted.get("args_from_config", [])]
    words += [f"--secret={name}={variable}" for name, variable in wanted.get("secrets", {}).items()]
    if words:
        yield Step(("builder:set", app, *words), shown=f"builder:set {app}: {', '.join(wanted)}")


section(Section("build", _build, _build_now, _build_steps, {}))
