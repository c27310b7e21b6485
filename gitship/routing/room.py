"""What Varnish is told of each app."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from gitship.config import Settings
from gitship.containers.container_starter import ContainerStarter
from gitship.core import Core
from gitship.front.front import Front
from gitship.model import App
from gitship.routing.access_control import AccessControl
from gitship.routing.active_canaries import ActiveCanaries
from gitship.routing.desired_state import DesiredState
from gitship.routing.drain import Drainer
from gitship.routing.pause import ServerPauses
from gitship.routing.switch import Switch
from gitship.routing.urls import urls
from gitship.store import Store


@dataclass(frozen=True, slots=True)
class RoutingRoom:
    front: Front
    drainer: Drainer
    canaries: ActiveCanaries
    desired: DesiredState
    gates: AccessControl
    switch: Switch
    pausing: ServerPauses
    store: Store
    settings: Settings

    def url(self, app: App) -> str:
        """The best of its URLs."""
        return urls(self.store, self.settings, app, self.front.address.port)[0]

    def start(self) -> None:
        """Nothing: the reconciler tells Varnish."""

    def stop(self) -> None:
        self.pausing.stop()
        self.drainer.stop()


def build(core: Core, front: Front, starter: ContainerStarter, out: Callable[[], Collection[str]]) -> RoutingRoom:
    """``out`` says which containers get no traffic."""
    settings, store, drain_limit_s = core.settings, core.store, core.settings.deploy.drain_timeout
    drainer, canaries = Drainer(front, starter), ActiveCanaries()
    desired = DesiredState(store, settings.domain, out)
    gates = AccessControl(store, front, drainer, drain_limit_s, desired, settings, canaries)
    switch = Switch(front, settings.domain, desired)
    pausing = ServerPauses(store, front, gates, settings.domain)
    return RoutingRoom(front, drainer, canaries, desired, gates, switch, pausing, store, settings)
