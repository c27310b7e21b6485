"""Reads one service of a Compose file: every key of it, with what it refers to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gitship.compose import values
from gitship.compose.build import read_build
from gitship.compose.commit_files import CommitFiles
from gitship.compose.env_file import read_env, read_raw
from gitship.compose.granted_files import FileSources
from gitship.compose.interpolation import Interpolation
from gitship.compose.keys import Findings, by_name, honoured, ignored, read_keys, refused
from gitship.compose.limits import read_deploy, resource_limits
from gitship.compose.model import ComposeBuild, ComposeContainer, Condition, Dependency
from gitship.compose.mounts import ReadMounts, WrittenMount, read_mounts, written_mounts
from gitship.compose.ports import PublishedPort, read_expose, read_ports
from gitship.compose.service_keys import MOST_REPLICAS, SERVICE
from gitship.errors import nearest
from gitship.schema import Value

MOST_VARIABLES = 2_000
MOST_ENV_FILES = 20  # of one service

NETWORK = by_name(
    honoured("aliases", "further names of the service", lambda v: tuple(values.host_name(item) for item in v.items())),
    *ignored("all services of an app share its network", "priority", "gw_priority", "driver_opts", "interface_name"),
    *(
        refused(name, "gitship gives addresses itself", "use the service's name in its place")
        for name in ("ipv4_address", "ipv6_address", "link_local_ips", "mac_address")
    ),
)


@dataclass(slots=True)
class ServiceScope:
    """What a service's keys refer to. ``variables`` are the app's config over `.env`; ``names`` all services."""

    files: CommitFiles
    scope: Interpolation
    names: tuple[str, ...]
    off: Mapping[str, str]  # services that are not started, with their first profile
    networks: Mapping[str, object]
    volumes: Mapping[str, object]
    secrets: FileSources
    configs: FileSources
    found: Findings
    env_files: dict[tuple[str, bool], values.Pairs] = field(default_factory=dict)

    @property
    def variables(self) -> Mapping[str, str]:
        return self.scope.variables


@dataclass(frozen=True, slots=True)
class ReadService:
    """A service as it was read, before it is known what it is in the app."""

    name: str
    value: Value
    container: ComposeContainer
    build: ComposeBuild | None
    ports: tuple[PublishedPort, ...]
    mounts: list[WrittenMount]
    read: ReadMounts
    depends_on: tuple[Dependency, ...]
    quantity: int
    config: bool  # a file of its `env_file` is not there


def read_service(name: str, value: Value, scope: ServiceScope) -> ReadService:
    """Problems go to the scope's findings. Raises ConfigError when it is no service at all."""
    found = scope.found
    read = read_keys(value, SERVICE, found, name)
    keys = value.entries()

    def get(key: str, reader: Any, otherwise: Any) -> Any:
        return found.attempt(otherwise, reader, read[key]) if key in read else otherwise

    if not {"build", "image"} & {key for key, one in keys.items() if one.raw is not None}:
        found.add(value.error("must have build or image", "for instance build: ."))
    build = get("build", lambda v: read_build(v, scope.secrets, scope.variables, scope.files, found, name), None)
    ports = get("ports", read_ports, ())
    expose = get("expose", lambda words: read_expose(keys["expose"]), ())
    mounts = get("volumes", written_mounts, [])
    environment, config = _environment(read, scope, value)
    deploy = get("deploy", lambda v: read_deploy(v, found, name), {})
    links = get("links", lambda v: _links(v, scope), {})
    depends = {d.service: d for d in get("depends_on", lambda v: _depends(v, scope), ())}
    depends = {service: Dependency(service) for service in links.values()} | depends
    mounted = read_mounts(mounts, scope.volumes, scope.files, build.context if build else None, found, name)
    granted = [*get("secrets", scope.secrets.granted, ()), *get("configs", scope.configs.granted, ())]
    files = {file.path: file for file in (*mounted.files, *granted)}
    container = ComposeContainer(
        image="" if build else read.get("image", ""),
        platform=read.get("platform", ""),
        command=read.get("command"),
        entrypoint=read.get("entrypoint"),
        environment=environment,
        working_dir=read.get("working_dir", ""),
        user=read.get("user", ""),
        hostname=read.get("hostname", ""),
        aliases=get("networks", lambda v: _aliases(v, scope, name), ()),
        links=links,
        extra_hosts=read.get("extra_hosts", {}),
        ports=tuple(dict.fromkeys([*(p.container for p in ports if p.protocol == "tcp"), *expose])),
        volumes=tuple(mounted.volumes),
        files=tuple(files.values()),
        tmpfs=(*read.get("tmpfs", ()), *mounted.tmpfs),
        read_only=read.get("read_only", False),
        limits=found.attempt(ComposeContainer().limits, resource_limits, value, read, deploy),
        sysctls=read.get("sysctls", {}),
        capabilities=read.get("cap_add", ()),
        dropped_capabilities=read.get("cap_drop", ()),
        stop_signal=read.get("stop_signal", ""),
        stop_timeout_s=read.get("stop_grace_period", ComposeContainer().stop_timeout_s),
        labels=read.get("labels", {}),
        **({"healthcheck": read["healthcheck"]} if "healthcheck" in read else {}),
    )
    quantity = found.attempt(1, _quantity, value, read, deploy)
    return ReadService(name, value, container, build, ports, mounts, mounted, tuple(depends.values()), quantity, config)


