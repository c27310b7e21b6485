"""The front door for git and for commands."""

from __future__ import annotations

from dataclasses import dataclass

from gitship.console.context import Services
from gitship.core import Core
from gitship.git.repository import Repositories
from gitship.operations.operations import Operations
from gitship.ssh.connection import Authenticate
from gitship.ssh.dispatch import Dispatcher
from gitship.ssh.server import SshServer
from gitship.ssh.service_forwards import ServiceForwards

GRACE_S = 2.0


@dataclass(frozen=True, slots=True)
class SshRoom:
    server: SshServer
    dispatcher: Dispatcher

    def start(self) -> None:
        self.server.start()

    def stop(self) -> None:
        self.server.stop(GRACE_S)

    def rights_changed(self) -> None:
        """Ends what a key may do no more."""
        self.server.recheck(self.dispatcher.still_may)


def build(core: Core, operations: Operations, repositories: Repositories, authenticate: Authenticate) -> SshRoom:
    dispatcher = Dispatcher(Services(core.store, core.settings, operations), operations, repositories)
    return SshRoom(
        SshServer(
            core.settings.ssh.listen, core.settings.host_key, authenticate, dispatcher.run,
            forward_to=ServiceForwards(core.store, operations),
        ),
        dispatcher,
    )  # fmt: skip
