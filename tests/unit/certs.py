"""A certificate authority of the tests' own: root, intermediate, and what it issues."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Issued:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def key_pem(self) -> str:
        form = serialization.PrivateFormat.PKCS8
        return self.key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def issue(
    name: str,
    hosts: Sequence[str] = (),
    by: Issued | None = None,
    *,
    days: float = 90,
    since: float = -1,
    key: Any = None,
    ca: bool = False,
) -> Issued:
    """Valid from ``since`` to ``days`` days from now."""
    own, now = key or ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + since * DAY)
        .not_valid_after(now + days * DAY)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if hosts:
        names = x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts])
        builder = builder.add_extension(names, critical=False)
    return Issued(builder.sign(by.key if by else own, hashes.SHA256()), own)


@functools.cache
def root() -> Issued:
    return issue("Test Root", days=3650, ca=True)


@functools.cache
def intermediate() -> Issued:
    return issue("Test Intermediate", by=root(), days=3650, ca=True)


def leaf(*hosts: str, **more: Any) -> Issued:
    return issue(hosts[0], hosts, intermediate(), **more)


def bundle(*hosts: str, **more: Any) -> str:
    """Certificate, intermediate and key, as one sends them."""
    made = leaf(*hosts, **more)
    return made.pem + intermediate().pem + made.key_pem
