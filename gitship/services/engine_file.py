"""Engine files: what a kind of backing service is, and how its server is asked; one TOML file each.

Shipped in ``engines/``; an admin's own are in the data directory. `help service-engines` describes every key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from gitship.engine.hardening import capability
from gitship.model import CONFIG_NAME
from gitship.schema import Value, decode, read_toml
from gitship.services import placeholders
from gitship.services.engine_keys import ACTIONS, DOES_NOTHING, IN_CONTAINER, IN_URL, KEYS, POINT_IN_TIME
from gitship.services.placeholders import SECRETS

ENGINE_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
_IMAGE = re.compile(r"[a-z0-9][a-z0-9.-]*(?::[0-9]+)?(?:/[a-z0-9][a-z0-9._-]*)+")
VERSION = re.compile(r"([0-9]+(?:\.[0-9]+)*)(-[A-Za-z0-9][A-Za-z0-9._-]*)?")  # a tag: numbers, and perhaps `-alpine`
_SIGNAL = re.compile(r"SIG[A-Z0-9+]+")
MIN_MEMORY = 6 << 20  # Docker's own limit
UPGRADES = ("dump", "in-place", "none")
EXPOSES = ("none", "direct", "postgres")


@dataclass(frozen=True, slots=True)
class EngineAction:
    """A command that is run in the service's container; its texts have placeholders. No words: nothing to do."""

    command: tuple[str, ...]
    stdin: str = ""
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ServiceEngine:
    """One kind of service. ``versions`` are known majors, the default first; ``memory_bytes`` is the default limit.

    ``url``, ``environment`` and ``arguments`` have placeholders. ``login``, ``create`` and ``drop_login`` without a
    command do nothing: all links then share what the URL has. ``restore_before_start``: the dump is put into the volume
    by ``restore`` in a container of the same image, before the server has ever run on it.
    """

    name: str
    title: str
    image: str
    tag: str
    versions: tuple[str, ...]
    other_names: tuple[str, ...]
    port: int
    url: str
    alias: str
    superuser: str
    stop_signal: str
    stop_timeout_s: float
    shm_bytes: int
    memory_bytes: int
    least_memory_bytes: int
    capabilities: tuple[str, ...]
    fixed_hostname: bool
    environment: Mapping[str, str]
    arguments: tuple[str, ...]
    expose: str
    upgrade: str
    restore_before_start: bool
    data: Mapping[str, str]
    ready: EngineAction
    version: EngineAction
    create: EngineAction
    login: EngineAction
    login_read_only: EngineAction | None
    drop_login: EngineAction
    snapshot: EngineAction | None
    dump: EngineAction | None
    restore: EngineAction | None
    check_dump: EngineAction | None
    count: EngineAction | None
    base: EngineAction | None
    wal_start: EngineAction | None
    wal_stop: EngineAction | None
    wal_list: EngineAction | None
    wal_read: EngineAction | None
    wal_remove: EngineAction | None
    wal_switch: EngineAction | None
    base_restore: EngineAction | None
    base_replay: EngineAction | None
    base_give: EngineAction | None
    console: EngineAction | None
    metrics: EngineAction | None
    set_root_password: EngineAction | None

    @property
    def own_logins(self) -> bool:
        """False: all links have the same access, as the URL says."""
        return bool(self.login.command)

    def major(self, version: str) -> str:
        """The part of ``version`` with which data changes: as many numbers as ``versions`` have."""
        parts = self.versions[0].count(".") + 1
        return ".".join(version.partition("-")[0].split(".")[:parts])

    def data_path(self, version: str) -> str:
        """Where the image of that version keeps its data: the volume is mounted there."""
        wanted = _numbers(self.major(version))
        starts = [since for since in self.data if _numbers(since) <= wanted] or [min(self.data, key=_numbers)]
        return self.data[max(starts, key=_numbers)]

    def reference(self, version: str) -> str:
        """The image's name in its registry."""
        tag = version if "-" in version else self.tag.replace("{version}", version)
        return f"{self.image}:{tag}"

    def filled_environment(self, values: Mapping[str, str]) -> dict[str, str]:
        """The container's environment. Raises ServiceError."""
        return {name: placeholders.filled(text, values) for name, text in self.environment.items()}

    def filled_arguments(self, values: Mapping[str, str]) -> tuple[str, ...] | None:
        """The container's command; None for the image's own. Raises ServiceError."""
        return tuple(placeholders.filled(text, values) for text in self.arguments) or None

    def filled_url(self, values: Mapping[str, str]) -> str:
        """What a linked app connects to. Raises ServiceError."""
        return placeholders.filled(self.url, values)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def read_engine(file: str, content: bytes) -> ServiceEngine:
    """The engine that ``file``, as `postgres.toml`, describes. Raises ConfigError."""
    name = file.removesuffix(".toml")
    whole = read_toml(file, decode(file, content))
    if not ENGINE_NAME.fullmatch(name):
        raise whole.error("must be named as the engine: small letters, digits and `-`", "for instance postgres.toml")
    table = whole.known([*(key for key, _, _ in KEYS), *ACTIONS])
    required = [key for key, default, _ in KEYS if not default]
    for key in (*required, *(name for name, action in ACTIONS.items() if action.required)):
        if key not in table:
            raise whole.error(f"must have the key '{key}'", "see `help service-engines`")
    versions = tuple(item.parsed(_version) for item in table["versions"].items())
    if not versions or len({version.count(".") for version in versions}) > 1:
        raise table["versions"].error("must be a list of versions with the same number of dots, the default first")
    port = table["port"].whole(1, 65_535)
    memory = table["memory"].size(MIN_MEMORY)
    engine = ServiceEngine(
        name=name,
        title=table["title"].line(),
        image=_matching(table["image"], _IMAGE, "must be an image with its registry, without a tag"),
        tag=_tag(table["tag"]) if "tag" in table else "{version}",
        versions=versions,
        other_names=tuple(item.line() for item in table["other_names"].items()) if "other_names" in table else (),
        port=port,
        url=table["url"].parsed(lambda text: placeholders.check(text, IN_URL)),
        alias=_matching(table["alias"], CONFIG_NAME, "must be the name of a variable, for instance DATABASE"),
        superuser=table["superuser"].line() if "superuser" in table else "",
        stop_signal=_matching(table["stop_signal"], _SIGNAL, "must be a signal, for instance SIGINT")
        if "stop_signal" in table
        else "SIGTERM",
        stop_timeout_s=float(table["stop_timeout"].duration(1, 3600)) if "stop_timeout" in table else 60.0,
        shm_bytes=table["shm"].size(1 << 20) if "shm" in table else 64 << 20,
        memory_bytes=memory,
        least_memory_bytes=table["least_memory"].size(MIN_MEMORY) if "least_memory" in table else MIN_MEMORY,
        capabilities=tuple(item.parsed(capability) for item in table["capabilities"].items())
        if "capabilities" in table
        else (),
        fixed_hostname="fixed_hostname" in table and table["fixed_hostname"].flag(),
        environment=_environment(table.get("environment"), IN_CONTAINER, port),
        arguments=_words(table["arguments"], IN_CONTAINER, port) if "arguments" in table else (),
        expose=table["expose"].choice(*EXPOSES) if "expose" in table else "none",
        upgrade=table["upgrade"].choice(*UPGRADES),
        restore_before_start="restore_before_start" in table and table["restore_before_start"].flag(),
        data=_data(table["data"]),
        **{action: _action(action, table.get(action), port) for action in ACTIONS},  # type: ignore[arg-type]
    )
    _check_whole(engine, whole)
    return engine


