"""Containers of services: what they are made from, their start, and when they are ready."""

from __future__ import annotations

import dataclasses
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from gitship.engine import types
from gitship.engine.addresses import Addresses
from gitship.engine.errors import FREE_SPACE, NO_SPACE
from gitship.engine.interface import Engine, NoSpace
from gitship.engine.types import ContainerSpec, ContainerState
from gitship.errors import EngineError, GitshipError, NotFound, ServiceError
from gitship.model import App, Mount
from gitship.model.services import LinkState, Service, ServiceLink, ServiceLogin, ServiceState
from gitship.services import measures
from gitship.services.actions import ServiceActions
from gitship.services.engine_catalog import EngineCatalog
from gitship.services.engine_file import EngineAction, ServiceEngine
from gitship.services.outside_connections import OutsideConnections
from gitship.store import Store

READY_S = 120.0  # of a server with little to recover; a crashed one with much goes on within the container meanwhile
READY_EVERY_S = 0.25
LOG_LINES = 20
LOOK_S = 5.0  # for figures
MADE_S = 60.0  # longer than between the look at an environment and the start of what has it
INSIDE = "127.0.0.1"  # where actions, which run within the container, find the server
ENDED = frozenset({"exited", "dead"})


@dataclass(frozen=True, slots=True)
class ServerVolume:
    """What a container of a service is made from, beside the service itself."""

    volume: str
    version: str
    image_id: str


def of_now(service: Service) -> ServerVolume:
    """What runs, or should."""
    return ServerVolume(service.volume, service.version, service.image_id)


