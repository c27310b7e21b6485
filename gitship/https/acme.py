"""ACME client (RFC 8555): obtains certificates."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import requests
from acme import challenges, crypto_util, errors, messages
from acme.client import ClientNetwork, ClientV2
from josepy.jwa import ES256

from gitship import __version__
from gitship.config import HttpsSettings
from gitship.errors import CertificateError
from gitship.front.tls import self_signed
from gitship.https.acme_account import Account
from gitship.https.acme_errors import refused, told
from gitship.https.acme_transport import BoundedAdapter
from gitship.https.dns_hook import DnsHook
from gitship.model import WILDCARD

REQUEST_TIMEOUT_S = 30  # with its whole answer
ORDER_TIMEOUT_S = 180.0
MOST_S = 600.0  # of everything about a certificate: DNS records may take their time, too
MOST_REDIRECTS = 3
NONCE_TRIES = 3

Answer = Callable[[Mapping[str, str]], None]


class _Network(ClientNetwork):
    """Sends a request again whose nonce was used up, as often as is reasonable (RFC 8555, section 6.5)."""

    def post(self, *args: Any, **kwargs: Any) -> requests.Response:
        for _ in range(NONCE_TRIES):
            try:
                return super().post(*args, **kwargs)
            except messages.Error as error:
                if error.code != "badNonce":
                    raise
        return super().post(*args, **kwargs)


class Authority(Protocol):
    """Whoever gives certificates. Every method raises CertificateError with the authority's own words."""

    def obtain(self, names: Sequence[str]) -> str:
        """Certificate, chain and a new key for ``names``, as one PEM."""
        ...

    def suggestion(self, pem: str) -> float | None:
        """When the authority would like that certificate to be renewed (RFC 9773); None: it doesn't say."""
        ...


class AcmeAuthority:
    """One order at a time: the caller sees to that."""

    def __init__(self, settings: HttpsSettings, accounts: Path, hook: DnsHook, answer: Answer) -> None:
        """``answer`` takes all tokens and answers that visitors of the challenge path get from now on."""
        self._settings = settings
        self._accounts = accounts
        self._hook = hook
        self._answer = answer

    def obtain(self, names: Sequence[str]) -> str:
        """See ``Authority``."""
        with told(self._settings.directory):
            client, account = self._client()
            key = self_signed.key_pem(self_signed.new_key())
            order = self._order(client, account, crypto_util.make_csr(key.encode(), list(names)))
            deadline = datetime.datetime.now() + datetime.timedelta(seconds=ORDER_TIMEOUT_S)
            order = self._prove(client, account, order, deadline)
            return str(client.finalize_order(order, deadline).fullchain_pem).rstrip() + "\n" + key

    def suggestion(self, pem: str) -> float | None:
        """See ``Authority``."""
        with told(self._settings.directory):
            client, _ = self._client()
            at, _ = client.renewal_time(pem.encode())
            return at.timestamp() if at else None

    # -- the account

    def _client(self) -> tuple[ClientV2, Account]:
        account = Account(self._accounts, self._settings.directory)
        verify: Any = self._settings.directory_ca or True  # a path will do, as in requests
        network = _Network(
            account.key, alg=ES256, verify_ssl=verify, user_agent=f"gitship/{__version__}",
            timeout=REQUEST_TIMEOUT_S,
        )  # fmt: skip
        bounded = BoundedAdapter(REQUEST_TIMEOUT_S, time.monotonic() + MOST_S)
        for scheme in ("http://", "https://"):
            network.session.mount(scheme, bounded)
        network.session.max_redirects = MOST_REDIRECTS
        client = ClientV2(ClientV2.get_directory(self._settings.directory, network), network)
        if account.uri is not None:
            network.account = _registration(account.uri)
        return client, account

    def _order(self, client: ClientV2, account: Account, csr: bytes) -> messages.OrderResource:
        if account.uri is None:
            self._register(client, account)
        try:
            return client.new_order(csr)
        except messages.Error as error:
            if error.code != "accountDoesNotExist":
                raise
        self._register(client, account)  # the authority has forgotten it
        return client.new_order(csr)

    def _register(self, client: ClientV2, account: Account) -> None:
        settings = self._settings
        binding = None
        if settings.eab_kid and settings.eab_hmac_key:
            binding = messages.ExternalAccountBinding.from_data(
                account.key.public_key(), settings.eab_kid, settings.eab_hmac_key, client.directory
            )
        elif client.external_account_required():
            raise CertificateError(
                "the certificate authority requires external account binding",
                "get a key id and an HMAC key from it, and set eab_kid and eab_hmac_key in [https]",
            )
        client.net.account = None
        body = messages.NewRegistration.from_data(
            email=settings.email or None, terms_of_service_agreed=True, external_account_binding=binding
        )
        try:
            uri = str(client.new_account(body).uri)
        except errors.ConflictError as known:  # its address was lost in a crash
            uri = str(known.location)
        except messages.Error as error:
            if binding is None or error.code == "rateLimited":
                raise
            raise refused(error, "check eab_kid and eab_hmac_key in [https]") from None
        account.save(uri)
        client.net.account = _registration(uri)

    # -- proving

    def _prove(
        self, client: ClientV2, account: Account, order: messages.OrderResource, deadline: datetime.datetime
    ) -> messages.OrderResource:
        pending = [a for a in order.authorizations if a.body.status == messages.STATUS_PENDING]
        picked = [(a, _pick(a)) for a in pending]
        answers = {
            c.chall.encode("token"): c.validation(account.key)
            for _, c in picked
            if isinstance(c.chall, challenges.HTTP01)
        }
        records = [
            (
                a.body.identifier.value,
                c.chall.validation_domain_name(a.body.identifier.value),
                c.validation(account.key),
            )
            for a, c in picked
            if isinstance(c.chall, challenges.DNS01)
        ]
        try:
            self._answer(answers)
            for host, name, value in records:
                self._publish(host, name, value)
            for _, challenge in picked:
                client.answer_challenge(challenge, challenge.response(account.key))
            return client.poll_authorizations(order, deadline)
        finally:
            self._answer({})
            for _, name, value in records:
                self._hook.remove(name, value)

    def _publish(self, host: str, name: str, value: str) -> None:
        try:
            self._hook.add(name, value)
        except CertificateError as error:  # which keeps the other names of the order from nothing
            raise CertificateError(error.message, error.hint, hosts=[f"{WILDCARD}{host}"]) from None


def _registration(uri: str) -> messages.RegistrationResource:
    return messages.RegistrationResource(body=messages.Registration(), uri=uri)


def _pick(authorization: messages.AuthorizationResource) -> messages.ChallengeBody:
    """By HTTP wherever that is allowed: it needs nothing of anybody."""
    name = authorization.body.identifier.value
    kind = challenges.DNS01 if authorization.body.wildcard else challenges.HTTP01
    found = next((c for c in authorization.body.challenges if isinstance(c.chall, kind)), None)
    if found is None:
        shown = f"{WILDCARD}{name}" if authorization.body.wildcard else name
        raise CertificateError(f"the authority offers no supported challenge for {shown}", hosts=[shown])
    return found