def _check_whole(engine: ServiceEngine, whole: Value) -> None:
    """Raises ConfigError when one key does not fit another."""
    if engine.least_memory_bytes > engine.memory_bytes:
        raise whole.error("must have a least_memory that is not above memory")
    if engine.login.command and not engine.drop_login.command:
        raise whole.error("must have drop_login as it has login", "a login that cannot be dropped cannot be rotated")
    if engine.login_read_only and not engine.login.command:
        raise whole.error("must have login as it has login_read_only")
    if engine.set_root_password and "{root_password}" in engine.url:
        raise whole.error("must not have set_root_password: linked apps have {root_password} by the url")
    together = (engine.dump, engine.restore, engine.check_dump)
    if any(together) and not all(together):
        raise whole.error("must have dump, restore and check_dump, or none of them", "a backup is checked and restored")
    missing = [name for name in POINT_IN_TIME if getattr(engine, name) is None]
    if missing and len(missing) < len(POINT_IN_TIME):
        raise whole.error(f"must have {missing[0]} as it has others of a point in time", "all of them, or none")
    if engine.upgrade == "dump" and not engine.dump:
        raise whole.error('must have dump for upgrade = "dump"', f"write one, or upgrade as {UPGRADES[1:]}")


def _matching(value: Value, pattern: re.Pattern[str], must: str) -> str:
    if not pattern.fullmatch(value.text()):
        raise value.error(must)
    return value.text()


