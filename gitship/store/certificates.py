"""Certificates with their keys, and the results of requests."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from gitship.errors import NotFound
from gitship.model import STATUS_PAGE, CertificateAttempt, CertificateSource, StoredCertificate
from gitship.store.database import Database

_CERTIFICATE = "id, app_id, source, domains, issuer, not_before, not_after, pem, suggested_at, warned"
HOLD = "acme_hold_until"
_THERE = f"(? = {STATUS_PAGE.id} OR EXISTS (SELECT 1 FROM apps WHERE id = ?))"


class Certificates(Database):
    """A site has at most one certificate of each source; ``app_id`` 0 is the status page."""

    def certificates(self, app_id: int | None = None) -> list[StoredCertificate]:
        """All of them, or a site's, in the order in which they count."""
        where, values = ("", ()) if app_id is None else (" WHERE app_id = ?", (app_id,))
        found = [_certificate(r) for r in self._rows(f"SELECT {_CERTIFICATE} FROM certificates{where}", *values)]
        order = list(CertificateSource)
        return sorted(found, key=lambda c: (c.app_id, order.index(c.source)))

    def put_certificate(
        self,
        app_id: int,
        source: CertificateSource,
        *,
        domains: tuple[str, ...],
        issuer: str,
        not_before: float,
        not_after: float,
        pem: str,
    ) -> None:
        """In place of the site's certificate of the same source. Raises NotFound when the app is gone."""
        row = (app_id, source, json.dumps(domains), issuer, not_before, not_after, pem, app_id, app_id)
        with self.transaction() as db:
            db.execute("DELETE FROM certificates WHERE app_id = ? AND source = ?", (app_id, source))
            added = db.execute(
                "INSERT INTO certificates (app_id, source, domains, issuer, not_before, not_after, pem)"
                f" SELECT ?, ?, ?, ?, ?, ?, ? WHERE {_THERE}",
                row,
            )
            if not added.rowcount:
                raise NotFound("the app is gone", "see `apps:list`")
            if source is CertificateSource.ACME:
                db.execute("DELETE FROM certificate_attempts WHERE app_id = ?", (app_id,))

    def remove_certificate(self, app_id: int, source: CertificateSource) -> bool:
        """False when there was none."""
        with self.transaction() as db:
            return bool(
                db.execute("DELETE FROM certificates WHERE app_id = ? AND source = ?", (app_id, source)).rowcount
            )

    def suggest_renewal(self, certificate_id: int, at: float | None) -> None:
        with self.transaction() as db:
            db.execute("UPDATE certificates SET suggested_at = ? WHERE id = ?", (at, certificate_id))

    def warn_of_certificate(self, certificate_id: int) -> bool:
        """True for the first who says that it ends soon."""
        with self.transaction() as db:
            sql = "UPDATE certificates SET warned = 1 WHERE id = ? AND warned = 0"
            return bool(db.execute(sql, (certificate_id,)).rowcount)

    # -- attempts

    def certificate_attempt(self, app_id: int) -> CertificateAttempt | None:
        """None when the last one succeeded, or there was none."""
        sql = "SELECT failures, next_at, names, reason, hint, held FROM certificate_attempts WHERE app_id = ?"
        row = self._row(sql, app_id)
        return CertificateAttempt(row[0], row[1], tuple(json.loads(row[2])), *row[3:]) if row else None

    def put_certificate_attempt(self, app_id: int, attempt: CertificateAttempt) -> None:
        """Nothing happens when the app is gone."""
        names = json.dumps(attempt.names)
        row = (
            app_id, attempt.failures, attempt.next_at, names, attempt.reason, attempt.hint, attempt.held,
            app_id, app_id,
        )  # fmt: skip
        with self.transaction() as db:
            db.execute(
                f"INSERT OR REPLACE INTO certificate_attempts SELECT ?, ?, ?, ?, ?, ?, ? WHERE {_THERE}",
                row,
            )

    def forget_certificate_attempt(self, app_id: int) -> None:
        with self.transaction() as db:
            db.execute("DELETE FROM certificate_attempts WHERE app_id = ?", (app_id,))

    def authority_levels(self) -> dict[str, tuple[float, float]]:
        """How full each bucket of an authority's limits was, and when: see ``https.rate_limits``."""
        return {key: (level, at) for key, level, at in self._rows("SELECT key, level, at FROM authority_levels")}

    def put_authority_levels(self, levels: Mapping[str, tuple[float, float]], empty: Collection[str] = ()) -> None:
        """``empty`` are the keys of those that have drained."""
        with self.transaction() as db:
            rows = [(key, level, at) for key, (level, at) in levels.items()]
            db.executemany("INSERT OR REPLACE INTO authority_levels VALUES (?, ?, ?)", rows)
            db.executemany("DELETE FROM authority_levels WHERE key = ?", [(key,) for key in empty])

    def authority_hold(self) -> float:
        """Until when (epoch seconds) the authority wants to be left alone; 0: it does not."""
        row = self._row("SELECT value FROM meta WHERE key = ?", HOLD)
        return float(row[0]) if row else 0.0

    def hold_authority(self, until: float) -> None:
        with self.transaction() as db:
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (HOLD, str(until)))


def _certificate(row: Any) -> StoredCertificate:
    id_, app_id, source, domains, issuer, not_before, not_after, pem, suggested_at, warned = row
    names = tuple(json.loads(domains))
    return StoredCertificate(
        id_, app_id, CertificateSource(source), names, issuer, not_before, not_after, pem, suggested_at, bool(warned)
    )
