"""The keys at the top of a Compose file, and those of `x-gitship`, `networks` and `volumes`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gitship.appfiles import cache_rules, canary_rules
from gitship.appfiles.canary_rules import CanaryPlan
from gitship.appfiles.mounts import VOLUME_NAME
from gitship.compose import values
from gitship.compose.keys import Findings, by_name, honoured, ignored, read_keys, refused, silent
from gitship.compose.web import WrittenWeb
from gitship.model import DOMAIN_NAME, WILDCARD
from gitship.schema import Value

X_GITSHIP = "x-gitship"
MOST_DOMAINS = 50

TOP = by_name(
    honoured("services", "processes of the app, and its databases"),
    honoured("networks", "their names; all services of an app share its network"),
    honoured("volumes", "storage of the app"),
    honoured("secrets", "read-only files: of the repository, or variables of the app's config"),
    honoured("configs", "read-only files: of the repository, variables of the app's config, or text of this file"),
    honoured("include", "other Compose files of the repository"),
    honoured(X_GITSHIP, "what Compose has no word for"),
    *silent("the app's name counts", "name"),
    *silent("the spec knows no versions any more", "version"),
    refused("models", "gitship runs no models", "run it as a service with an image of its own"),
)
_EXTERNAL = "what is outside of this file is not the app's"
NETWORKS = by_name(
    *ignored("all services of an app share its network", "driver", "driver_opts", "ipam", "attachable", "enable_ipv4",
        "enable_ipv6", "labels", "name", same=("bridge", "default")),
    *ignored("the app's network reaches the internet", "internal"),
    refused("external", _EXTERNAL, "remove it: services of one file reach each other; of gitship's: services:link"),
)  # fmt: skip
VOLUMES = by_name(
    *ignored("gitship names volumes itself", "name", "labels"),
    refused("external", _EXTERNAL, "remove it: the app gets a volume of its own; to bring data: storage:import"),
    refused("driver", "volumes are the server's own directories", "remove it", "local"),
    refused("driver_opts", "it would mount another place than the volume's own", "remove it"),
)
GITSHIP = by_name(
    honoured("web", "the service that visitors reach, and its port when it has several: `shop` or `shop:8000`; "
        "`none` for no one", values.line),
    honoured("cache", "what Varnish keeps: the keys of [cache] in gitship.toml"),
    honoured("canary", 'share of visitors that gets a new release first, and for how long: "5% for 2m"',
        lambda v: v.parsed(canary_rules.parse)),
    honoured("domains", "host names of the app"),
)  # fmt: skip
CACHE = by_name(*(honoured(rule.key, rule.about, rule.read) for rule in cache_rules.RULES))


@dataclass(frozen=True, slots=True)
class GitshipTable:
    """`x-gitship`."""

    web: WrittenWeb | None = None
    cache: Mapping[str, Any] = field(default_factory=dict)
    canary: CanaryPlan | None = None
    domains: tuple[str, ...] = ()


def read_gitship(value: Value, found: Findings) -> GitshipTable:
    """Unlike those of others, its keys are all known. Raises ConfigError; further problems go to ``found``."""
    for name, one in value.entries().items():
        if name not in GITSHIP and name.startswith("x-"):
            found.add(value.unknown(one, name, GITSHIP))
    read = read_keys(value, GITSHIP, found)
    web = found.attempt(None, _web, value.table()["web"]) if "web" in read else None
    return GitshipTable(
        web=web,
        cache=cache_rules.stored(read_keys(read["cache"], CACHE, found)) if "cache" in read else {},
        canary=read.get("canary"),
        domains=_domains(read["domains"]) if "domains" in read else (),
    )


def _web(value: Value) -> WrittenWeb:
    name, colon, port = values.line(value).rpartition(":")
    if not colon:
        return WrittenWeb(value, port)
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65_535:
        raise value.error("must be a service, or SERVICE:PORT", "for instance web: shop:8000")
    return WrittenWeb(value, name, int(port))


def _domains(value: Value) -> tuple[str, ...]:
    found = []
    for item in value.items():
        name = values.line(item).strip().lower().rstrip(".")
        if not DOMAIN_NAME.fullmatch(name.removeprefix(WILDCARD)):
            raise item.error("must be a host name", 'for instance "example.com" or "*.example.com"')
        found.append(name)
    if len(found) > MOST_DOMAINS:
        raise value.error(f"must be {MOST_DOMAINS} names at most")
    return tuple(dict.fromkeys(found))


def read_networks(value: Value | None, found: Findings) -> Mapping[str, Value]:
    """By name. Problems go to ``found``."""
    networks = value.entries() if value is not None else {}
    for one in networks.values():
        if one.raw is not None:
            found.attempt({}, read_keys, one, NETWORKS, found)
    if value is not None and len(networks.keys() - {"default"}) > 1:
        found.note(value, "networks", f"are one: all services of an app share its network ({len(networks)} are named)")
    return networks


def read_volumes(value: Value | None, found: Findings) -> Mapping[str, Value]:
    """By name. Problems go to ``found``."""
    volumes = value.entries() if value is not None else {}
    for name, one in volumes.items():
        if not VOLUME_NAME.fullmatch(name):
            hint = "a name has letters, digits, '-', '_' and '.', at most 64"
            found.add(one.error("must be named as a volume is", hint))
        if one.raw is not None:
            found.attempt({}, read_keys, one, VOLUMES, found)
    return volumes
