"""No app's directory of the host lies within one in which an app may write."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gitship.appfiles.mounts import DeclaredMount
from gitship.appsettings import MOUNT
from gitship.engine.docker import DockerEngine
from gitship.errors import Conflict, GitshipError
from gitship.model import Mount, Process
from gitship.store import Store
from gitship.volumes.host_directories import HostDirectories


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "gitship.db")
    opened.create_app("shop")
    yield opened
    opened.close()


def give(store: Store, source: str, *, read_only: bool = False) -> None:
    wanted = DeclaredMount(source, "/data", read_only)
    store.set_setting(store.app("shop").id, MOUNT(wanted.path), wanted.setting)


@pytest.mark.parametrize(
    ("there", "read_only", "wanted", "wanted_read_only", "refused"),
    [
        ("/srv/a", False, "/srv/a/b", False, True),
        ("/srv/a", False, "/srv/a/b", True, True),
        ("/srv/a", True, "/srv/a/b", False, False),
        ("/srv/a/b", False, "/srv/a", False, True),
        ("/srv/a/b", True, "/srv/a", False, True),
        ("/srv/a/b", False, "/srv/a", True, False),
        ("/srv/a", False, "/srv/a", False, False),
        ("/srv/a", False, "/srv/ab", False, False),
        ("data", False, "/srv/a", False, False),
    ],
)
def test_at_the_command(
    store: Store, there: str, read_only: bool, wanted: str, wanted_read_only: bool, refused: bool
) -> None:
    give(store, there, read_only=read_only)
    directories = HostDirectories(store)
    if refused:
        with pytest.raises(Conflict, match="replace it with a link"):
            directories.ensure_apart(wanted, read_only=wanted_read_only)
    else:
        directories.ensure_apart(wanted, read_only=wanted_read_only)


def test_what_a_live_release_has_counts_until_its_containers_end(store: Store) -> None:
    app = store.app("shop")
    release = store.create_release(
        app.id, commit="1a" * 20, image_id="sha256:1", image_bytes=1, config={},
        processes=(Process("web", mounts=(Mount("/srv/a", "/a"),)),), cause="push", created_by="ada",
    )  # fmt: skip
    directories = HostDirectories(store)
    directories.ensure_apart("/srv/a/b", read_only=True)
    store.set_live(app.id, release.id, [])
    with pytest.raises(Conflict, match="/srv/a/b lies in /srv/a,"):
        directories.ensure_apart("/srv/a/b", read_only=True)


def test_when_a_container_is_made_what_it_has_itself_counts_too(store: Store, tmp_path: Path) -> None:
    upper, lower = tmp_path / "a", tmp_path / "a" / "b"
    lower.mkdir(parents=True)
    volumes = DockerEngine("unix:///nowhere", host_paths=[tmp_path]).volumes
    volumes.writable_above = HostDirectories(store).writable_above
    mounts = (Mount(str(upper), "/a"), Mount(str(lower), "/b"))
    volumes.ensure_usable(mounts[1])
    with pytest.raises(GitshipError, match="replace it with a link"):
        volumes.ensure_usable(mounts[1], mounts)
    volumes.ensure_usable(mounts[0], mounts)
    volumes.ensure_usable(mounts[1], (Mount(str(upper), "/a", read_only=True), mounts[1]))
    give(store, str(upper))
    with pytest.raises(GitshipError, match="replace it with a link"):
        volumes.ensure_usable(mounts[1])
