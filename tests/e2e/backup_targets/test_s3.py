"""Backups in a bucket of a real S3 server, and every way in which that goes wrong."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gitship.backup import s3_leftovers
from gitship.backup.s3_target import PART_BYTES, PARTS_AT_ONCE, S3Target
from gitship.backup.targets import TargetDefinition
from gitship.containers.attach_client import ClientLeft
from gitship.errors import GitshipError, NotFound
from tests import places
from tests.e2e.backup_targets import s3
from tests.e2e.backup_targets.s3 import S3Server
from tests.listening import answering, until_closed
from tests.unit import certs

pytestmark = pytest.mark.clients
MIB = 1 << 20
CHUNK = os.urandom(MIB)
MOST_MEMORY = 64 * MIB


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3.serving(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def target(server: S3Server) -> Iterator[S3Target]:
    target = s3.target(server.endpoint)
    yield target
    for found in target.listed(""):
        target.remove(found.key)


def chunks(count: int) -> Iterator[bytes]:
    for number in range(count):
        yield number.to_bytes(4, "big") + CHUNK[4:]


def message(raised: pytest.ExceptionInfo[GitshipError]) -> str:
    assert raised.value.hint
    return f"{raised.value.message}; {raised.value.hint}"


def test_100_mb_are_put_listed_read_and_removed(server: S3Server, target: S3Target) -> None:
    written = target.put("db/one.age", chunks(100), threading.Event())
    target.put("db/other.age", [b"x"], threading.Event())
    target.put("db2/third.age", [b""], threading.Event())
    assert [(found.key, found.bytes) for found in target.listed("")] == [
        ("db/one.age", 100 * MIB), ("db/other.age", 1), ("db2/third.age", 0)
    ]  # fmt: skip
    assert [(found.key, found.sha256) for found in target.listed("db/on")] == [("db/one.age", written.sha256)]
    digest = hashlib.sha256()
    with target.read("db/one.age") as pieces:
        for piece in pieces:
            digest.update(piece)
    assert digest.hexdigest() == written.sha256
    target.remove("db/one.age")
    target.remove("db/one.age")
    with pytest.raises(NotFound, match=r"no db/one\.age"), target.read("db/one.age"):
        pass
    names = {path.name for path in (server.data / s3.BUCKET).rglob("*") if path.is_file()}
    assert names == {"other.age", "other.age.sha256", "third.age", "third.age.sha256"}


def test_memory_stays_within_bounds(server: S3Server, target: S3Target) -> None:
    """More than all parts together; 1 GB is in tests/bench/backups.py."""
    words = [f"s3://{s3.BUCKET}/{s3.PREFIX}", "--endpoint", server.endpoint, "--key-id", s3.KEY_ID]
    megabytes = 4 * PARTS_AT_ONCE * PART_BYTES // 1_000_000
    done = subprocess.run(
        [sys.executable, "-m", "tests.e2e.backup_targets.pushed", str(megabytes), "db/large.age", *words],
        input=s3.SECRET, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    took = json.loads(done.stdout)
    assert [found.bytes for found in target.listed("db/large.age")] == [took["bytes"]]
    assert took["peak"] - took["before"] < MOST_MEMORY


def test_is_copied_from_one_bucket_to_another(server: S3Server, target: S3Target) -> None:
    """Both ends are the same library, which must not run within itself."""
    written = target.put("db/one.age", chunks(30), threading.Event())
    with target.read("db/one.age") as pieces:
        assert target.put("db/copy.age", pieces, threading.Event()) == written


def test_what_others_keep_there_is_not_listed(server: S3Server, target: S3Target) -> None:
    place = server.data / s3.BUCKET / s3.PREFIX
    place.mkdir(parents=True, exist_ok=True)
    for name in (".hidden", "holiday photo.jpg", "left.age.sha256"):
        (place / name).write_text("x")
    assert target.listed("") == []
    for name in (".hidden", "holiday photo.jpg", "left.age.sha256"):
        (place / name).unlink()


def test_files_of_wal_are_listed_without_a_request_for_the_hash_of_each(server: S3Server, target: S3Target) -> None:
    target.put("wal/db/0001.gz.age", [b"one"], threading.Event())
    assert [(found.bytes, found.sha256) for found in target.listed("wal/")] == [(3, None)]
    with target.read("wal/db/0001.gz.age") as pieces:
        assert b"".join(pieces) == b"one"
    target.remove("wal/db/0001.gz.age")


def test_check_leaves_nothing(server: S3Server, target: S3Target) -> None:
    target.check()
    assert target.listed("") == []
    assert server.uploads() == []


@pytest.mark.parametrize("parts", [0, 1, 3])
def test_a_dump_that_dies_leaves_nothing(server: S3Server, target: S3Target, parts: int) -> None:
    error = RuntimeError("the dump died")

    def dying() -> Iterator[bytes]:
        yield from chunks(parts * PART_BYTES // MIB + 1)
        assert server.uploads() == [f"{s3.PREFIX}/db/one.age"]
        assert target.listed("") == []
        raise error

    with pytest.raises(RuntimeError) as raised:
        target.put("db/one.age", dying(), threading.Event())
    assert raised.value is error
    assert target.listed("") == []
    assert server.uploads() == []


def test_what_was_there_stays_when_its_successor_is_cut_off(server: S3Server, target: S3Target) -> None:
    old = target.put("db/one.age", [b"old"], threading.Event())
    gone = threading.Event()

    def left() -> Iterator[bytes]:
        yield from chunks(30)
        gone.set()
        yield CHUNK

    with pytest.raises(ClientLeft):
        target.put("db/one.age", left(), gone)
    assert [(found.bytes, found.sha256) for found in target.listed("")] == [(3, old.sha256)]
    assert server.uploads() == []


def test_the_parts_that_a_killed_gitship_left_are_removed_a_day_later(
    server: S3Server, target: S3Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only those beside the object that is stored, and never those of an upload that goes on."""
    script = (
        "import sys, threading\n"
        "from gitship.backup.targets import TargetDefinition, target_of\n"
        "def chunks():\n"
        "    yield bytes(30 << 20)\n"
        "    print('sent', flush=True)\n"
        "    threading.Event().wait()\n"
        "target = target_of(TargetDefinition.parse('offsite', sys.argv[3:], sys.argv[1]))\n"
        "target.put(sys.argv[2], chunks(), threading.Event())\n"
    )
    words = [f"s3://{s3.BUCKET}/{s3.PREFIX}", "--endpoint", server.endpoint, "--key-id", s3.KEY_ID]
    for key in ("db/killed.age", "other/killed.age"):
        command = [sys.executable, "-c", script, s3.SECRET, key, *words]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as killed:
            assert killed.stdout is not None
            killed.stdout.readline()
            killed.kill()
    left = [f"{s3.PREFIX}/db/killed.age", f"{s3.PREFIX}/other/killed.age"]
    assert sorted(server.uploads()) == left
    target.put("db/one.age", [b"x"], threading.Event())
    assert sorted(server.uploads()) == left
    monkeypatch.setattr(s3_leftovers, "LEFT_S", 0)
    target.put("db/one.age", [b"x"], threading.Event())
    assert server.uploads() == left[1:]
    target.put("other/one.age", [b"x"], threading.Event())
    assert server.uploads() == []
    assert [found.key for found in target.listed("")] == ["db/one.age", "other/one.age"]


