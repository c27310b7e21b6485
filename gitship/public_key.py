"""Parses and validates SSH public keys."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_public_key

from gitship.errors import GitshipError

MIN_RSA_BITS = 2048
MAX_RSA_BITS = 16384
MAX_KEY_CHARACTERS = 8192
ACCEPTED = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa")
HOW_TO_MAKE = "make a key with `ssh-keygen -t ed25519` and give the one line of its .pub file"

_KEY_TYPE = re.compile(r"(?:ssh|ecdsa|sk-ssh|sk-ecdsa)-[a-z0-9@.-]+")


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A usable public key. ``fingerprint`` is what ``ssh-keygen -l`` prints: ``SHA256:...``."""

    type: str
    base64: str
    comment: str
    fingerprint: str

    @property
    def line(self) -> str:
        """The key without its comment, as the store keeps it: ``type base64``."""
        return f"{self.type} {self.base64}"


def fingerprint(blob: bytes) -> str:
    """``SHA256:...`` of a key's wire form, as OpenSSH prints it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode("ascii").rstrip("=")


def parse(text: str) -> PublicKey:
    """The key in ``text``.

    Raises GitshipError that names what was given instead: a private key, a file name, a certificate, a security key,
    a key too weak, options before the key, several lines, or no key at all.
    """
    line = _one_line(text)
    words = line.split(maxsplit=2)
    kind = words[0]
    _refuse_type(kind, line)
    if len(words) < 2:
        raise GitshipError(f"the public key ends after '{kind}'", "give the whole line of the .pub file, in quotes")
    blob = _blob(kind, words[1])
    comment = "".join(c for c in words[2] if c.isprintable()).strip() if len(words) > 2 else ""
    return PublicKey(kind, base64.b64encode(blob).decode("ascii"), comment, fingerprint(blob))


def is_private(text: str) -> bool:
    return "PRIVATE KEY" in text or "PuTTY-User-Key-File" in text


def _one_line(text: str) -> str:
    if is_private(text):
        raise GitshipError(
            "that is a private key: never share it",
            "give its .pub file; since the private key was sent, you should replace it",
        )
    if "BEGIN" in text and "PUBLIC KEY" in text:
        raise GitshipError(
            "that public key is not in OpenSSH's one-line form",
            "convert it: `ssh-keygen -i -f FILE` (SSH2 form) or `ssh-keygen -i -m PKCS8 -f FILE` (PEM form)",
        )
    lines = [stripped for line in text.splitlines() if (stripped := line.strip())]
    if not lines:
        raise GitshipError("no public key given", HOW_TO_MAKE)
    if len(lines) > 1:
        raise GitshipError(f"{len(lines)} lines were given", "give one key at a time, on one line")
    if len(lines[0]) > MAX_KEY_CHARACTERS:
        raise GitshipError("that line is too long to be a public key", HOW_TO_MAKE)
    return lines[0]


def _refuse_type(kind: str, line: str) -> None:
    """Raises GitshipError unless ``kind``, the first word of ``line``, is a key type that can log in."""
    if kind in ACCEPTED:
        return
    if "-cert-v" in kind:
        raise GitshipError("SSH certificates are not supported", "give the plain public key that it was signed for")
    if kind.startswith("sk-"):
        raise GitshipError(f"security keys ({kind}) are not supported", HOW_TO_MAKE)
    if kind in ("ssh-dss", "ssh-dsa"):
        raise GitshipError("DSA keys are no longer secure", HOW_TO_MAKE)
    if any(_KEY_TYPE.fullmatch(word) for word in line.split()[1:]):
        raise GitshipError("options before the key are not supported", "give the line from 'ssh-...' on")
    if _KEY_TYPE.fullmatch(kind):
        raise GitshipError(f"keys of type {kind} are not supported", HOW_TO_MAKE)
    if "/" in kind or kind.endswith(".pub"):
        raise GitshipError(
            f"'{kind[:80]}' is a file name, and the server cannot see your files", "give the file's content, in quotes"
        )
    raise GitshipError(f"'{line[:40]}' is not a public key", HOW_TO_MAKE)


def _blob(kind: str, encoded: str) -> bytes:
    """The key's wire form. It must be the only way to write this key, or a login with it would not be recognised."""
    damaged = GitshipError("the public key is damaged", "give the whole line of the .pub file, without line breaks")
    try:
        blob = base64.b64decode(encoded, validate=True)
        key = load_ssh_public_key(f"{kind} {encoded}".encode("ascii"))
        again = key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).split()[1]
    except (ValueError, UnsupportedAlgorithm, binascii.Error):
        raise damaged from None
    if isinstance(key, RSAPublicKey) and not MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
        raise GitshipError(
            f"an RSA key of {key.key_size} bits is not accepted ({MIN_RSA_BITS} to {MAX_RSA_BITS} are)", HOW_TO_MAKE
        )
    if base64.b64decode(again) != blob:
        raise damaged
    return blob
