"""What every operation is built from: store, settings, queue and engine."""

from __future__ import annotations

from dataclasses import dataclass

from gitship.appsettings import STOPPED
from gitship.config import Settings
from gitship.engine.interface import Engine
from gitship.events import Bus, Event
from gitship.front.front import Front
from gitship.git.repository import Repositories
from gitship.model import App
from gitship.operations.jobs import Jobs
from gitship.routing import switch
from gitship.store import Store


@dataclass(frozen=True, slots=True)
class Shared:
    """Safe from any thread. What deploys goes through ``jobs``."""

    settings: Settings
    store: Store
    bus: Bus
    engine: Engine
    front: Front
    repositories: Repositories
    jobs: Jobs

    def stopped(self, app: App) -> bool:
        return self.store.setting(app.id, STOPPED) is True

    def nothing_runs(self, app: App) -> bool:
        """True when what is set waits for the next deploy, which has not read it yet: none is under way."""
        if app.live_release is not None and not self.stopped(app):
            return False
        return not self.store.deploying(app.id)

    def publish_hosts(self, app: App) -> None:
        """Tells Varnish which host leads to which app, and whoever listens that this one is new or has changed."""
        settings = self.settings
        self.front.bring_hosts(lambda: switch.hosts(self.store, settings.domain, settings.web.domain))
        self.bus.publish(Event("app", app.name))
