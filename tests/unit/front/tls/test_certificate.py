"""Certificates as people send them."""

from __future__ import annotations

import itertools
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from gitship.errors import GitshipError
from gitship.front.tls import self_signed
from gitship.front.tls.certificate import covers, read
from gitship.front.tls.served_certificates import LARGEST_PEM_BYTES
from tests.unit.certs import bundle, intermediate, issue, leaf, root

SHOP = leaf("shop.example.com", "*.shop.example.com")


def names(pem: str) -> list[str]:
    return [c.subject.rfc4514_string() for c in x509.load_pem_x509_certificates(pem.encode())]


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_the_chain_is_put_in_order_and_the_root_left_out(order: tuple[int, ...]) -> None:
    parts = [SHOP.pem, intermediate().pem, root().pem, SHOP.key_pem]
    got = read("\n\n text between \n".join(parts[n] for n in order))
    assert names(got.pem) == ["CN=shop.example.com", "CN=Test Intermediate"]
    assert got.pem.rstrip().endswith("-----END PRIVATE KEY-----") and "\n\n" not in got.pem
    assert (got.domains, got.issuer, got.chain_length, got.self_signed) == (
        ("*.shop.example.com", "shop.example.com"), "Test Intermediate", 2, False,
    )  # fmt: skip
    assert got.not_before < time.time() < got.not_after


def test_a_stranger_in_the_chain_is_left_out() -> None:
    stranger = issue("Another", days=3650, ca=True)
    assert names(read(SHOP.pem + stranger.pem + SHOP.key_pem).pem) == ["CN=shop.example.com"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no private key found"),
        (SHOP.pem, "no private key found"),
        (SHOP.key_pem, "no certificate found in the input"),
        (SHOP.pem + leaf("x.example.com").key_pem, "does not belong"),
        (SHOP.pem.replace("\nMII", "\nAAA") + SHOP.key_pem, "certificate cannot be read"),
        (SHOP.pem + SHOP.key_pem.replace("\nMI", "\nAA"), "private key cannot be read"),
        (bundle("shop.example.com", days=-0.1), "expired on"),
        (bundle("shop.example.com", since=0.5), "not valid before"),
        (bundle("shop.example.com", key=rsa.generate_private_key(65537, 1024)), "weak: RSA with 1024"),
        (bundle("shop.example.com", key=ec.generate_private_key(ec.SECP192R1())), "do not support the curve"),
        ((lambda made: made.pem + made.key_pem)(issue("no hosts", by=intermediate())), "contains no host name"),
        (bundle(*(f"a-rather-long-name-{n}.example.com" for n in range(400))), "bytes, more than"),
    ],
)  # fmt: skip
def test_what_would_not_work_is_refused(text: str, reason: str) -> None:
    with pytest.raises(GitshipError, match=reason) as told:
        read(text)
    assert told.value.hint


def test_an_encrypted_key_is_named_as_such() -> None:
    secret = serialization.BestAvailableEncryption(b"secret")
    key = SHOP.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, secret).decode()
    with pytest.raises(GitshipError, match=r"encrypted|no private key"):
        read(SHOP.pem + key)
    old = SHOP.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, secret)
    with pytest.raises(GitshipError, match="encrypted"):
        read(SHOP.pem + old.decode())


def test_one_label_is_what_a_wildcard_stands_for() -> None:
    domains = ("example.com", "*.example.com")
    assert all(covers(domains, host) for host in ("example.com", "a.example.com", "*.example.com"))
    assert not any(covers(domains, host) for host in ("a.b.example.com", "example.net", "*.a.example.com", "com"))


def test_what_gitship_signs_itself_is_read_like_any_other() -> None:
    got = read(self_signed.make(["shop.localhost", "x" * 60 + ".localhost"], 30))
    assert got.self_signed and got.chain_length == 1 and "shop.localhost" in got.domains
    assert len(got.pem) < LARGEST_PEM_BYTES
