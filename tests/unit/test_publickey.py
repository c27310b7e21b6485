"""Public keys as people paste them; the truth is ssh-keygen's."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitship.errors import GitshipError
from gitship.public_key import parse

ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJDNVoB/CzFP/9hf8nkMlIAmYhPCMrEsE0o2V7oDGOx0"


def generate(path: Path, *options: str) -> str:
    subprocess.run(["ssh-keygen", "-q", "-N", "", "-f", str(path), *options], check=True, timeout=20)
    return path.with_suffix(".pub").read_text()


@pytest.mark.parametrize(
    "options",
    [
        ("-t", "ed25519", "-C", "ann@example.com"),
        ("-t", "ecdsa", "-b", "256", "-C", "two words"),
        ("-t", "ecdsa", "-b", "384", "-C", ""),
        ("-t", "ecdsa", "-b", "521", "-C", "x"),
        ("-t", "rsa", "-b", "2048", "-C", "x"),
    ],
    ids=lambda options: " ".join(options[:4]),
)
@pytest.mark.clients
def test_accepted_keys_have_ssh_keygens_fingerprint(tmp_path: Path, options: tuple[str, ...]) -> None:
    text = generate(tmp_path / "key", *options)
    key = parse(text)
    listed = subprocess.run(
        ["ssh-keygen", "-l", "-f", tmp_path / "key.pub"], capture_output=True, text=True, timeout=20
    )
    assert key.fingerprint == listed.stdout.split()[1]
    assert key.line == " ".join(text.split()[:2])
    assert key.comment == options[-1]


@pytest.mark.parametrize("text", [f"  {ED25519}\n", f"{ED25519}\r\n", f"\n{ED25519}\tme\n\n"])
def test_white_space_around_the_key_does_not_matter(text: str) -> None:
    assert parse(text).line == ED25519


def test_a_comment_cannot_carry_control_characters() -> None:
    assert parse(f"{ED25519} me\x1b[2J\x07you").comment == "me[2Jyou"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no public key given"),
        (" \n\n", "no public key given"),
        ("hello world", "is not a public key"),
        ("~/.ssh/id_ed25519.pub", "is a file name"),
        ("key.pub", "is a file name"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n-----END OPENSSH PRIVATE KEY-----", "that is a private key"),
        ("-----BEGIN RSA PRIVATE KEY-----", "that is a private key"),
        ("PuTTY-User-Key-File-3: ssh-ed25519", "that is a private key"),
        ("---- BEGIN SSH2 PUBLIC KEY ----\nAAAA\n---- END SSH2 PUBLIC KEY ----", "one-line form"),
        ("-----BEGIN PUBLIC KEY-----\nMIIB", "one-line form"),
        (f"{ED25519}\n{ED25519}", "2 lines were given"),
        (ED25519[:50] + "\n" + ED25519[50:], "2 lines were given"),
        (f'no-pty,command="x y" {ED25519}', "options before the key"),
        (f"restrict {ED25519}", "options before the key"),
        ("sk-ssh-ed25519@openssh.com AAAA me", "security keys (sk-ssh-ed25519@openssh.com) are not supported"),
        ("sk-ecdsa-sha2-nistp256@openssh.com AAAA", "security keys"),
        ("ssh-ed25519-cert-v01@openssh.com AAAA", "certificates are not supported"),
        ("ssh-dss AAAAB3NzaC1kc3M=", "DSA keys"),
        ("ssh-ed448 AAAA", "keys of type ssh-ed448 are not supported"),
        ("ssh-ed25519", "ends after 'ssh-ed25519'"),
        (ED25519[:-8], "damaged"),
        (ED25519 + "AAAA", "damaged"),
        (ED25519.replace("ssh-ed25519", "ssh-rsa", 1), "damaged"),
        ("ssh-ed25519 !!!!", "damaged"),
        ("ssh-rsa " + "A" * 9000, "too long"),
    ],
)
def test_what_is_no_usable_key_is_refused_by_name_with_a_hint(text: str, message: str) -> None:
    with pytest.raises(GitshipError) as error:
        parse(text)
    assert message in error.value.message
    assert error.value.hint


@pytest.mark.clients
def test_a_short_rsa_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GitshipError, match="an RSA key of 1024 bits is not accepted"):
        parse(generate(tmp_path / "key", "-t", "rsa", "-b", "1024"))


@pytest.mark.clients
def test_a_key_written_in_a_second_way_is_refused(tmp_path: Path) -> None:
    """With a padded number it would be stored under a fingerprint that no login ever has."""
    blob = base64.b64decode(generate(tmp_path / "key", "-t", "rsa", "-b", "2048").split()[1])
    at = len(blob) - 257
    assert blob[at - 4 : at + 1] == (257).to_bytes(4, "big") + b"\0"
    padded = blob[: at - 4] + (258).to_bytes(4, "big") + b"\0" + blob[at:]
    with pytest.raises(GitshipError, match="damaged"):
        parse("ssh-rsa " + base64.b64encode(padded).decode())


@pytest.mark.clients
def test_a_private_key_is_never_repeated_in_the_error(tmp_path: Path) -> None:
    generate(tmp_path / "key", "-t", "ed25519")
    secret = (tmp_path / "key").read_text()
    with pytest.raises(GitshipError) as error:
        parse(secret)
    assert secret.splitlines()[2] not in error.value.message + error.value.hint


@given(st.text(max_size=200) | st.binary(max_size=100).map(lambda b: "ssh-ed25519 " + base64.b64encode(b).decode()))
def test_nothing_but_a_gitship_error_comes_out(text: str) -> None:
    try:
        key = parse(text)
    except GitshipError as error:
        assert error.hint
    else:
        assert parse(key.line).line == key.line