def test_a_target_that_does_not_show_uploads_takes_backups_all_the_same(server: S3Server) -> None:
    def answer(method: str, path: str) -> s3.Answer | None:
        return (403, s3.error("AccessDenied")) if method == "GET" and "uploads=" in path else None

    with s3.refusing(server, answer) as endpoint:
        s3.target(endpoint).check()


def test_a_wrong_secret_is_named(server: S3Server) -> None:
    with pytest.raises(GitshipError) as raised:
        s3.target(server.endpoint, secret="wrong").check()
    assert "the secret does not belong to the key test-key" in message(raised)
    assert "wrong;" not in message(raised)


def test_a_wrong_key_is_named(server: S3Server) -> None:
    with pytest.raises(GitshipError) as raised:
        s3.target(server.endpoint, key_id="nobody").check()
    assert "there is no key nobody" in message(raised)


def test_a_wrong_bucket_is_named(server: S3Server) -> None:
    with pytest.raises(GitshipError) as raised:
        s3.target(server.endpoint, bucket="elsewhere").check()
    assert "there is no bucket elsewhere" in message(raised)
    with pytest.raises(GitshipError, match="there is no bucket elsewhere"):
        s3.target(server.endpoint, bucket="elsewhere").listed("")


def test_nothing_that_listens_is_named() -> None:
    with places.refusing_port() as port, pytest.raises(GitshipError) as raised:
        s3.target(f"http://127.0.0.1:{port}").check()
    assert f"nothing listens at http://127.0.0.1:{port}" in message(raised)


