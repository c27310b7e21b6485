"""The superuser's password of a service, changed so that whoever is killed in the middle leaves nobody locked out.

The new one is written down before the server is told of it. Until it takes the place of the old one the server has
either; it is asked which.
"""

from __future__ import annotations

from contextlib import suppress

from gitship.errors import GitshipError
from gitship.model.services import Service
from gitship.services.links import new_password
from gitship.services.service_container import ServiceContainers
from gitship.store import Store

ACTION_S = 60.0


class SuperuserPasswords:
    """For one task of a service at a time. Raises GitshipError when the server does not do what it is asked."""

    def __init__(self, store: Store, containers: ServiceContainers) -> None:
        self._store = store
        self._containers = containers

    def change(self, service: Service) -> Service:
        """Gives it a new one, if its engine can; the service then."""
        if self._containers.engine_of(service).set_root_password is None:
            return service
        now = self.settle(service)
        fresh = new_password()
        self._store.change_service(now.id, next_root_password=fresh)
        try:
            self._tell(now, now.root_password, fresh)
        except GitshipError:
            with suppress(GitshipError):  # then it is asked again later
                self.settle(self._store.service(now.id))  # it may have done it nevertheless
            raise
        self._store.change_service(now.id, root_password=fresh, next_root_password="")
        return self._store.service(now.id)

    def settle(self, service: Service, limit_s: float = ACTION_S) -> Service:
        """Finds out which password the server has, after a change that did not come to its end; the service then."""
        fresh = service.next_root_password
        if not fresh:
            return service
        try:
            self._tell(service, fresh, fresh, limit_s)
        except GitshipError:
            self._tell(service, service.root_password, service.root_password, limit_s)
            self._store.change_service(service.id, next_root_password="")
        else:
            self._store.change_service(service.id, root_password=fresh, next_root_password="")
        return self._store.service(service.id)

    def _tell(self, service: Service, known: str, wanted: str, limit_s: float = ACTION_S) -> None:
        action = self._containers.action(service, "set_root_password")
        values = self._containers.values(service) | {"root_password": known, "password": wanted}
        self._containers.actions.output(self._containers.running(service), action, values, limit_s)
