"""Composition root of `gitship serve`: builds all parts, starts them in order and stops them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from gitship import __version__
from gitship.backup import room as backup_room
from gitship.config import Settings
from gitship.containers import room as containers_room
from gitship.core import Core, Part, started
from gitship.deploy import room as deploy_room
from gitship.disk import room as disk_room
from gitship.disk.docker_space import ReserveImageSetting
from gitship.engine import room as engine_room
from gitship.git import room as git_room
from gitship.https import room as https_room
from gitship.identities import Identities
from gitship.logs import room as logs_room
from gitship.notify import room as notify_room
from gitship.observe import room as observe_room
from gitship.oneoff import room as oneoff_room
from gitship.operations import room as operations_room
from gitship.proxies import front_of, tls_of
from gitship.reconcile import room as reconcile_room
from gitship.reconcile.outages import Outages
from gitship.routing import room as routing_room
from gitship.services import room as services_room
from gitship.ssh import room as ssh_room
from gitship.volumes import room as volumes_room
from gitship.web import room as web_room

log = logging.getLogger("gitship")


class Daemon:
    """A whole gitship server in one process. Varnish and the containers are not its children and outlive it."""

    def __init__(self, settings: Settings, config: Path | None = None) -> None:
        """``config`` is the settings' own file, for backups."""
        core = Core.of(settings, config)
        engine = engine_room.build(core, ReserveImageSetting(core.store))
        docker = engine.docker
        disk = disk_room.build(core, docker)
        front, tls = front_of(settings, core.store), tls_of(settings)
        repositories = git_room.build(core)
        volumes = volumes_room.build(core, docker)
        logs = logs_room.build(core, docker)
        containers = containers_room.build(core, engine, logs.kept)
        outages = Outages()
        routing = routing_room.build(core, front, containers.starter, outages.out)
        observe = observe_room.build(core, docker, front)
        https = https_room.build(core, front, tls, routing.gates)
        backups = backup_room.build(core, docker, repositories, volumes)
        deploy = deploy_room.build(core, engine, repositories, disk.data, volumes, containers, routing, observe)
        one_off = oneoff_room.build(core, engine, containers.claims)
        notifier = notify_room.build(core, routing.url)
        services = services_room.build(core, docker, engine.addresses, volumes, backups)
        deploy.pipeline.bring_services = services.declared.bring
        reconcile = reconcile_room.build(
            core, engine, repositories, volumes, containers, routing, outages, deploy.queue, one_off.one_offs, services
        )
        identities = Identities(settings, core.store)
        operations = operations_room.build(
            core, docker, repositories, disk, volumes, logs.tails, routing, observe, https.operations, backups,
            deploy, one_off, notifier, services, reconcile, identities.of,
        )  # fmt: skip
        web = web_room.build(core, operations.server)
        ssh = ssh_room.build(core, operations.server, repositories, identities.at_the_door)
        parts: tuple[Part, ...] = (
            core,
            engine,  # first of those that run: containers do already, and the firewall is theirs
            routing,
            one_off,
            services,
            reconcile,
            notifier,
            observe,
            https,
            web,
            ssh,
            one_off.scheduler,
            services.scheduler,
            services.archiver,
            operations,
            deploy,  # stops first: whoever waits for a deploy is told that it was canceled
        )
        self._parts, self._running = parts, ExitStack()
        self._front, self._ssh, self._web = front, ssh.server, web
        core.store.rights_changed = lambda: _look_at_each(
            ssh.rights_changed,  # first: a push that is ended reads this
            partial(deploy.queue.recheck, core.store),
            web.rights_changed,
        )

    def start(self) -> str:
        """Starts everything; the line to print when it is ready. Raises GitshipError with everything stopped again."""
        self._running = started(self._parts)
        return (
            f"gitship {__version__} ready: ssh {self._ssh.address}, http {self._front.address},"
            f" status http://{self._web.address}"
        )

    def stop(self) -> None:
        """Ends what is gitship's own; sites stay up. Deploys that have not switched are canceled."""
        self._running.close()


def _look_at_each(*looks: Callable[[], None]) -> None:
    """What a key may do no more ends now, not with its next command. Never raises: the change is made already."""
    for look in looks:
        try:
            look()
        except Exception:
            log.exception("cannot look again at what runs")
