"""cache: rules for how long Varnish caches an app's pages, and purging them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from cyclopts import Parameter

from gitship.appfiles import cache_rules
from gitship.config import Settings
from gitship.console.columns import Column
from gitship.console.command_registry import command
from gitship.console.context import AppName, Ctx
from gitship.console.listing import NOTHING, Format, iso, show, size
from gitship.errors import UsageError, nearest
from gitship.front.cache_settings import ALL_COOKIES, Purge
from gitship.https.sites import hosts_of
from gitship.model import App, Role
from gitship.schema import Value
from gitship.store import Store

_KEYS = {rule.option: rule for rule in cache_rules.RULES}

Ttl = Annotated[
    str | None, Parameter(name="--ttl", metavar="TIME", help="how long to cache pages without cache headers")
]
Grace = Annotated[
    str | None,
    Parameter(name="--grace", metavar="TIME", help="how long to serve expired pages while the app fails"),
]
IgnoreCookies = Annotated[
    str | None,
    Parameter(name="--ignore-cookies", metavar="on|off|NAME,...", help="cookies that do not prevent caching"),
]
StripQuery = Annotated[
    str | None,
    Parameter(name="--strip-query", metavar="off|NAME,...", help="query parameters to remove from GET requests"),
]
AssetsFor = Annotated[
    str | None,
    Parameter(
        name="--assets-for",
        metavar="TIME",
        help="how long to serve the previous release's cached files instead of a 404",
    ),
]
Warm = Annotated[
    str | None,
    Parameter(
        name="--warm", metavar="off|PATH,...", help="paths to fetch into the cache before switching to a new release"
    ),
]
Sticky = Annotated[
    str | None,
    Parameter(name="--sticky", metavar="on|off", help="keep each visitor on one container, by a cookie"),
]


@command(
    "cache:set",
    Role.DEPLOYER,
    "set what is cached and for how long; takes effect at once, without a deploy",
    details="Overrides [cache] in gitship.toml. Times are 90s, 10m, 1h or 7d; names may end with '*'. Without "
    "--ttl, only responses with max-age or Expires are cached. Pages with Cookie, Authorization or "
    "Set-Cookie are not cached, except for --ignore-cookies, and for css, js, images and fonts that the "
    "app marks public or immutable.",
    examples=(
        "cache:set shop --ttl 60s --grace 1h",
        "cache:set shop --ignore-cookies '_ga*,_gid' --strip-query 'utm_*,fbclid'",
        "cache:set shop --assets-for 2h --warm /,/feed",
        "cache:set shop --sticky on",
    ),
)
def set_rules(
    app: AppName,
    /,
    *,
    context: Ctx,
    ttl: Ttl = None,
    grace: Grace = None,
    ignore_cookies: IgnoreCookies = None,
    strip_query: StripQuery = None,
    assets_for: AssetsFor = None,
    warm: Warm = None,
    sticky: Sticky = None,
) -> None:
    given = {
        "ttl": ttl,
        "grace": grace,
        "ignore_cookies": ignore_cookies,
        "strip_query": strip_query,
        "assets_for": assets_for,
        "warm": warm,
        "sticky": sticky,
    }
    changes = {
        rule.field: rule.read(Value("cache:set", f"--{rule.option}", word))
        for rule in cache_rules.RULES
        if (word := given[rule.key]) is not None
    }
    if not changes:
        raise UsageError("nothing to set", f"give {', '.join(f'--{name}' for name in _KEYS)}")
    found = context.app(app)
    context.operations.serving.change_rules(found, changes, context.identity)
    names = ", ".join(rule.option for rule in cache_rules.RULES if rule.field in changes)
    context.record(names)
    context.line(f"changed {names} for {found.name}")
    context.note(f"cached pages keep their old time; to purge them: cache:purge {found.name}")


@command(
    "cache:unset",
    Role.DEPLOYER,
    "remove cache rules set by command; gitship.toml applies again",
    details="Without a name, removes all of them.",
    examples=("cache:unset shop", "cache:unset shop ttl ignore-cookies"),
)
def unset(
    app: AppName,
    /,
    *names: Annotated[str, Parameter(name="NAME", help="for instance ttl")],
    context: Ctx,
) -> None:
    for name in names:
        if name not in _KEYS:
            near = nearest(name, _KEYS)
            hint = f"did you mean '{near}'?" if near else f"one of {', '.join(_KEYS)}"
            raise UsageError(f"'{name[:80]}' is not a cache rule", hint)
    found = context.app(app)
    wanted = [_KEYS[name] for name in names] if names else list(cache_rules.RULES)
    in_use = {use.rule: use.source for use in context.operations.serving.rules(found)}
    changes = {rule.field: None for rule in wanted if in_use[rule] == cache_rules.BY_COMMAND}
    if not changes:
        context.note("no change")
        return
    context.operations.serving.change_rules(found, changes, context.identity)
    gone = ", ".join(rule.option for rule in wanted if rule.field in changes)
    context.record(gone)
    context.line(f"removed {gone} of {found.name}")


def shown_time(seconds: int) -> str:
    """As it is typed: ``90s``, ``1h``, ``7d``."""
    for unit, length in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds and seconds % length == 0:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def shown_value(value: Any) -> str:
    """A rule's value as it is typed."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list):
        return "all" if value == [ALL_COOKIES] else ", ".join(value) or NOTHING
    return NOTHING if value is None else shown_time(value)


