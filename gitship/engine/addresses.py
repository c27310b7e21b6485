"""Allocates networks to apps and addresses to containers, so that no address is reused too early.

Docker gives a freed address to the next container at once (measured), and a Varnish backend on it would then reach
another app. Hence one network per app, and in it addresses that rotate and rest after use.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network

from gitship.engine.interface import Engine
from gitship.engine.types import LABEL_APP, LABEL_SERVER, LABEL_SERVICE
from gitship.errors import Conflict, EngineError, GitshipError
from gitship.model import App
from gitship.model.services import Service
from gitship.store import Store

SERVICE = "service"
_ID = re.compile(f"({SERVICE})?([1-9][0-9]{{0,17}})")  # of an app, or a service
SUBNET_PREFIX = 26  # 61 containers an app, and 1024 apps in the default pool
QUARANTINE_S = 60  # longer than the default drain limit


class Addresses:
    """Safe from any thread. ``pool`` is the private network from which the apps' subnets are cut."""

    def __init__(self, store: Store, engine: Engine, pool: IPv4Network, server_id: str) -> None:
        self._store = store
        self._engine = engine
        self._pool = pool
        self._server_id = server_id
        self._lock = threading.Lock()
        self._last_subnet: IPv4Network | None = None

    def name(self, app: App) -> str:
        """What the app's network is called in Docker."""
        return f"gitship-{self._server_id}-{app.id}"

    def network(self, app: App) -> str:
        """The name of the app's network, which is there afterwards: made, or made again with the same subnet.

        Raises GitshipError when the pool is used up, EngineError when Docker refuses.
        """
        labels = {LABEL_SERVER: self._server_id, LABEL_APP: app.name}
        return self._brought(
            self.name(app), f"app '{app.name}'", labels, lambda: self._store.app_by_id(app.id).network,
            lambda subnet: self._store.set_network(app.id, subnet),
        )  # fmt: skip

    def service_network(self, service: Service) -> str:
        """The name of the service's own network, in which nothing else is; otherwise as ``network``."""
        labels = {LABEL_SERVER: self._server_id, LABEL_SERVICE: service.name}
        return self._brought(
            self.service_name(service), f"service '{service.name}'", labels,
            lambda: self._store.service(service.id).network,
            lambda subnet: self._store.change_service(service.id, network=subnet),
        )  # fmt: skip

    def service_name(self, service: Service) -> str:
        """What the service's own network is called in Docker."""
        return f"gitship-{self._server_id}-{SERVICE}{service.id}"

    def _brought(
        self, name: str, whose: str, labels: Mapping[str, str], subnet_of: Callable[[], str | None],
        keep: Callable[[str], None],
    ) -> str:  # fmt: skip
        with self._lock:
            subnet = subnet_of()
            if subnet and self._engine.ensure_network(name, subnet, labels):
                return name
            # None yet; or somebody else's network lies over it, and so no container can be in it now.
            for candidate in self._free_subnets():
                if self._engine.ensure_network(name, str(candidate), labels):
                    keep(str(candidate))
                    self._last_subnet = candidate
                    return name
        raise GitshipError(
            f"no private network is free for {whose}: {self._pool} is used up",
            "destroy an app, or set a larger address_pool in [docker] on the server",
        )

    def take(self, app: App, owner: str) -> str:
        """An address for the container ``owner``, the same one when it has one already.

        Addresses rotate, and rest QUARANTINE_S after use; if all are resting, the one that has rested longest is
        given. Raises GitshipError when all are taken or the app has no network yet.
        """
        taken = self._store.addresses(app.id)
        if owner in taken:
            return taken[owner]
        subnet = self._store.app_by_id(app.id).network
        if subnet is None:
            raise GitshipError(f"app '{app.name}' has no network yet", "deploy it first")
        candidates = rotated(IPv4Network(subnet), self._store.last_address(app.id))
        for quarantine_s in range(QUARANTINE_S, -1, -1):
            address = self._store.take_address(app.id, candidates, owner, quarantine_s)
            if address is not None:
                return address
        raise GitshipError(
            f"all {len(candidates)} addresses of app '{app.name}' are taken", "scale it down, see `ps:list`"
        )

    def release(self, app: App, owner: str) -> None:
        """The container is gone: its address may be used again after the quarantine."""
        self._store.release_address(app.id, owner)

    def remove(self, app: App) -> None:
        """Removes the app's network; nothing happens when it is gone already."""
        self._engine.remove_network(self.name(app))

    def orphans(self) -> list[str]:
        """Networks of apps and services that this database has had and has no more. Raises EngineError."""
        found = self._engine.networks({LABEL_SERVER: self._server_id})  # first: an app is there before its network is
        there = {self.name(app) for app in self._store.apps()}
        there |= {self.service_name(service) for service in self._store.services()}
        prefix = f"gitship-{self._server_id}-"
        ids = {n: match for n in found if n.startswith(prefix) and (match := _ID.fullmatch(n.removeprefix(prefix)))}
        # an id that was never given: the database is a backup from before
        last = {None: self._store.last_app_id(), SERVICE: self._store.last_service_id()}
        return sorted(n for n, match in ids.items() if n not in there and int(match[2]) <= last[match[1]])

    def remove_orphans(self) -> list[str]:
        """Removes those that nothing is in; their names. Raises EngineError, when all others are removed."""
        removed, failed = [], []
        for name in self.orphans():
            try:
                self._engine.remove_network(name)
                removed.append(name)
            except Conflict:  # somebody has put a container of his own into it
                continue
            except EngineError as error:
                failed.append(error)
        if failed and not removed:
            raise failed[0]
        return removed

    def _free_subnets(self) -> Iterator[IPv4Network]:
        """Subnets that no app has, beginning after the one given last: a destroyed app's subnet rests as well."""
        used = [IPv4Network(subnet) for subnet in self._store.subnets()]
        last = self._last_subnet or max(used, default=None)
        subnets = list(self._pool.subnets(new_prefix=SUBNET_PREFIX))
        start = subnets.index(last) + 1 if last in subnets else 0
        for subnet in subnets[start:] + subnets[:start]:
            if not any(subnet.overlaps(other) for other in used):
                yield subnet


def rotated(subnet: IPv4Network, last: str | None) -> list[str]:
    """The addresses that containers may have, beginning after ``last``. The first of the subnet is Docker's gateway."""
    hosts = list(subnet.hosts())[1:]
    start = next((i for i, host in enumerate(hosts) if last and host > IPv4Address(last)), 0)
    return [str(host) for host in hosts[start:] + hosts[:start]]
