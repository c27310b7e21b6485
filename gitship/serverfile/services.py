"""Backing services in the server file: what they are, and no password. None is ever removed by a document."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gitship.console.context import Context
from gitship.console.sizes import shown_memory
from gitship.errors import Conflict, UsageError
from gitship.model.services import SERVICE_NAME, ServiceState
from gitship.schema import Value
from gitship.serverfile.document import Step

KEYS = ("engine", "memory")


def read(value: Value) -> dict[str, dict[str, Any]]:
    """By name, in the form of ``current``. Raises ConfigError."""
    found = {}
    for name, item in value.table().items():
        table = item.known(KEYS)
        if not SERVICE_NAME.fullmatch(name):
            raise item.error("cannot be the name of a service", "letters, digits and '-', at most 40")
        if "engine" not in table:
            raise item.error("needs engine", 'as in: engine = "postgres:17"')
        entry = {"engine": table["engine"].line()}
        if "memory" in table:
            entry["memory"] = shown_memory(table["memory"].size())
        found[name] = entry
    return found


def current(context: Context) -> dict[str, dict[str, Any]]:
    return {
        service.name: {
            "engine": f"{service.engine}:{service.version}",
            "memory": shown_memory(service.memory_bytes),
        }
        for service in context.store.services()
        if service.state is not ServiceState.DESTROYING
    }


def steps(context: Context, wanted: Mapping[str, Mapping[str, Any]]) -> Iterable[Step]:
    """Raises Conflict when a service is there and is of another engine or version, GitshipError for an unknown one."""
    there = current(context)
    for name, entry in wanted.items():
        memory = ("--memory", entry["memory"]) if "memory" in entry else ()
        if name not in there:
            context.operations.services.ensure_known(entry["engine"])
            yield Step(("services:create", name, entry["engine"], *memory))
            continue
        _ensure_same(name, there[name]["engine"], entry["engine"])
        if memory and entry["memory"] != there[name]["memory"]:
            yield Step(("services:resize", name, *memory))


def kept(context: Context, wanted: Mapping[str, Any]) -> list[str]:
    """Services that the document does not have, and that stay."""
    return [name for name in current(context) if name not in wanted]


def _ensure_same(name: str, now: str, wanted: str) -> None:
    """Raises Conflict, UsageError."""
    engine, colon, version = wanted.partition(":")
    if engine != now.partition(":")[0]:
        raise Conflict(f"{name} is {now}, but the document says {wanted}", "give the new one another name")
    if colon and version != now.partition(":")[2]:
        raise UsageError(
            f"{name} is {now}, but the document says {wanted}",
            f"an upgrade is not done by a document; first: services:upgrade {name} {version}",
        )
