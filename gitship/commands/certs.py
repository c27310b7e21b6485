"""certs: certificates that an app's owner brings, and a list of all there are."""

from __future__ import annotations

from gitship.commands.https import AppOrStatusPage, OfStatusPage, OptionalApp, days_left, site, sites
from gitship.console import idempotence
from gitship.console.columns import Column
from gitship.console.command_registry import command
from gitship.console.context import Context, Ctx
from gitship.console.listing import Format, moment, show
from gitship.console.prompt import read_all
from gitship.errors import Conflict, UsageError
from gitship.front.tls import certificate
from gitship.front.tls.certificate import Certificate
from gitship.https.sites import called, hosts_of, is_status_page, word
from gitship.https.sites import sites as all_sites
from gitship.model import Role, Site

PEM_BYTES = 64 * 1024
SOON_DAYS = 14


@command(
    "certs:add",
    Role.DEPLOYER,
    "serve an app by HTTPS with a certificate of your own: certificate, chain and private key in one PEM, piped in",
    details=(
        "The order of the chain does not matter. It is shown at once, with no connection cut, in place of the one "
        "before and before one that gitship got; no names that it covers are asked of an authority. It is not renewed."
    ),
    examples=("certs:add shop < fullchain-and-key.pem",),
)
def add(app: AppOrStatusPage = None, /, *, context: Ctx, status_page: OfStatusPage = False) -> None:
    found = site(context, app, status_page)
    text = read_all(context.session, PEM_BYTES)
    if not text.strip():
        raise UsageError(
            "there is nothing on standard input", f"cat fullchain.pem privkey.pem | ssh ... certs:add {word(found)}"
        )
    own = certificate.read(text)
    _refuse_others(context, found, own)
    uncovered = context.operations.https.add_certificate(found, own, context.identity)
    days = days_left(own.not_after)
    context.line(f"{called(found)}: certificate of {own.issuer} for {', '.join(own.domains)}, valid for {days} days")
    if uncovered:
        context.note(f"it is not valid for {', '.join(uncovered)}")
    if own.self_signed:
        context.note("nobody but itself vouches for it: browsers warn of it")
    elif own.chain_length == 1:
        context.note("there is no intermediate certificate: some visitors will not trust it; send the whole chain")
    if days < SOON_DAYS:
        context.note(f"it ends in {days} days")


def _refuse_others(context: Context, site: Site, own: Certificate) -> None:
    """A name that is another's, in so many words: whoever holds that key could pose as it."""
    for other in all_sites(context.store, context.settings):
        if other.id == site.id:
            continue
        taken = sorted(set(hosts_of(context.store, context.settings, other)) & set(own.domains))
        if taken:
            whose = f"the app '{other.name}'" if context.identity.sees(other.id) else "another app"
            whose = called(other) if is_status_page(other) else whose
            raise Conflict(
                f"the certificate is for {taken[0]}, too, which leads to {whose}", "use one without that name"
            )


@command(
    "certs:remove",
    Role.DEPLOYER,
    "stop using an app's own certificate; with HTTPS on, gitship gets one",
    examples=("certs:remove shop",),
)
def remove(app: AppOrStatusPage = None, /, *, context: Ctx, status_page: OfStatusPage = False) -> None:
    found = site(context, app, status_page)
    with idempotence.is_done():
        context.operations.https.remove_certificate(found, context.identity)
    context.line(f"removed the certificate of {called(found)}")


@command(
    "certs:list",
    Role.VIEWER,
    "every certificate, an app's or of all apps",
    columns=(
        Column("app", "the app; null for the status page"),
        Column("domains", "the names that it is valid for"),
        Column("issuer", "who vouches for it"),
        Column("source", "own, acme or self-signed"),
        Column("not_after", "when it ends"),
        Column("days", "whole days until then"),
    ),
    examples=("certs:list", "certs:list shop --format json"),
    aliases=("certs",),
)
def list_certificates(app: OptionalApp = None, /, *, context: Ctx, format: Format = "table") -> None:
    rows = [
        {
            "app": None if is_status_page(found) else found.name,
            "domains": list(stored.domains),
            "issuer": stored.issuer,
            "source": str(stored.source),
            "not_after": moment(stored.not_after),
            "days": days_left(stored.not_after),
        }
        for found in sites(context, app)
        for stored in context.store.certificates(found.id)
    ]
    show(context, rows, format, empty="none")
