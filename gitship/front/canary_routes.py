"""Routes of canaries: a second VCL of an app, for a share of its visitors (see ``canary_vcl``)."""

from __future__ import annotations

from gitship.front.app_vcl import UNAVAILABLE
from gitship.front.canary_vcl import CanaryShare, canary_label
from gitship.front.loaded_vcls import LoadedVcls
from gitship.front.routes import Routes
from gitship.front.vcl_labels import canaries


class CanaryRoutes:
    """Safe from any thread. Raises FrontError when Varnish refuses or does not answer in time."""

    def __init__(self, programs: LoadedVcls, routes: Routes) -> None:
        self._programs = programs
        self._routes = routes

    def vcl(self, slug: str) -> str | None:
        """The VCL that serves the app's canary, if there is one."""
        vcl = canaries(self._programs.loaded()).get(slug)
        return None if vcl == UNAVAILABLE else vcl

    def label(self, slug: str, vcl_name: str) -> str | None:
        """The canary's visitors have ``vcl_name`` from now on (atomic); the canary's VCL before, still loaded."""
        with self._programs.lock:
            before = self.vcl(slug)
            self._programs.lead(canary_label(slug), vcl_name)
            self._programs.save()
            return before if before != vcl_name else None

    def share(self, slug: str, share: CanaryShare) -> None:
        """From now on that share of the app's visitors is led to the VCL of ``label``, and stays there."""
        self._routes.share(slug, share)

    def end(self, slug: str) -> str | None:
        """All visitors have the app's own VCL again; the canary's, in which there may be requests in flight."""
        with self._programs.lock:
            self._routes.share(slug, None)
            return self.forget(slug)

    def forget(self, slug: str) -> str | None:
        """The same, when the table of hosts leads nobody there any more."""
        with self._programs.lock:
            vcl = self._programs.labels.end_canary(slug)
            self._programs.labels.sweep()
            self._programs.save()
            return vcl
