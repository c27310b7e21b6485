"""Which directories of the host may be mounted: those of the list and below, whatever links are in the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitship.engine.docker import DockerEngine
from gitship.engine.host_paths import resolved
from gitship.errors import GitshipError
from gitship.model import Mount


@pytest.fixture
def srv(tmp_path: Path) -> Path:
    for name in ("srv/shop/in", "srv-other", "private"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "srv" / "out").symlink_to(tmp_path / "private")
    (tmp_path / "srv" / "back").symlink_to("shop")
    (tmp_path / "srv" / "file").touch()
    return tmp_path / "srv"


@pytest.mark.parametrize("name", ["", "shop", "shop/", "shop/in"])
def test_a_listed_directory_and_all_below_may_be_mounted(srv: Path, name: str) -> None:
    assert resolved(f"{srv}/{name}", [srv]) == str(srv / name).rstrip("/")


def test_links_are_followed_within_and_refused_when_they_lead_out(srv: Path) -> None:
    assert resolved(f"{srv}/back", [srv]) == f"{srv}/shop"
    with pytest.raises(GitshipError, match=r"which is .*/private, is not below"):
        resolved(f"{srv}/out", [srv])


@pytest.mark.parametrize("name", ["../private", "shop/../../private", "../srv-other", ".."])
def test_dots_do_not_lead_out(srv: Path, name: str) -> None:
    with pytest.raises(GitshipError):
        resolved(f"{srv}/{name}", [srv])


@pytest.mark.parametrize("path", ["/", "/etc", "", "shop", "{0}-other", "{0}/file", "{0}/nothing"])
def test_everything_else_is_refused(srv: Path, path: str) -> None:
    with pytest.raises(GitshipError) as caught:
        resolved(path.format(srv), [srv])
    assert caught.value.hint


def test_a_list_that_goes_through_a_link_is_what_it_leads_to(srv: Path) -> None:
    assert resolved(f"{srv}/back/in", [srv / "back"]) == f"{srv}/shop/in"


def test_nothing_is_listed_at_first(srv: Path) -> None:
    with pytest.raises(GitshipError, match="cannot be mounted") as caught:
        resolved(str(srv), [])
    assert "docker.host_paths" in caught.value.hint


def test_another_machines_directories_are_refused(srv: Path) -> None:
    with pytest.raises(GitshipError, match="another machine"):
        DockerEngine("tcp://192.0.2.1:2375", host_paths=[srv]).volumes.host_path(str(srv))


def test_a_directory_that_was_replaced_by_a_link_is_not_mounted_any_more(srv: Path) -> None:
    volumes = DockerEngine("unix:///nowhere", host_paths=[srv]).volumes
    mount = Mount(f"{srv}/shop", "/shop")
    volumes.ensure_usable(mount)
    (srv / "shop").rename(srv / "moved")
    (srv / "shop").symlink_to("moved")
    with pytest.raises(GitshipError, match="symbolic link"):
        volumes.ensure_usable(mount)


@pytest.mark.parametrize("path", ["/run", "/var/run", "/run/docker", "/var/lib", "/var/lib/docker", "/run/containerd"])
def test_what_rules_docker_is_in_no_container_even_when_it_is_listed(path: str) -> None:
    with pytest.raises(GitshipError, match="give control of the server"):
        resolved(path, [Path("/run"), Path("/var/run"), Path("/var/lib")])


def test_the_engines_own_socket_and_gitships_own_files_are_in_no_container(srv: Path) -> None:
    volumes = DockerEngine(f"unix://{srv}/shop/docker.sock", host_paths=[srv], private=[srv / "in" / "data"]).volumes
    (srv / "in" / "data" / "repos").mkdir(parents=True)
    (srv / "in" / "beside").mkdir()
    for path in ("", "shop", "in", "in/data", "in/data/repos"):
        with pytest.raises(GitshipError, match="give control of the server") as caught:
            volumes.host_path(f"{srv}/{path}")
        assert caught.value.hint
    assert volumes.host_path(f"{srv}/in/beside") == f"{srv}/in/beside"
    (srv / "shop" / "alias").symlink_to(srv / "in" / "data")
    with pytest.raises(GitshipError, match="give control of the server"):
        volumes.host_path(f"{srv}/shop/alias")
