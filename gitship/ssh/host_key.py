"""The server's host key, and the key of `gitship <command>` on the server (ed25519)."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from paramiko import Ed25519Key, SSHException
from paramiko.pkey import PKey

from gitship.errors import ConfigError


def ensure(path: Path) -> PKey:
    """The ed25519 key at ``path``, made first when there is none: mode 0600, whole or not there at all.

    Raises ConfigError when it cannot be read, written, or is not an ed25519 key without passphrase.
    """
    try:
        if not path.exists():
            _make(path)
        path.chmod(0o600)
        return Ed25519Key.from_private_key_file(str(path))
    except OSError as error:
        raise ConfigError(
            f"cannot use the key {path}: {error.strerror or error}", "run this as the user that owns data_dir"
        ) from None
    except (SSHException, ValueError, IndexError, AssertionError):  # what Paramiko's parser does with damaged files
        raise ConfigError(
            f"{path} is not an ed25519 key without passphrase",
            "restore the right file, or move it away to get a new key (clients then ask to accept it)",
        ) from None


def public_line(key: PKey) -> str:
    """``type base64``, as in a known_hosts or .pub file."""
    return f"{key.get_name()} {key.get_base64()}"


def _make(path: Path) -> None:
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # made with mode 0600
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):  # another process was first; its key counts
            path.hardlink_to(temporary)
    finally:
        temporary.unlink()
