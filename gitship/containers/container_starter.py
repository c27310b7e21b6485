"""Starts the containers of a release, and removes those no longer needed."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from gitship.containers import capabilities
from gitship.engine import types
from gitship.engine.addresses import Addresses
from gitship.engine.interface import Engine, ImageGone, NameTaken
from gitship.engine.types import ContainerSpec
from gitship.errors import Conflict, DeployCanceled, DeployError, EngineError, GitshipError
from gitship.logs.archive import LogArchive
from gitship.model import App, Container, Process, Release
from gitship.store import Store
from gitship.store.settings import Changes

PARALLEL_STOPS = 8
NAME_TRIES = 5
COMMIT_NAMES = ("GIT_REV", "SOURCE_VERSION")  # as Dokku and Heroku call it


class ContainerStarter:
    """Makes containers with gitship's own addresses and labels; ``server_id`` marks them as this installation's.

    A container mounts only what the app may have as it is made, and gets the passwords that its links have then.
    """

    def __init__(self, engine: Engine, addresses: Addresses, kept: LogArchive, server_id: str, store: Store) -> None:
        self._engine = engine
        self._addresses = addresses
        self._kept = kept
        self.server_id = server_id
        self._store = store

    def start(
        self, app: App, release: Release, wanted: Iterable[tuple[Process, int]], deploy_id: int,
        cancel: threading.Event, changes: Changes,
    ) -> list[Container]:  # fmt: skip
        """So many new containers of each process, all or none. ``changes`` are settings that come live with them.

        Raises DeployError, DeployCanceled or EngineError.
        """
        network = self._addresses.network(app)
        taken = {state.name for state in self._engine.list({})}  # also of others: an earlier installation, or by hand
        started: list[Container] = []
        try:
            for process, count in wanted:
                for _ in range(count):
                    if cancel.is_set():
                        raise DeployCanceled("canceled while containers were started")
                    started.append(self._next(app, release, process, taken, network, deploy_id, changes))
        except BaseException:
            self.remove(app, started)
            raise
        return started

    def spec(
        self, app: App, release: Release, process: Process, name: str, network: str, address: str | None, deploy_id: int
    ) -> ContainerSpec:
        """What the container is made from."""
        return ContainerSpec(
            name=name,
            image_id=release.image_id,
            network=network,
            command=process.command,
            entrypoint=process.entrypoint,
            env=environment(app, release, process, self._store.linked_environment(app.id)),
            labels={**labels(self.server_id, app, release, process.type), types.LABEL_DEPLOY: str(deploy_id)},
            address=address,
            restart=not process.host_mounts,  # ``restart_delays`` looks at the directories first
            stop_timeout_s=process.stop_timeout_s,
            memory_bytes=process.memory_bytes,
            cpus=process.cpus,
            pids=process.pids,
            mounts=process.mounts,
            read_only=process.read_only,
            capabilities=process.capabilities,
        )

    def remove(self, app: App, containers: Iterable[Container]) -> None:
        """Ends containers that no visitor knows of, at once."""
        for container in containers:
            self._end(container, 0.0)
            self._addresses.release(app, container.name)

    def retire(self, app: App, containers: Iterable[tuple[Container, float]]) -> None:
        """Side by side, since each may use its whole grace (seconds)."""

        def end(container: Container, grace_s: float) -> None:
            self._end(container, grace_s)
            self._addresses.release(app, container.name)

        with ThreadPoolExecutor(PARALLEL_STOPS, thread_name_prefix="retire") as pool:
            for run in [pool.submit(end, c, grace_s) for c, grace_s in containers]:
                run.result()

    def again(self, app: App, release: Release, container: Container, deploy_id: int) -> Container:
        """Makes a live container that got lost anew, under its name and address; what is left of it goes."""
        process = self._granted(app, release, {}).process(container.process)
        if process is None:
            raise GitshipError(f"{release.label} has no process {container.process}", "push again")
        network = self._addresses.network(app)
        spec = self.spec(app, release, process, container.name, network, container.address, deploy_id)
        self._end(container, 0.0)
        container_id = self._create(app, release, spec)
        self._engine.start(container_id)
        return Container(
            container_id, container.name, app.id, release.id, process.type, container.index, container.address,
            container.port,
        )  # fmt: skip

    def start_again(self, app: App, release: Release, container: Container) -> None:
        """Starts a live container that has stopped. Raises GitshipError."""
        self._granted(app, release, {})
        self._engine.start(container.id)

    def _granted(self, app: App, release: Release, changes: Changes) -> Release:
        return capabilities.live(app.name, release, self._store.app_settings(app.id).changed(changes))

    def _create(self, app: App, release: Release, spec: ContainerSpec) -> str:
        try:
            return self._engine.create(spec)
        except ImageGone:
            raise image_gone(app, release) from None

    def _end(self, container: Container, grace_s: float) -> None:
        """SIGTERM, grace, SIGKILL, and only then, when it prints no more, its log is kept."""
        self._engine.stop(container.id, grace_s)
        self._kept.keep(container)
        self._engine.remove(container.id)

    def _next(
        self, app: App, release: Release, process: Process, taken: set[str], network: str, deploy_id: int,
        changes: Changes,
    ) -> Container:  # fmt: skip
        process = self._granted(app, release, changes).process(process.type) or process
        for last in (*[False] * (NAME_TRIES - 1), True):
            index, name = _free_name(app, release, process, taken)
            taken.add(name)
            try:
                return self._one(app, release, process, index, name, network, deploy_id)
            except NameTaken:  # since the list was made
                if last:
                    raise
        raise AssertionError("unreachable")

    def _one(
        self, app: App, release: Release, process: Process, index: int, name: str, network: str, deploy_id: int
    ) -> Container:
        address = self._addresses.take(app, name)
        container_id = ""
        try:
            spec = self.spec(app, release, process, name, network, address, deploy_id)
            container_id = self._create(app, release, spec)
            self._engine.start(container_id)
        except BaseException as error:
            if container_id:
                self._engine.remove(container_id)
            self._addresses.release(app, name)
            if isinstance(error, EngineError | Conflict) and container_id:
                raise DeployError(f"{process.type} could not be started: {error.message}", error.hint) from error
            raise
        return Container(container_id, name, app.id, release.id, process.type, index, address, process.port)


def image_gone(app: App, release: Release) -> DeployError:
    """What a release is run from has been removed by hand."""
    again = f"git:deploy {app.name} {release.commit[:12]} --force" if release.commit else ""
    hint = f"build it again: {again}" if again else f"fetch it again: git:from-image {app.name} IMAGE"
    return DeployError(f"the image of {release.label} no longer exists", hint)


def labels(server_id: str, app: App, release: Release, process: str) -> dict[str, str]:
    """Whose a container is and what it runs; every container of gitship's has these."""
    return {
        types.LABEL_SERVER: server_id,
        types.LABEL_APP: app.name,
        types.LABEL_APP_ID: str(app.id),
        types.LABEL_RELEASE: str(release.number),
        types.LABEL_PROCESS: process,
    }


def environment(app: App, release: Release, process: Process | None, linked: Mapping[str, str]) -> dict[str, str]:
    """The app's config, what its links give, PORT where the process gets traffic, and who it is."""
    env = {
        "GITSHIP_APP": app.name,
        "GITSHIP_RELEASE": release.label,
        "GITSHIP_COMMIT": release.commit or "",
        **(dict.fromkeys(COMMIT_NAMES, release.commit) if release.commit else {}),
        **release.config,
        **linked,
    }
    if process is not None and process.port is not None:
        env["PORT"] = str(process.port)
    return env


def _free_name(app: App, release: Release, process: Process, taken: set[str]) -> tuple[int, str]:
    """``<app>.<process>.<n>.v<release>`` with the lowest free n: a restart runs beside what it replaces."""
    index = 1
    while (name := f"{app.name}.{process.type}.{index}.{release.label}") in taken:
        index += 1
    return index, name
