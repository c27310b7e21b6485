"""Stores the access settings of an app, one per command noun."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Protocol

from gitship.errors import FrontError
from gitship.front.gate import Gate, HttpsRedirect, Login, Maintenance, Redirect
from gitship.front.visitor_limits import Rate, VisitorLimits
from gitship.model import App, Identity
from gitship.store import Store

ALLOW = "allow"
RATE = "ratelimit"
BODY = "bodylimit"
VCL = "vcl"
AUTH = "auth"
HTTPS_GATE = "https-gate"  # what HTTPS has come to; the wish for it is another setting
STATUS_HTTPS_GATE = "status-https-gate"  # the same for the status page, a setting of the server
MAINTENANCE = "maintenance"
REDIRECTS = "redirects"


class Gates(Protocol):
    """How a gate is changed."""

    def change(self, app: App, change: Callable[[Gate], Gate], by: Identity) -> Gate:
        """Replaces the app's gate by what ``change`` makes of it, and gives it back; it holds from the next request on.

        Raises what ``change`` raises, NotFound, NoPermission, or FrontError when Varnish can't have it; then nothing
        has changed.
        """
        ...

    def keep(self, app: App, changes: Mapping[str, Any], by: Identity) -> None:
        """Stores settings of the app (None unsets) that Varnish has to know of; they hold from the next request on.

        Raises NotFound, NoPermission, or FrontError when Varnish can't have them; then nothing has changed.
        """
        ...

    def change_status_page(self, https: HttpsRedirect | None) -> None:
        """The same for the status page: who comes by http to its host is sent on, or not any more."""
        ...

    def try_vcl(self, app: App, vcl: str) -> None:
        """Compiles it as the app's own, and leaves everything as it is. Raises FrontError with the compiler's words."""
        ...

    def ensure_rates(self) -> None:
        """Raises FrontError when the Varnish of this server cannot limit rates."""
        ...


def no_rates() -> FrontError:
    return FrontError(
        "rate limits need Varnish's module vsthrottle, which is not installed",
        "ask an admin to run: apt-get install varnish-modules; then repeat the command",
    )


def gate_of(store: Store, app_id: int) -> Gate:
    """What stands between visitors and the app."""
    found = store.settings(app_id)
    maintenance = found.get(MAINTENANCE)
    https = found.get(HTTPS_GATE)
    return Gate(
        https=_https(https),
        allow=tuple(found.get(ALLOW, ())),
        maintenance=Maintenance(maintenance["page"], tuple(maintenance["allow"])) if maintenance else None,
        redirects=tuple(Redirect(**redirect) for redirect in found.get(REDIRECTS, ())),
        logins=tuple(Login(**login) for login in found.get(AUTH, ())),
        limits=VisitorLimits(Rate(**found[RATE]) if RATE in found else None, found.get(BODY)),
        vcl=found.get(VCL, ""),
    )


def status_https(store: Store) -> HttpsRedirect | None:
    """What stands between visitors and the status page, besides its own sign-in."""
    return _https(store.server_setting(STATUS_HTTPS_GATE))


def store_status_https(store: Store, https: HttpsRedirect | None) -> None:
    store.set_server_setting(STATUS_HTTPS_GATE, asdict(https) if https else None)


def _https(kept: dict[str, Any] | None) -> HttpsRedirect | None:
    return HttpsRedirect(tuple(kept["hosts"]), kept["port"], kept["hsts_s"]) if kept else None


def store_gate(store: Store, app_id: int, gate: Gate) -> None:
    """All of it or nothing."""
    values: dict[str, Any] = {
        HTTPS_GATE: asdict(gate.https) if gate.https else None,
        ALLOW: list(gate.allow),
        MAINTENANCE: asdict(gate.maintenance) if gate.maintenance else None,
        REDIRECTS: [asdict(redirect) for redirect in gate.redirects],
        AUTH: [asdict(login) for login in gate.logins],
        VCL: gate.vcl,
        RATE: asdict(gate.limits.rate) if gate.limits.rate else None,
    }
    with store.transaction():
        for name, value in values.items():
            store.set_setting(app_id, name, value or None)
        store.set_setting(app_id, BODY, gate.limits.body_bytes)  # 0 is a limit
