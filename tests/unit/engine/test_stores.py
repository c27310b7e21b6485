"""Where images are and what they take, in Docker's own store and in containerd's."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gitship.engine import containerd
from gitship.engine.docker import DockerEngine
from gitship.engine.interface import NoSpace
from tests.unit.engine.fakedocker import FakeDocker, fake_docker

MB = 1 << 20
SOCKET = "/run/containerd/containerd.sock"


def image(size: int, layers: int) -> dict[str, Any]:
    root = {"Type": "layers", "Layers": ["sha256:1"] * layers}
    return {"Id": "sha256:1", "Size": size, "Config": {"Cmd": ["x"]}, "RootFS": root}


@pytest.fixture
def docker(tmp_path: Path) -> Iterator[FakeDocker]:
    with fake_docker(tmp_path) as docker:
        yield docker


@pytest.fixture
def engine(docker: FakeDocker) -> DockerEngine:
    return DockerEngine(docker.host, timeout_s=5)


def info(data: Path, *, by_containerd: bool, address: str = SOCKET) -> dict[str, Any]:
    status = [["driver-type", "io.containerd.snapshotter.v1"]] if by_containerd else [["Backing Filesystem", "extfs"]]
    driver = "overlayfs" if by_containerd else "overlay2"
    return {"DockerRootDir": str(data), "Driver": driver, "DriverStatus": status, "Containerd": {"Address": address}}


@pytest.mark.parametrize(
    ("by_containerd", "history", "listed", "size"),
    [
        (False, [1 * MB, 0, 100 * MB], 0, 7),  # Docker's own store says it itself
        (True, [1 * MB, 0, 100 * MB], 0, 101 * MB),
        (True, [], 100 * MB + 7, 100 * MB),  # of `docker import`, or of who wants to be small
        (True, "null", 100 * MB + 7, 100 * MB),  # the same, as Docker writes it
        (True, [5 * MB, 0], 100 * MB + 7, 100 * MB),  # says that one of two layers is empty
        (True, None, 100 * MB + 7, 100 * MB),  # says that there are more layers than there are: Docker answers 500
    ],
)
def test_an_image_is_as_large_as_its_files_and_not_as_they_are_packed(
    docker: FakeDocker, engine: DockerEngine, tmp_path: Path,
    by_containerd: bool, history: list[int] | str | None, listed: int, size: int,
) -> None:  # fmt: skip
    docker.answers = {
        "/info": (200, info(tmp_path, by_containerd=by_containerd)),
        "/images/sha256:1/json": (200, image(7, 2)),
        "/images/sha256:1/history": (500, {"message": "unable to find the size of the layer"})
        if history is None
        else (200, history.encode() if isinstance(history, str) else [{"Size": n} for n in history]),
        "/images/json": (200, [{"Id": "sha256:2", "Size": 1}, {"Id": "sha256:1", "Size": listed}]),
    }
    assert engine.images.inspect("sha256:1").size_bytes == size


class Proc:
    """A /proc with processes of containerd."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, pid: int, *words: str, comm: str = "containerd", numbers: str = "") -> None:
        place = self.path / str(pid)
        place.mkdir(parents=True)
        (place / "comm").write_text(f"{comm}\n")
        (place / "cmdline").write_bytes(b"".join(word.encode() + b"\0" for word in words))
        (place / "status").write_text(f"Name:\t{comm}\nNSpid:\t{numbers or pid}\n")


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Proc:
    monkeypatch.setattr(containerd, "DEFAULT_CONFIG", tmp_path / "config.toml")
    monkeypatch.setattr(containerd, "DEFAULT_ROOT", tmp_path / "default")
    return Proc(tmp_path / "proc")


def test_containerd_is_found_by_where_it_listens(proc: Proc, tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text('root = "/disk/docker/containerd"\n[grpc]\naddress = "/run/docker/containerd.sock"\n')
    proc.add(3, "containerd-shim-runc-v2", "--address", SOCKET, comm="containerd-shim")
    proc.add(5, "containerd", "--config", str(own), "--log-level", "info")
    proc.add(6, "/usr/bin/containerd", "--root=/disk/6", "--address=/run/6.sock")
    proc.add(7, "/usr/bin/containerd", "--root", "/disk/7", "--address", "/run/7.sock")
    proc.add(9, "/usr/bin/containerd")
    found = {at: containerd.root(at, proc.path) for at in ("/run/docker/containerd.sock", "/run/6.sock", "/run/7.sock")}
    assert [str(root) for root in found.values()] == ["/disk/docker/containerd", "/disk/6", "/disk/7"]
    assert containerd.root(SOCKET, proc.path) == containerd.root(f"/var{SOCKET}", proc.path) == tmp_path / "default"
    (tmp_path / "config.toml").write_text('version = 2\nroot = "/disk/images"\n')
    assert containerd.root(SOCKET, proc.path) == Path("/disk/images")
    assert containerd.root("/run/none.sock", proc.path) is None


def test_what_runs_in_a_container_is_no_containerd_of_the_machine(proc: Proc, tmp_path: Path) -> None:
    proc.add(4, "containerd", "--root", "/app", numbers="4 1")
    assert containerd.root(SOCKET, proc.path) is None, "there is none, nor what one has left"
    (tmp_path / "default").mkdir()
    assert containerd.root(SOCKET, proc.path) == tmp_path / "default"


def test_a_configuration_that_is_none_of_toml_leaves_the_default(proc: Proc, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("grpc = 1\nroot = [")
    proc.add(9, "containerd")
    assert containerd.root(SOCKET, proc.path) == tmp_path / "default"


@pytest.mark.parametrize("by_containerd", [False, True])
def test_free_space_is_that_of_the_fuller_disk_where_images_are_on_another(
    docker: FakeDocker, engine: DockerEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_containerd: bool
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    docker.answers["/info"] = (200, info(tmp_path, by_containerd=by_containerd))
    monkeypatch.setattr(containerd, "root", lambda address: images if address == SOCKET else None)
    free = {tmp_path: 50 * MB, images: 20 * MB}
    monkeypatch.setattr(shutil, "disk_usage", lambda place: shutil._ntuple_diskusage(1 << 40, 0, free[place]))
    assert engine.free_bytes() == (20 if by_containerd else 50) * MB
    assert engine.image_root() == (images if by_containerd else tmp_path)
    free[tmp_path] = 10 * MB
    assert engine.free_bytes() == 10 * MB


def test_a_docker_that_was_led_to_another_disk_is_asked_again(
    docker: FakeDocker, engine: DockerEngine, tmp_path: Path
) -> None:
    docker.answers["/info"] = (200, info(tmp_path, by_containerd=False))
    assert engine.image_root() == tmp_path
    docker.answers |= {"/info": (200, info(tmp_path / "new", by_containerd=False)), "/events": (200, b"")}
    list(engine.events({}, since=0, stop=threading.Event()))
    assert engine.image_root() == tmp_path / "new"


def test_the_reserve_says_what_it_takes_and_what_docker_has_against_it(
    docker: FakeDocker, engine: DockerEngine, tmp_path: Path
) -> None:
    docker.answers["/info"] = (200, info(tmp_path, by_containerd=True))
    assert engine.images.ballast.takes(7) == 14
    docker.upgrade("1.12", "1.42")
    engine.close()
    docker.answers["/info"] = (200, info(tmp_path, by_containerd=False))
    assert engine.images.ballast.takes(7) == 7
    docker.answers["/images/create"] = (200, b'{"errorDetail": {"message": "write /x: no space left on device"}}')
    with pytest.raises(NoSpace, match="make a reserve"):
        engine.images.ballast.make(MB)
