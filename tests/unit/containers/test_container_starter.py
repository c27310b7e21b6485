"""Names of new containers, on a real store and an engine in memory."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from ipaddress import IPv4Network
from pathlib import Path
from typing import cast

import pytest

from gitship.containers.container_starter import NAME_TRIES, ContainerStarter
from gitship.engine.addresses import Addresses
from gitship.engine.interface import Engine, NameTaken
from gitship.engine.types import ContainerSpec, ContainerState
from gitship.errors import DeployError
from gitship.logs.archive import LogArchive
from gitship.model import Process
from gitship.store import Store

WEB = Process("web", port=5000)


class Crowded:
    """Others have containers here: ``listed`` ones, and ``late`` ones that appear after the list was made."""

    def __init__(self, listed: set[str], late: set[str]) -> None:
        self._listed = listed
        self._late = late
        self.made: list[str] = []

    def ensure_network(self, name: str, subnet: str, labels: Mapping[str, str]) -> bool:
        return True

    def list(self, labels: Mapping[str, str]) -> list[ContainerState]:
        return [] if labels else [ContainerState(name, name, {}, "exited") for name in self._listed]

    def create(self, spec: ContainerSpec) -> str:
        if spec.name in self._listed | self._late:
            raise NameTaken(f"a container named {spec.name} already exists")
        self.made.append(spec.name)
        return spec.name

    def start(self, container_id: str) -> None:
        pass

    def stop(self, container_id: str, timeout_s: float) -> None:
        pass

    def remove(self, container_id: str) -> None:
        self.made.remove(container_id)


class NoLogs:
    """These containers print nothing."""

    def keep(self, *anything: object) -> None:
        pass


def started(directory: Path, engine: Crowded) -> list[str]:
    store = Store(directory / "gitship.db")
    app = store.create_app("shop")
    release = store.create_release(
        app.id, commit="1a" * 20, image_id="sha256:1", image_bytes=1, config={}, processes=(WEB,), cause="push",
        created_by="ada",
    )  # fmt: skip
    addresses = Addresses(store, cast(Engine, engine), IPv4Network("10.9.0.0/20"), "s1")
    starter = ContainerStarter(cast(Engine, engine), addresses, cast(LogArchive, NoLogs()), "s1", store)
    try:
        return [c.name for c in starter.start(app, release, [(WEB, 2)], 1, threading.Event(), {})]
    finally:
        assert sorted(store.addresses(app.id)) == sorted(engine.made), (
            "an address belongs to each container, and no more"
        )
        store.close()


def test_names_that_others_have_on_this_engine_are_left_to_them(tmp_path: Path) -> None:
    engine = Crowded({"shop.web.1.v1", "shop.web.3.v1"}, {"shop.web.4.v1"})
    assert started(tmp_path, engine) == ["shop.web.2.v1", "shop.web.5.v1"]


def test_a_name_that_is_never_free_fails_the_deploy_and_leaves_nothing(tmp_path: Path) -> None:
    engine = Crowded(set(), {f"shop.web.{n}.v1" for n in range(2, NAME_TRIES + 2)})
    with pytest.raises((NameTaken, DeployError), match=r"a container named shop\.web\.\d+\.v1 already exists"):
        started(tmp_path, engine)
    assert engine.made == []
