"""A change in a large repository: only what changed goes to Docker, and what is kept for that goes with the app."""

from __future__ import annotations

import random
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitship.git import file_times
from tests.e2e import apps
from tests.e2e.commands import ok
from tests.e2e.harness import Server, running
from tests.e2e.relay import Relay
from tests.e2e.test_backup import take

pytestmark = pytest.mark.e2e
FILES, FILE_BYTES = 200, 100_000
DOCKERFILE = """\
FROM scratch
COPY tiny /tiny
COPY assets /assets
COPY page.txt /
ENV VERSION={}
EXPOSE 8000
CMD ["/tiny"]
"""


@pytest.fixture(scope="module")
def relay(docker_host: str, module_base: Path) -> Iterator[Relay]:
    with Relay(module_base / "docker", docker_host) as relay:
        yield relay


@pytest.fixture(scope="module")
def server(relay: Relay, module_base: Path) -> Iterator[Server]:
    """One that reaches Docker through the relay."""
    with running(module_base / "server", relay.host, lambda: False) as started:
        yield started


def large(path: Path, tiny: Path) -> Path:
    """A repository of 20 MB."""
    words = random.Random(1)
    files: dict[str, str | bytes] = {f"assets/{n}": words.randbytes(FILE_BYTES) for n in range(FILES)}
    repository = apps.new_repository(path, {"tiny": tiny.read_bytes(), "page.txt": "1\n", **files})
    (repository / "tiny").chmod(0o755)
    return repository


def version(repository: Path, number: str) -> None:
    apps.commit(repository, number, {"Dockerfile": DOCKERFILE.format(number), "page.txt": f"{number}\n"})


def record(server: Server, app: str) -> Path:
    return server.data_dir / "repos" / f"{app}.git" / file_times.NAME


def test_a_changed_line_is_all_that_goes_to_docker(server: Server, relay: Relay, base: Path, tiny_binary: Path) -> None:
    repository = large(base / "large", tiny_binary)
    version(repository, "one")
    server.push_ok(repository, "large")
    assert relay.sent > FILES * FILE_BYTES
    version(repository, "two")
    before = relay.sent
    server.push_ok(repository, "large")
    assert relay.sent - before < FILES * FILE_BYTES / 20
    assert "two" in server.get("large").body

    ok(server, "apps:rename", "large", "larger")
    version(repository, "three")
    before = relay.sent
    server.push_ok(repository, "larger")
    assert relay.sent - before < FILES * FILE_BYTES / 20  # the app is the same
    assert "three" in server.get("larger").body

    server.kill9()
    server.start()
    version(repository, "four")
    before = relay.sent
    server.push_ok(repository, "larger")
    assert relay.sent - before < FILES * FILE_BYTES / 20
    assert "four" in server.get("larger").body


def test_what_is_kept_is_neither_backed_up_nor_copied_and_goes_with_the_app(
    server: Server, base: Path, tiny_binary: Path
) -> None:
    repository = apps.tiny(base / "small", tiny_binary)
    server.push_ok(repository, "small")
    assert record(server, "small").is_file()
    ok(server, "apps:clone", "small", "copy", "--no-deploy")
    assert not record(server, "copy").exists()
    take(server, base / "backup.tar")
    with tarfile.open(base / "backup.tar") as archive:
        names = archive.getnames()
    assert any("small.git" in name for name in names) and not any(file_times.NAME in name for name in names)
    apps.commit(repository, "more", {"more": "1"})
    server.push_ok(repository, "copy")
    ids = [record(server, app).read_bytes().split(b"\n")[2] for app in ("small", "copy")]
    assert ids[0] != ids[1]
    ok(server, "apps:destroy", "small", "--force")
    assert not record(server, "small").parent.exists()
