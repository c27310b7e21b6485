"""certs: install your own certificates, and list all certificates."""

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
    "install your own certificate for an app; reads certificate, chain and private key as PEM from standard input",
    details=(
        "The order of the chain does not matter. It takes effect at once and cuts no connection. It replaces the "
        "previous one, takes precedence over one that gitship obtained, and none is requested for the names it "
        "covers. It is not renewed."
    ),
    examples=("certs:add shop < fullchain-and-key.pem",),
)
def add(app: AppOrStatusPage = None, /, *, context: Ctx, status_page: OfStatusPage = False) -> None:
    found = site(context, app, status_page)
    text = read_all(context.session, PEM_BYTES)
    if not text.strip():
        raise UsageError("standard input is empty", f"cat fullchain.pem privkey.pem | ssh ... certs:add {word(found)}")
    own = certificate.read(text)
    _refuse_others(context, found, own)
    uncovered = context.operations.https.add_certificate(found, own, context.identity)
    days = days_left(own.not_after)
    context.line(f"{called(found)}: certificate of {own.issuer} for {', '.join(own.domains)}, valid for {days} days")
    if uncovered:
        context.note(f"it is not valid for {', '.join(uncovered)}")
    if own.self_signed:
        context.note("it is self-signed: browsers show a warning")
    elif own.chain_length == 1:
        context.note("the intermediate certificate is missing: some clients will not trust it; send the whole chain")
    if days < SOON_DAYS:
        context.note(f"it expires in {days} days")


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
                f"the certificate also covers {taken[0]}, which belongs to {whose}",
                "use a certificate without that name",
            )


@command(
    "certs:remove",
    Role.DEPLOYER,
    "remove your own certificate; with HTTPS enabled, gitship obtains one",
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
    "list the certificates of an app, or of all apps",
    columns=(
        Column("app", "the app; null for the status page"),
        Column("domains", "the names it is valid for"),
        Column("issuer", "its issuer"),
        Column("source", "own, acme or self-signed"),
        Column("not_after", "when it expires"),
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
