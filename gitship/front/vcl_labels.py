"""Names of VCL labels, through which the host table refers to an app's current VCL."""

from __future__ import annotations

from collections.abc import Iterable

from gitship.errors import FrontError
from gitship.front.app_vcl import (
    FORMER_PREFIX,
    LABEL_PREFIX,
    TRIAL_LABEL,
    UNAVAILABLE,
    label_name,
    unavailable_vcl,
)
from gitship.front.canary_vcl import CANARY_PREFIX, canary_label
from gitship.front.host_table_vcl import TOP_PREFIX, canaries_of, hosts_of
from gitship.front.varnish_cli import LoadedVcl, VarnishCli


def targets(loaded: Iterable[LoadedVcl]) -> dict[str, str]:
    """Slug -> the VCL that its label leads to."""
    return _led(loaded, LABEL_PREFIX)


def former(loaded: Iterable[LoadedVcl]) -> dict[str, str]:
    """The same, of labels that are named as an earlier gitship named them."""
    return _led(loaded, FORMER_PREFIX)


def canaries(loaded: Iterable[LoadedVcl]) -> dict[str, str]:
    """Slug -> the VCL that the label of its canary leads to."""
    return _led(loaded, CANARY_PREFIX)


def _led(loaded: Iterable[LoadedVcl], prefix: str) -> dict[str, str]:
    return {v.name.removeprefix(prefix): v.target for v in loaded if v.target and v.name.startswith(prefix)}


def serving(loaded: list[LoadedVcl]) -> set[str]:
    """Every VCL that a label of an app leads to."""
    return {*targets(loaded).values(), *former(loaded).values(), *canaries(loaded).values()}


def table_in_use(loaded: Iterable[LoadedVcl]) -> str | None:
    """The VCL that every request begins in."""
    return next((v.name for v in loaded if v.active and v.name.startswith(TOP_PREFIX)), None)


class VclLabels:
    """Every method asks Varnish anew; the caller holds the lock."""

    def __init__(self, control: VarnishCli) -> None:
        self._control = control

    def hosts(self, table: str | None) -> dict[str, str]:
        """Host name -> slug, as the VCL ``table`` says."""
        return hosts_of(self._control.text(table)) if table else {}

    def canaries(self, loaded: list[LoadedVcl]) -> set[str]:
        """Slugs whose visitors the table in use leads to a canary."""
        table = table_in_use(loaded)
        return canaries_of(self._control.text(table)) if table else set()

    def retired(self, loaded: list[LoadedVcl]) -> set[str]:
        """Slugs of apps that are gone: no host leads to them, and their label only to a page."""
        unavailable = {slug for slug, name in targets(loaded).items() if name == UNAVAILABLE}
        if not unavailable:  # the table of 1000 hosts takes 5 ms to read
            return unavailable
        return unavailable - set(self.hosts(table_in_use(loaded)).values())

    def retire(self, slug: str) -> None:
        """Unloads the app's VCL, to which no host may lead any more; its label goes with a later ``sweep``."""
        loaded = self._control.loaded()
        vcl = targets(loaded).get(slug)
        if vcl is None or vcl == UNAVAILABLE:
            return
        self._lead_to_page(label_name(slug))
        self._control.discard(vcl)

    def end_canary(self, slug: str) -> str | None:
        """The VCL that the canary's label led to, which no table may do any more; the label goes with a ``sweep``."""
        loaded = self._control.loaded()
        vcl = canaries(loaded).get(slug)
        if vcl is None or vcl == UNAVAILABLE:
            return None
        self._lead_to_page(canary_label(slug))
        return vcl

    def adopt(self) -> None:
        """Labels of an earlier gitship get today's names, too; those of before go with a ``sweep``."""
        loaded = self._control.loaded()
        for slug, vcl in sorted(former(loaded).items(), reverse=True):
            if slug not in targets(loaded):
                self._control.command("vcl.label", label_name(slug), vcl)

    def try_out(self, vcl: str | None) -> None:
        """The label of what is on trial leads to ``vcl``; None: to a page. It is never discarded."""
        if vcl is None:
            self._lead_to_page(TRIAL_LABEL)
        else:
            self._control.command("vcl.label", TRIAL_LABEL, vcl)

    def _lead_to_page(self, label: str) -> None:
        try:
            self._control.command("vcl.label", label, UNAVAILABLE)
        except FrontError:  # a Varnish from before there was that page
            self._control.inline(UNAVAILABLE, unavailable_vcl())
            self._control.command("vcl.label", label, UNAVAILABLE)

    def sweep(self) -> None:
        """Discards the labels of apps that are gone, if there is no table of hosts but the one in use.

        A discarded table lives on in idle worker threads. When the last one lets it go, Varnish counts down a number
        in each label that the table named, even in one discarded by then: it writes into memory that is something else
        by now, and the worker panics at a later deploy (7.1.1, and 7.7.3 by its source: VPI_vcl_rel).
        """
        loaded = self._control.loaded()
        if not any(v.name.startswith(TOP_PREFIX) and not v.active for v in loaded):
            for slug in self.retired(loaded):
                self._control.discard(label_name(slug))
            for label in [v.name for v in loaded if v.name.startswith(FORMER_PREFIX) and not v.referred]:
                self._control.discard(label)
            for slug in canaries(loaded).keys() - self.canaries(loaded):
                if canaries(loaded)[slug] == UNAVAILABLE:
                    self._control.discard(canary_label(slug))
