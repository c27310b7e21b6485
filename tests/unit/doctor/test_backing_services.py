"""Backing services that the doctor looks at: engine files, servers that do not run, images that are gone."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from gitship.config import Settings
from gitship.doctor import Finding, Level, backing_services
from gitship.engine.docker import DockerEngine
from gitship.engine.docker_images import DockerImages
from gitship.engine.types import ContainerState, Image
from gitship.errors import NotFound
from gitship.model.services import ServiceVolume, VolumeUse
from gitship.services.engine_catalog import SHIPPED
from gitship.store import Store
from tests.unit.memory.services import running_service


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "engines").mkdir()
    return Settings(data_dir=tmp_path)


def engine_file(settings: Settings, name: str, text: str) -> None:
    (settings.data_dir / "engines" / f"{name}.toml").write_text(text)


def found(settings: Settings) -> list[tuple[Level, str]]:
    return [(f.level, f.text) for _, look in backing_services.LOOKS for f in look(settings)]


def docker(patch: pytest.MonkeyPatch, running: set[str], images: set[str]) -> None:
    def inspect(engine: DockerEngine, container_id: str) -> ContainerState:
        if container_id not in running:
            raise NotFound("no such container")
        return ContainerState(container_id, container_id, {}, "running")

    def image(self: DockerImages, image_id: str) -> Image:
        if image_id not in images:
            raise NotFound("no such image")
        return Image(image_id, 1)

    patch.setattr(DockerEngine, "inspect", inspect)
    patch.setattr(DockerImages, "inspect", image)


def test_a_server_without_services_says_nothing(settings: Settings) -> None:
    assert found(settings) == []
    Store(settings.database).close()
    assert found(settings) == []


def test_an_engine_file_that_cannot_be_used(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    engine_file(settings, "mine", "title = 1")
    [(level, text)] = found(settings)
    assert level is Level.WARN
    assert "mine.toml" in text
    docker(monkeypatch, {"service-1"}, {""})
    store = Store(settings.database)
    running_service(store, "db", engine="mine")
    assert found(settings)[0][0] is Level.FAIL  # db could not be started again
    assert "db cannot be restarted: " in found(settings)[0][1]
    (settings.data_dir / "engines" / "mine.toml").unlink()
    assert (Level.FAIL, "db cannot be restarted: the file of mine is gone") in found(settings)
    engine_file(settings, "mine", (SHIPPED / "valkey.toml").read_text())
    assert found(settings) == [(Level.OK, "1 runs")]
    store.close()


def test_a_server_that_does_not_run_and_images_that_are_gone(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(settings.database)
    for name in ("db", "cache"):
        service = running_service(store, name)
        store.change_service(service.id, image_id=f"sha256:{name}")
    volume = ServiceVolume("v", service.id, VolumeUse.KEPT, "16", "i", "sha256:old", 1.0, 2.0)
    store.note_volume(volume)
    docker(monkeypatch, {"service-1", "service-2"}, {"sha256:db", "sha256:cache", "sha256:old"})
    assert found(settings) == [(Level.OK, "2 run")]
    docker(monkeypatch, {"service-1"}, {"sha256:cache"})
    assert found(settings) == [
        (Level.FAIL, "cache does not run: it is missing"),
        (Level.FAIL, "the images of db (postgres 17) no longer exist in Docker: they cannot be made anew"),
        (Level.WARN, "the images of cache 16 no longer exist in Docker: services:rollback cannot go back"),
    ]
    store.begin_task(service.subject, "restart", "ada")  # it is being seen to
    assert "cache does not run" not in str(found(settings))
    store.note_volume(dataclasses.replace(volume, use=VolumeUse.DISCARDED))
    assert "rollback" not in str(found(settings))
    store.close()


def test_a_finding_has_a_fix(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(settings.database)
    running_service(store, "db")
    docker(monkeypatch, set(), set())
    fixes: list[Finding] = list(backing_services.services(settings))
    assert [f.fix for f in fixes] == [
        "see `services:logs db` and `services:log db`", "fetch them again: services:upgrade db 17",
    ]  # fmt: skip
    store.close()
