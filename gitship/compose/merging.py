"""`extends` and `include`: files of the repository, put together by the rules of Compose."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from gitship.compose.commit_files import CommitFiles
from gitship.compose.interpolation import Interpolation
from gitship.compose.yaml_nodes import MOST_NODES, YamlNode, holding, read_yaml
from gitship.errors import ConfigError, nearest

MOST_FILES = 20
MOST_EXTENDED = 10
_TABLES = ("services", "networks", "volumes", "secrets", "configs")
_WHOLE = ("command", "entrypoint", "test", "extends")  # the later one takes the earlier's place
_PAIRS = ("environment", "labels", "args", "sysctls", "extra_hosts", "depends_on", "networks")


@dataclass(slots=True)
class ComposeFiles:
    """Reads Compose files of one commit, each once."""

    files: CommitFiles
    scope: Interpolation
    _read: dict[str, YamlNode] = field(default_factory=dict)
    _including: list[str] = field(default_factory=list)
    _includes: int = 0
    _copied: int = 0

    def whole(self, path: str) -> YamlNode:
        """The file with what it includes; paths in it are from the repository's top. Raises ConfigError."""
        node = self._file(path)
        includes = node.mapping.get("include")
        if includes is None:
            return node
        if path in self._including:
            raise ConfigError(f"{includes.place}: {path} includes itself", "remove one of the includes")
        self._including.append(path)
        merged = dict(node.mapping)
        del merged["include"]
        for entry in includes.sequence:
            for included in _included(entry, path):
                self._includes += 1
                if self._includes > MOST_FILES:
                    raise ConfigError(f"{entry.place}: more than {MOST_FILES} files are included", "put some together")
                merged = _joined(merged, self.whole(included), entry.place)
        self._including.remove(path)
        return holding(merged, node.place)

    def extended(self, top: YamlNode, path: str) -> YamlNode:
        """``top`` with every service that extends another made whole. Raises ConfigError."""
        services = top.mapping.get("services")
        if services is None or not services.mapping:
            return top
        made = {name: self._service(services.mapping, name, path, ()) for name in services.mapping}
        return holding({**top.mapping, "services": holding(made, services.place)}, top.place)

    def _service(self, services: dict[str, YamlNode], name: str, path: str, seen: tuple[str, ...]) -> YamlNode:
        service = services[name]
        extends = service.mapping.get("extends")
        if extends is None or extends.raw is None:
            return service
        base_name, file = _wanted(extends, path)
        if f"{path}:{name}" in seen or len(seen) > MOST_EXTENDED:
            raise ConfigError(f"{extends.place}: {name} extends itself", "end the circle of `extends`")
        others = services if file == path else self.whole(file).mapping.get("services", service).mapping
        if base_name not in others:
            near = nearest(base_name, others)
            hint = f"did you mean {near}?" if near else "extend a service of that file"
            raise ConfigError(f"{extends.place}: {file} has no service '{base_name[:40]}'", hint)
        base = self._service(others, base_name, file, (*seen, f"{path}:{name}"))
        self._copied += base.count
        if self._copied > MOST_NODES:
            raise ConfigError(f"{extends.place}: the services that are extended are too large", "extend smaller ones")
        own = {key: node for key, node in service.mapping.items() if key != "extends"}
        return holding(_merged(base.mapping, own), service.place)

    def _file(self, path: str) -> YamlNode:
        if path not in self._read:
            if len(self._read) >= MOST_FILES:
                raise ConfigError(f"{path}: a Compose file can have {MOST_FILES} others at most", "put some together")
            content = self.files.read(path)
            if content is None:
                raise ConfigError(f"{path} is not in the repository", "`include` and `extends` read files of it")
            node = read_yaml(path, content)
            if not isinstance(node.raw, dict):
                raise ConfigError(f"{path} must be a mapping", "a Compose file begins with `services:`")
            ours = {key: one if _foreign(key) else self.scope.node(one) for key, one in node.mapping.items()}
            self._read[path] = _rebased(replace(node, raw=ours), posixpath.dirname(path))
        return self._read[path]


def _foreign(key: str) -> bool:
    """A table that is for others to read, whose variables may be set for them only."""
    return key.startswith("x-") and key != "x-gitship"


def _inside(node: YamlNode, directory: str, text: str) -> str:
    path = posixpath.normpath(posixpath.join(directory, text))
    if text.startswith(("/", "~")) or "://" in text or path.startswith("../") or path == "..":
        hint = "put the file into the repository"
        raise ConfigError(f"{node.place}: '{text[:60]}' is outside of the repository", hint)
    return path


def _included(entry: YamlNode, path: str) -> list[str]:
    node = entry.mapping.get("path", entry)
    for key in entry.mapping:
        if key != "path":
            raise ConfigError(f"{entry.place}: include: {key[:40]} is not read", "name the file only")
    nodes = node.sequence or [node]
    if not all(isinstance(one.raw, str) for one in nodes):
        raise ConfigError(f"{entry.place}: include must be paths", "for instance include: [common/compose.yaml]")
    return [_inside(one, posixpath.dirname(path), one.raw) for one in nodes]


