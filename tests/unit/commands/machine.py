"""A machine with two processors and 4 GB, whose every image exposes 5000, and what every commit says there."""

from __future__ import annotations

from pathlib import Path

from gitship.appfiles.gitship_toml import ProcessLimits
from gitship.appfiles.manifest import Manifest
from gitship.engine.build_limits import BuildLimits
from gitship.engine.connection import EngineConnection
from gitship.engine.docker import DockerEngine
from gitship.engine.docker_images import DockerImages
from gitship.engine.types import Capacity, Image
from gitship.errors import EngineError
from gitship.model import Check
from tests.unit.commands.volumes import MemoryVolumes

MANIFEST = Manifest(
    processes={"web": ("serve",), "worker": ("work",)},
    checks={"worker": (Check(kind="command", command=("look",)),)},
    check_sources={"worker": "app.json"},
    limits={"worker": ProcessLimits(pids=90)},
)


class MachineImages(DockerImages):
    """There is every image. Never connects."""

    def __init__(self) -> None:
        super().__init__(EngineConnection("unix:///nowhere", 1), "buildkit", BuildLimits(), lambda: "", "")

    def store(self) -> str:
        return "its own store (overlay2)"

    def inspect(self, image_id: str) -> Image:
        return Image(image_id, 1, tcp_ports=(5000,))

    def login(self, server: str, username: str, password: str) -> None:
        if password == "wrong":
            raise EngineError(f"the registry {server} does not take the login", "check user and password")


class Machine(DockerEngine):
    """Never connects: what is not answered here would fail."""

    def __init__(self, images: DockerImages | None = None) -> None:
        super().__init__("unix:///nowhere")
        self._images = images or MachineImages()
        self.memory = MemoryVolumes()
        self.removed: list[str] = []

    @property
    def volumes(self) -> MemoryVolumes:  # type: ignore[override]
        return self.memory

    def remove(self, container_id: str) -> None:
        self.removed.append(container_id)

    def image_root(self) -> Path | None:
        return None

    def capacity(self) -> Capacity:
        return Capacity(cpus=2, memory_bytes=4 << 30, platforms=("linux/amd64", "linux/386"))
