"""Composition root: builds every part, hands each what it needs, starts and stops them in order."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

from gitship import __version__
from gitship.apart import Apart
from gitship.backup.create import Backups
from gitship.config import Settings
from gitship.console.context import Services
from gitship.containers.claims import Claims
from gitship.containers.restarts import Restarts
from gitship.containers.start import Starter
from gitship.deploy.auto_rollback import Probation
from gitship.deploy.build import Builder
from gitship.deploy.canary import Canary
from gitship.deploy.external_image import Foreign
from gitship.deploy.fetch_image import Fetcher
from gitship.deploy.hooks import Hooks
from gitship.deploy.manifest_source import manifest_of
from gitship.deploy.new_release import Releasing
from gitship.deploy.pipeline import Pipeline
from gitship.deploy.queue import DeployQueue
from gitship.deploy.rename import Renaming
from gitship.disk.docker import DockerRoom, ReserveImage
from gitship.disk.free_space import Room
from gitship.engine import build_secrets, firewall
from gitship.engine.addresses import Addresses
from gitship.engine.build_limits import BuildLimits
from gitship.engine.docker import DockerEngine
from gitship.engine.firewall import Firewall
from gitship.events import Bus
from gitship.front.traffic_counters import TrafficCounters
from gitship.front.visitor_log import VisitorLog
from gitship.git.repository import Repositories
from gitship.https.acme import AcmeAuthority
from gitship.https.app_https import ServerHttps
from gitship.https.dns_hook import DnsHook
from gitship.https.install_certificates import CertificateInstaller
from gitship.https.issue import Issuer
from gitship.https.renewer import CertificateRenewer as CertificateKeeper
from gitship.identities import Identities
from gitship.logs import directories
from gitship.logs.archive import KeptLogs
from gitship.logs.stream import Tails
from gitship.model import App
from gitship.notify.post import WEB_PORTS
from gitship.notify.sender import Notifier
from gitship.observe.container_usage import Sampler
from gitship.observe.traffic import StoredStats
from gitship.observe.uptime import Uptime
from gitship.oneoff.cron import Cron
from gitship.oneoff.cron_runs import Runs
from gitship.oneoff.cron_scheduler import Scheduler
from gitship.oneoff.oneoffs import OneOffs
from gitship.operations.canaries import RunningCanaries
from gitship.operations.processes import Looking
from gitship.operations.rebuild_after_restore import Revival
from gitship.operations.server import ServerOperations
from gitship.operations.serving import Serving
from gitship.operations.sign_ins import SignIns
from gitship.operations.upkeep import Upkeep
from gitship.proxies import front_of, tls_of
from gitship.reconcile.clock import ClockWatch
from gitship.reconcile.destroy import Destroying
from gitship.reconcile.interrupted_deploys import Interrupted
from gitship.reconcile.lost_addresses import LostAddresses
from gitship.reconcile.outages import Outages
from gitship.reconcile.reconciler import Reconciler
from gitship.reconcile.repair import Repair
from gitship.reconcile.routes import Routes
from gitship.reconcile.troubles import Troubles
from gitship.reconcile.watch import Watcher
from gitship.routing.access_control import AccessControl
from gitship.routing.active_canaries import ActiveCanaries
from gitship.routing.desired_state import DesiredState
from gitship.routing.drain import Drainer
from gitship.routing.pause import ServerPauses
from gitship.routing.switch import Switch
from gitship.routing.urls import urls
from gitship.ssh.dispatch import Dispatcher
from gitship.ssh.server import SshServer
from gitship.store import Store
from gitship.volumes.host_directories import HostDirectories
from gitship.volumes.lifecycle import VolumeLifecycle
from gitship.web.server import WebServer

SSH_GRACE_S = 2.0
log = logging.getLogger("gitship")


class Daemon:
    """A whole gitship server in one process. Varnish and the containers are not its children and outlive it."""

    def __init__(self, settings: Settings, config: Path | None = None) -> None:
        """``config`` is the settings' own file, for backups."""
        self.settings = settings
        self.store = Store(settings.database, copies=settings.disk.copies)
        room = Room(settings.data_dir, settings.disk.min_free)
        self.store.before_writing = room.look
        self.clock = ClockWatch(self.store)
        server_id = self.store.server_id()
        bus = Bus()
        engine = DockerEngine(
            settings.docker.host,
            builder=settings.docker.builder,
            timeout_s=settings.docker.timeout,
            build_limits=BuildLimits.of(settings.docker),
            host_paths=settings.docker.host_paths,
            private=(settings.data_dir,),
            owner=server_id,
            secret=self.store.secret(),
            kept=ReserveImage(self.store),
        )
        engine.volumes.writable_above = HostDirectories(self.store).writable_above
        engine.spare = docker_room = DockerRoom(engine.image_root, engine.images.ballast, room.reserve)
        build_secrets.sweep(server_id)
        self.front = front_of(settings, self.store)
        self._firewall = Firewall(lambda: firewall.rules_of(settings, server_id, engine.default_bridge))
        repositories = Repositories(settings.repositories, settings.hooks_dir / "post-receive")
        repositories.sweep({app.name for app in self.store.apps()})
        addresses = Addresses(self.store, engine, settings.docker.address_pool, server_id)
        kept = KeptLogs(self.store, engine, settings.logs, settings.deploy.keep_releases)
        kept.sweep()
        directories.bring_over(settings.logs, self.store)
        starter = Starter(engine, addresses, kept, server_id, self.store.settings)
        self.drainer = Drainer(self.front, starter)
        builder = Builder(
            engine,
            self.store,
            max_builds=settings.docker.max_builds,
            timeout_s=settings.docker.build_timeout,
            min_free_bytes=settings.docker.min_free,
            room=room,
            output_bytes=settings.docker.build_output,
            network=settings.docker.build_network,
        )
        hooks = Hooks(self.store, settings, self._url)
        apart, routes_apart = Apart(), Apart()
        keeper = VolumeLifecycle(self.store, engine, server_id, apart)
        fetcher = Fetcher(engine, self.store, settings)
        foreign = Foreign(self.store, engine, repositories, fetcher)
        releasing = Releasing(self.store, engine, repositories, builder, foreign, settings)
        drain_limit_s = settings.deploy.drain_timeout
        tally, trials = TrafficCounters(), ActiveCanaries()
        visitors = VisitorLog(self.front.workdir, tally.take)
        outages = Outages()
        wanted = DesiredState(self.store, settings.domain, outages.out)
        gates = AccessControl(self.store, self.front, self.drainer, drain_limit_s, wanted, settings, trials)
        switch = Switch(self.front, settings.domain, wanted)
        canary = Canary(
            engine, self.front, self.drainer, gates, trials, switch, tally, lambda: visitors.running, drain_limit_s
        )
        claims = Claims()
        self.probation = Probation(
            settings, self.store, bus, tally, lambda: self.queue, partial(manifest_of, self.store, repositories)
        )
        pipeline = Pipeline(
            settings,
            self.store,
            engine,
            self.front,
            repositories,
            addresses,
            releasing,
            starter,
            self.drainer,
            hooks,
            keeper,
            switch,
            canary,
            claims,
            self.probation,
        )
        self.queue = DeployQueue(pipeline.run, cancel_running=settings.deploy.on_new_push == "cancel")
        self.one_offs = OneOffs(self.store, engine, addresses, claims, settings.logs, server_id, apart)
        runs = Runs(self.store, bus, self.one_offs, settings.logs)
        self.scheduler = Scheduler(self.store, runs, settings.cron.timezone)
        self.watcher = Watcher(self.store, bus, engine, outages)
        destroying = Destroying(
            settings, self.store, bus, engine, self.front, repositories, addresses, self.queue, keeper, claims,
            apart,
        )  # fmt: skip
        repair = Repair(
            settings, self.store, engine, self.front, starter, self.drainer, self.queue, self.watcher, claims,
            Restarts(self.store), apart,
        )  # fmt: skip
        self.reconciler = Reconciler(
            self.store,
            engine,
            self.front,
            addresses,
            Interrupted(self.store, repositories),
            Renaming(settings, self.store, self.front, repositories),
            destroying,
            repair,
            self.one_offs,
            keeper,
            outages,
            Routes(settings, self.store, self.front, wanted, gates, self.queue, claims, routes_apart),
            LostAddresses(self.store, engine, claims, self.queue, apart),
            apart,
            Troubles(self.store, (apart, routes_apart)),
        )
        self.watcher.on_change(self.reconciler.wake)
        self.pausing = ServerPauses(self.store, self.front, gates, settings.domain)
        https = self._https(settings, bus, gates)
        serving = Serving(self.store, gates.keep, self.front.purge)
        self.stats = StoredStats(self.store, tally, visitors)
        cron = Cron(self.store, settings.cron.timezone, runs)
        visited = WEB_PORTS | {settings.http.listen.port, settings.https.listen.port}
        self.notifier = Notifier(self.store, bus, self._url, own_ports=visited)
        self.sampler = Sampler(self.store, engine)
        looking = Looking(self.store, engine, self.sampler, Tails(self.store, bus, engine, kept))
        backups = Backups(settings, config, self.store, repositories, engine.volumes, keeper)
        backups.sweep()
        identities = Identities(settings, self.store)
        operations = ServerOperations(
            settings, self.store, bus, engine, self.front, repositories, self.queue, destroying, self.one_offs, gates,
            cron, self.notifier, keeper, looking, serving, self.stats, RunningCanaries(self.store, trials, self.queue),
            self.pausing, https, SignIns(self.store, identities.of), self.reconciler, backups, room,
        )  # fmt: skip
        self.uptime = Uptime(self.store, operations.facts, self.pausing, self.stats)
        self.upkeep = Upkeep(settings, self.store, engine, room, docker_room, operations.cleanup)
        self.revival = Revival(self.store, engine, keeper, operations.lifecycle, operations.sources)
        self.probation.rolls_back_by(operations.roll_back)
        services = Services(store=self.store, settings=settings, operations=operations)
        self._dispatcher = dispatcher = Dispatcher(services, operations, repositories)
        self.ssh = SshServer(settings.ssh.listen, settings.host_key, identities.at_the_door, dispatcher.run)
        self.web = WebServer(settings.web.listen, self.store, bus, settings, operations)
        self.store.rights_changed = self._rights_changed

    def _https(self, settings: Settings, bus: Bus, gates: AccessControl) -> ServerHttps:
        hook = DnsHook(settings.hooks_dir / "dns-01")
        answer = self.front.answer_challenges
        authority = AcmeAuthority(settings.https, settings.acme_accounts, hook, answer)
        showing = CertificateInstaller(settings, self.store, tls_of(settings), gates)
        issuer = Issuer(settings, self.store, authority, answer)
        https = ServerHttps(settings, self.store, showing, issuer, lambda: hook.there)
        self.certificates = CertificateKeeper(settings, self.store, bus, showing, https, authority)
        return https

    def start(self) -> str:
        """Starts everything; the line to print when it is ready. Raises GitshipError with everything stopped again."""
        try:
            if firewall.wanted(self.settings):  # first: the containers run already
                self._firewall.start()
            self.clock.start()
            self.reconciler.start()
            self.notifier.start()
            self.watcher.start()
            self.sampler.start()
            self.stats.start()
            self.uptime.start()
            self.certificates.start()
            self.web.start()
            self.ssh.start()
            self.scheduler.start()
            self.probation.take_up()
            self.revival.start()
            self.upkeep.start()
        except BaseException:
            self.stop()
            raise
        return (
            f"gitship {__version__} ready: ssh {self.ssh.address}, http {self.front.address},"
            f" status http://{self.web.address}"
        )

    def stop(self) -> None:
        """Ends what is gitship's own; sites stay up. Deploys that have not switched are canceled."""
        self.probation.stop()
        self.queue.stop()  # first: whoever waits for a deploy is told that it was canceled
        self.clock.stop()
        self.upkeep.stop()
        self.revival.stop()
        self.pausing.stop()
        self.ssh.stop(SSH_GRACE_S)
        self.certificates.stop()
        self._firewall.stop()
        self.reconciler.stop()
        self.scheduler.stop()
        self.watcher.stop()
        self.sampler.stop()
        self.one_offs.close()
        self.drainer.stop()
        self.notifier.stop()
        self.web.stop()
        self.uptime.stop()
        self.stats.stop()
        self.store.close()

    def _rights_changed(self) -> None:
        """What a key may do no more ends now, not with its next command. Never raises: the change is made already."""
        looks: tuple[Callable[[], None], ...] = (
            partial(self.ssh.recheck, self._dispatcher.still_may),  # first: a push that is ended reads this
            partial(self.queue.recheck, self.store),
            self.web.rights_changed,
        )
        for look in looks:
            try:
                look()
            except Exception:
                log.exception("cannot look again at what runs")

    def _url(self, app: App) -> str:
        return urls(self.store, self.settings, app, self.front.address.port)[0]
