"""Switches traffic to the new containers by a label, and verifies it with a request."""

from __future__ import annotations

import dataclasses
import http.client
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass

from gitship.appsettings import DESTROYING, RENAMING, ReleaseBefore
from gitship.containers import early_responses, http_request
from gitship.containers.http_request import Timeout, WaitInterrupted, numeric
from gitship.containers.probe import http_answer
from gitship.errors import DeployCanceled, DeployError, FrontError
from gitship.front.canary_vcl import COOKIE
from gitship.front.front import Backend, Front
from gitship.front.tcp_ports import reachable
from gitship.model import WEB, App, Check, Container, Release
from gitship.routing import status_page_route
from gitship.routing.desired_state import DesiredState
from gitship.store import Store

__all__ = ["Switch", "Switched", "ensure_front", "hosts"]

VERIFY_TRIES = 5
VERIFY_PAUSE_S = 0.2
VERIFY_TIMEOUT_S = 10.0  # of one try
VERIFY_MOST_S = 30.0  # of all; the containers are asked after them for VERIFY_TIMEOUT_S at most


@dataclass(frozen=True, slots=True)
class Switched:
    """The VCL that serves now and the one before it, which still serves what is in flight.

    ``token`` makes a response tell which VCL it came by; None when there is no backend to ask. ``backends`` are those
    behind the new one.
    """

    new: str
    old: str | None
    token: str | None
    backends: tuple[Backend, ...] = ()


def hosts(store: Store, domain: str, status_domain: str = "") -> dict[str, str]:
    """Which host name leads to which app's slug: `<app>.<domain>` and the app's own domains, and to the status page.

    An app that is being renamed has both names, one that is being destroyed none. Where an app's own name is another
    one's domain, as it could become in earlier versions, it leads to the app of that name.
    """
    going = store.apps_with_setting(DESTROYING)
    apps = {app.id: app for app in store.apps() if app.id not in going}
    table = {d.name: apps[d.app_id].slug for d in store.domains() if d.app_id in apps}
    table.update({f"{app.name}.{domain}": app.slug for app in apps.values()})
    for app_id, new in store.setting_of_all(RENAMING).items():
        if app_id in apps:
            table[f"{new}.{domain}"] = dataclasses.replace(apps[app_id], name=new).slug
    if status_domain:
        table[status_domain] = status_page_route.SLUG
    return table


class Switch:
    """The only way in which visitors are moved from one set of containers to another."""

    def __init__(self, front: Front, domain: str, wanted: DesiredState) -> None:
        self._front = front
        self._wanted = wanted
        self._domain = domain

    def to(
        self,
        app: App,
        release: Release,
        containers: Iterable[Container],
        *,
        stopped: bool = False,
        before: ReleaseBefore | None = None,
    ) -> Switched:
        """Loads the release's VCL and switches the label to it. Raises FrontError; then nothing was switched."""
        wanted = self._wanted.after(app, release, containers, stopped=stopped, before=before)
        new = self._front.load(wanted)
        try:
            old = self._front.label(app.slug, new)
        except BaseException:
            self._front.discard(new)
            raise
        return Switched(new, old, wanted.verify_token if wanted.backends else None, wanted.backends)

    def left_behind(self, app: App, previous: Release | None, release: Release) -> ReleaseBefore | None:
        """See ``DesiredState.left_behind``."""
        return self._wanted.left_behind(app, previous, release)

    def verify(
        self, app: App, switched: Switched, path: str, side: str = "", cancel: threading.Event | None = None
    ) -> None:
        """One GET of ``path`` through Varnish must come from the new release, not the old one or an error page.

        ``side`` asks for one of a canary's, by the value of its cookie.

        Raises DeployError, or DeployCanceled. An app without web containers has nothing to ask.
        """
        if switched.token is None:
            return
        events = (cancel,) if cancel is not None else ()
        try:
            self._verify(app, switched, switched.token, path, side, Timeout(time.monotonic() + VERIFY_MOST_S, events))
        except WaitInterrupted:
            raise DeployCanceled("canceled while verifying the switch") from None

    def _verify(self, app: App, switched: Switched, token: str, path: str, side: str, patience: Timeout) -> None:
        seen = ""
        host = f"{app.name}.{self._domain}"
        for attempt in range(VERIFY_TRIES):
            if attempt:
                if patience.deadline - time.monotonic() <= VERIFY_PAUSE_S:
                    break
                patience.rest(VERIFY_PAUSE_S)
            try:
                origin, release, status = self._ask(host, path, token, side, patience)
            except (OSError, http.client.HTTPException) as error:
                seen = f"no answer ({error or type(error).__name__})"
                continue
            if release == switched.new and origin == "backend":
                return
            seen = f"answered {status} by {'its error page' if origin == 'error' else release or 'something else'}"
        deadline = time.monotonic() + VERIFY_TIMEOUT_S
        for backend in switched.backends:  # what is right for the checks of the image, say, need not be for Varnish
            left_s = max(0.0, deadline - time.monotonic())
            _, told = http_answer(
                Check(path=path), backend.address, backend.port, host, timeout_s=left_s, events=patience.events
            )
            if early_responses.is_cause(told):
                raise DeployError(told, early_responses.HINT)
        raise DeployError(
            f"the request through Varnish did not come from the new release: GET {path} {seen}",
            "push again; if it happens again, see the server's log",
        )

    def before(self, switched: Switched, app: App) -> list[str]:
        """Every VCL that leads to what served before: commands may have changed its gate while requests were open."""
        if switched.old is None:
            return []
        same = switched.old.rpartition("_")[0]  # all but the moment
        found = [v for v in self._front.unlabelled(app.slug) if v.rpartition("_")[0] == same and v != switched.new]
        return sorted({switched.old, *found})

    def back(self, app: App, switched: Switched) -> None:
        """The label returns to the VCL before. The new one stays loaded for what is in flight."""
        if switched.old is None:
            return
        try:
            self._front.label(app.slug, switched.old)
        except FrontError:  # Varnish has died, and comes back with what is on the disk: the release that has failed
            ensure_front(self._front)
            self._front.label(app.slug, self._front.load(self._wanted.front(app)))

    def _ask(self, host: str, path: str, token: str, side: str, patience: Timeout) -> tuple[str, str, int]:
        address = self._front.address
        deadline = min(patience.deadline, time.monotonic() + VERIFY_TIMEOUT_S)
        headers = {"Host": host, "X-Gitship-Verify": token, "User-Agent": "gitship-verify"}
        if side:
            headers["Cookie"] = f"{COOKIE}={side}"
        to = numeric(reachable(address.host), address.port)
        with http_request.request("GET", to, path, headers, Timeout(deadline, patience.events)) as response:
            return (
                response.headers.get("X-Gitship-Origin", ""),
                response.headers.get("X-Gitship-Release", ""),
                response.status,
            )


def ensure_front(front: Front) -> None:
    """Brings Varnish up again when somebody ended it. Raises FrontError when it can't be."""
    if not front.alive():
        front.ensure_running()
    if not front.alive():
        raise FrontError("Varnish does not answer", "see the server's log, then `gitship stop-front` and start again")


def verify_path(release: Release) -> str:
    """What is asked through Varnish to prove the switch: the web process's own health path."""
    web = release.process(WEB)
    return next((c.path for c in web.checks if c.kind == "http"), "/") if web else "/"
