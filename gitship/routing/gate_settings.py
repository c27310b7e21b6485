"""Stores the access settings of an app, one per command noun."""

from __future__ import annotations

from dataclasses import asdict

from gitship.appsettings import ALLOW, AUTH, BODY, HTTPS_GATE, MAINTENANCE, RATE, REDIRECTS, VCL
from gitship.front.gate import Gate, HttpsRedirect
from gitship.front.visitor_limits import VisitorLimits
from gitship.store import Store

STATUS_HTTPS_GATE = "status-https-gate"  # as HTTPS_GATE for the status page, a setting of the server


def gate_of(store: Store, app_id: int) -> Gate:
    """What stands between visitors and the app. Raises DamagedSetting."""
    found = store.app_settings(app_id)
    return Gate(
        https=found.get(HTTPS_GATE),
        allow=found.get(ALLOW) or (),
        maintenance=found.get(MAINTENANCE),
        redirects=found.get(REDIRECTS) or (),
        logins=found.get(AUTH) or (),
        limits=VisitorLimits(found.get(RATE), found.get(BODY)),
        vcl=found.get(VCL) or "",
    )


def status_https(store: Store) -> HttpsRedirect | None:
    """What stands between visitors and the status page, besides its own sign-in."""
    kept = store.server_setting(STATUS_HTTPS_GATE)
    return HTTPS_GATE.read(kept) if kept else None


def store_status_https(store: Store, https: HttpsRedirect | None) -> None:
    store.set_server_setting(STATUS_HTTPS_GATE, asdict(https) if https else None)


def store_gate(store: Store, app_id: int, gate: Gate) -> None:
    """All of it or nothing."""
    store.change_settings(
        app_id,
        HTTPS_GATE.to(gate.https)
        | ALLOW.to(gate.allow or None)
        | MAINTENANCE.to(gate.maintenance)
        | REDIRECTS.to(gate.redirects or None)
        | AUTH.to(gate.logins or None)
        | VCL.to(gate.vcl or None)
        | RATE.to(gate.limits.rate)
        | BODY.to(gate.limits.body_bytes),  # 0 is a limit
    )