def _wanted(extends: YamlNode, path: str) -> tuple[str, str]:
    """The service and the file that it extends."""
    name = extends.mapping.get("service", extends).raw
    file = extends.mapping.get("file")
    if not isinstance(name, str) or (file is not None and not isinstance(file.raw, str)):
        raise ConfigError(f"{extends.place}: extends must name a service", "for instance extends: {service: base}")
    return name, path if file is None else _inside(file, posixpath.dirname(path), file.raw)


def _joined(into: dict[str, YamlNode], other: YamlNode, place: str) -> dict[str, YamlNode]:
    """With the tables of an included file. What is defined twice is a mistake, as in Compose."""
    joined = dict(into)
    for table in _TABLES:
        more = other.mapping.get(table)
        if more is None or not more.mapping:
            continue
        ours = joined.get(table, holding({}, more.place))
        for name in more.mapping:
            if name in ours.mapping and ours.mapping[name].raw != more.mapping[name].raw:
                raise ConfigError(f"{place}: {table}.{name[:40]} is in both files", "include it once")
        joined[table] = holding({**more.mapping, **ours.mapping}, ours.place)
    return joined


def _merged(base: dict[str, YamlNode], own: dict[str, YamlNode]) -> dict[str, YamlNode]:
    """Mappings key by key, lists one after the other, anything else replaced."""
    merged = dict(base)
    for key, node in own.items():
        before = merged.get(key)
        if before is None or node.raw is None or key in _WHOLE:
            merged[key] = node if node.raw is not None or before is None else before
            continue
        if key in _PAIRS:
            before, node = _as_mapping(before), _as_mapping(node)
        if key == "build":
            before, node = _long_build(before), _long_build(node)
        if isinstance(before.raw, dict) and isinstance(node.raw, dict):
            merged[key] = holding(_merged(before.raw, node.raw), node.place)
        elif isinstance(before.raw, list) and isinstance(node.raw, list):
            merged[key] = holding([*before.raw, *node.raw], node.place)
        else:
            merged[key] = node
    return merged


def _as_mapping(node: YamlNode) -> YamlNode:
    """A list of NAME=VALUE or of names as the mapping that it stands for."""
    if not node.sequence or not all(isinstance(one.raw, str) for one in node.sequence):
        return node
    entries = {}
    for one in node.sequence:
        name, equals, text = one.raw.partition("=")
        entries[name] = YamlNode(text if equals else None, one.place)
    return holding(entries, node.place)


def _long_build(node: YamlNode) -> YamlNode:
    return holding({"context": node}, node.place) if isinstance(node.raw, str) else node


def _rebased(node: YamlNode, directory: str) -> YamlNode:
    """With its relative paths from the repository's top, when the file stands in ``directory``."""
    if not directory:
        return node

    def path(one: YamlNode) -> YamlNode:
        raw = one.raw
        relative = isinstance(raw, str) and not raw.startswith(("/", "~")) and not re.match(r"[a-z]+://|git@", raw)
        return replace(one, raw=posixpath.join(directory, raw)) if relative else one

    def source(one: YamlNode) -> YamlNode:
        if isinstance(one.raw, str):
            first, colon, rest = one.raw.partition(":")
            return replace(one, raw=f"./{posixpath.join(directory, first)}{colon}{rest}") if first[:1] == "." else one
        bind = one.mapping.get("type") is not None and one.mapping["type"].raw == "bind"
        return _changed(one, source=lambda n: replace(path(n), raw=f"./{path(n).raw}")) if bind else one

    def build(one: YamlNode) -> YamlNode:
        if isinstance(one.raw, str):
            return path(one)
        top = {"context": YamlNode(".", one.place)}
        return _changed(replace(one, raw={**top, **one.mapping}), context=path)

    def env_file(one: YamlNode) -> YamlNode:
        if one.sequence:
            return replace(one, raw=[_changed(n, path=path) if n.mapping else path(n) for n in one.sequence])
        return path(one)

    def service(one: YamlNode) -> YamlNode:
        return _changed(one, build=build, env_file=env_file, volumes=lambda n: _each(n, source))

    files = {table: lambda n: _each(n, lambda one: _changed(one, file=path)) for table in ("secrets", "configs")}
    return _changed(node, services=lambda n: _each(n, service), **files)


def _changed(node: YamlNode, **keys: Callable[[YamlNode], YamlNode]) -> YamlNode:
    if not node.mapping:
        return node
    return replace(node, raw={key: keys[key](n) if key in keys else n for key, n in node.mapping.items()})


def _each(node: YamlNode, change: Callable[[YamlNode], YamlNode]) -> YamlNode:
    if node.sequence:
        return replace(node, raw=[change(one) for one in node.sequence])
    return replace(node, raw={key: change(one) for key, one in node.mapping.items()}) if node.mapping else node
