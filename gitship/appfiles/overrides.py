"""Settings made by command, which override the commit's files and the image. Pure.

One stored setting per value (``limit.web.memory_bytes``), so that two changes that wait in the queue keep each other.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gitship.appfiles import build_arguments
from gitship.appfiles.gitship_toml import FILE, ProcessLimits
from gitship.appfiles.manifest import Manifest
from gitship.errors import ConfigError, UsageError
from gitship.model import WEB, Check

PORT = "run.port"
CHECK = "check."  # + process type: the fields of a Check
LIMIT = "limit."  # + process type or EVERY + "." + a field of Limits
DOCKERFILE = "build.dockerfile"
CONTEXT = "build.context"
TARGET = "build.target"
PLATFORM = "build.platform"
NETWORK = "build.network"
ARGUMENT = "build.arg."  # + name: its value
ARGUMENT_FROM_CONFIG = "build.arg-from-config."  # + name: true
SECRET = "build.secret."  # noqa: S105 (+ id: the name of the config variable)
EVERY = "*"  # no process type can be called so
# One-off containers and builds are limited like process types of these names; an app that has such a type shares them.
RUN, BUILDS = "run", "build"
CAPABILITY = "capability."  # + name: true, for every container of the app
MOUNT = "mount."  # + path in the container: {"source": volume or host directory, "read_only", "processes" or null}
VOLUME = "volume."  # + name: what Docker calls it; the volume is there, mounted or not
DISCARDED = "volume-discarded."  # + what Docker calls it: since when (epoch seconds) nobody needs its content
BUILD_ONLY = "build."  # what counts at the next build, and not before

SKIP_CHECKS = "skip-checks"  # ONCE or ALWAYS
ONCE, ALWAYS = "once", "always"
PENDING = "settings-pending"  # since when (epoch seconds) something waits: set with --no-restart, or while stopped
BUILT_CONTEXT = "built-context"  # the directory that the newest image was built from, when a command had set it


@dataclass(frozen=True, slots=True)
class Overrides:
    """``limits`` by process type or EVERY, each with the fields of Limits that are set; ``build`` likewise of Build."""

    port: int | None = None
    checks: Mapping[str, Check] = field(default_factory=dict)
    limits: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    build: Mapping[str, str] = field(default_factory=dict)
    args: Mapping[str, str] = field(default_factory=dict)
    args_from_config: tuple[str, ...] = ()
    secrets: Mapping[str, str] = field(default_factory=dict)

    @property
    def dockerfile(self) -> str | None:
        """The Dockerfile's path that a command has set, or None."""
        return self.build.get("dockerfile")

    @property
    def context(self) -> str | None:
        """The build context that a command has set, or None."""
        return self.build.get("context")


def parse(settings: Mapping[str, Any]) -> Overrides:
    """Those of an app's stored settings that are meant here; None counts as not set."""
    there = {name: value for name, value in settings.items() if value is not None}
    limits: dict[str, dict[str, Any]] = {}
    for name, value in below(there, LIMIT).items():
        process, _, limit = name.rpartition(".")
        limits.setdefault(process, {})[limit] = value
    build = {"dockerfile": DOCKERFILE, "context": CONTEXT, "target": TARGET, "platform": PLATFORM, "network": NETWORK}
    return Overrides(
        port=there.get(PORT),
        checks={process: Check(kind="http", **values) for process, values in below(there, CHECK).items()},
        limits=limits,
        build={key: there[name] for key, name in build.items() if name in there},
        args=below(there, ARGUMENT),
        args_from_config=tuple(sorted(below(there, ARGUMENT_FROM_CONFIG))),
        secrets=below(there, SECRET),
    )


