"""The pipeline, the queue before it, and the watch over new releases after it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from gitship.containers.room import ContainersRoom
from gitship.core import Core
from gitship.deploy.auto_rollback import AutoRollback
from gitship.deploy.build import Builder
from gitship.deploy.canary import Canary
from gitship.deploy.external_image import ExternalImages
from gitship.deploy.fetch_image import ImageFetcher
from gitship.deploy.hooks import Hooks
from gitship.deploy.manifest_source import manifest_of
from gitship.deploy.new_release import NewReleases
from gitship.deploy.pipeline import Pipeline
from gitship.deploy.queue import DeployQueue
from gitship.disk.free_space import FreeSpace
from gitship.engine.room import EngineRoom
from gitship.git.repository import Repositories
from gitship.observe.room import ObserveRoom
from gitship.routing.room import RoutingRoom
from gitship.volumes.lifecycle import VolumeLifecycle


@dataclass(frozen=True, slots=True)
class DeployRoom:
    queue: DeployQueue
    pipeline: Pipeline
    probation: AutoRollback

    def start(self) -> None:
        self.probation.take_up()

    def stop(self) -> None:
        """Deploys that have not switched are canceled, and whoever waits for one is told."""
        self.probation.stop()
        self.queue.stop()


def build(
    core: Core, engine: EngineRoom, repositories: Repositories, space: FreeSpace, volume_lifecycle: VolumeLifecycle,
    containers: ContainersRoom, routing: RoutingRoom, observe: ObserveRoom,
) -> DeployRoom:  # fmt: skip
    settings, store, docker = core.settings, core.store, core.settings.docker
    builder = Builder(
        engine.docker,
        store,
        max_builds=docker.max_builds,
        timeout_s=docker.build_timeout,
        min_free_bytes=docker.min_free,
        room=space,
        output_bytes=docker.build_output,
        network=docker.build_network,
    )
    foreign = ExternalImages(store, engine.docker, repositories, ImageFetcher(engine.docker, store, settings))
    releasing = NewReleases(store, engine.docker, repositories, builder, foreign, settings)
    canary = Canary(
        engine.docker, routing.front, routing.drainer, routing.gates, routing.canaries, routing.switch,
        observe.counters, lambda: observe.visitors.running, settings.deploy.drain_timeout,
    )  # fmt: skip
    read_manifest = partial(manifest_of, store, repositories)
    probation = AutoRollback(settings, store, core.bus, observe.counters, lambda: queue, read_manifest)
    pipeline = Pipeline(
        settings, store, engine.docker, routing.front, repositories, engine.addresses, releasing, containers.starter,
        routing.drainer, Hooks(store, settings, routing.url), volume_lifecycle, routing.switch, canary,
        containers.claims,
        probation,
    )  # fmt: skip
    queue = DeployQueue(pipeline.run, cancel_running=settings.deploy.on_new_push == "cancel")
    return DeployRoom(queue, pipeline, probation)