def _version(text: str) -> str:
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)*", text):
        raise ValueError('must be a version as "17" or "8.4"')
    return text


def _tag(value: Value) -> str:
    if value.text().count("{version}") != 1 or not re.fullmatch(r"[\w.-]+", value.text().replace("{version}", "1")):
        raise value.error('must be the image\'s tag with {version}, for instance "{version}-alpine"')
    return value.text()


def _data(value: Value) -> Mapping[str, str]:
    """By the first major that has its data there."""
    if isinstance(value.raw, str):
        return {"0": _absolute(value)}
    table = value.table()
    if not table:
        raise value.error("must have a path", 'for instance "18" = "/var/lib/postgresql"')
    for since, path in table.items():
        if not VERSION.fullmatch(since) or "-" in since:
            raise path.error("must stand under a version, the first that has its data there")
    return {since: _absolute(path) for since, path in table.items()}


def _absolute(value: Value) -> str:
    return _matching(value, re.compile(r"(/[A-Za-z0-9._-]+)+"), "must be an absolute path in the container")


def _words(value: Value, allowed: frozenset[str], port: int) -> tuple[str, ...]:
    """Words of a command: others on the machine can see these, so no secret may be among them."""
    words = [item.parsed(lambda text: placeholders.check(text, allowed - SECRETS)) for item in value.items()]
    return tuple(_with_port(word, port) for word in words)


def _environment(value: Value | None, allowed: frozenset[str], port: int) -> Mapping[str, str]:
    table = value.table() if value else {}
    for name, text in table.items():
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.]*", name):
            raise text.error("must be under the name of a variable")
    return {
        name: _with_port(text.parsed(lambda t: placeholders.check(t, allowed)), port) for name, text in table.items()
    }


def _with_port(text: str, port: int) -> str:
    return text.replace("{port}", str(port))


def _action(name: str, value: Value | None, port: int) -> EngineAction | None:
    allowed = ACTIONS[name].values
    if value is None:
        return EngineAction(()) if name in DOES_NOTHING else None
    table = value.known(("command", "stdin", "env"))
    if "command" not in table or not (command := _words(table["command"], allowed, port)):
        raise value.error("must have a command", 'for instance command = ["pg_isready", "-h", "127.0.0.1"]')
    if "stdin" in table and ACTIONS[name].fed:
        raise table["stdin"].error(
            f"must not be there: {'a user types' if name == 'console' else 'the dump is'} its input"
        )
    stdin = table["stdin"].parsed(lambda text: placeholders.check(text, allowed)) if "stdin" in table else ""
    return EngineAction(command, _with_port(stdin, port), _environment(table.get("env"), allowed, port))