@command(
    "cache:status",
    Role.VIEWER,
    "show an app's cache rules, and where each was set",
    details="The size per app is not shown: Varnish counts only the whole cache. Each response has a header "
    "X-Cache: hit, miss, pass (not cached), stale, or previous (from the previous release).",
    columns=(
        Column("rule", "its name in `cache:set`"),
        Column(
            "value", 'seconds, true or false, or a list of names; null for none; ["*"] for all cookies', shown_value
        ),
        Column(
            "source",
            f"{cache_rules.BY_COMMAND}, {cache_rules.BY_FILE} of the live release, or {cache_rules.BY_DEFAULT}",
        ),
    ),
    examples=("cache:status shop", "cache:status shop --format json"),
    aliases=("cache",),
)
def status(app: AppName, /, *, context: Ctx, format: Format = "table") -> None:
    found = context.app(app)
    serving = context.operations.serving
    rows = [{"rule": u.rule.option, "value": u.value, "source": u.source} for u in serving.rules(found)]
    show(context, rows, format, empty="")
    until = serving.files_until(found)
    now = datetime.now(UTC)
    if until is not None and (at := datetime.fromtimestamp(until, UTC)) > now:
        context.note(f"the previous release's files are served until {iso(at)}")
    context.note(f"the cache of all apps holds up to {size(context.settings.varnish.cache_bytes)}")


@command(
    "cache:purge",
    Role.DEPLOYER,
    "purge an app's cached pages, of all its releases",
    details="--url takes a path with its query, or a URL; '*' matches anything. --tag takes a key of the "
    "response header Cache-Tag, Surrogate-Key or xkey; visitors do not receive these headers. With both, "
    "pages must match both.",
    examples=("cache:purge shop", "cache:purge shop --url '/blog/*'", "cache:purge shop --tag article-7"),
)
def purge(
    app: AppName,
    /,
    *,
    context: Ctx,
    url: Annotated[
        str | None, Parameter(name="--url", metavar="PATTERN", help="only this path or URL; '*' matches anything")
    ] = None,
    tag: Annotated[str | None, Parameter(name="--tag", metavar="KEY", help="only pages with this tag")] = None,
) -> None:
    wanted = purge_of(url, tag)
    found = context.app(app)
    ensure_own_host(context.store, context.settings, found, wanted)
    context.operations.serving.purge(found, wanted, context.identity)
    what = " and ".join([*([f"url {url}"] if url else []), *([f"tag {tag}"] if tag else [])]) or "all"
    context.record(what)
    context.line(f"purged {what} of {found.name}")
    context.note("no longer served; its memory is freed in the background")


def purge_of(url: str | None, tag: str | None) -> Purge:
    """Raises UsageError for what is no path, URL or tag."""
    try:
        return Purge(url, tag)
    except ValueError as error:
        what = str(error)[:120]
        raise UsageError(what, "for instance --url '/blog/*' or --tag article-7; write spaces as %20") from None


def ensure_own_host(store: Store, settings: Settings, app: App, purge: Purge) -> None:
    """Raises UsageError when the app does not answer at the host that is named."""
    if purge.host and purge.host not in hosts_of(store, settings, app):
        raise UsageError(f"{app.name} does not answer at {purge.host[:80]}", f"see `domains:list {app.name}`")