class ServiceContainers:
    """Safe from any thread; who calls sees to it that a volume never has two servers."""

    def __init__(
        self, store: Store, engine: Engine, addresses: Addresses, catalog: Callable[[], EngineCatalog], server_id: str
    ) -> None:
        self._store = store
        self._engine = engine
        self._addresses = addresses
        self._catalog = catalog
        self._server_id = server_id
        self.actions = ServiceActions(engine)
        self.outside = OutsideConnections()

    def engine_of(self, service: Service) -> ServiceEngine:
        """Raises NotFound when an admin has taken the engine's file away."""
        catalog = self._catalog()
        if service.engine not in catalog.engines:
            problem = catalog.problems.get(service.engine)
            raise NotFound(
                f"the engine of {service.label} cannot be used: {problem.message if problem else 'its file is gone'}",
                "mend its file, or bring it back",
            )
        return catalog.engines[service.engine]

    def action(self, service: Service, name: str, so: str = "") -> EngineAction:
        """The engine's action of that name. Raises NotFound when it has none, and what follows from that (``so``)."""
        engine = self.engine_of(service)
        found: EngineAction | None = getattr(engine, name)
        if found is None:
            raise NotFound(f"{engine.title} has no {name}{so}", "see `help service-engines`")
        return found

    def values(self, service: Service, login: ServiceLogin | None = None) -> dict[str, str]:
        """For the actions and settings of its engine."""
        own = {
            "root_password": service.root_password, "database": service.database, "owner": service.database,
            "host": INSIDE, "port": str(self.engine_of(service).port), "memory_mb": str(service.memory_bytes >> 20),
        }  # fmt: skip
        return own | ({"login": login.name, "password": login.password} if login is not None else {})

    def spec(self, service: Service, placed: ServerVolume, network: str, name: str) -> ContainerSpec:
        """What a server's container is made from; pure."""
        engine = self.engine_of(service)
        values = self.values(service)
        return ContainerSpec(
            name=name,
            image_id=placed.image_id,
            network=network,
            command=engine.filled_arguments(values),
            entrypoint=True,
            env=engine.filled_environment(values),
            labels=labels(self._server_id, service),
            stop_timeout_s=engine.stop_timeout_s,
            stop_signal=engine.stop_signal,
            memory_bytes=service.memory_bytes,
            shm_bytes=engine.shm_bytes,
            mounts=(Mount("data", engine.data_path(placed.version), volume=placed.volume),) if placed.volume else (),
            capabilities=engine.capabilities,
            hostname=service.name if engine.fixed_hostname else "",
            forwards=False,
        )

    def make(self, service: Service, placed: ServerVolume, *, linked: bool, command: tuple[str, ...] = ()) -> str:
        """A new container, not started, in its apps' networks when ``linked``; its id. Raises GitshipError.

        ``command`` runs in the place of the server.
        """
        network = self._addresses.service_network(service)
        name = f"{service.name}.service.{secrets.token_hex(3)}"
        spec = self.spec(service, placed, network, name)
        if command:
            spec = dataclasses.replace(spec, command=command, entrypoint=False, restart=False)
        container_id = self._engine.create(spec)
        try:
            if linked:
                self.join_all(dataclasses.replace(service, container=container_id))
        except BaseException:
            self._engine.remove(container_id)
            raise
        return container_id

    def join_all(self, service: Service) -> None:
        """Its container comes into the networks of its apps."""
        self.outside.allow(service)
        for link in self._store.service_links(service_id=service.id):
            self.join(service, link, service.container)

    def leave_all(self, service: Service) -> None:
        """Its connections with apps, and with people, end."""
        self.outside.shut(service)
        for network in self.networks(service):
            self._engine.disconnect(service.container, network)

    def join(self, service: Service, link: ServiceLink, container_id: str) -> None:
        """The server comes into the app's network, under the service's name."""
        app = self._store.app_by_id(link.app_id)
        network = self._addresses.network(app)
        hosts = dict.fromkeys((link.host, service.name))
        self._engine.connect(container_id, network, self._addresses.take(app, _owner(service)), tuple(hosts))

    def address(self, service: Service) -> tuple[str, int]:
        """Where its server listens now, for this machine. Raises ServiceError when it does not run."""
        container_id = self.running(service)
        address = self._engine.inspect(container_id).networks.get(self.network(service), "")
        if not address:
            raise ServiceError(f"{service.name} has no address now", f"see `services:info {service.name}`")
        return address, self.engine_of(service).port

    def network(self, service: Service) -> str:
        """Docker's name of its own network."""
        return self._addresses.service_name(service)

    def networks(self, service: Service) -> set[str]:
        """Docker's names of those that its container should be in, beside its own."""
        links = self._store.service_links(service_id=service.id)
        return {
            self._addresses.name(self._store.app_by_id(link.app_id))
            for link in links
            if link.state is not LinkState.ADDING
        }

    def leave(self, service: Service, link: ServiceLink, container_id: str) -> None:
        """Unless another link of the same app needs it."""
        links = self._store.service_links(service_id=service.id, app_id=link.app_id)
        if any(other.id != link.id and other.state is not LinkState.ADDING for other in links):
            return
        app = self._store.app_by_id(link.app_id)
        if container_id:
            self._engine.disconnect(container_id, self._addresses.name(app))
        self._addresses.release(app, _owner(service))

    def start(self, service: Service, container_id: str, gone: threading.Event) -> None:
        """Starts it, and waits until it answers. Raises GitshipError."""
        self._engine.start(container_id)
        self.wait_ready(service, container_id, gone)

    def wait_ready(self, service: Service, container_id: str, gone: threading.Event, limit_s: float = READY_S) -> None:
        """Raises ServiceError with the last lines of its log, or what its own question answered."""
        engine, values = self.engine_of(service), self.values(service)
        passwords = [word for word in (service.root_password, service.next_root_password) if word]
        deadline = time.monotonic() + limit_s
        said = ""
        while True:
            state = self._engine.inspect(container_id)
            if state.status in ENDED or state.restarts:
                raise self._not_started(service, container_id, _ending(state))
            for password in passwords:
                try:
                    self.actions.output(container_id, engine.ready, values | {"root_password": password}, READY_S)
                    return
                except ServiceError as error:
                    said = error.message
            if time.monotonic() >= deadline:
                raise self._not_started(service, container_id, f"did not answer within {limit_s:g} s: {said}")
            if gone.wait(READY_EVERY_S):
                raise ServiceError("gitship is stopping", "try again when it is back")

    def end(self, service: Service, container_id: str) -> None:
        """Stops and removes it; nothing happens when it is gone."""
        if container_id:
            with suppress(EngineError):  # a full disk keeps Docker from writing it down: it ends all the same
                self._engine.leave_down(container_id)
            self._engine.stop(container_id, self._grace_s(service))
            self._engine.remove(container_id)

    def end_others(self, service: Service, keep: str = "") -> list[ContainerState]:
        """Ends all that were made for the service but one; what they were."""
        found = [state for state in self.all(service) if state.id != keep]
        for state in found:
            self.end(service, state.id)
        return found

    def all(self, service: Service) -> list[ContainerState]:
        """Every container that was made for it, by gitship's own word."""
        labels = {types.LABEL_SERVER: self._server_id, types.LABEL_SERVICE_ID: str(service.id)}
        return [s for s in self._engine.list(labels) if is_server(s) and types.LABEL_SERVICE_ID in s.labels]

    def one_offs_of_before(self, app: App, at: float) -> bool:
        """Whether a one-off of the app runs whose environment may be of before ``at`` (epoch seconds)."""
        found = self._engine.list({types.LABEL_SERVER: self._server_id, types.LABEL_APP_ID: str(app.id)})
        for state in found:
            if types.LABEL_ONE_OFF in state.labels and state.status not in ENDED:
                with suppress(NotFound):
                    if (self._engine.inspect(state.id).started_at or 0.0) < at + MADE_S:
                        return True
        return False

    def running(self, service: Service) -> str:
        """The id of the container that serves. Raises ServiceError when there is none that runs."""
        try:
            if service.container and self._engine.inspect(service.container).status == "running":
                return service.container
        except NotFound:
            pass
        what = "is not made yet" if service.state is ServiceState.CREATING else "does not run now"
        raise ServiceError(f"{service.name} {what}", f"see `services:info {service.name}`")

    def figures(self, service: Service, container_id: str) -> dict[str, float]:
        """What its engine tells of it: connections, bytes; nothing when its engine's file is gone or silent.

        Raises ServiceError when the server does not answer in time.
        """
        try:
            action, values = self.engine_of(service).metrics, self.values(service)
        except NotFound:
            return {}
        return {} if action is None else measures.metrics(self.actions.output(container_id, action, values, LOOK_S))

    def _grace_s(self, service: Service) -> float:
        try:
            return self.engine_of(service).stop_timeout_s
        except NotFound:
            return 60.0

    def ensure_up(self, service: Service, container_id: str) -> None:
        """Raises ServiceError with the last lines of its log when it has ended since it was ready, NoSpace likewise."""
        state = self._engine.inspect(container_id)
        if state.status in ENDED or state.restarts:
            raise self._not_started(service, container_id, _ending(state, "in the middle of it"))

    def _not_started(self, service: Service, container_id: str, what: str) -> GitshipError:
        lines: list[str] = []
        with suppress(EngineError, NotFound):
            lines = [line.text for line in self._engine.logs(container_id, tail=LOG_LINES)]
        if any(NO_SPACE in line.lower() for line in lines):
            return NoSpace(f"{service.engine} {what}: Docker's disk is full", FREE_SPACE)
        return ServiceError(f"{service.engine} {what}", "see its last lines above", lines)


def labels(server_id: str, service: Service) -> dict[str, str]:
    """Of all that is made for a service in Docker."""
    return {
        types.LABEL_SERVER: server_id,
        types.LABEL_SERVICE: service.name,
        types.LABEL_SERVICE_ID: str(service.id),
    }


def is_server(state: ContainerState) -> bool:
    """Not one through which a volume is read or written."""
    return types.LABEL_HELPER not in state.labels


def _ending(state: ContainerState, when: str = "at its start") -> str:
    if state.oom_killed:
        return "was out of memory: give it more with --memory"
    return f"ended {when} with exit code {state.exit_code}" if state.status in ENDED else f"crashed {when}"


def _owner(service: Service) -> str:
    """What has the address in the networks of its apps."""
    return f"service:{service.id}"
