"""Accounts at a real authority's protocol that are bound to another one there (EAB), and how often it is asked."""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gitship.appsettings import HTTPS, HttpsWish
from gitship.config import HttpsSettings, Settings
from gitship.errors import CertificateError, Conflict, GitshipError
from gitship.events import Bus
from gitship.front.acme_challenges import PATH
from gitship.https.acme import AcmeAuthority
from gitship.https.dns_hook import DnsHook
from gitship.https.install_certificates import CertificateInstaller
from gitship.https.issue import FREE_ATTEMPTS
from gitship.https.renewer import CertificateRenewer
from gitship.model import GITSHIP, App, CertificateSource, StoredCertificate
from gitship.store import Store
from tests.e2e.authority import Pebble, pebble
from tests.places import free_port
from tests.unit.certs import issue
from tests.unit.memory.https import Curtain, https_of, unanswered
from tests.unit.memory.server import MemoryServer

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]

KID, HMAC = "kid-7", base64.urlsafe_b64encode(bytes(range(32))).rstrip(b"=").decode()
HOST = "bound.gitship-shop.net"


@dataclass
class Web:
    """What stands at port 80: answers challenges; or, as a directory, fails with ``status`` whatever is asked."""

    status: int = 200
    answers: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def answer(self, answers: Mapping[str, str]) -> None:
        self.answers = dict(answers)


@contextlib.contextmanager
def serving(web: Web, port: int) -> Iterator[None]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            web.asked.append(self.path)
            text = web.answers.get(self.path.removeprefix(PATH), "")
            self.send_response(web.status if text or web.status != 200 else 404)
            self.send_header("Content-Type", "application/json" if text.startswith("{") else "text/plain")
            self.end_headers()
            self.wfile.write(text.encode())

        do_HEAD = do_POST = do_GET

        def log_message(self, format: str, *args: object) -> None:
            return None

    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="web")
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def binding(module_base: Path, port: int) -> Iterator[Pebble]:
    with pebble(module_base / "pebble", port, {KID: HMAC}) as started:
        yield started


def settings_of(binding: Pebble, kid: str = "", key: str = "") -> HttpsSettings:
    ca = str(binding.ca)
    return HttpsSettings(directory=binding.directory, directory_ca=ca, check_dns=False, eab_kid=kid, eab_hmac_key=key)


def asking(settings: HttpsSettings, base: Path, web: Web) -> AcmeAuthority:
    return AcmeAuthority(settings, base / "acme", DnsHook(base / "none"), web.answer)


def test_an_account_is_bound_to_the_one_of_the_settings(binding: Pebble, base: Path, port: int) -> None:
    web = Web()
    settings = settings_of(binding, KID, HMAC)
    with serving(web, port):
        first = asking(settings, base, web).obtain([HOST])
        [account] = (base / "acme").iterdir()
        known = account.read_text()
        again = asking(settings_of(binding), base, web).obtain([HOST])  # the account is enough from now on
    names = x509.load_pem_x509_certificate(first.encode()).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert names.value.get_values_for_type(x509.DNSName) == [HOST]
    assert first != again and account.read_text() == known and len(web.asked) > 0


@pytest.mark.parametrize(
    ("kid", "key", "message", "hint"),
    [
        ("", "", "requires external account binding", "eab_kid"),
        ("kid-8", HMAC, "refused: the field 'kid' references a key that is not known", "eab_kid"),
        (
            KID,
            base64.urlsafe_b64encode(bytes(32)).rstrip(b"=").decode(),
            "refused: external account binding JWS verification error",
            "eab_hmac_key",
        ),
    ],
)
def test_without_the_right_binding_the_authoritys_words_are_told(
    binding: Pebble, base: Path, kid: str, key: str, message: str, hint: str
) -> None:
    with pytest.raises(CertificateError) as told:
        asking(settings_of(binding, kid, key), base, Web()).obtain([HOST])
    assert message in told.value.message and hint in told.value.hint


def test_an_authority_that_cannot_be_reached_is_named(binding: Pebble, base: Path) -> None:
    settings = settings_of(binding)
    silent = replace(settings, directory=f"https://localhost:{free_port()}/dir")
    unknown = replace(settings, directory="https://ca.gitship.invalid/dir")
    strange = replace(settings, directory_ca="")
    for bad, reason in (
        (silent, "connection refused"), (unknown, "its name does not resolve"),
        (strange, "its own certificate is not trusted"),
    ):  # fmt: skip
        with pytest.raises(CertificateError) as told:
            asking(bad, base, Web()).obtain([HOST])
        assert f"the authority at {bad.directory} cannot be reached" in told.value.message
        assert reason in told.value.message and "[https] directory" in told.value.hint


