"""Encryption of backups: streams, both ways, and no thread is left of them."""

from __future__ import annotations

import contextlib
import gc
import itertools
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from gitship.backup import encryption
from gitship.backup.encryption import DamagedBackup, decrypted, encrypted, server_key, usable
from gitship.backup.stream import CHUNK_BYTES
from gitship.errors import ConfigError, GitshipError

CHUNK = os.urandom(64 << 10)


def pair(key: Ed25519PrivateKey | rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> tuple[str, str]:
    """The public line and the private key, as OpenSSH writes them."""
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    return public, key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()


ED25519 = pair(Ed25519PrivateKey.generate())
RSA = pair(rsa.generate_private_key(65537, 2048))
ECDSA = pair(ec.generate_private_key(ec.SECP256R1()))


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert [thread.name for thread in threading.enumerate() if thread.name == "backup-age"] == []


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    return server_key(tmp_path_factory.mktemp("key") / "backup.age")


def chunks(count: int) -> Iterator[bytes]:
    for _ in range(count):
        yield CHUNK


def test_each_recipient_can_decrypt(server: tuple[str, str]) -> None:
    content = list(encrypted(chunks(40), [f"{ED25519[0]} me@laptop", RSA[0], server[0]]))
    for identity in (ED25519[1], RSA[1], server[1]):
        assert b"".join(decrypted(content, identity)) == CHUNK * 40


def test_another_cannot(server: tuple[str, str]) -> None:
    content = list(encrypted(chunks(1), [ED25519[0]]))
    with pytest.raises(GitshipError, match="cannot be decrypted with this key"):
        list(decrypted(content, server[1]))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from([b"", b"a", CHUNK[:1000], CHUNK, CHUNK * 5]), max_size=12), st.integers(1, 200_000))
def test_what_goes_in_comes_out_however_it_is_cut(pieces: list[bytes], cut: int) -> None:
    whole = b"".join(encrypted(pieces, [ED25519[0]]))
    again = (whole[at : at + cut] for at in range(0, len(whole), cut))
    assert b"".join(decrypted(again, ED25519[1])) == b"".join(pieces)


@pytest.mark.parametrize("cut", [1, 17, 64 << 10, (64 << 10) + 16, 500_000])
def test_truncation_is_detected(cut: int) -> None:
    whole = b"".join(encrypted(chunks(10), [ED25519[0]]))
    with pytest.raises(DamagedBackup):
        list(decrypted([whole[:-cut]], ED25519[1]))


@pytest.mark.parametrize("at", [0, 60, 400, 100_000, -1])
def test_tampering_is_detected(at: int) -> None:
    whole = bytearray(b"".join(encrypted(chunks(10), [ED25519[0]])))
    whole[at] ^= 1
    with pytest.raises(GitshipError):
        list(decrypted([bytes(whole)], ED25519[1]))


@pytest.mark.parametrize("content", [[], [b"PGDMP not encrypted at all" * 100]])
def test_what_was_never_encrypted_is_damaged(content: list[bytes]) -> None:
    with pytest.raises(DamagedBackup):
        list(decrypted(content, ED25519[1]))


@pytest.mark.parametrize("after", [0, 1, 50])
def test_an_error_of_the_source_comes_out_as_it_is(after: int) -> None:
    error = OSError(5, "of the dump")

    def failing() -> Iterator[bytes]:
        yield from chunks(after)
        raise error

    with pytest.raises(OSError) as raised:
        list(encrypted(failing(), [ED25519[0]]))
    assert raised.value is error
    with pytest.raises(OSError) as raised:
        list(decrypted(encrypted(failing(), [ED25519[0]]), ED25519[1]))
    assert raised.value is error


@pytest.mark.parametrize("taken", [0, 1, 3])
def test_an_abandoned_stream_ends_its_thread_and_its_source(taken: int) -> None:
    ended = threading.Event()

    def endless() -> Iterator[bytes]:
        try:
            while True:
                yield CHUNK
        finally:
            ended.set()

    stream = decrypted(encrypted(endless(), [ED25519[0]]), ED25519[1])
    for _ in range(taken):
        next(stream)
    del stream
    gc.collect()
    assert ended.is_set() or taken == 0
    assert [thread for thread in threading.enumerate() if thread.name == "backup-age"] == []


def test_a_library_that_writes_once_more_when_it_fails_ends_all_the_same() -> None:
    """As a buffer of Rust does when it is dropped."""

    def run(source: encryption._ChunkSource, sink: encryption._ChunkSink) -> None:
        for _ in range(2):
            with contextlib.suppress(encryption._Abandoned):
                while True:
                    sink.write(source.read())

    stream = encryption._passed(itertools.repeat(CHUNK * 5), run)
    next(stream)
    del stream


def test_nothing_is_read_ahead_of_the_consumer() -> None:
    """A slow target slows the dump: no more is read than what has come out, and the chunk that is being gathered."""
    read = 0

    def counted() -> Iterator[bytes]:
        nonlocal read
        for chunk in chunks(200):
            read += len(chunk)
            yield chunk

    came = most = 0
    for piece in encrypted(counted(), [ED25519[0]]):
        came += len(piece)
        most = max(most, read - came)
    assert most <= 2 * CHUNK_BYTES


def test_the_source_is_read_by_the_thread_that_iterates() -> None:
    """Its own clean-up, such as the end of a container's process, is then done by whom it belongs to."""

    def named() -> Iterator[bytes]:
        yield threading.current_thread().name.encode()

    came = b"".join(decrypted(encrypted(named(), [ED25519[0]]), ED25519[1]))
    assert came.decode() == threading.current_thread().name


def test_tells_which_keys_are_usable() -> None:
    sk = "sk-ssh-ed25519@openssh.com AAAAGnNr me"
    fit, unfit = usable([f"{ED25519[0]} me@laptop", RSA[0], ECDSA[0], sk, "nonsense", ""])
    assert fit == [f"{ED25519[0]} me@laptop", RSA[0]]
    assert [line for line, _ in unfit] == [ECDSA[0], sk, "nonsense", ""]
    assert dict(unfit)[ECDSA[0]] == "age cannot encrypt for ECDSA keys"
    assert dict(unfit)[sk] == "a security key can sign, but not decrypt"


def test_needs_somebody_to_encrypt_for() -> None:
    with pytest.raises(GitshipError, match="nobody"):
        encrypted([], [])
    with pytest.raises(GitshipError, match="cannot encrypt for this key"):
        encrypted([], [ECDSA[0]])


def test_refuses_what_is_no_private_key() -> None:
    for text in (
        "",
        "AGE-SECRET-KEY-1QQ",
        "-----BEGIN OPENSSH PRIVATE KEY-----\nx\n-----END OPENSSH PRIVATE KEY-----\n",
    ):
        with pytest.raises(GitshipError, match="no key to decrypt with"):
            decrypted([], text)


def test_the_servers_key_is_made_once(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "backup.age"
    recipient, identity = server_key(path)
    assert server_key(path) == (recipient, identity)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["backup.age"]
    assert recipient.startswith("age1") and identity.startswith("AGE-SECRET-KEY-1")
    path.write_text("nothing\n")
    with pytest.raises(ConfigError, match="holds no age key"):
        server_key(path)
