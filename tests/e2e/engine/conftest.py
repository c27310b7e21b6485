"""A real engine, an image with a shell, and a label by which everything goes away again."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator

import pytest

from gitship.engine.docker import DockerEngine
from gitship.engine.interface import Engine
from gitship.engine.types import BuildOptions, BuildOutput, BuildStep, ContainerSpec, Image
from tests.e2e import docker_cli
from tests.e2e.engine.context import BASE, context
from tests.places import free_network, own_name
from tests.waiting import wait_until

LABEL = "gitship.test"


class Lab:
    """An engine with short ways to build, to run, and to say what carries the label of this run."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.run = own_name("engine-")
        self.labels = {LABEL: self.run}
        self.engine: Engine = DockerEngine(host, timeout_s=60)
        self.events: list[BuildStep | BuildOutput] = []
        self.image: Image
        self.tag = ""  # of the last build
        self.network = f"gitship-{self.run}"
        self.subnet = ""

    def name(self, word: str) -> str:
        return own_name(f"{self.run}.{word}.")

    def fresh_tag(self) -> str:
        """One that no image has: in containerd's store an image that loses its last tag goes at once."""
        return own_name(f"{self.run}:")

    def build(
        self,
        text: str,
        *,
        builder: str = "buildkit",
        cancel: threading.Event | None = None,
        files: dict[str, bytes] | None = None,
        on_event: Callable[[BuildStep | BuildOutput], None] | None = None,
        **options: object,
    ) -> Image:
        """The image; ``events`` are those of this build."""
        self.events = []
        engine = DockerEngine(self.host, builder=builder, timeout_s=60)
        self.tag = self.fresh_tag()
        asked = BuildOptions(tag=self.tag, labels=self.labels, **options)  # type: ignore[arg-type]
        # the classic builder leaves its intermediate images behind: they too must carry the label
        labelled = re.sub(r"(?m)^(FROM scratch.*\n)", rf"\1LABEL {LABEL}={self.run}\n", text)
        sent = context(labelled, files, path=asked.dockerfile)
        return engine.images.build(sent, asked, on_event or self.events.append, cancel or threading.Event())

    def spec(self, word: str, script: str, **changes: object) -> ContainerSpec:
        """A container of the lab's image that runs a shell script."""
        return ContainerSpec(
            self.name(word),
            self.image.id,
            self.network,
            ("/bin/sh", "-c", script),
            labels=self.labels,
            **changes,  # type: ignore[arg-type]
        )

    def start(self, script: str, **changes: object) -> str:
        """A started container's id."""
        container_id = self.engine.create(self.spec("c", script, **changes))
        self.engine.start(container_id)
        return container_id

    def address(self, number: int) -> str:
        """An address in the lab's subnet."""
        return self.subnet.replace("0/26", str(number))


@pytest.fixture(scope="module")
def lab(docker_host: str) -> Iterator[Lab]:
    lab = Lab(docker_host)
    docker_cli.remove_labelled(docker_host, f"{LABEL}={lab.run}")  # of a run that was killed
    try:
        lab.image = lab.build(BASE + 'EXPOSE 8000 53/udp 7000\nCMD ["/bin/sh"]\n')
        lab.subnet = f"{free_network()}.0/26"
        assert lab.engine.ensure_network(lab.network, lab.subnet, lab.labels)
        yield lab
    finally:
        docker_cli.remove_labelled(docker_host, f"{LABEL}={lab.run}")
    assert docker_cli.left(docker_host, f"{LABEL}={lab.run}") == []


def wait_for(what: Callable[[], bool], seconds: float = 30) -> None:
    """Fails when ``what`` does not become true in time."""
    wait_until(what, seconds, "the container gets there", every_s=0.05)
