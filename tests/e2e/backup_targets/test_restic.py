"""Backups in a restic repository: whole or not there, whoever is killed."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from gitship.backup.restic_target import ResticTarget
from gitship.backup.targets import TargetDefinition, target_of
from gitship.containers.attach_client import ClientLeft
from gitship.errors import GitshipError, NotFound
from tests import places
from tests.e2e.backup_targets.pushed import data
from tests.waiting import wait_until

pytestmark = pytest.mark.clients
PASSWORD = "correct horse"
MEGABYTES = 8


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "repository"


def target_at(url: object, password: str = PASSWORD) -> ResticTarget:
    made = target_of(TargetDefinition.parse("vault", [f"restic:{url}"], password))
    assert isinstance(made, ResticTarget)
    return made


@pytest.fixture
def target(repository: Path) -> ResticTarget:
    made = target_at(repository)
    made._restic.init()
    return made


def restic(repository: Path, *words: str) -> Any:
    environment = os.environ | {"RESTIC_REPOSITORY": str(repository), "RESTIC_PASSWORD": PASSWORD}
    done = subprocess.run(["restic", "--json", *words], env=environment, capture_output=True, timeout=60, check=True)
    return json.loads(done.stdout)


def test_is_put_listed_read_replaced_and_removed(target: ResticTarget, repository: Path) -> None:
    written = target.put("db/one.dump", data(MEGABYTES), threading.Event())
    content = b"".join(data(MEGABYTES))
    assert (written.bytes, written.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    (found,) = target.listed("db/o")
    assert (found.key, found.bytes, found.sha256) == ("db/one.dump", written.bytes, written.sha256)
    with target.read("db/one.dump") as pieces:
        assert b"".join(pieces) == content
    target.put("db/one.dump", [b"new"], threading.Event())
    assert [(found.key, found.bytes) for found in target.listed("")] == [("db/one.dump", 3)]
    with target.read("db/one.dump") as pieces:
        assert b"".join(pieces) == b"new"
    target.remove("db/one.dump")
    target.remove("db/one.dump")
    assert restic(repository, "snapshots") == []
    with pytest.raises(NotFound), target.read("db/one.dump"):
        pass


def test_the_same_data_is_stored_once(target: ResticTarget, repository: Path) -> None:
    def size() -> int:
        return sum(path.stat().st_size for path in (repository / "data").rglob("*") if path.is_file())

    assert target.encrypts
    target.put("db/one.dump", data(MEGABYTES), threading.Event())
    once = size()
    target.put("db/two.dump", data(MEGABYTES), threading.Event())
    assert size() - once < once / 50


def test_check_makes_the_repository_once_and_leaves_nothing(repository: Path) -> None:
    target = target_at(repository)
    with pytest.raises(GitshipError, match="there is no restic repository"):
        target.check(prepare=False)
    target.check()
    target.check(prepare=False)
    assert restic(repository, "snapshots") == []


@pytest.mark.parametrize("megabytes", [0, MEGABYTES])
def test_a_dump_that_dies_saves_no_snapshot(target: ResticTarget, repository: Path, megabytes: int) -> None:
    error = RuntimeError("the dump died")

    def dying() -> Iterator[bytes]:
        yield from data(megabytes)
        raise error

    with pytest.raises(RuntimeError) as raised:
        target.put("db/one.dump", dying(), threading.Event())
    assert raised.value is error
    assert restic(repository, "snapshots") == []
    assert list((repository / "locks").iterdir()) == []


def test_nothing_is_saved_for_whom_has_gone(target: ResticTarget, repository: Path) -> None:
    gone = threading.Event()

    def left() -> Iterator[bytes]:
        yield from data(MEGABYTES)
        gone.set()

    with pytest.raises(ClientLeft):
        target.put("db/one.dump", left(), gone)
    assert restic(repository, "snapshots") == []


def test_what_a_killed_gitship_has_sent_is_no_backup(target: ResticTarget, repository: Path) -> None:
    """Restic then takes what it has for the whole, with exit code 0."""
    script = (
        "import sys, threading\n"
        "from gitship.backup.targets import TargetDefinition, target_of\n"
        "def chunks():\n"
        "    yield b'half' * 100_000\n"
        "    print('sent', flush=True)\n"
        "    threading.Event().wait()\n"
        "target = target_of(TargetDefinition.parse('vault', sys.argv[1:2], sys.argv[2]))\n"
        "target.put('db/one.dump', chunks(), threading.Event())\n"
    )
    killed = subprocess.Popen([sys.executable, "-c", script, f"restic:{repository}", PASSWORD], stdout=subprocess.PIPE)
    assert killed.stdout is not None
    with killed:
        killed.stdout.readline()
        killed.send_signal(signal.SIGKILL)
    wait_until(lambda: restic(repository, "snapshots"), what="restic has saved what it had")
    assert target.listed("") == []
    with pytest.raises(NotFound), target.read("db/one.dump"):
        pass
    target.put("db/one.dump", [b"whole"], threading.Event())
    assert [found.bytes for found in target.listed("")] == [5]
    target.remove("db/one.dump")
    assert restic(repository, "snapshots") == []


def test_removal_waits_for_a_backup_into_the_same_repository(target: ResticTarget) -> None:
    target.put("db/old.dump", [b"old"], threading.Event())
    removal = threading.Thread(target=target.remove, args=["db/old.dump"], name="removal")

    def chunks() -> Iterator[bytes]:
        yield b"new"
        removal.start()
        removal.join(4)  # a removal of its own is faster; this one cannot end before the backup does
        assert removal.is_alive()

    target.put("db/new.dump", chunks(), threading.Event())
    removal.join(60)
    assert [found.key for found in target.listed("")] == ["db/new.dump"]


@pytest.mark.parametrize("content", [b"new", bytes(1 << 20)])
def test_a_backup_waits_for_what_excludes_it(target: ResticTarget, repository: Path, content: bytes) -> None:
    target.put("db/old.dump", [b"old"], threading.Event())
    environment = os.environ | {"RESTIC_REPOSITORY": str(repository), "RESTIC_PASSWORD": PASSWORD}
    with subprocess.Popen(["restic", "check", "-q"], env=environment) as check:
        # Whole: until then it has another name, which nobody heeds.
        wait_until(lambda: [p for p in (repository / "locks").iterdir() if "tmp" not in p.name], what="it has its lock")
        check.send_signal(signal.SIGSTOP)
        backup = threading.Thread(target=target.put, args=["db/new.dump", iter([content]), threading.Event()])
        try:
            backup.start()
            backup.join(4)  # a refusal comes sooner
            assert backup.is_alive()
        finally:
            check.send_signal(signal.SIGCONT)
    backup.join(60)
    assert [(found.key, found.bytes) for found in target.listed("db/new")] == [("db/new.dump", len(content))]


def test_a_wrong_password_is_named(target: ResticTarget, repository: Path) -> None:
    with pytest.raises(GitshipError, match="wrong password of the restic repository") as raised:
        target_at(repository, "wrong").check()
    assert raised.value.hint


def test_a_server_that_is_not_there_is_named(repository: Path) -> None:
    with places.refusing_port() as port, pytest.raises(GitshipError, match="cannot be reached") as raised:
        target_at(f"rest:http://127.0.0.1:{port}/").check()
    assert "connection refused" in raised.value.message


def test_a_missing_program_is_named(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(repository))
    for call in (target_at(repository).check, lambda: target_at(repository).put("a", [], threading.Event())):
        with pytest.raises(GitshipError, match="the program restic is missing") as raised:
            call()
        assert "apt-get install restic" in raised.value.hint


def test_no_secret_is_in_the_arguments(target: ResticTarget, repository: Path) -> None:
    seen: list[str] = []

    def look() -> bool:  # a program that has just begun has no arguments yet
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                text = path.read_text()
                if text.startswith("restic\0"):
                    seen.append(text)
        return bool(seen)

    def looking() -> Iterator[bytes]:
        yield b"x"
        wait_until(look, what="restic runs")

    target.put("db/one.dump", looking(), threading.Event())
    assert not [line for line in seen if PASSWORD in line or str(repository) in line]
