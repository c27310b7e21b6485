"""server:backup as its client sees it; what is in the archive is tested with its parts."""

from __future__ import annotations

import gzip
import io
import tarfile

import pytest

from gitship.backup import archive_format, restore
from gitship.git.repository import Repositories
from gitship.model import Role
from tests.unit.commands.world import World


@pytest.fixture
def full(world: World) -> World:
    world.settings.data_dir.mkdir(parents=True, exist_ok=True)
    world.memory.push("shop")
    Repositories(world.settings.repositories, None).create("shop")
    return world


def test_the_archive_goes_to_stdout_and_the_rest_to_stderr(full: World) -> None:
    client = full.run("server:backup")
    assert client.code == 0, client.err
    about, _ = restore.check(io.BytesIO(bytes(client.stdout.data)))
    assert (about.apps, about.logs, about.volumes) == (1, False, False)
    assert "complete; it contains keys and passwords" in client.err and "chmod 600" in client.err


def test_a_failure_on_the_way_is_an_error_and_no_whole_archive(full: World, monkeypatch: pytest.MonkeyPatch) -> None:
    full.store.create_app("later")
    Repositories(full.settings.repositories, None).create("later")

    def lost(*words: object) -> None:
        raise OSError("gone")

    monkeypatch.setattr("gitship.git.repository_files.files", lost)
    client = full.run("server:backup")
    assert client.code == 1 and "the backup is incomplete: gone" in client.err
    with pytest.raises(archive_format.IncompleteBackup):
        restore.check(io.BytesIO(bytes(client.stdout.data)))


def test_no_archive_goes_to_a_terminal(full: World) -> None:
    client = full.run("server:backup", pty=True)
    assert client.code == 2 and not client.stdout.data.startswith(b"gitship-backup")


@pytest.mark.parametrize("role", [Role.VIEWER, Role.DEPLOYER])
def test_only_an_admin_gets_one(full: World, role: Role) -> None:
    client = full.run("server:backup", role=role)
    assert client.code != 0 and not client.stdout.data


def test_a_compressed_archive_is_read_as_well(full: World) -> None:
    data = gzip.compress(bytes(full.run("server:backup").stdout.data))
    assert restore.check(io.BytesIO(data))[0].apps == 1
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert archive.getnames()[0] == archive_format.HEADER and archive.getnames()[-1] == archive_format.MANIFEST
