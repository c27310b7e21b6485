"""HTTPS without haproxy and without an authority on the network: the rest is the real thing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from gitship.config import Settings
from gitship.errors import CertificateError, FrontError
from gitship.front.tls.served_certificates import ServedCertificate
from gitship.https.acme import Authority
from gitship.https.app_https import ServerHttps
from gitship.https.install_certificates import CertificateInstaller
from gitship.https.issue import Issuer
from gitship.store import Store
from tests.unit.certs import bundle


class Curtain:
    """Shows what it is told; ``refuses`` are words in a PEM that it doesn't take."""

    def __init__(self) -> None:
        self.shown: dict[str, str] | None = None  # host -> PEM; None: ended
        self.refuses: set[str] = set()
        self.missing = False

    def bring(self, entries: Iterable[ServedCertificate]) -> dict[str, FrontError]:
        if self.missing:
            raise FrontError("haproxy is not installed", "apt-get install haproxy")
        taken: dict[str, str] = {}
        refused: dict[str, FrontError] = {}
        for entry in entries:
            if entry.owner in self.refuses:
                refused[entry.name] = FrontError("haproxy rejected the certificate: no", "see the server's log")
            else:
                taken.update(dict.fromkeys(entry.hosts, entry.pem))
        self.shown = taken
        return refused

    def stop(self) -> None:
        self.shown = None

    def alive(self) -> bool:
        return self.shown is not None


class TestAuthority:
    """Issues at once; ``fails`` are hosts that it can't verify, ``asked`` the orders, ``hold_s`` its limit for
    those names, ``hold_all_s`` for everybody."""

    __test__ = False

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.fails: set[str] = set()
        self.hold_s = 0.0
        self.hold_all_s = 0.0
        self.days = 90.0
        self.suggested: float | None = None

    def obtain(self, names: Sequence[str]) -> str:
        self.asked.append(list(names))
        if self.hold_s:
            raise CertificateError("the authority refused: too many", hold_s=self.hold_s, hold_all_s=self.hold_all_s)
        if bad := sorted(self.fails & set(names)):
            raise CertificateError(f"the authority could not verify {bad[0]}: connection refused", hosts=bad)
        return bundle(*names, days=self.days)

    def suggestion(self, pem: str) -> float | None:
        return self.suggested


def unanswered(answers: Mapping[str, str]) -> None:
    """Nobody looks."""


def https_of(
    settings: Settings, store: Store, showing: CertificateInstaller, authority: Authority, *, wildcards: bool = False
) -> ServerHttps:
    return ServerHttps(settings, store, showing, Issuer(settings, store, authority, unanswered), lambda: wildcards)