def _quantity(value: Value, read: dict[str, Any], deploy: dict[str, Any]) -> int:
    said = {int(n) for n in (read.get("scale"), deploy.get("replicas")) if n is not None}
    if len(said) > 1:
        raise value.error("must say one thing: scale and deploy.replicas differ", "keep one")
    return min(*said, MOST_REPLICAS) if said else 1


def _environment(read: dict[str, Any], scope: ServiceScope, value: Value) -> tuple[dict[str, str], bool]:
    """The service's environment, and whether a file of it is missing. Problems go to the findings."""
    pairs: values.Pairs = {}
    missing = False
    if "env_file" in read:
        raw = read["env_file"]
        entries = raw.items() if isinstance(raw.raw, list) else [raw]
        if len(entries) > MOST_ENV_FILES:
            scope.found.add(raw.error(f"must have {MOST_ENV_FILES} files at most", "put some together"))
        for entry in entries[:MOST_ENV_FILES]:
            more: values.Pairs | None = scope.found.attempt({}, _env_file, entry, scope, value)
            missing |= more is None
            pairs |= more or {}
    pairs |= read.get("environment", {})
    if len(pairs) > MOST_VARIABLES:
        scope.found.add(value.error(f"must have {MOST_VARIABLES} variables at most", "put some together"))
    filled = {name: scope.variables.get(name) if text is None else text for name, text in pairs.items()}
    return {name: text for name, text in filled.items() if text is not None}, missing


def _env_file(entry: Value, scope: ServiceScope, service: Value) -> values.Pairs | None:
    """None when the file is not there and has to be. Raises ConfigError."""
    table = values.known(entry, ("path", "required", "format")) if isinstance(entry.raw, dict) else {"path": entry}
    if "path" not in table:
        raise entry.error("must have a path", "for instance path: ./web.env")
    raw = "format" in table and values.text(table["format"]) == "raw"
    if "format" in table and not raw:
        raise table["format"].error('must be "raw", or not be there')
    path = values.repository_path(table["path"])
    if (path, raw) not in scope.env_files:
        content = scope.files.read(path)
        if content is None:
            if "required" in table and not values.flag(table["required"]):
                return {}
            text = f"is not in the repository: the app's config takes its place; config:import APP < {path}"
            scope.found.note(table["path"], f"env_file {path}", text, service.path.split(".", 1)[-1])
            return None
        scope.env_files[path, raw] = read_raw(path, content) if raw else read_env(path, content, scope.scope)
    return scope.env_files[path, raw]


def _links(value: Value, scope: ServiceScope) -> dict[str, str]:
    """Services by the name that they are linked under. Raises ConfigError."""
    found = {}
    for item in value.items():
        service, _, alias = values.line(item).partition(":")
        if alias:
            values.host_name(Value(item.file, item.path, alias, item.places))
        if (known := _known(item, service, scope, required=True)) is not None:
            found[alias or service] = known
    return found


def _depends(value: Value, scope: ServiceScope) -> tuple[Dependency, ...]:
    """Raises ConfigError."""
    if isinstance(value.raw, list):
        names = [_known(item, values.line(item), scope, required=True) for item in value.items()]
        return tuple(Dependency(name) for name in names if name is not None)
    found = []
    for name, one in value.entries().items():
        table = values.known(one, ("condition", "restart", "required")) if one.raw is not None else {}
        required = "required" not in table or values.flag(table["required"])
        condition = Condition.STARTED
        if "condition" in table:
            condition = Condition(table["condition"].choice(*Condition))
        known = _known(one, name, scope, required)
        if known is not None:
            found.append(Dependency(known, condition))
    return tuple(found)


def _known(value: Value, name: str, scope: ServiceScope, required: bool) -> str | None:
    """The service's name; None for one that may be missing. Raises ConfigError."""
    if name in scope.names:
        return name
    if not required:
        return None
    if name in scope.off:
        hint = f"remove the profile, or write `{name}: {{required: false}}` here"
        raise value.error(f"needs {name}, which has the profile {scope.off[name]} and is not started", hint)
    near = nearest(name, scope.names)
    raise value.error(
        f"names '{name[:40]}', which is no service", f"did you mean {near}?" if near else "name a service of this file"
    )


def _aliases(value: Value, scope: ServiceScope, name: str) -> tuple[str, ...]:
    """Raises ConfigError."""
    found: list[str] = []
    named = value.entries() if isinstance(value.raw, dict) else {values.text(item): item for item in value.items()}
    for network, one in named.items():
        if network not in scope.networks and network != "default":
            raise one.error(f"names the network '{network[:40]}', which is not there", "add it below `networks:`")
        if isinstance(one.raw, dict):
            found += read_keys(one, NETWORK, scope.found, name).get("aliases", ())
    return tuple(dict.fromkeys(found))
