"""Sections of an app in the server file: visitor limits and custom VCL."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gitship.console.context import Context
from gitship.console.durations import rate_seconds
from gitship.console.sizes import shown_memory
from gitship.errors import ConfigError, GitshipError
from gitship.front.custom_vcl import checked
from gitship.front.visitor_limits import MOST_REQUESTS
from gitship.model import App
from gitship.routing.gate_settings import gate_of
from gitship.schema import Value
from gitship.serverfile.document import Section, Step, section


def _rate(value: Value) -> Any:
    if value.raw is False:
        return False
    table = value.known(("requests", "per", "by"))
    if "requests" not in table:
        raise value.error("needs requests", 'as in: { requests = 100, per = "10s" }, or false for no limit')
    try:
        per_s = rate_seconds(table["per"].text() if "per" in table else "10s")
    except GitshipError as error:
        raise ConfigError(f"{value.file}: {value.path}.per: {error.message}", error.hint) from None
    by = table["by"].choice("ip", "all") if "by" in table else "ip"
    return {"requests": table["requests"].whole(1, MOST_REQUESTS), "per": f"{per_s}s", "by": by}


def _rate_now(context: Context, app: App) -> Any:
    rate = gate_of(context.store, app.id).limits.rate
    return {"requests": rate.requests, "per": f"{rate.per_s}s", "by": rate.by} if rate else False


def _rate_steps(app: str, before: Any, wanted: Any) -> Iterable[Step]:
    if wanted is False:
        yield Step(("ratelimit:off", app))
        return
    options = ("--requests", str(wanted["requests"]), "--per", wanted["per"], "--by", wanted["by"])
    yield Step(("ratelimit:set", app, *options))


section(Section("ratelimit", _rate, _rate_now, _rate_steps, False))


def _body(value: Value) -> Any:
    return False if value.raw is False else shown_memory(value.size(0))


def _body_now(context: Context, app: App) -> Any:
    most = gate_of(context.store, app.id).limits.body_bytes
    return False if most is None else shown_memory(most)


def _body_steps(app: str, before: Any, wanted: Any) -> Iterable[Step]:
    yield Step(("bodylimit:off", app) if wanted is False else ("bodylimit:set", app, str(wanted)))


section(Section("bodylimit", _body, _body_now, _body_steps, False))


def _vcl(value: Value) -> Any:
    if value.raw is False:
        return False
    try:
        return checked(value.text())
    except ValueError as error:
        raise value.error(f"is not valid as custom VCL: {error}") from None


def _vcl_steps(app: str, before: Any, wanted: Any) -> Iterable[Step]:
    yield Step(("vcl:unset", app)) if wanted is False else Step(("vcl:set", app), str(wanted))


section(Section("vcl", _vcl, lambda c, app: gate_of(c.store, app.id).vcl or False, _vcl_steps, False))
