"""Sections of an app in the server file: access, redirects, maintenance and lock."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gitship.appfiles import cache_rules
from gitship.appsettings import CACHE
from gitship.console.context import Context
from gitship.console.host_names import domain_pattern
from gitship.console.ip_networks import networks
from gitship.console.redirect_targets import redirect
from gitship.errors import ConfigError, GitshipError
from gitship.front.cache_settings import ALL_COOKIES
from gitship.front.gate import REDIRECT_CODES
from gitship.https.wanted_certificates import wish_of
from gitship.model import App
from gitship.routing.gate_settings import gate_of
from gitship.schema import Value
from gitship.serverfile.document import Section, Step, section, some, texts, variables
from gitship.serverfile.https_entry import https_step, https_wish, read_https


def _parsed(value: Value, read: Any) -> Any:
    """What ``read`` makes of the text, its error naming the key."""
    try:
        return read(value.text())
    except GitshipError as error:
        raise ConfigError(f"{value.file}: {value.path}: {error.message}", error.hint) from None


def _domain_steps(app: str, before: list[str], wanted: list[str]) -> Iterable[Step]:
    yield from (Step(("domains:remove", app, name)) for name in before if name not in wanted)
    yield from (Step(("domains:add", app, name)) for name in wanted if name not in before)


section(
    Section(
        "domains", lambda value: sorted(_parsed(item, domain_pattern) for item in value.items()),
        lambda c, app: sorted(d.name for d in c.store.domains(app.id)), _domain_steps, [],
    )
)  # fmt: skip


def _maintenance(value: Value) -> Any:
    if isinstance(value.raw, bool):
        return {} if value.raw else False
    table = value.known(("page", "allow"))
    read: dict[str, Any] = {"page": table["page"].text()} if "page" in table else {}
    if "allow" in table:
        read["allow"] = list(_networks(table["allow"]))
    return read


def _networks(value: Value) -> tuple[str, ...]:
    try:
        return networks(texts(value))
    except GitshipError as error:
        raise ConfigError(f"{value.file}: {value.path}: {error.message}", error.hint) from None


def _maintenance_now(context: Context, app: App) -> Any:
    found = gate_of(context.store, app.id).maintenance
    if found is None:
        return False
    page: dict[str, Any] = {} if found.page is None else {"page": found.page}
    return page | ({"allow": list(found.allow)} if found.allow else {})


def _maintenance_steps(app: str, before: Any, wanted: Any) -> Iterable[Step]:
    if wanted is False:
        yield Step(("maintenance:off", app))
        return
    allow = [word for network in wanted.get("allow", []) for word in ("--allow", network)]
    page = ["--page", "-"] if "page" in wanted else []
    yield Step(("maintenance:on", app, *page, *allow), wanted.get("page", ""))


section(Section("maintenance", _maintenance, _maintenance_now, _maintenance_steps, False))


def _redirect(value: Value) -> dict[str, Any]:
    table = value.known(("from", "to", "code"))
    for name in ("from", "to"):
        if name not in table:
            raise value.error(f"needs {name}", 'as in: { from = "/old", to = "/new" }')
    code = table["code"].whole(301, 308) if "code" in table else 301
    if code not in REDIRECT_CODES:
        raise table["code"].error(f"must be one of {', '.join(map(str, REDIRECT_CODES))}")
    target = table["to"].text()
    made = _parsed(table["from"], lambda source: redirect(source, target, code))
    return {"from": made.source, "to": made.target, "code": made.code}


def _redirect_steps(app: str, before: list[Any], wanted: list[Any]) -> Iterable[Step]:
    sources = {one["from"] for one in wanted}
    yield from (Step(("redirects:remove", app, one["from"])) for one in before if one["from"] not in sources)
    for one in wanted:
        if one not in before:
            yield Step(("redirects:add", app, one["from"], one["to"], "--code", str(one["code"])))


def _redirects_now(context: Context, app: App) -> list[dict[str, Any]]:
    redirects = gate_of(context.store, app.id).redirects
    return _by_source({"from": r.source, "to": r.target, "code": r.code} for r in redirects)


def _by_source(redirects: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(redirects, key=lambda one: str(one["from"]))


section(
    Section(
        "redirects", lambda value: _by_source(_redirect(item) for item in value.items()),
        _redirects_now, _redirect_steps, [],
    )
)  # fmt: skip


def _rules(value: Value) -> dict[str, Any]:
    table = value.known(tuple(rule.key for rule in cache_rules.RULES))
    return {rule.key: _written(rule.read(table[rule.key])) for rule in cache_rules.RULES if rule.key in table}


def _rules_now(context: Context, app: App) -> dict[str, Any]:
    own = context.store.app_settings(app.id).all(CACHE)
    return {rule.key: _written(own[rule.field]) for rule in cache_rules.RULES if rule.field in own}


def _written(value: Any) -> Any:
    """As it stands in a document: all cookies are ``true``."""
    value = list(value) if isinstance(value, tuple) else value
    return True if value == [ALL_COOKIES] else value


def _rule_steps(app: str, before: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterable[Step]:
    options = {rule.key: rule.option for rule in cache_rules.RULES}
    gone = [options[key] for key in before if key not in wanted]
    if gone:
        yield Step(("cache:unset", app, *gone))
    changed = [f"--{options[key]}={_word(value)}" for key, value in wanted.items() if before.get(key) != value]
    if changed:
        yield Step(("cache:set", app, *changed))


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list):
        return ",".join(value) or "off"
    return f"{value}s"


section(Section("cache", _rules, _rules_now, _rule_steps, {}))


def _page_steps(app: str, before: str, wanted: str) -> Iterable[Step]:
    yield Step(("errors:set", app, "--page", "-"), wanted) if wanted else Step(("errors:unset", app))


section(Section("error_page", Value.text, lambda c, app: c.operations.serving.error_page(app) or "", _page_steps, ""))


def _unless_false(value: Value, read: Callable[[Value], Any], nothing: Any) -> Any:
    """``nothing`` for ``false``. An empty list would let nobody in, and must not come to mean everybody."""
    return nothing if value.raw is False else read(some(value, "false lets everyone in"))


def _allow_steps(app: str, before: list[str], wanted: list[str]) -> Iterable[Step]:
    if not wanted:
        yield Step(("allow:off", app))
        return
    added = [network for network in wanted if network not in before]
    gone = [network for network in before if network not in wanted]
    if added:
        yield Step(("allow:add", app, *added))
    if gone:
        yield Step(("allow:remove", app, *gone))


section(
    Section(
        "allow", lambda value: _unless_false(value, lambda v: sorted(_networks(v)), []),
        lambda c, app: sorted(gate_of(c.store, app.id).allow),
        _allow_steps, [],
    )
)  # fmt: skip


def _auth_steps(app: str, before: Mapping[str, str], wanted: Mapping[str, str]) -> Iterable[Step]:
    if not wanted:
        yield Step(("auth:off", app))
        return
    for user, password in wanted.items():
        if before.get(user) != password:
            yield Step(("auth:set", app, user), password)
    yield from (Step(("auth:remove", app, user)) for user in before if user not in wanted)


def _logins(context: Context, app: App) -> dict[str, str]:
    logins = gate_of(context.store, app.id).logins
    return {one.user: b64decode(one.credentials).decode().removeprefix(f"{one.user}:") for one in logins}


section(Section("auth", lambda v: _unless_false(v, variables, {}), _logins, _auth_steps, {}, secret=True))


def _https_now(context: Context, app: App) -> Any:
    wish = wish_of(context.store, context.settings, app)
    return https_wish(wish) if wish.said else None


def _https_steps(app: str, before: Any, wanted: Any) -> Iterable[Step]:
    yield https_step(app, wanted)


section(Section("https", read_https, _https_now, _https_steps, None))


def _lock(value: Value) -> bool | str:
    return value.raw if isinstance(value.raw, bool) else value.line() or True


def _lock_now(context: Context, app: App) -> bool | str:
    found = context.operations.apps.locked(app)
    return False if found is None else found.message or True


def _lock_steps(app: str, before: bool | str, wanted: bool | str) -> Iterable[Step]:
    if wanted is not False:
        yield Step(("apps:lock", app, *(() if wanted is True else ("--", str(wanted)))))


section(Section("lock", _lock, _lock_now, _lock_steps, False, closes=True))
