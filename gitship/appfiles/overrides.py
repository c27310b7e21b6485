"""Settings made by command, which override the commit's files and the image. Pure.

One stored setting per value (``limit.web.memory_bytes``), so that two changes that wait in the queue keep each other.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from gitship import appsettings
from gitship.appfiles import build_arguments
from gitship.appfiles.gitship_toml import FILE, ProcessLimits
from gitship.appfiles.manifest import Manifest
from gitship.appsettings import BUILDS, EVERY, LIMIT, RUN
from gitship.errors import ConfigError, UsageError
from gitship.model import WEB, Check
from gitship.store.settings import AppSettings, Changes

BUILD = {
    "dockerfile": appsettings.DOCKERFILE,
    "context": appsettings.CONTEXT,
    "target": appsettings.TARGET,
    "platform": appsettings.PLATFORM,
    "network": appsettings.NETWORK,
}


@dataclass(frozen=True, slots=True)
class Overrides:
    """``limits`` by process type or EVERY, each with the fields of ProcessLimits that are set.

    ``build`` has those of BuildTable.
    """

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


def parse(settings: AppSettings) -> Overrides:
    """Those of an app's settings that are meant here. Raises DamagedSetting."""
    limits: dict[str, dict[str, Any]] = {}
    for name, value in settings.all(LIMIT).items():
        process, _, limit = name.rpartition(".")
        limits.setdefault(process, {})[limit] = value
    return Overrides(
        port=settings.get(appsettings.PORT),
        checks={process: Check(**values) for process, values in settings.all(appsettings.CHECK).items()},
        limits=limits,
        build={key: value for key, one in BUILD.items() if (value := settings.get(one)) is not None},
        args=settings.all(appsettings.ARGUMENT),
        args_from_config=tuple(settings.all(appsettings.ARGUMENT_FROM_CONFIG)),
        secrets=settings.all(appsettings.SECRET),
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


def needs_deploy(changes: Changes, types: Collection[str]) -> bool:
    """True when some of it counts for containers of the live release, which has these process types."""
    limited = {key.rpartition(".")[0] for key in LIMIT.keys(changes)}
    others = [one for one in appsettings.declared(changes) if not one.for_builds and not LIMIT.keys([one.name])]
    return bool(others) or any(process not in (RUN, BUILDS) or process in types for process in limited)


def describe(changes: Changes) -> str:
    """Settings as people call them: ``port, checks of web, no memory of worker``: what is None is unset."""
    words = [
        said if changes[one.name] is not None else f"no {said}"
        for one in sorted(appsettings.declared(changes), key=lambda one: one.name)
        if (said := appsettings.told(one))
    ]
    return ", ".join(dict.fromkeys(words))
