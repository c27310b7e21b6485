"""A target as a user types it."""

from __future__ import annotations

import pytest

from gitship.backup.targets import TargetDefinition, checked_key
from gitship.errors import UsageError

S3 = ["s3://shop-backups/eu", "--endpoint", "https://s3.example.com", "--region", "eu-1", "--key-id", "K1"]


@pytest.mark.parametrize(
    ("words", "secret", "kind", "url"),
    [
        (S3, "secret\n", "s3", "s3://shop-backups/eu"),
        (["--key-id=K1", "--region=eu-west-1", "s3://shop-backups"], "secret", "s3", "s3://shop-backups"),
        (["/var/backups/gitship"], "", "directory", "/var/backups/gitship"),
        (["restic:sftp:me@host:/srv/restic"], "password", "restic", "sftp:me@host:/srv/restic"),
        (
            ["restic:s3:https://s3.example.com/b", "--key-id", "K1"],
            "pw\nsecret\n",
            "restic",
            "s3:https://s3.example.com/b",
        ),
    ],
)
def test_is_parsed_and_written_back(words: list[str], secret: str, kind: str, url: str) -> None:
    parsed = TargetDefinition.parse("offsite", words, secret)
    assert (parsed.name, parsed.kind, parsed.url, parsed.secret) == ("offsite", kind, url, secret.strip())
    assert TargetDefinition.parse("offsite", parsed.typed.split(), secret) == parsed
    assert "secret" not in repr(parsed) + parsed.typed


@pytest.mark.parametrize(
    ("words", "secret", "says"),
    [
        ([], "", "needs a place"),
        (["ftp://host/x"], "", "'ftp://host/x' is not a place for backups"),
        (["relative/path"], "", "is not a place for backups"),
        (["/"], "", "is not a directory for backups"),
        (["/srv/../etc"], "", "is not a directory for backups"),
        (["/srv/backups", "/srv/more"], "", "one word too many"),
        (["/srv/backups", "--region", "x"], "", "a directory target has no option --region"),
        (["/srv/backups"], "secret", "needs no secret"),
        ([*S3, "--regoin", "x"], "s", "has no option --regoin"),
        ([*S3, "--region", "x"], "s", "--region is given twice"),
        ([*S3[:-1]], "s", "--key-id needs a value"),
        (S3[:-2], "s", "needs the id of an access key"),
        (S3, "", "needs the secret"),
        (S3, "two words", "more than one word"),
        (["s3://Shop_Backups!/x", *S3[1:]], "s", "is not the name of a bucket"),
        (["s3://https://host/x", *S3[1:]], "s", "is not the name of a bucket"),
        (["s3://bucket/a b", *S3[1:]], "s", "characters that stores treat differently"),
        (["s3://bucket", "--endpoint", "s3.example.com", "--key-id", "K"], "s", "is not the URL of an S3 service"),
        (["s3://bucket", "--endpoint", "https://h/bucket", "--key-id", "K"], "s", "is not the URL of an S3 service"),
        (["s3://bucket", "--endpoint", "https://K:s@h", "--key-id", "K"], "s", "is not the URL of an S3 service"),
        (["s3://bucket", "--key-id", "K"], "s", "the region is missing"),
        ([*S3, "--style", "dns"], "s", "is not a style"),
        (["restic:"], "pw", "is not a restic repository"),
        (["restic:--help"], "pw", "is not a restic repository"),
        (["restic:/srv/r"], "", "needs its password"),
        (["restic:s3:https://h/b", "--key-id", "K"], "pw", "two secrets are needed"),
        (["restic:/srv/r"], "pw\nmore", "more than one line"),
    ],
)
def test_says_what_is_wrong_and_what_to_do(words: list[str], secret: str, says: str) -> None:
    with pytest.raises(UsageError) as raised:
        TargetDefinition.parse("offsite", words, secret)
    assert says in raised.value.message
    assert raised.value.hint


@pytest.mark.parametrize(
    "key", ["", "/a", "a/", "a//b", "../a", "a/..", ".hidden", "a b", "a\0", "a.sha256", "-x", "ü"]
)
def test_a_key_leads_nowhere_else(key: str) -> None:
    with pytest.raises(ValueError, match="invalid key"):
        checked_key(key)


def test_keys_of_backups_are_allowed() -> None:
    assert checked_key("server-1/db/2026-12-01T02-00-00Z.dump.age") == "server-1/db/2026-12-01T02-00-00Z.dump.age"
