"""Ports of this machine that lead to services."""

from __future__ import annotations

import json
import sqlite3

from gitship.errors import Conflict
from gitship.model.services import Exposure
from gitship.store.database import Database


class ServiceExposures(Database):
    """At most one of each service, and of each port."""

    def exposures(self) -> list[Exposure]:
        rows = self._rows("SELECT service_id, port, networks, tls, pem FROM service_exposures ORDER BY port")
        return [Exposure(i, port, tuple(json.loads(networks)), tls, pem) for i, port, networks, tls, pem in rows]

    def exposure(self, service_id: int) -> Exposure | None:
        return next((found for found in self.exposures() if found.service_id == service_id), None)

    def put_exposure(self, made: Exposure) -> None:
        """In place of the service's own. Raises Conflict when another service has the port."""
        values = (made.service_id, made.port, json.dumps(made.networks), made.tls, made.pem)
        try:
            with self.transaction() as db:
                db.execute("DELETE FROM service_exposures WHERE service_id = ?", (made.service_id,))
                db.execute("INSERT INTO service_exposures VALUES (?, ?, ?, ?, ?)", values)
        except sqlite3.IntegrityError:
            raise Conflict(f"another service has port {made.port}", "choose another with --port") from None

    def delete_exposure(self, service_id: int) -> None:
        with self.transaction() as db:
            db.execute("DELETE FROM service_exposures WHERE service_id = ?", (service_id,))
