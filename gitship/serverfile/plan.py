"""Plans the steps that apply a server file, in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gitship.console import command_registry, visible_apps
from gitship.console.context import Context
from gitship.console.visible_apps import NO_APPS
from gitship.errors import Conflict, nearest
from gitship.model import App, Key, Role
from gitship.routing import hostnames
from gitship.serverfile import services, status_page, webhooks
from gitship.serverfile.document import KeyEntry, ServerFile, Step, limited_to, sections

__all__ = ["plan"]

WAIT = "--no-restart"


def plan(context: Context, wanted: ServerFile) -> list[Step]:
    """Nothing when the server is so already. Raises GitshipError for what can't be, before anything is done."""
    wanted_webhooks = None if wanted.webhooks is None else webhooks.read(wanted.webhooks)
    backing = {} if wanted.services is None else services.read(wanted.services)
    status = {} if wanted.status is None else status_page.read(wanted.status)
    _refuse_clashes(context, wanted, wanted_webhooks or {})
    _refuse_links_to_nothing(context, wanted, backing)
    apps = wanted.apps or {}
    there = {app.name: app for app in context.apps()}
    for name in apps.keys() & there.keys():
        context.session.about(there[name])  # the steps go by name, and shall meet the app that was planned for
    steps = [Step(("apps:create", name)) for name in apps if name not in there]
    steps += services.steps(context, backing)
    shared = _shared_config(context, wanted.config)
    steps += shared
    for name, sections_wanted in apps.items():
        steps += _app(context, there.get(name), name, sections_wanted, restart=bool(shared))
    if shared:
        others = [app for app in there.values() if app.name not in apps]
        steps += [Step(("ps:restart", app.name)) for app in others if _lives(context, app)]
    if wanted.keys is not None:
        steps += _keys(context, wanted.keys)
    if wanted_webhooks is not None:
        steps += webhooks.steps(webhooks.current(context), wanted_webhooks)
    steps += status_page.steps(context, status)
    steps.sort(key=lambda step: step.argv[0] != "domains:remove")  # a name goes before it comes to another app
    for step in steps:
        command = command_registry.find(step.argv[0])
        assert command is not None, step.argv
        command_registry.parse(command, step.argv[1:])
    return steps


def _refuse_clashes(context: Context, wanted: ServerFile, webhooks: Mapping[str, Any]) -> None:
    apps = wanted.apps or {}
    owners: dict[str, str] = {}
    added: list[tuple[str, str]] = []
    for name in {**{app.name: None for app in context.store.apps()}, **apps}:
        app = context.store.find_app(name)
        before = [d.name for d in context.store.domains(app.id)] if app else []
        domains = apps.get(name, {}).get("domains", before)
        for domain in (f"{name}.{context.settings.domain}", *domains):
            if domain in owners:
                raise Conflict(
                    f"{owners[domain]} and {name} would both have {domain}", "a name can belong to only one app"
                )
            owners[domain] = name
        added += [(name, domain) for domain in domains if domain not in before]
    for name, domain in added:
        hostnames.refuse_directly_below(name, domain, context.settings.domain)
    if wanted.keys is not None and not any(key.role == Role.ADMIN for key in wanted.keys.values()):
        raise Conflict("no admin key would be left", "give at least one key the role admin, or leave out the section")
    named = [name for key in (wanted.keys or {}).values() for name in key.apps or ()]
    for name in (*named, *(name for webhook in webhooks.values() for name in webhook.get("apps", []))):
        if name not in apps:
            visible_apps.app(context.store, context.identity, name)


def _refuse_links_to_nothing(context: Context, wanted: ServerFile, backing: Mapping[str, Any]) -> None:
    there = {service.name for service in context.store.services()} | backing.keys()
    for name, app in (wanted.apps or {}).items():
        for alias, link in app.get("links", {}).items():
            if link["service"] not in there:
                near = nearest(link["service"], there)
                raise Conflict(
                    f"apps.{name}.links.{alias}: there is no service '{link['service']}'",
                    f"did you mean '{near}'?" if near else "add it to the document, under [services]",
                )


def _shared_config(context: Context, wanted: Mapping[str, str] | None) -> list[Step]:
    if wanted is None:
        return []
    before = context.store.global_config()
    changed = {name: value for name, value in wanted.items() if before.get(name) != value}
    gone = [name for name in before if name not in wanted]
    steps = []
    if changed:
        pairs = [f"{name}={value}" for name, value in changed.items()]
        steps.append(Step(("config:global:set", WAIT, *pairs), shown=f"config:global:set {', '.join(changed)}"))
    if gone:
        steps.append(Step(("config:global:unset", WAIT, *gone), shown=f"config:global:unset {' '.join(gone)}"))
    return steps


def _app(context: Context, app: App | None, name: str, wanted: Mapping[str, Any], *, restart: bool) -> Iterator[Step]:
    first: list[Step] = []
    last: list[Step] = []
    for section in sections():
        if section.key not in wanted:
            continue
        before = section.empty if app is None else section.current(context, app)
        if wanted[section.key] == before:
            continue
        if section.key == "lock" and before is not False:
            first.insert(0, Step(("apps:unlock", name)))
        (last if section.closes else first).extend(section.steps(name, before, wanted[section.key]))
        restart = restart or section.waits
    yield from first
    if app is not None and _lives(context, app) and (restart or context.operations.tuning.pending(app)):
        yield Step(("ps:restart", name))
    yield from last


def _lives(context: Context, app: App) -> bool:
    return app.live_release is not None and not context.operations.ps.stopped(app)


def _keys(context: Context, wanted: Mapping[str, KeyEntry]) -> Iterable[Step]:
    names = {app.id: app.name for app in context.store.apps()}
    there = {key.name: key for key in context.store.keys()}  # noqa: SIM118
    for name, entry in wanted.items():
        if name not in there:
            yield _add(name, entry)
    for name, entry in wanted.items():
        if name in there:
            yield from _changed(there[name], entry, names)
    for name in there:
        if name not in wanted:
            yield Step(("keys:remove", name))


def _add(name: str, entry: KeyEntry) -> Step:
    words = ("keys:add", name, "--role", entry.role, *limited_to(entry.apps))
    return Step(words, entry.key, " ".join(words))


def _changed(key: Key, entry: KeyEntry, names: Mapping[int, str]) -> Iterable[Step]:
    if (key.public_key, key.role) != (entry.key, entry.role):
        yield Step(("keys:remove", key.name))
        yield _add(key.name, entry)
        return
    apps = None if key.apps is None else sorted(names[i] for i in key.apps)
    if entry.apps is None and apps is not None:
        yield Step(("keys:grant", key.name, "--all"))
    elif entry.apps is not None and sorted(entry.apps) != apps:
        yield Step(("keys:limit", key.name, *(entry.apps or (NO_APPS,))))
