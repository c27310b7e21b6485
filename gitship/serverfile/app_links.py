"""Section of an app in the server file: its links to services, by alias; logins and passwords are made anew."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gitship.console.context import Context
from gitship.model import App
from gitship.model.services import ALIAS, LinkState, Service, ServiceLink
from gitship.schema import Value
from gitship.serverfile.document import Section, Step, section

WAIT = "--no-restart"
KEYS = ("service", "read_only", "scheme")


def _links(value: Value) -> dict[str, Any]:
    read = {}
    for alias, item in value.table().items():
        table = item.known(KEYS)
        if not ALIAS.fullmatch(alias):
            raise item.error("cannot be an alias", "capital letters, digits and '_', as in REPORTS")
        if "service" not in table:
            raise item.error("needs service", 'as in: { service = "db" }')
        entry: dict[str, Any] = {"service": table["service"].line()}
        if "read_only" in table and table["read_only"].flag():
            entry["read_only"] = True
        if "scheme" in table and table["scheme"].line():
            entry["scheme"] = table["scheme"].line()
        read[alias] = entry
    return read


def _links_now(context: Context, app: App) -> dict[str, Any]:
    schemes = {engine.name: _scheme(engine.url) for engine in context.operations.services.engines()}
    return {
        link.alias: _entry(service, link, schemes.get(service.engine, ""))
        for service, link in context.operations.services.of_app(app)
        if link.state is not LinkState.ENDING
    }


def _entry(service: Service, link: ServiceLink, usual: str) -> dict[str, Any]:
    scheme = _scheme(link.url)
    return (
        {"service": service.name}
        | ({"read_only": True} if link.read_only else {})
        | ({"scheme": scheme} if scheme != usual else {})
    )


def _scheme(url: str) -> str:
    return url.partition(":")[0]


def _steps(app: str, before: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterable[Step]:
    for alias, link in before.items():
        if wanted.get(alias) != link:
            yield Step(("services:unlink", link["service"], app, "--alias", alias))
    for alias, link in wanted.items():
        if before.get(alias) != link:
            words = ["--alias", alias, *(["--read-only"] if link.get("read_only") else [])]
            words += [f"--scheme={link['scheme']}"] if "scheme" in link else []
            yield Step(("services:link", link["service"], app, *words, WAIT))


section(Section("links", _links, _links_now, _steps, {}, waits=True))
