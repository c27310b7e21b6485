"""Parses and validates a PEM with certificate, chain and key."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from gitship.errors import GitshipError
from gitship.front.tls.served_certificates import LARGEST_PEM_BYTES
from gitship.model import WILDCARD

RSA_BITS = 2048
CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)

_KEY = re.compile(r"-----BEGIN ((?:[A-Z0-9]+ )*)PRIVATE KEY-----.*?-----END \1PRIVATE KEY-----", re.DOTALL)
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_HINT = "send the certificate, its chain and the private key in one: cat fullchain.pem privkey.pem | ... certs:add APP"

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True, slots=True)
class Certificate:
    """``pem`` is what haproxy takes: certificate, chain, key, no empty lines. Times are epoch seconds."""

    domains: tuple[str, ...]
    issuer: str
    not_before: float
    not_after: float
    pem: str
    chain_length: int
    self_signed: bool

    def covers(self, host: str) -> bool:
        """True when it is valid for ``host``, which may itself be a wildcard."""
        return covers(self.domains, host)


def covers(domains: Iterable[str], host: str) -> bool:
    """A wildcard stands for exactly one label (RFC 6125, section 6.4.3)."""
    parent = WILDCARD + host.partition(".")[2]
    return host in domains or (not host.startswith(WILDCARD) and parent in domains)


def read(text: str, now: float | None = None) -> Certificate:
    """The certificate whose key is in ``text``, with its chain put in order.

    Raises GitshipError: no key or certificate, no match, weak, expired, not valid yet, too large.
    """
    key = _key(text)
    certificates = _certificates(text)
    leaf = next((c for c in certificates if c.public_key() == key.public_key()), None)
    if leaf is None:
        raise GitshipError(
            "the private key does not belong to the certificate", "send the key that belongs to the certificate"
        )
    _check_strength(key, leaf)
    _check_time(leaf, time.time() if now is None else now)
    chain = _chain(leaf, certificates)
    domains = _domains(leaf)
    if not domains:
        raise GitshipError("the certificate contains no host name", "add subject alternative names")
    pem = "".join(c.public_bytes(serialization.Encoding.PEM).decode() for c in chain) + _key_text(key)
    if len(pem) > LARGEST_PEM_BYTES:
        raise GitshipError(
            f"certificate, chain and key are {len(pem):,} bytes, more than {LARGEST_PEM_BYTES:,}",
            "leave out the root certificate, or use a certificate with fewer names or an EC key",
        )
    return Certificate(
        domains=domains,
        issuer=_issuer(leaf),
        not_before=leaf.not_valid_before_utc.timestamp(),
        not_after=leaf.not_valid_after_utc.timestamp(),
        pem=pem,
        chain_length=len(chain),
        self_signed=_issued(leaf, leaf),
    )


def _key(text: str) -> PrivateKey:
    found = _KEY.search(text)
    if found is None:
        raise GitshipError("no private key found in the input", _HINT)
    try:
        key = serialization.load_pem_private_key(found[0].encode(), password=None)
    except TypeError:
        raise GitshipError("the private key is encrypted", "decrypt it first: openssl pkey -in privkey.pem") from None
    except (ValueError, UnsupportedAlgorithm):
        raise GitshipError("the private key cannot be read", _HINT) from None
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey):
        raise GitshipError("browsers do not support this kind of private key", "use RSA or an EC key of P-256")
    return key


def _certificates(text: str) -> list[x509.Certificate]:
    found = _CERTIFICATE.findall(text)
    if not found:
        raise GitshipError("no certificate found in the input", _HINT)
    try:
        return [x509.load_pem_x509_certificate(pem.encode()) for pem in found]
    except ValueError:
        raise GitshipError("a certificate cannot be read", _HINT) from None


def _check_strength(key: PrivateKey, leaf: x509.Certificate) -> None:
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size < RSA_BITS:
        raise GitshipError(f"the key is weak: RSA with {key.key_size} bits", f"make one with at least {RSA_BITS}")
    if isinstance(key, ec.EllipticCurvePrivateKey) and not isinstance(key.curve, CURVES):
        raise GitshipError(f"browsers do not support the curve {key.curve.name}", "use a key on P-256")
    if isinstance(leaf.signature_hash_algorithm, hashes.SHA1 | hashes.MD5):
        raise GitshipError(f"the signature is weak: {leaf.signature_hash_algorithm.name}", "get it issued with SHA-256")


def _check_time(leaf: x509.Certificate, now: float) -> None:
    if leaf.not_valid_after_utc.timestamp() <= now:
        raise GitshipError(f"the certificate expired on {leaf.not_valid_after_utc:%Y-%m-%d}", "send a newer one")
    if leaf.not_valid_before_utc.timestamp() > now:
        raise GitshipError(
            f"the certificate is not valid before {leaf.not_valid_before_utc:%Y-%m-%d %H:%M} UTC",
            "wait until then; if that is past, set this machine's clock",
        )


def _chain(leaf: x509.Certificate, certificates: list[x509.Certificate]) -> list[x509.Certificate]:
    """From the leaf up, whatever the order in which they came; roots and strangers are left out."""
    chain = [leaf]
    while True:
        last = chain[-1]
        above = next((c for c in certificates if c not in chain and not _issued(c, c) and _issued(last, c)), None)
        if above is None:
            return chain
        chain.append(above)


def _issued(certificate: x509.Certificate, by: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(by)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _domains(leaf: x509.Certificate) -> tuple[str, ...]:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(sorted({name.lower() for name in names.get_values_for_type(x509.DNSName)}))


def _issuer(leaf: x509.Certificate) -> str:
    for oid in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME):
        if found := leaf.issuer.get_attributes_for_oid(oid):
            return str(found[0].value)
    return leaf.issuer.rfc4514_string()


def _key_text(key: PrivateKey) -> str:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()
