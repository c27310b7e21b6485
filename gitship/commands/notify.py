"""notify: webhooks that receive events.

A webhook's URL is as good as a password. Only admins see it; all others see the host. A key that is limited to some
apps sees the webhooks of these apps and no others.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from cyclopts import Parameter

from gitship.commands.keys import limit_of
from gitship.console import idempotence
from gitship.console.columns import Column
from gitship.console.command_registry import command
from gitship.console.context import Context, Ctx
from gitship.console.listing import Format, moment, show
from gitship.console.prompt import ask, read_all
from gitship.console.visible_apps import NO_APPS
from gitship.errors import GitshipError, NotFound, UsageError, nearest
from gitship.model import DeliveryStatus, Role, Webhook
from gitship.notify import webhooks
from gitship.notify.post import is_public

NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")
SECRET_BYTES = 1024
FOR_ALL_APPS = "webhooks of all apps"

WebhookName = Annotated[str, Parameter(name="NAME", help="the webhook's name")]


@command(
    "notify:add",
    Role.DEPLOYER,
    "add a webhook: POST each event to a URL",
    details=(
        "Without --app it covers all apps, which needs the role admin; with --no-apps none. Events: "
        + ", ".join(webhooks.EVENTS)
        + ". The body is JSON with event, id, at, app, text and deploy, or one line in Slack's or "
        "Discord's format. With --secret it is signed as GitHub does: X-Gitship-Signature-256: "
        "sha256=HMAC of the body. Without a 2xx answer within 10 s it is sent again, five times in half "
        "an hour, with the same X-Gitship-Delivery. Redirects are not followed. Only an admin's webhook "
        "may use private addresses, or a port of this server that is not for visitors."
    ),
    examples=(
        "notify:add ops https://hooks.example.com/deploys",
        "notify:add chat https://chat.example.com/T0/B0 --app shop --format slack --events deploy.live,deploy.failed",
        "notify:add ci https://ci.example.com/hook --app shop --secret",
    ),
)
def add(
    name: WebhookName,
    url: Annotated[str, Parameter(name="URL", help="its URL, https:// or http://")],
    /,
    *,
    context: Ctx,
    app: Annotated[
        list[str] | None, Parameter(name="--app", metavar="APP", help="only for this app; may be repeated")
    ] = None,
    no_apps: Annotated[bool, Parameter(name=NO_APPS, help="for no app")] = False,
    events: Annotated[str, Parameter(name="--events", metavar="LIST", help="events, separated by commas")] = "all",
    format: Annotated[
        Literal["json", "slack", "discord"], Parameter(name="--format", help="the format of the body")
    ] = "json",
    secret: Annotated[
        bool, Parameter(name="--secret", help="sign with a secret, read from standard input or a prompt")
    ] = False,
) -> None:
    apps = limit_of(context, app, no_apps)
    if not apps:  # a limited key would not see one of no app itself
        _require_all_apps(context)
    if not NAME.fullmatch(name):
        raise UsageError(f"'{name[:80]}' is not a webhook's name", "use letters, digits and . _ -, at most 64")
    host = webhooks.split(url).hostname or ""
    anywhere = context.identity.role is Role.ADMIN
    if not anywhere and _private(host):
        raise GitshipError(f"{host} is not a public address", "an admin can add a webhook for that address")
    wanted = webhooks.events(events)
    context.record(f"{name} to {host}")
    key = _secret(context) if secret else ""
    with context.store.acting_for_all(context.identity):
        for each in apps or ():
            context.store.confirm(each, context.identity)
        context.store.add_webhook(
            name, url, format=format, events=wanted, secret=key, apps=None if apps is None else {a.id for a in apps},
            anywhere=anywhere, created_by=context.identity.key_name,
        )  # fmt: skip
    context.line(f"added {name}: {host} receives {', '.join(wanted) or 'all events'}")
    context.note(f"try it: notify:test {name}")


def _private(host: str) -> bool:
    """True for an address written as such; names are looked up when a message is sent."""
    try:
        return not is_public(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _secret(context: Context) -> str:
    if context.terminal:
        text = ask(context.session, "Secret: ", hidden=True)
    else:
        text = read_all(context.session, SECRET_BYTES).removesuffix("\n").removesuffix("\r")
    if not text:
        raise GitshipError("the secret is empty", "type one at the prompt (`ssh -t`), or send it on standard input")
    return text


@command(
    "notify:list",
    Role.VIEWER,
    "list the webhooks and the state of each one's latest message",
    columns=(
        Column("name", "its name"),
        Column("host", "the host of its URL"),
        Column("url", "the whole URL; null unless you are an admin", json_only=True),
        Column("format", "json, slack or discord"),
        Column("events", "its events, empty for all", lambda e: ", ".join(e) or "all"),
        Column("apps", "its apps, null for all", lambda a: "all" if a is None else ", ".join(a) or "none"),
        Column("signed", "true if it has a secret"),
        Column("created_by", "the key that added it"),
        Column("last", "status of the latest message, null if none"),
    ),
    examples=("notify:list", "notify:list --format json"),
    aliases=("notify",),
)
def list_webhooks(*, context: Ctx, format: Format = "table") -> None:
    names = {app.id: app.name for app in context.apps()}
    rows = []
    for webhook in _visible(context):
        newest = context.store.deliveries(webhook.id, limit=1)
        apps = None if webhook.apps is None else sorted(names[i] for i in webhook.apps if i in names)
        rows.append(
            {
                "name": webhook.name,
                "host": webhooks.split(webhook.url).hostname,
                "url": webhook.url if context.identity.role is Role.ADMIN else None,
                "format": webhook.format,
                "events": list(webhook.events),
                "apps": apps,
                "signed": bool(webhook.secret),
                "created_by": webhook.created_by,
                "last": newest[0].status.value if newest else None,
            }
        )
    show(context, rows, format, empty="no webhooks")


@command(
    "notify:remove",
    Role.DEPLOYER,
    "remove a webhook and its waiting messages",
    examples=("notify:remove chat",),
)
def remove(name: WebhookName, /, *, context: Ctx) -> None:
    with idempotence.is_done(), context.store.acting_for_all(context.identity):
        webhook = _own(context, name)
        context.record(webhook.name)
        context.store.remove_webhook(webhook.id)
    context.line(f"removed {webhook.name}")


@command(
    "notify:test",
    Role.DEPLOYER,
    "send a test message to a webhook and show the result",
    details="The exit code is 1 if it was not delivered. It is sent once.",
    examples=("notify:test chat",),
)
def test(name: WebhookName, /, *, context: Ctx) -> None:
    webhook = _own(context, name)
    context.record(webhook.name)
    delivery = context.operations.notifications.test(webhook)
    if delivery.status is not DeliveryStatus.DELIVERED:
        raise GitshipError(f"not delivered: {delivery.answer}", "check that the URL is right and its server is up")
    context.line(f"delivered: {delivery.answer}")


@command(
    "notify:log",
    Role.DEPLOYER,
    "show the latest messages to a webhook and their results",
    columns=(
        Column("at", "when it happened"),
        Column("event", "what happened"),
        Column("app", "the app, empty if none"),
        Column("status", "waiting, delivered, failed (given up) or dropped (too many were waiting)"),
        Column("tries", "number of attempts"),
        Column("next_at", "when it is sent next, null if it is not", json_only=True),
        Column("answer", "the result of the last attempt"),
        Column("id", "its X-Gitship-Delivery", json_only=True),
    ),
    examples=("notify:log chat", "notify:log chat --format json"),
)
def log(name: WebhookName, /, *, context: Ctx, format: Format = "table") -> None:
    webhook = _own(context, name)
    rows = [
        {
            "at": moment(delivery.at),
            "event": delivery.event,
            "app": delivery.app,
            "status": delivery.status.value,
            "tries": delivery.tries,
            "next_at": moment(delivery.next_at) if delivery.status is DeliveryStatus.WAITING else None,
            "answer": delivery.answer,
            "id": delivery.uuid,
        }
        for delivery in context.store.deliveries(webhook.id)
    ]
    show(context, rows, format, empty=f"nothing was sent to {webhook.name} yet; try notify:test {webhook.name}")


def _require_all_apps(context: Context) -> None:
    context.require(Role.ADMIN, FOR_ALL_APPS)


def _visible(context: Context) -> list[Webhook]:
    """Those that the key may know of: for a limited one, those of its own apps alone."""
    mine = context.identity.apps
    found = context.store.webhooks()
    return found if mine is None else [w for w in found if w.apps and w.apps <= mine]


def _own(context: Context, name: str) -> Webhook:
    """A webhook that the key may change. Raises NotFound with the nearest name; NoPermission for one of all apps."""
    known = {webhook.name: webhook for webhook in _visible(context)}
    if name not in known:
        near = nearest(name, known)
        raise NotFound(f"no webhook named '{name[:80]}'", f"did you mean '{near}'?" if near else "see `notify:list`")
    if known[name].apps is None:
        _require_all_apps(context)
    return known[name]
