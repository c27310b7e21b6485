"""Compares the routes of hosts and apps with Varnish, and updates it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from gitship.errors import FrontError
from gitship.front import acme_challenges
from gitship.front.app_vcl import AppFront
from gitship.front.canary_vcl import CanaryShare
from gitship.front.host_table_vcl import TOP_PREFIX, top_vcl
from gitship.front.loaded_vcls import LoadedVcls
from gitship.front.preview import Preview
from gitship.front.varnish_cli import VarnishCli
from gitship.front.vcl_labels import canaries, table_in_use, targets

log = logging.getLogger("gitship.front")


class Routes:
    """The table of hosts, and all apps at once. Every method asks Varnish anew."""

    def __init__(
        self, control: VarnishCli, programs: LoadedVcls, trial: Preview, trial_token: Callable[[], str]
    ) -> None:
        self._control = control
        self._programs = programs
        self._labels = programs.labels
        self._lock = programs.lock
        self._trial = trial
        self._trial_token = trial_token
        self._shares: dict[str, CanaryShare] = {}  # a canary never outlives the gitship that watches it

    def hosts(self) -> dict[str, str]:
        """Host name -> slug, as it is served now."""
        return self._labels.hosts(table_in_use(self._control.loaded()))

    def bring_hosts(self, hosts: Callable[[], Mapping[str, str]]) -> bool:
        """See ``Front.bring_hosts``."""
        with self._lock:
            wanted = hosts()
            before = self.hosts()
            self.set_hosts(wanted)
            return before != wanted

    def set_hosts(self, hosts: Mapping[str, str]) -> None:
        """See ``Front.set_hosts``."""
        with self._lock:
            loaded = self._control.loaded()
            table = table_in_use(loaded)
            new = set(hosts.values()) - (targets(loaded).keys() - self._labels.retired(loaded))
            for slug in sorted(new, reverse=True):  # see BootFiles
                self._label_first(slug)
            self._trial.settle()  # before the table names its label
            if not any(vcl.name == acme_challenges.LABEL for vcl in loaded):  # a varnishd from before there was HTTPS
                self.answer_challenges({})
            text = top_vcl(hosts, self._trial_token(), self._shares)
            if table is not None and self._control.text(table) == text.strip():
                if new:
                    self._programs.save()
                return
            name = self._programs.load_as(TOP_PREFIX, lambda _: text)
            self._control.command("vcl.use", name)
            self._programs.save()
            self._programs.discard_all(v.name for v in loaded if v.name.startswith(TOP_PREFIX) and not v.discarded)
            self._labels.sweep()

    def remove(self, slug: str) -> None:
        """No host leads to the app any more, and its VCL is unloaded; its label goes with a later sweep."""
        with self._lock:
            self._shares.pop(slug, None)
            self.set_hosts({host: s for host, s in self.hosts().items() if s != slug})
            self._labels.retire(slug)

    def share(self, slug: str, share: CanaryShare | None) -> None:
        """That share of the app's visitors is led to its canary from now on; None: nobody."""
        with self._lock:
            if share is None:
                self._shares.pop(slug, None)
            else:
                self._shares[slug] = share
            self.set_hosts(self.hosts())

    def answer_challenges(self, answers: Mapping[str, str]) -> None:
        """See ``Front.answer_challenges``."""
        with self._lock:
            name = self._programs.load_as(acme_challenges.PREFIX, lambda name: acme_challenges.vcl(name, answers))
            self._control.command("vcl.label", acme_challenges.LABEL, name)
            old = [v for v in self._control.loaded() if v.name.startswith(acme_challenges.PREFIX) and v.name != name]
            self._programs.discard_all(v.name for v in old if not v.discarded)

    def wrong(self, apps: Sequence[AppFront]) -> list[str]:
        """Slugs of those whose visitors get something else than this now."""
        labels = targets(self._control.loaded())
        return [app.slug for app in apps if not self._is_right(app, labels.get(app.slug))]

    def _is_right(self, app: AppFront, labelled: str | None) -> bool:
        """False also of an app whose VCL cannot be made: who brings it is told why."""
        try:
            return self._programs.is_right(app, labelled)
        except FrontError:  # Varnish's
            raise
        except Exception:
            return False

    def reload(self, apps: Sequence[AppFront], hosts: Mapping[str, str]) -> None:
        """See ``Front.reload``."""
        failed: list[FrontError] = []
        with self._lock:
            self._trial.settle()
            self._labels.adopt()
            labels = targets(self._control.loaded())
            for app in sorted(apps, key=lambda app: app.slug, reverse=True):  # see BootFiles
                try:
                    self._programs.bring(app, labels.get(app.slug))
                except FrontError as error:
                    log.error("%s: %s", app.app, error.message)
                    failed.append(error)
                except Exception as error:  # one app's own: all others are brought
                    log.exception("%s: its VCL", app.app)
                    failed.append(FrontError(f"{app.app}: internal error: {error!r:.200}", "the server's log has it"))
            self.set_hosts(hosts)
            for slug in labels.keys() - {a.slug for a in apps} - set(hosts.values()):
                self._labels.retire(slug)
            for slug in canaries(self._control.loaded()).keys() - self._shares.keys():
                self._labels.end_canary(slug)
            self._labels.sweep()
            self._programs.save()
            self._programs.discard_unneeded()
        if failed:
            raise failed[0]

    def _label_first(self, slug: str) -> None:
        name = slug.replace("_", ".")  # App.slug backwards
        app = AppFront(slug, name, "v0", cache_key="none", backends=(), verify_token="")
        self._programs.bring(app, None)
