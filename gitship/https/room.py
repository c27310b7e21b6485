"""Certificates: got, shown, renewed."""

from __future__ import annotations

from dataclasses import dataclass

from gitship.core import Core
from gitship.front.front import Front
from gitship.front.tls.terminator import Terminator
from gitship.https.acme import AcmeAuthority
from gitship.https.app_https import ServerHttps
from gitship.https.dns_hook import DnsHook
from gitship.https.install_certificates import CertificateInstaller
from gitship.https.issue import Issuer
from gitship.https.renewer import CertificateRenewer
from gitship.routing.access_control import AccessControl


@dataclass(frozen=True, slots=True)
class HttpsRoom:
    operations: ServerHttps
    renewer: CertificateRenewer

    def start(self) -> None:
        self.renewer.start()

    def stop(self) -> None:
        self.renewer.stop()


def build(core: Core, front: Front, terminator: Terminator, gates: AccessControl) -> HttpsRoom:
    settings, store = core.settings, core.store
    hook = DnsHook(settings.hooks_dir / "dns-01")
    authority = AcmeAuthority(settings.https, settings.acme_accounts, hook, front.answer_challenges)
    showing = CertificateInstaller(settings, store, terminator, gates)
    issuer = Issuer(settings, store, authority, front.answer_challenges)
    operations = ServerHttps(settings, store, showing, issuer, lambda: hook.there)
    return HttpsRoom(operations, CertificateRenewer(settings, store, core.bus, showing, operations, authority))