def running(manifest: Manifest, overrides: Overrides) -> Manifest:
    """The manifest with what counts when containers are made.

    What is set for a process type that the app does not have (any more) waits until it has.
    """
    types = tuple(manifest.processes) or (WEB,)
    limits = dict(manifest.limits)
    for process in types:
        values = {**overrides.limits.get(EVERY, {}), **overrides.limits.get(process, {})}
        if values:
            limits[process] = dataclasses.replace(limits.get(process, ProcessLimits()), **values)
    checks = {process: (check,) for process, check in overrides.checks.items() if process in types}
    return dataclasses.replace(
        manifest,
        port=manifest.port if overrides.port is None else overrides.port,
        checks={**manifest.checks, **checks},
        check_sources={**manifest.check_sources, **dict.fromkeys(checks, "checks:set")},
        limits=limits,
    )


def limits_of_one_offs(overrides: Overrides) -> ProcessLimits:
    """What `run`, cron entries and the steps of a deploy may use."""
    return ProcessLimits(**{**overrides.limits.get(EVERY, {}), **overrides.limits.get(RUN, {})})


def limits_of_builds(overrides: Overrides) -> ProcessLimits:
    """What one build may use; the classic builder alone can keep to it."""
    return ProcessLimits(**overrides.limits.get(BUILDS, {}))


def building(manifest: Manifest, overrides: Overrides, config: Mapping[str, str]) -> Manifest:
    """The manifest with what counts when the image is built. Raises ConfigError when ``config`` lacks a part."""
    args = {**manifest.build.args, **overrides.args}
    for name in overrides.args_from_config:
        if name not in config:
            raise ConfigError(
                f"the build argument {name} comes from config, which does not have {name}",
                f"config:set APP {name}=..., or builder:unset APP --arg {name}",
            )
        args[name] = config[name]
    for name in args:
        try:
            build_arguments.ensure_allowed(name)
        except UsageError as error:  # an earlier gitship took it
            raise ConfigError(error.message, f"builder:unset APP --arg {name}, or see {FILE}") from None
    secrets = {**manifest.build.secrets, **overrides.secrets}
    for name, variable in secrets.items():
        if variable not in config:
            raise ConfigError(
                f"the build secret {name} comes from config, which does not have {variable}",
                f"config:set APP {variable}=..., or builder:unset APP --secret {name}, or see {FILE}",
            )
    values = {name: config[variable] for name, variable in secrets.items()}
    build = dataclasses.replace(manifest.build, **overrides.build, args=args, secrets=secrets, values=values)
    return dataclasses.replace(manifest, build=build)


def needs_deploy(name: str, types: Collection[str]) -> bool:
    """True for a setting that counts for containers of the live release, which has these process types."""
    if name.startswith(LIMIT):
        process = name.removeprefix(LIMIT).rpartition(".")[0]
        return process not in (RUN, BUILDS) or process in types
    return not name.startswith(BUILD_ONLY)


def describe(changes: Iterable[str] | Mapping[str, Any]) -> str:
    """Settings as people call them: ``port, checks of web, no memory of worker``: what is None is unset."""
    values = changes if isinstance(changes, Mapping) else dict.fromkeys(changes, True)
    told = [(values[name], _words(name)) for name in sorted(values) if not name.startswith(DISCARDED)]
    return ", ".join(dict.fromkeys(words if value is not None else f"no {words}" for value, words in told))


def _words(name: str) -> str:
    if name == PORT:
        return "port"
    if name.startswith(CHECK):
        return f"checks of {name.removeprefix(CHECK)}"
    if name.startswith(LIMIT):
        process, _, limit = name.removeprefix(LIMIT).rpartition(".")
        return f"{limit.removesuffix('_bytes').replace('_', '-')} of {'every process' if process == EVERY else process}"
    for prefix, noun in (
        (ARGUMENT, "build argument"), (ARGUMENT_FROM_CONFIG, "build argument"), (SECRET, "build secret"),
        (MOUNT, "mount"), (VOLUME, "volume"), (CAPABILITY, "capability"),
    ):  # fmt: skip
        if name.startswith(prefix):
            return f"{noun} {name.removeprefix(prefix)}"
    return name.removeprefix(BUILD_ONLY)


def below(settings: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """What is set under names with the prefix, by the rest of the name."""
    return {name.removeprefix(prefix): value for name, value in settings.items() if name.startswith(prefix)}
