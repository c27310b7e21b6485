"""Docker, the addresses of containers, and the firewall before them."""

from __future__ import annotations

from dataclasses import dataclass

from gitship.core import Core
from gitship.engine import build_secrets, firewall
from gitship.engine.addresses import Addresses
from gitship.engine.build_limits import BuildLimits
from gitship.engine.docker import DockerEngine
from gitship.engine.firewall import Firewall
from gitship.engine.reserve_image import StoredImageId


@dataclass(frozen=True, slots=True)
class EngineRoom:
    docker: DockerEngine
    addresses: Addresses
    firewall: Firewall
    with_firewall: bool

    def start(self) -> None:
        if self.with_firewall:
            self.firewall.start()

    def stop(self) -> None:
        self.firewall.stop()


def build(core: Core, reserve: StoredImageId) -> EngineRoom:
    """``reserve`` is where the id of the reserve image is kept."""
    settings, docker = core.settings, core.settings.docker
    engine = DockerEngine(
        docker.host,
        builder=docker.builder,
        timeout_s=docker.timeout,
        build_limits=BuildLimits.of(docker),
        host_paths=docker.host_paths,
        private=(settings.data_dir,),
        owner=core.server_id,
        secret=core.store.secret(),
        kept=reserve,
    )
    build_secrets.sweep(core.server_id)
    addresses = Addresses(core.store, engine, docker.address_pool, core.server_id)
    rules = Firewall(lambda: firewall.rules_of(settings, core.server_id, engine.default_bridge))
    return EngineRoom(engine, addresses, rules, firewall.wanted(settings))