def test_the_time_that_an_authority_suggests_is_asked_for_and_taken(base: Path) -> None:
    """RFC 9773, section 4. No authority that can be had as a package offers it, so this one is made up."""
    issuer = issue("An Authority", days=3650, ca=True)
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(issuer.certificate.subject)
        .issuer_name(issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(0x8765)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=90))
        .add_extension(x509.AuthorityKeyIdentifier(b"issuer", None, None), critical=False)
        .sign(issuer.key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
    listen, window = free_port(), {"start": "2030-01-02T03:00:00Z", "end": "2030-01-02T04:00:00Z"}
    url = f"http://127.0.0.1:{listen}"
    directory = {name: f"{url}/{name}" for name in ("newNonce", "newAccount", "newOrder", "revokeCert", "keyChange")}
    web = Web(answers={"/dir": json.dumps(directory)})
    authority = asking(HttpsSettings(directory=f"{url}/dir", check_dns=False), base, web)
    with serving(web, listen):
        assert authority.suggestion(pem) is None
        web.answers["/dir"] = json.dumps(directory | {"renewalInfo": f"{url}/ari"})
        with pytest.raises(CertificateError):  # it says that it does, and does not
            authority.suggestion(pem)
        known = ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in (b"issuer", b"\0\x87\x65"))
        web.answers[f"/ari/{known}"] = json.dumps({"suggestedWindow": window})
        suggested = authority.suggestion(pem)
    begin = datetime(2030, 1, 2, 3, tzinfo=UTC).timestamp()
    assert suggested is not None and begin <= suggested <= begin + 3600
    assert set(web.asked) == {"/dir", f"/ari/{known}"}  # no account is needed for it


@pytest.mark.parametrize("status", [404, 429, 500, 503])
def test_a_directory_that_fails_is_left_alone(base: Path, status: int) -> None:
    """By itself gitship asks once in each wait, over restarts, and a person a few times: no request more."""
    web, listen = Web(status), free_port()
    https = HttpsSettings(directory=f"http://127.0.0.1:{listen}/dir", check_dns=False)
    settings = Settings(data_dir=base, domain="localhost", https=https)
    store = Store(settings.database)
    shop = store.create_app("shop")
    store.add_domain(shop.id, "www.example.com")
    store.set_setting(shop.id, HTTPS, HttpsWish(True))
    curtain, gates = Curtain(), MemoryServer(store, settings).gates
    with serving(web, listen), contextlib.closing(store):
        for _ in range(20):  # each with parts of its own, as after a restart
            authority = AcmeAuthority(https, settings.acme_accounts, DnsHook(base / "none"), unanswered)
            showing = CertificateInstaller(settings, store, curtain, gates)
            operations = https_of(settings, store, showing, authority)
            CertificateRenewer(settings, store, Bus(), showing, operations, authority).look()
        assert web.asked == ["/dir"]
        for _ in range(FREE_ATTEMPTS + 10):
            with pytest.raises((CertificateError, Conflict)):
                operations.renew(shop, lambda text: None, GITSHIP)
        assert len(web.asked) == 1 + FREE_ATTEMPTS
        attempt = store.certificate_attempt(shop.id)
        assert attempt is not None and "sent an unexpected answer" in attempt.reason
        store.put_certificate_attempt(shop.id, replace(attempt, next_at=0.0))
        with contextlib.suppress(GitshipError):
            operations.ask(shop, lambda text: None)
        assert len(web.asked) == 2 + FREE_ATTEMPTS


def issued(store: Store, app: App) -> StoredCertificate:
    [found] = [c for c in store.certificates(app.id) if c.source is CertificateSource.ACME]
    return found


def test_an_app_that_asks_a_lot_leaves_others_their_certificates(binding: Pebble, base: Path, port: int) -> None:
    """By real orders: ten in three hours are an app's, however often its names change and whoever asks."""
    https = settings_of(binding, KID, HMAC)
    settings = Settings(data_dir=base, domain="localhost", https=https)
    store, web = Store(settings.database), Web()
    apps = {name: store.create_app(name) for name in ("flood", "calm")}
    for app in apps.values():
        store.set_setting(app.id, HTTPS, HttpsWish(True))
    curtain, gates = Curtain(), MemoryServer(store, settings).gates
    authority = asking(https, base, web)
    showing = CertificateInstaller(settings, store, curtain, gates)
    operations = https_of(settings, store, showing, authority)
    keeper = CertificateRenewer(settings, store, Bus(), showing, operations, authority)
    with serving(web, port), contextlib.closing(store):
        for number in range(14):
            store.add_domain(apps["flood"].id, f"n{number}.flood.net")
            keeper.look()
        flooded = issued(store, apps["flood"])
        assert len(flooded.domains) == 10
        with pytest.raises(Conflict, match="flood has to wait: one app may ask for 10 orders in 3 hours"):
            operations.renew(apps["flood"], lambda text: None, GITSHIP, force=True)
        store.add_domain(apps["calm"].id, "www.calm.net")
        keeper.look()
        assert issued(store, apps["calm"]).domains == ("www.calm.net",)
        store.suggest_renewal(flooded.id, 1.0)  # what serves is renewed all the same, by the names that it has
        keeper.look()
        renewed = issued(store, apps["flood"])
        assert renewed.pem != flooded.pem and set(renewed.domains) == set(flooded.domains)
