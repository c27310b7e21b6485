"""Manifest of a commit: Procfile, app.json and gitship.toml combined into a release's processes."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gitship.appfiles import app_json, gitship_toml, procfile
from gitship.appfiles.app_json import UPTIME_S, AppJson
from gitship.appfiles.app_json_env import DeclaredVariable
from gitship.appfiles.canary_rules import CanaryPlan
from gitship.appfiles.command_line import Command
from gitship.appfiles.gitship_toml import BuildTable, DeclaredService, GitshipToml, ProcessLimits
from gitship.config import Settings
from gitship.engine.types import Image
from gitship.errors import ConfigError, DeployError, nearest
from gitship.model import DEFAULT_PORT, WEB, Check, CronEntry, Process

PORT = "PORT"
WORKER = "worker"


@dataclass(frozen=True, slots=True)
class Manifest:
    """The three files of one commit; times in seconds, None where the server's settings count.

    ``processes`` is empty when there is no Procfile. ``predeploy`` runs as ``release_command`` does, before it;
    ``postdeploy`` once the release is live, ``first_postdeploy`` so for the app's first one only. ``limits`` has every
    type that gitship.toml names. ``check_sources`` says for each type in ``checks`` which file (or command) they come
    from. ``cron`` is that of both files.
    """

    processes: Mapping[str, Command] = field(default_factory=dict)
    release_command: Command | None = None
    predeploy: Command | None = None
    postdeploy: Command | None = None
    formation: Mapping[str, int] = field(default_factory=dict)
    checks: Mapping[str, tuple[Check, ...]] = field(default_factory=dict)
    check_sources: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, ProcessLimits] = field(default_factory=dict)
    build: BuildTable = field(default_factory=BuildTable)
    cache: Mapping[str, Any] = field(default_factory=dict)
    port: int | None = None
    entrypoint: bool | None = None
    drain_timeout_s: float | None = None
    socket_drain_timeout_s: float | None = None
    check_timeout_s: float | None = None
    cron: tuple[CronEntry, ...] = ()
    canary: CanaryPlan | None = None
    watch_s: float | None = None
    watch_errors: float | None = None
    env: Mapping[str, DeclaredVariable] = field(default_factory=dict)
    first_postdeploy: Command | None = None
    ignored: tuple[str, ...] = ()
    services: tuple[DeclaredService, ...] = ()


def read(files: Callable[[str], bytes | None], context: str | None = None) -> Manifest:
    """The manifest from the files of a commit; ``files`` gives a file's content by its path, or None.

    With `build.context` set (``context`` takes its place), Procfile and app.json are looked for there first.
    Raises ConfigError naming file and key.
    """
    content = files(gitship_toml.FILE)
    toml = gitship_toml.parse(content) if content is not None else GitshipToml()

    directory = toml.build.context if context is None else context

    def find(name: str) -> bytes | None:
        below = files(f"{directory}/{name}") if directory else None
        return files(name) if below is None else below

    commands = dict(procfile.parse(found)) if (found := find(procfile.FILE)) is not None else {}
    release_command = commands.pop(procfile.RELEASE, None)
    app = app_json.parse(found) if (found := find(app_json.FILE)) is not None else AppJson()
    return Manifest(
        processes=commands,
        release_command=release_command,
        predeploy=app.predeploy,
        postdeploy=app.postdeploy,
        formation=app.formation,
        checks={**app.checks, **toml.checks},
        check_sources={**dict.fromkeys(app.checks, app_json.FILE), **dict.fromkeys(toml.checks, gitship_toml.FILE)},
        limits=toml.limits,
        build=toml.build,
        cache=toml.cache,
        port=toml.port,
        entrypoint=toml.entrypoint,
        drain_timeout_s=toml.drain_timeout_s,
        socket_drain_timeout_s=toml.socket_drain_timeout_s,
        check_timeout_s=toml.check_timeout_s,
        cron=_cron((*app.cron, *toml.cron), commands),
        canary=toml.canary,
        watch_s=toml.watch_s,
        watch_errors=toml.watch_errors,
        env=app.env,
        first_postdeploy=app.first_postdeploy,
        ignored=app.ignored,
        services=toml.services,
    )


def _cron(entries: Iterable[CronEntry], processes: Mapping[str, Command]) -> tuple[CronEntry, ...]:
    """By name, the last one counts. A command that is the name of a process type stands for what that runs."""
    found = {}
    for entry in entries:
        command = processes.get(entry.command[0]) if len(entry.command) == 1 else None
        found[entry.name] = dataclasses.replace(entry, command=command or entry.command)
    return tuple(found.values())


def plan(manifest: Manifest, image: Image, config: Mapping[str, str], settings: Settings) -> tuple[Process, ...]:
    """The processes of a release: those of the Procfile, else the image's own command as `web`.

    Raises DeployError when there is nothing to run, ConfigError when PORT is no port or gitship.toml names a process
    that the app does not have.
    """
    if not manifest.processes and not image.has_command:
        raise DeployError(
            "the image has no CMD and no ENTRYPOINT, and the commit has no Procfile",
            'set a command: end the Dockerfile with CMD ["..."], or commit a Procfile with a line `web: ...`',
        )
    commands: Mapping[str, Command | None] = manifest.processes or {WEB: None}
    for name in manifest.limits:
        if name not in commands:
            near = nearest(name, commands)
            hint = f"did you mean 'processes.{near}'?" if near else f"the app has: {', '.join(commands)}"
            if name == "run":
                hint = "one-off containers are limited by command: resources:limit APP --process run"
            raise ConfigError(f"{gitship_toml.FILE}: processes.{name} is not a process type of the app", hint)
    first = _started_by_itself(commands, manifest.formation)
    return tuple(
        _process(type_, command, type_ == first, manifest, image, config, settings)
        for type_, command in commands.items()
    )


def _started_by_itself(types: Iterable[str], formation: Mapping[str, int]) -> str | None:
    """The type that has a container though nothing says how many: `web`; in an app without one the first worker."""
    known = list(types)
    if WEB in known:
        return WEB
    if any(formation.get(type_, 0) for type_ in known):
        return None
    return WORKER if WORKER in known else known[0]


def _process(
    type_: str,
    command: Command | None,
    by_itself: bool,
    manifest: Manifest,
    image: Image,
    config: Mapping[str, str],
    settings: Settings,
) -> Process:
    limits = manifest.limits.get(type_, ProcessLimits())
    deadline_s = settings.deploy.check_timeout if manifest.check_timeout_s is None else manifest.check_timeout_s
    checks = manifest.checks.get(type_, _default_checks(type_, image))
    process = Process(
        type=type_,
        command=command,
        port=_port(manifest, image, config) if type_ == WEB else None,
        checks=tuple(_complete(check, type_, deadline_s) for check in checks),
        memory_bytes=limits.memory_bytes,
        cpus=limits.cpus,
        pids=limits.pids,
        read_only=bool(limits.read_only),
        quantity=manifest.formation.get(type_, int(by_itself)),
    )
    return (
        process if limits.stop_timeout_s is None else dataclasses.replace(process, stop_timeout_s=limits.stop_timeout_s)
    )


def _port(manifest: Manifest, image: Image, config: Mapping[str, str]) -> int:
    if manifest.port is not None:
        return manifest.port
    if PORT in config:
        text = config[PORT].strip()
        if not re.fullmatch(r"[0-9]{1,5}", text) or not 1 <= int(text) <= 65535:
            raise ConfigError(
                f"config {PORT} is '{text[:20]}', which is not a port", f"set a number: config:set {PORT}=5000"
            )
        return int(text)
    return image.tcp_ports[0] if image.tcp_ports else DEFAULT_PORT


def _default_checks(type_: str, image: Image) -> tuple[Check, ...]:
    if type_ != WEB:  # the image's HEALTHCHECK is made for `web`: a worker from the same image would never pass it
        return (Check(kind="uptime", uptime_s=UPTIME_S),)
    if image.has_healthcheck:
        return (Check(kind="image"),)
    return (Check(kind="listening"), Check(kind="http", path="/", lenient=True))


def _complete(check: Check, type_: str, deadline_s: float) -> Check:
    if check.deadline_s is None:
        check = dataclasses.replace(check, deadline_s=deadline_s)
    if check.port is None and type_ != WEB and check.kind in ("http", "listening"):
        check = dataclasses.replace(check, port=DEFAULT_PORT)  # Dokku's default, for processes without traffic too
    return check
