"""Container and build settings made by command."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from gitship.appfiles import overrides
from gitship.appfiles.manifest import PORT, Manifest
from gitship.appfiles.overrides import Overrides
from gitship.appsettings import PENDING, SKIP_CHECKS, Skip
from gitship.containers.health_check import PARALLEL, CheckAttempt, HealthChecker, title
from gitship.deploy.job import Request
from gitship.deploy.manifest_source import manifest_of
from gitship.deploy.new_release import planned
from gitship.engine.types import Capacity, Image
from gitship.errors import Conflict, NotFound
from gitship.model import DEFAULT_PORT, WEB, App, Check, Deploy, DeployKind, Identity, Process, Release
from gitship.operations.app_lock import ensure_unlocked
from gitship.operations.shared import Shared
from gitship.store.settings import Changes


@dataclass(frozen=True, slots=True)
class PortInUse:
    """Where `web` of the next release listens; ``live`` is the live one's.

    Before the first push the commit and its image have not been seen: they may say otherwise then.
    """

    port: int | None
    source: str
    live: int | None


@dataclass(frozen=True, slots=True)
class CheckInUse:
    """A check of the next release and what it comes from."""

    process: str
    text: str
    check: Check
    source: str


class Tuning:
    """Every method raises GitshipError (NotFound, Conflict, ...) with a hint, and then nothing has changed."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._settings = shared.settings
        self._store = shared.store
        self._engine = shared.engine

    # -- changing

    def change(self, app: App, changes: Changes, by: Identity, *, restart: bool = True) -> Deploy | None:
        """Stores settings (None unsets); a live app gets a new release with them, and they are kept once it is live.

        None when they wait: with ``restart`` False, while nothing is live, while the app is stopped, or when they are
        for builds and one-off containers alone, the next of which have them.
        """
        found = self._store.confirm(app, by)
        ensure_unlocked(self._store, found)
        counts = self._counts(found, changes)
        if counts and found.live_release is not None and restart and not self._shared.stopped(found):
            request = Request(DeployKind.CONFIG, overrides.describe(changes), settings=dict(changes))
            return self._shared.jobs.submit(found, request, by)
        with self._store.acting(app, by):
            self._store.change_settings(found.id, {**changes, **(PENDING.to(time.time()) if counts else {})})
        return None

    def _counts(self, app: App, changes: Changes) -> bool:
        """True when some of it counts for containers of the live release: the next deploy has to bring it."""
        live = self._live(app)
        types = {process.type for process in live.processes} if live is not None else set()
        return overrides.needs_deploy(changes, types)

    def skip_checks(self, app: App, how: Skip | None, by: Identity) -> None:
        """None: they count again."""
        with self._store.acting(app, by) as found:
            ensure_unlocked(self._store, found)
            self._store.set_setting(found.id, SKIP_CHECKS, how)

    # -- looking

    def overrides(self, app: App) -> Overrides:
        return overrides.parse(self._store.app_settings(app.id))

    def skipping(self, app: App) -> Skip | None:
        return self._store.setting(app.id, SKIP_CHECKS)

    def pending(self, app: App) -> bool:
        """True when something is set that the live release does not have yet."""
        return self._store.setting(app.id, PENDING) is not None

    def capacity(self) -> Capacity:
        return self._engine.capacity()

    def processes(self, app: App) -> tuple[Process, ...]:
        """Those of the live release's commit with what is set now; empty before the first release."""
        live = self._live(app)
        if live is None:
            return ()
        manifest = manifest_of(self._store, self._shared.repositories, app, live)
        if manifest is None:
            return live.processes
        manifest = overrides.running(manifest, self.overrides(app))
        image = self._engine.images.inspect(live.image_id)
        return planned(manifest, image, self._config(app), self._settings, entrypoint=live.entrypoint)

    def port(self, app: App) -> PortInUse:
        live, own = self._live(app), self.overrides(app)
        if live is None:
            if own.port:
                return PortInUse(own.port, "ports:set", None)
            said = self._config(app).get(PORT, "").strip()
            if said.isascii() and said.isdecimal():
                return PortInUse(int(said), "config PORT", None)
            return PortInUse(DEFAULT_PORT, "default", None)
        web = live.process(WEB)
        used = web.port if web else None
        if own.port:
            return PortInUse(own.port, "ports:set", used)
        manifest = manifest_of(self._store, self._shared.repositories, app, live)
        if manifest is None:
            return PortInUse(used, live.label, used)
        following = next((p.port for p in self.processes(app) if p.type == WEB), None)
        source = _port_source(manifest, self._config(app), self._engine.images.inspect(live.image_id))
        return PortInUse(following, source if following else "", used)

    def checks(self, app: App) -> list[CheckInUse]:
        """By process; before the first release only those that are set."""
        own, live = self.overrides(app), self._live(app)
        if live is None:
            return [CheckInUse(p, title(c), c, "checks:set") for p, c in own.checks.items()]
        manifest = manifest_of(self._store, self._shared.repositories, app, live)
        known = overrides.running(manifest, own).check_sources if manifest else {}
        found = []
        for process in self.processes(app):
            for check in process.checks:
                default = "the image" if check.kind == "image" else "default"
                source = known.get(process.type, default) if manifest else live.label
                found.append(CheckInUse(process.type, title(check), check, source))
        return found

    def run_checks(self, app: App) -> list[CheckAttempt]:
        """One try of each check of the live release in each running container. Raises Conflict when nothing runs."""
        live, containers = self._live(app), self._store.containers(app.id)
        if live is None or not containers:
            raise Conflict(f"no process of {app.name} is running", f"see `ps:list {app.name}`")
        checker = HealthChecker(self._engine, self._settings.deploy.check_timeout)
        host = f"{app.name}.{self._settings.domain}"
        wanted = [(c, p) for c in containers if (p := live.process(c.process)) is not None]
        with ThreadPoolExecutor(PARALLEL, thread_name_prefix="checks-run") as pool:
            runs = [pool.submit(checker.look, c, p, host) for c, p in wanted]
            return [look for run in runs for look in run.result()]

    def ensure_process(self, app: App, process: str) -> None:
        """Raises NotFound when the live release does not have it; before the first release anything goes."""
        live = self._live(app)
        if live is not None and live.process(process) is None:
            known = ", ".join(p.type for p in live.processes)
            raise NotFound(f"{app.name} has no process type '{process[:80]}'", f"it has: {known}")

    def _live(self, app: App) -> Release | None:
        return self._store.release(app.live_release) if app.live_release else None

    def _config(self, app: App) -> dict[str, str]:
        return {**self._store.global_config(), **self._store.config(app.id)}


def _port_source(manifest: Manifest, config: Mapping[str, str], image: Image) -> str:
    if manifest.port is not None:
        return "gitship.toml"
    if PORT in config:
        return f"config {PORT}"
    return "EXPOSE" if image.tcp_ports else f"default {DEFAULT_PORT}"
