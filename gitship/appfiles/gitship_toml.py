"""Parser of `gitship.toml`: settings beyond Procfile and app.json. All keys are optional; unknown keys are refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gitship.appfiles import build_arguments, cache_rules, canary_rules, cron_schedule
from gitship.appfiles.canary_rules import CanaryPlan
from gitship.appfiles.command_line import read_command
from gitship.engine.platforms import PLATFORM
from gitship.errors import ConfigError, UsageError
from gitship.model import CONFIG_NAME, CRON_NAME, PROCESS_TYPE, Check, CronEntry, Overlap
from gitship.model.services import ALIAS, SERVICE_NAME
from gitship.schema import Value, decode, read_toml

FILE = "gitship.toml"
SECRET_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
MIN_MEMORY = 6 << 20  # Docker's own limit
MOST_DOTS = 200  # in a line: a key of 30,000 parts takes tomllib half a minute
LONGEST_CRON_S = 30 * 86_400


@dataclass(frozen=True, slots=True)
class BuildTable:
    """How the image is built; ``context`` is the directory that is sent, ``dockerfile`` a path within it.

    ``secrets`` are names of config variables by the id that the Dockerfile mounts; ``values`` theirs, at build time.
    """

    dockerfile: str = "Dockerfile"
    context: str = ""
    target: str = ""
    args: Mapping[str, str] = field(default_factory=dict)
    platform: str = ""
    network: str = "default"
    secrets: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class ProcessLimits:
    """What the containers of one process type may use, and the seconds from SIGTERM to SIGKILL."""

    memory_bytes: int | None = None
    cpus: float | None = None
    pids: int | None = None
    stop_timeout_s: float | None = None
    read_only: bool | None = None  # the containers' root file system


@dataclass(frozen=True, slots=True)
class DeclaredService:
    """A backing service that the app wants: ``engine`` as `services:create` takes it, ``alias`` "" for the usual."""

    name: str
    engine: str
    alias: str = ""
    memory_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class GitshipToml:
    """``limits`` has every process type that the file names; ``checks`` those whose checks it gives, maybe none.

    ``cache`` is what the file says of the cache, as ``cache_rules`` names and stores it.
    """

    port: int | None = None
    entrypoint: bool | None = None
    build: BuildTable = field(default_factory=BuildTable)
    drain_timeout_s: float | None = None
    socket_drain_timeout_s: float | None = None
    check_timeout_s: float | None = None
    canary: CanaryPlan | None = None
    watch_s: float | None = None
    watch_errors: float | None = None
    limits: Mapping[str, ProcessLimits] = field(default_factory=dict)
    checks: Mapping[str, tuple[Check, ...]] = field(default_factory=dict)
    cron: tuple[CronEntry, ...] = ()
    cache: Mapping[str, Any] = field(default_factory=dict)
    services: tuple[DeclaredService, ...] = ()


@dataclass(frozen=True, slots=True)
class TomlKey:
    """A key of one table: its default as the manual shows it, what it means, and how it is read."""

    name: str
    default: str
    about: str
    read: Callable[[Value], Any]


def _args(value: Value) -> dict[str, str]:
    for name, arg in value.table().items():
        if not CONFIG_NAME.fullmatch(name):
            raise arg.error("must have a name of letters, digits and '_'", f"it is {name!r}")
        try:
            build_arguments.ensure_allowed(name)
        except UsageError as error:
            raise ConfigError(f"{FILE}: {arg.path}: {error.message}", error.hint) from None
    return {name: arg.text() for name, arg in value.table().items()}


def _secrets(value: Value) -> dict[str, str]:
    for name, variable in value.table().items():
        if not SECRET_ID.fullmatch(name):
            raise variable.error("must have an id of letters, digits, '.', '_' and '-'", f"it is {name!r}")
        if not CONFIG_NAME.fullmatch(variable.text()):
            raise variable.error("must be the name of a config variable", "don't commit the value itself")
    return {name: variable.text() for name, variable in value.table().items()}


def _platform(value: Value) -> str:
    if not PLATFORM.fullmatch(value.line()):
        raise value.error("must be a platform", 'for instance "linux/arm64"')
    return value.line()


def _headers(value: Value) -> dict[str, str]:
    return {Value(FILE, value.path, n).header_name(): v.header_value() for n, v in value.table().items()}


TOP = (
    TomlKey("port", "config PORT, else EXPOSE, else 5000", "port that `web` listens on", lambda v: v.whole(1, 65535)),
    TomlKey("entrypoint", "true if it runs its arguments",
        "true: run Procfile, `run` and cron commands through the image's ENTRYPOINT", Value.flag),
)  # fmt: skip
BUILD = (
    TomlKey("dockerfile", "Dockerfile", "the Dockerfile, the Dockerfile's path within the context", Value.inside),
    TomlKey("context", "the repository", "directory sent to the build", Value.inside),
    TomlKey("target", "the last stage", "stage of the Dockerfile to build", Value.line),
    TomlKey("args", "none", 'build arguments, for instance `{ NODE_ENV = "production" }`', _args),
    TomlKey("platform", "the machine's", "platform to build for; the machine must be able to run it", _platform),
    TomlKey("network", "default", 'network of RUN lines; `"none"` for no network; base images are pulled in any case',
        lambda v: v.choice("default", "none")),
    TomlKey("secrets", "none", 'config variables for `RUN --mount=type=secret`, for instance `{ npmrc = "NPM_TOKEN" }`',
        _secrets),
)  # fmt: skip
DEPLOY = (
    TomlKey("drain_timeout", "the server's", "seconds to let requests in progress finish after a switch",
    Value.seconds),
    TomlKey("socket_drain_timeout", "the server's", "seconds to keep websockets open after a switch", Value.seconds),
    TomlKey("check_timeout", "the server's", "seconds until a container must be healthy",
        lambda v: v.seconds(1)),
    TomlKey("canary", "none", 'share of visitors that gets a new release first, and for how long: "5% for 2m"',
        lambda v: v.parsed(canary_rules.parse)),
    TomlKey("watch", "the server's",
    "seconds after a switch during which a failing release is rolled back automatically",
        Value.seconds),
    TomlKey("watch_errors", "the server's",
    "percentage of failed requests above which it is rolled back; 0: ignore them",
        lambda v: v.number(0, 100)),
)  # fmt: skip
CACHE = tuple(TomlKey(rule.key, rule.default, rule.about, rule.read) for rule in cache_rules.RULES)
PROCESS = (
    TomlKey("memory", "no limit", 'memory limit of a container, for instance "256m"', lambda v: v.size(MIN_MEMORY)),
    TomlKey("cpus", "no limit", "CPU limit of a container, for instance 0.5", lambda v: v.number(0.01, 1024)),
    TomlKey("pids", "no limit", "limit of processes and threads of a container", lambda v: v.whole(1, 4_000_000)),
    TomlKey("read_only", "false", "true: containers may write only to their volumes, /tmp and /run", Value.flag),
    TomlKey("stop_timeout", "30", "seconds from SIGTERM to SIGKILL", Value.seconds),
    TomlKey("checks", "app.json's, else by the image", "health checks, one table each; `[]` for none",
        lambda v: tuple(_check(item) for item in v.items())),
)  # fmt: skip
CHECK = (
    TomlKey("path", "", "the path that must answer with a status below 400", Value.http_path),
    TomlKey("listening", "", "true: the port must accept connections", Value.flag),
    TomlKey("command", "", "a command in the container that must exit 0, as a string or a list", read_command),
    TomlKey("uptime", "", "seconds that the container must stay up", lambda v: v.seconds(0.1)),
    TomlKey("image", "", "true: the image's HEALTHCHECK must pass", Value.flag),
    TomlKey("name", "none", "the check's name", Value.line),
    TomlKey("port", "the process's port", "the port to check", lambda v: v.whole(1, 65535)),
    TomlKey("scheme", "http", "http or https (any certificate will do)", lambda v: v.choice("http", "https")),
    TomlKey("headers", "none", 'request headers, for instance `{ Host = "example.com" }`', _headers),
    TomlKey("content", "none", "text that the response must contain", Value.text),
    TomlKey("initial_delay", "0", "seconds before the first attempt", Value.seconds),
    TomlKey("timeout", "5", "seconds per attempt", lambda v: v.seconds(0.1)),
    TomlKey("deadline", "deploy.check_timeout", "seconds until the check must have passed", lambda v: v.seconds(1)),
)
CRON = (
    TomlKey("schedule", "", 'schedule: five fields as in crontab(5), for instance "0 3 * * mon", or "@daily"',
        lambda v: v.parsed(cron_schedule.parse)),
    TomlKey("command", "", "command, run in its own container: a string, a list, or a process type",
        read_command),
    TomlKey("timezone", "the server's cron.timezone", 'time zone, for instance "Europe/Berlin"', Value.timezone),
    TomlKey("overlap", "skip", 'if the previous run is still running: "skip", "queue", "replace" (stop it) or "allow"',
        lambda v: Overlap(v.choice(*Overlap))),
    TomlKey("timeout", "86400", "seconds after which a run is stopped", lambda v: v.seconds(1, LONGEST_CRON_S)),
)  # fmt: skip
SERVICE = (
    TomlKey("engine", "", 'what it is, for instance "postgres:17"; see `services:engines`', Value.line),
    TomlKey("alias", "the engine's", 'first part of its variables, for instance "DATABASE"',
        lambda v: _matching(v, ALIAS, "capital letters, digits and '_'")),
    TomlKey("memory", "the engine's", 'memory limit at its creation, for instance "512m"',
        lambda v: v.size(MIN_MEMORY)),
)  # fmt: skip
KINDS = {"path": "http", "listening": "listening", "command": "command", "uptime": "uptime", "image": "image"}
TABLES = (
    ("", TOP),
    ("build", BUILD),
    ("deploy", DEPLOY),
    ("cache", CACHE),
    ("processes.<type>", PROCESS),
    ("processes.<type>.checks[]", CHECK),
    ("cron.<name>", CRON),
    ("services.<name>", SERVICE),
)
SECTIONS = ("build", "deploy", "cache", "processes", "cron", "services")


def parse(content: bytes) -> GitshipToml:
    """Raises ConfigError naming the key and, for an unknown one, the nearest."""
    text = decode(FILE, content)
    for number, line in enumerate(text.split("\n"), start=1):
        if line.count(".") > MOST_DOTS:
            raise ConfigError(f"{FILE} line {number} has more than {MOST_DOTS} dots", "write it in several lines")
    top = read_toml(FILE, text)
    sections = {name: top.table().get(name, Value(FILE, name, {})) for name in SECTIONS}
    values = _read(top, TOP, SECTIONS)
    build = _read(sections["build"], BUILD)
    cache = cache_rules.stored(_read(sections["cache"], CACHE))
    deploy = _read(sections["deploy"], DEPLOY)
    deploy = {name if name in ("canary", "watch_errors") else f"{name}_s": value for name, value in deploy.items()}
    limits: dict[str, ProcessLimits] = {}
    checks: dict[str, tuple[Check, ...]] = {}
    for name, table in sections["processes"].table().items():
        if not PROCESS_TYPE.fullmatch(name):
            raise table.error("is not a process type", "use letters, digits, '-' and '_'")
        process = _read(table, PROCESS)
        if "checks" in process:
            checks[name] = process.pop("checks")
        renamed = {"memory": "memory_bytes", "stop_timeout": "stop_timeout_s"}
        limits[name] = ProcessLimits(**{renamed.get(key, key): value for key, value in process.items()})
    cron = tuple(_cron(name, table) for name, table in sections["cron"].table().items())
    services = tuple(_service(name, table) for name, table in sections["services"].table().items())
    return GitshipToml(
        build=BuildTable(**build), limits=limits, checks=checks, cron=cron, cache=cache, services=services, **values,
        **deploy,
    )  # fmt: skip


def reference() -> list[tuple[str, str, str]]:
    """Every key as (key, default, sentence), for the manual."""
    return [
        (f"{table}.{key.name}" if table else key.name, key.default, key.about) for table, keys in TABLES for key in keys
    ]


def _read(table: Value, keys: tuple[TomlKey, ...], sections: tuple[str, ...] = ()) -> dict[str, Any]:
    """The values of a table by key, without its ``sections``."""
    read = {key.name: key.read for key in keys}
    found = table.known((*read, *sections))
    return {name: read[name](value) for name, value in found.items() if name in read}


def _cron(name: str, table: Value) -> CronEntry:
    if not CRON_NAME.fullmatch(name):
        raise table.error("is not a name", "use lower-case letters, digits, '-' and '_'")
    entry = _read(table, CRON)
    for key in ("schedule", "command"):
        if key not in entry:
            raise table.error(
                f"must have a {key}", f'for instance {key} = "{"0 3 * * *" if key == "schedule" else "./report"}"'
            )
    return CronEntry(name=name, source=FILE, **{"timeout_s" if k == "timeout" else k: v for k, v in entry.items()})


def _service(name: str, table: Value) -> DeclaredService:
    if not SERVICE_NAME.fullmatch(name):
        raise table.error("is not a name of a service", "use lower-case letters, digits and '-'")
    entry = _read(table, SERVICE)
    if "engine" not in entry:
        raise table.error("must have an engine", 'for instance engine = "postgres"')
    return DeclaredService(name, **{"memory_bytes" if key == "memory" else key: value for key, value in entry.items()})


def _matching(value: Value, pattern: re.Pattern[str], must: str) -> str:
    if not pattern.fullmatch(value.line()):
        raise value.error(f"must have only {must}")
    return value.line()


def _check(value: Value) -> Check:
    entry = _read(value, CHECK)
    kinds = [key for key in KINDS if entry.get(key)]
    if len(kinds) != 1:
        found = f", not {' and '.join(kinds)}" if kinds else ""
        raise value.error(f"must have one of {', '.join(KINDS)}{found}", "make each a table of its own")
    renamed = {
        "uptime": "uptime_s",
        "initial_delay": "initial_delay_s",
        "timeout": "timeout_s",
        "deadline": "deadline_s",
    }
    plain = {renamed.get(k, k): v for k, v in entry.items() if k not in ("listening", "image")}
    return Check(kind=KINDS[kinds[0]], **plain)
