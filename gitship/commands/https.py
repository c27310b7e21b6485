"""https: TLS for apps, with certificates that are obtained and renewed automatically."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from cyclopts import Parameter

from gitship.console import visible_apps
from gitship.console.columns import Column
from gitship.console.command_registry import command
from gitship.console.context import Context, Ctx
from gitship.console.listing import Format, moment, show
from gitship.errors import Conflict, UsageError
from gitship.https.app_https import HostStatus
from gitship.https.sites import called, is_status_page
from gitship.https.wanted_certificates import wish_of
from gitship.model import STATUS_PAGE, App, Role, Site

HSTS_DAYS = 180
DAY_S = 86_400

OptionalApp = Annotated[str | None, Parameter(name="APP", help="the app's name (default: all apps)")]
AppOrStatusPage = Annotated[str | None, Parameter(name="APP", help="the app's name")]
OfStatusPage = Annotated[
    bool, Parameter(name="--status-page", help="the status page at web.domain instead of an app; for admins")
]


def days_left(epoch: float) -> int:
    """Whole days from now; negative when it is past."""
    return int((epoch - datetime.now(UTC).timestamp()) // DAY_S)


def apps(context: Context, app: str | None) -> list[App]:
    """The app named, or all that the key may know of."""
    return context.apps() if app is None else [context.app(app)]


def sites(context: Context, app: str | None) -> list[Site]:
    """The app named, or all that the key may know of, and with them the status page for a key that sees all."""
    found: list[Site] = list(apps(context, app))
    if app is None and context.settings.web.domain and not context.identity.limited:
        found.append(STATUS_PAGE)
    return found


def site(context: Context, app: str | None, status_page: bool) -> Site:
    """What the command is for. Raises UsageError unless it is exactly one of the two."""
    if (app is None) != status_page:
        raise UsageError(
            "give either an app or --status-page", f"for instance `{context.command.name} shop`; see `apps:list`"
        )
    if app is not None:
        return context.app(app)
    what = f"{context.command.name} --status-page"
    context.require(Role.ADMIN, what)
    visible_apps.require_all_apps(context.identity, what)
    if not context.settings.web.domain:
        raise Conflict(
            "the status page has no host name", 'set domain = "status.example.com" in [web], and restart gitship'
        )
    return STATUS_PAGE


@command(
    "https:enable",
    Role.DEPLOYER,
    "turn HTTPS on for an app: obtain and renew a certificate, and redirect http to https",
    details=(
        "By this you agree to the terms of the certificate authority in [https] directory. Domains must resolve "
        "to this server, with port 80 open. Local names (.localhost) get a self-signed certificate, which "
        "browsers warn about, and are not redirected to https. --hsts tells browsers to use only https for 180 "
        "days after each visit, even after https:disable, so use it only if you are sure. --hsts off revokes it "
        "at a browser's next visit. --status-page does the same for the status page, once web.domain is set."
    ),
    examples=("https:enable shop", "https:enable shop --hsts on", "https:enable --status-page"),
)
def enable(
    app: AppOrStatusPage = None,
    /,
    *,
    context: Ctx,
    status_page: OfStatusPage = False,
    hsts: Annotated[
        str | None, Parameter(name="--hsts", metavar="on|off", help="tell browsers to use only https")
    ] = None,
) -> None:
    if hsts not in (None, "on", "off"):
        raise UsageError(f"--hsts {hsts[:20]!r} is neither on nor off", "for instance `https:enable shop --hsts on`")
    found = site(context, app, status_page)
    seconds = None if hsts is None else HSTS_DAYS * DAY_S if hsts == "on" else 0
    context.operations.https.enable(found, seconds, context.note, context.identity)
    rows = context.operations.https.status(found)
    for row in rows:
        context.line(f"{row.host}: {_said(row)}")
    if hsts == "on":
        told = [row.host for row in rows if row.state == "ok"]
        note = f"browsers now refuse http at {', '.join(told)} for {HSTS_DAYS} days after each visit"
        context.note(note if told else "--hsts takes effect once a host has a certificate that browsers trust")


@command(
    "https:disable",
    Role.DEPLOYER,
    "turn HTTPS off for an app",
    details="Its certificates are kept for the next https:enable. Browsers that received --hsts still refuse http.",
    examples=("https:disable shop", "https:disable --status-page"),
)
def disable(app: AppOrStatusPage = None, /, *, context: Ctx, status_page: OfStatusPage = False) -> None:
    found = site(context, app, status_page)
    hsts = wish_of(context.store, context.settings, found).hsts_s
    context.operations.https.disable(found, context.identity)
    context.line(f"{called(found)} is served by http only")
    if hsts:
        context.note(f"browsers that have been there still refuse http, for up to {hsts // DAY_S} days")


@command(
    "https:renew",
    Role.DEPLOYER,
    "renew an app's certificate now, if it is due or names are missing",
    details="gitship does this by itself. Until there is a new certificate, the old one stays in use.",
    examples=("https:renew shop", "https:renew shop --force", "https:renew --status-page"),
)
def renew(
    app: AppOrStatusPage = None,
    /,
    *,
    context: Ctx,
    status_page: OfStatusPage = False,
    force: Annotated[
        bool, Parameter(name="--force", help="even if it is not due, or the last attempts failed")
    ] = False,
) -> None:
    found = site(context, app, status_page)
    context.operations.https.renew(found, context.note, context.identity, force=force)
    for row in context.operations.https.status(found):
        context.line(f"{row.host}: {_said(row)}")


@command(
    "https:status",
    Role.VIEWER,
    "show the HTTPS state, certificate and problems of each host",
    columns=(
        Column("app", "the app; null for the status page"),
        Column("host", "the host name"),
        Column("state", "ok, off, self-signed, expired, or none: no certificate yet"),
        Column("source", "own, acme or self-signed; null without a certificate"),
        Column("issuer", "its issuer", json_only=True),
        Column("not_after", "when the certificate expires", json_only=True),
        Column("days", "whole days until then"),
        Column("renew_at", "when it is renewed", json_only=True),
        Column("problem", "why there is none, or why it was not renewed"),
        Column("retry_at", "when it is retried", json_only=True),
    ),
    examples=("https:status", "https:status shop --format json"),
    aliases=("https",),
)
def status(app: OptionalApp = None, /, *, context: Ctx, format: Format = "table") -> None:
    rows = [(found, row) for found in sites(context, app) for row in context.operations.https.status(found)]
    show(context, [_row(found, row) for found, row in rows], format, empty="no app yet")


def _row(site: Site, row: HostStatus) -> dict[str, Any]:
    certificate = row.certificate
    return {
        "app": None if is_status_page(site) else site.name,
        "host": row.host,
        "state": row.state,
        "source": str(certificate.source) if certificate else None,
        "issuer": certificate.issuer if certificate else None,
        "not_after": moment(certificate.not_after) if certificate else None,
        "days": days_left(certificate.not_after) if certificate else None,
        "renew_at": moment(row.renew_at),
        "problem": row.problem,
        "retry_at": moment(row.retry_at),
    }


def _said(row: HostStatus) -> str:
    if row.certificate is None:
        return f"no certificate{f' ({row.problem})' if row.problem else ''}"
    trusted = row.certificate.source.trusted
    kind = f"certificate of {row.certificate.issuer}" if trusted else "self-signed certificate, browsers show a warning"
    days = days_left(row.certificate.not_after)
    return f"{kind}, expired" if row.state == "expired" else f"{kind}, valid for {days} days"
