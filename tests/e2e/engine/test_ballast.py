"""Docker's reserve is the image that gitship has made: one that only carries its labels is somebody's image."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gitship.engine.docker import DockerEngine
from gitship.errors import NotFound
from tests.e2e import docker_cli
from tests.e2e.engine.conftest import Lab

pytestmark = pytest.mark.e2e

SIZE_BYTES = 256 * 512


class Kept:
    """What outlives gitship."""

    def __init__(self) -> None:
        self.image_id = ""

    def get(self) -> str:
        return self.image_id

    def set(self, image_id: str) -> None:
        self.image_id = image_id


@pytest.fixture
def labelled(lab: Lab) -> Iterator[str]:
    """The id of an app's image that says that it is the reserve."""
    labels = {"gitship.server": lab.run, "gitship.reserve": lab.run}
    words = [f"LABEL {name}={text}" for name, text in labels.items()]
    yield lab.build("\n".join(["FROM scratch", "COPY file /file", *words, ""]), files={"file": b"data"}).id
    docker_cli.docker(lab.host, "rmi", "-f", f"{lab.run}:latest", check=False)


def test_an_image_with_its_labels_is_not_taken_for_it(lab: Lab, labelled: str) -> None:
    kept = Kept()
    images = DockerEngine(lab.host, owner=lab.run, kept=kept).images
    assert not images.ballast.there()
    images.ballast.drop()
    assert images.inspect(labelled).id == labelled
    images.ballast.make(SIZE_BYTES)
    assert images.ballast.there() and kept.image_id not in ("", labelled)
    assert images.inspect(kept.image_id).size_bytes >= SIZE_BYTES
    again = DockerEngine(lab.host, owner=lab.run, kept=kept).images  # a gitship that has been started again
    assert again.ballast.there()
    again.ballast.drop()
    assert not again.ballast.there()
    with pytest.raises(NotFound):
        images.inspect(kept.image_id)
    assert images.inspect(labelled).id == labelled
