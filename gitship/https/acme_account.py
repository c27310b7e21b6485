"""ACME account: its key and URL, in a file (0600)."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import josepy.errors
from cryptography.hazmat.primitives.asymmetric import ec
from josepy.jwk import JWKEC

from gitship.errors import CertificateError
from gitship.front.atomic_file import write_atomically


class Account:
    """One per directory URL; the key is made once and kept, so the authority knows this server again."""

    def __init__(self, accounts: Path, directory: str) -> None:
        """Raises CertificateError when the file is damaged."""
        self._accounts = accounts
        self._directory = directory
        self._path = accounts / f"{hashlib.sha256(directory.encode()).hexdigest()[:16]}.json"
        self.uri: str | None = None
        self.key = self._load()

    def save(self, uri: str | None) -> None:
        """``uri`` is where the authority keeps the account; None: it is not known there."""
        self.uri = uri
        document = {"directory": self._directory, "uri": uri, "key": self.key.to_json()}
        write_atomically(self._path, json.dumps(document, indent=2) + "\n")

    def _load(self) -> JWKEC:
        self._accounts.mkdir(parents=True, exist_ok=True)
        self._accounts.chmod(0o700)
        if not self._path.exists():
            self.key = JWKEC(key=ec.generate_private_key(ec.SECP256R1()))
            self.save(None)  # before it is used: an account whose key is lost is of no use
            return self.key
        try:
            document = json.loads(self._path.read_text(encoding="utf-8"))
            self.uri = document["uri"]
            key = JWKEC.from_json(document["key"])
            if not isinstance(key, JWKEC):
                raise TypeError("not an EC key")
            return key
        except (OSError, ValueError, KeyError, TypeError, josepy.errors.Error) as error:
            raise CertificateError(
                f"the account's file {self._path} cannot be read: {error}", "move it away to create a new account"
            ) from None