def test_a_name_that_does_not_exist_is_named() -> None:
    with pytest.raises(GitshipError) as raised:
        s3.target("http://nowhere.invalid").check()
    assert "the name of http://nowhere.invalid cannot be found" in message(raised)


@pytest.mark.parametrize("call", ["check", "listed", "read", "put", "remove"])
def test_a_server_that_says_nothing_is_given_up(call: str) -> None:
    """The kernel accepts for it."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        target = s3.target(f"http://127.0.0.1:{silent.getsockname()[1]}", timeouts=s3.IMPATIENT)
        with pytest.raises(GitshipError) as raised:
            match call:
                case "check":
                    target.check()
                case "listed":
                    target.listed("")
                case "read":
                    with target.read("db/one.age"):
                        pass
                case "put":
                    target.put("db/one.age", chunks(30), threading.Event())
                case "remove":
                    target.remove("db/one.age")
        assert "does not answer in time" in message(raised)


def test_a_server_that_stops_answering_in_an_upload_is_given_up(server: S3Server) -> None:
    hanging = threading.Event()

    def answer(method: str, path: str) -> None:
        if method == "PUT" and "partNumber=2" in path:
            hanging.wait(60)

    with s3.refusing(server, answer) as endpoint:
        target = s3.target(endpoint, timeouts=s3.IMPATIENT)
        with pytest.raises(GitshipError) as raised:
            target.put("db/one.age", chunks(40), threading.Event())
        hanging.set()
    assert "does not answer in time" in message(raised)
    assert s3.target(server.endpoint).listed("") == []


def test_a_server_killed_in_an_upload_is_named_and_the_next_try_works(server: S3Server, target: S3Target) -> None:
    def killing() -> Iterator[bytes]:
        yield from chunks(30)
        server.kill()
        yield from chunks(60)

    try:
        with pytest.raises(GitshipError) as raised:
            target.put("db/one.age", killing(), threading.Event())
    finally:
        server.kill()
        server.start()
    assert "nothing listens" in message(raised) or "cut the connection" in message(raised)
    assert target.listed("") == []
    target.put("db/one.age", chunks(1), threading.Event())
    assert [found.bytes for found in target.listed("")] == [MIB]


def test_a_server_killed_while_it_is_read_is_an_error(server: S3Server, target: S3Target) -> None:
    target.put("db/one.age", chunks(100), threading.Event())
    try:
        with pytest.raises(GitshipError) as raised, target.read("db/one.age") as pieces:
            next(pieces)
            server.kill()
            for _ in pieces:
                pass
    finally:
        server.kill()
        server.start()
    assert raised.value.hint


def test_a_server_that_stops_in_the_middle_of_an_object_is_given_up() -> None:
    def answer(connection: socket.socket) -> None:
        connection.recv(65536)
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {8 * MIB}\r\nLast-Modified: Tue, 01 Dec 2026 00:00:00 GMT\r\n"
        connection.sendall(head.encode() + b'ETag: "x"\r\n\r\n' + bytes(MIB))
        until_closed(connection)

    with answering(listener := socket.create_server(("127.0.0.1", 0)), answer, together=True):
        target = s3.target(f"http://127.0.0.1:{listener.getsockname()[1]}", timeouts=s3.IMPATIENT)
        with pytest.raises(GitshipError) as raised, target.read("db/one.age") as pieces:
            for _ in pieces:
                pass
    assert "does not answer in time" in message(raised)


def test_a_slow_reader_is_waited_for(server: S3Server, target: S3Target) -> None:
    """Longer than the server may take between two pieces."""
    written = target.put("db/one.age", chunks(40), threading.Event())
    digest = hashlib.sha256()
    with s3.target(server.endpoint, timeouts=s3.IMPATIENT).read("db/one.age") as pieces:
        for number, piece in enumerate(pieces):
            digest.update(piece)
            if number == 3:
                threading.Event().wait(3 * s3.IMPATIENT.request_s)
    assert digest.hexdigest() == written.sha256


def test_a_wrong_clock_is_named(server: S3Server) -> None:
    there = (datetime.now(UTC) + timedelta(minutes=40, seconds=30)).strftime("%Y-%m-%dT%H:%M:%SZ")
    skewed = s3.error(
        "RequestTimeTooSkewed", "The difference between the request time and the current time is too large.",
        ServerTime=there, MaxAllowedSkewMilliseconds="900000",
    )  # fmt: skip
    with s3.refusing(server, lambda method, path: (403, skewed)) as endpoint, pytest.raises(GitshipError) as raised:
        s3.target(endpoint).check()
    assert "the clock of this server is wrong: it is 40 minutes behind" in message(raised)
    assert "timedatectl" in message(raised)


@pytest.mark.parametrize(
    ("method", "says", "permission"),
    [
        ("POST", "may not write objects", "s3:PutObject"),
        ("GET", "may not list objects", "s3:ListBucket"),
        ("DELETE", "may not remove objects", "s3:DeleteObject"),
    ],
)
def test_a_missing_permission_is_named(server: S3Server, method: str, says: str, permission: str) -> None:
    def answer(asked: str, path: str) -> s3.Answer | None:
        return (403, s3.error("AccessDenied", "Access Denied")) if asked == method else None

    with s3.refusing(server, answer) as endpoint, pytest.raises(GitshipError) as raised:
        s3.target(endpoint).check()
    assert says in message(raised)
    assert permission in message(raised)
    for left in s3.target(server.endpoint).listed(""):
        s3.target(server.endpoint).remove(left.key)


def test_another_region_is_named(server: S3Server) -> None:
    malformed = s3.error("AuthorizationHeaderMalformed", "the region 'us-east-1' is wrong; expecting 'eu-west-3'")
    with s3.refusing(server, lambda method, path: (400, malformed)) as endpoint, pytest.raises(GitshipError) as raised:
        s3.target(endpoint).check()
    assert "in another region: eu-west-3; add --region eu-west-3" in message(raised)


def test_a_certificate_that_nobody_trusts_is_named(tmp_path: Path) -> None:
    issued = certs.issue("s3", ["127.0.0.1"])
    (tmp_path / "cert").write_text(issued.pem)
    (tmp_path / "key").write_text(issued.key_pem)
    options = ["--cert", str(tmp_path / "cert"), "--key", str(tmp_path / "key")]
    with s3.serving(tmp_path / "s3", *options, scheme="https") as server, pytest.raises(GitshipError) as raised:
        s3.target(server.endpoint).check()
    assert "unknown authority" in message(raised)


def test_an_authority_of_the_system_is_trusted(tmp_path: Path) -> None:
    """In a process of its own: OpenSSL's variable stands for the system's authorities here."""
    issued = certs.leaf("localhost")
    chain = issued.pem + certs.intermediate().pem
    for name, text in (("cert", chain), ("key", issued.key_pem), ("root", certs.root().pem)):
        (tmp_path / name).write_text(text)
    options = ["--cert", str(tmp_path / "cert"), "--key", str(tmp_path / "key")]
    with s3.serving(tmp_path / "s3", *options, scheme="https") as server:
        endpoint = server.endpoint.replace("127.0.0.1", "localhost")
        words = [f"s3://{s3.BUCKET}/x", "--endpoint", endpoint, "--key-id", s3.KEY_ID]
        subprocess.run(
            [sys.executable, "-m", "tests.e2e.backup_targets.pushed", "1", "db/one.age", *words],
            input=s3.SECRET, text=True, timeout=60, check=True,
            env=os.environ | {"SSL_CERT_FILE": str(tmp_path / "root")},
        )  # fmt: skip


def test_a_server_without_tls_is_named(server: S3Server) -> None:
    with pytest.raises(GitshipError) as raised:
        s3.target(server.endpoint.replace("http:", "https:")).check()
    assert "does not speak TLS" in message(raised)


def test_what_is_no_s3_is_named(server: S3Server) -> None:
    page = (404, "<html>Not found</html>")
    with s3.refusing(server, lambda method, path: page) as endpoint, pytest.raises(GitshipError) as raised:
        s3.target(endpoint).check()
    assert "HTTP 404" in message(raised) and "S3 service" in message(raised)


def test_virtual_hosts_have_the_bucket_before_the_name(server: S3Server) -> None:
    """`BUCKET.localhost` is this machine for curl and browsers; here the request shows where it goes."""
    words = ["s3://backups/x", "--endpoint", "http://nowhere.invalid", "--key-id", "K", "--style", "virtual"]
    with pytest.raises(GitshipError, match="cannot be found") as raised:
        S3Target(TargetDefinition.parse("offsite", words, "s"), s3.QUICK).check()
    assert "http://backups.nowhere.invalid/x/gitship-check-" in str(raised.value.__cause__)
