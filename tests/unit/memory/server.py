"""A server in memory: the real operations on a real store and queue, with Docker and Varnish in memory.

Only how a deploy is carried out is this module's: at once, or when a test says so, and as it says.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network

from gitship.appfiles import canary_rules, mounts
from gitship.appsettings import STOPPED
from gitship.backup.create import Backups
from gitship.config import Settings
from gitship.containers.claims import Claims
from gitship.containers.container_starter import ContainerStarter
from gitship.containers.discrepancies import Change
from gitship.deploy import output
from gitship.deploy.job import Job, Request
from gitship.deploy.manifest_source import Kept
from gitship.deploy.new_release import with_changes
from gitship.deploy.queue import DeployQueue
from gitship.deploy.rename import AppRename
from gitship.disk.free_space import FreeSpace
from gitship.engine.addresses import Addresses
from gitship.engine.types import LogLine
from gitship.errors import GitshipError
from gitship.events import Bus, Event
from gitship.front.canary_vcl import CanaryShare
from gitship.front.traffic_counters import TrafficCounters
from gitship.git.repository import Commit, Repositories
from gitship.https.install_certificates import CertificateInstaller
from gitship.logs.archive import LogArchive
from gitship.logs.stream import LogReader
from gitship.model import GITSHIP, App, Container, ContainerEvent, Deploy, DeployKind, DeployState, Identity, Process
from gitship.notify.sender import WebhookSender
from gitship.observe.container_usage import ContainerUsage, UsageSampler
from gitship.observe.traffic import StoredStats
from gitship.oneoff.cron import Cron
from gitship.operations.jobs import Jobs
from gitship.operations.operations import Operations, Rooms
from gitship.operations.shared import Shared
from gitship.reconcile.destroy_app import AppDestruction
from gitship.routing.access_control import AccessControl
from gitship.routing.active_canaries import ActiveCanaries, ActiveCanary
from gitship.routing.desired_state import DesiredState
from gitship.routing.drain import Drainer
from gitship.routing.pause import ServerPauses
from gitship.store import Store
from gitship.volumes.lifecycle import VolumeLifecycle
from tests.unit.memory.engine import MemoryEngine
from tests.unit.memory.front import MemoryFront
from tests.unit.memory.https import Curtain, TestAuthority, https_of
from tests.unit.memory.programs import EchoPrograms, EchoRuns
from tests.unit.memory.services import services_of

PROCESSES = (Process("web", port=5000), Process("worker", quantity=0))  # as the manifest plans them
FILES: Kept = {  # what every commit has
    "context": None,
    "files": {
        "Procfile": "web: serve\nworker: work\n",
        "app.json": '{"healthchecks": {"worker": [{"type": "startup", "command": ["look"]}]}}',
        "gitship.toml": "[processes.worker]\npids = 90\n",
    },
}
COMMIT = "1a2b3c4d" * 5
MAIN = "refs/heads/main"
LIMIT_S = 20.0


@dataclasses.dataclass(frozen=True)
class Failure:
    """How the next deploy shall end."""

    stage: DeployState
    reason: str
    hint: str
    state: DeployState = DeployState.FAILED


class StoreFacts:
    """Every container runs but those in ``states``; ``commits`` are all that there are."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.states: dict[str, str] = {}
        self.front = True
        self.commits: dict[str, Commit] = {}
        self.lines: list[LogLine] = []

    def containers(self) -> Mapping[str, str]:
        return {c.id: self.states.get(c.id, "running") for c in self._store.containers()}

    def front_answers(self) -> bool:
        return self.front

    def commit(self, app: App, sha: str) -> Commit | None:
        return self.commits.get(sha)

    def log(
        self, container: Container, *, tail: int, since: float | None, follow: bool = False,
        stop: threading.Event | None = None,
    ) -> Iterator[LogLine]:  # fmt: skip
        """What ``print_line`` was told of that container; a followed log ends with ``stop``."""
        position = 0
        own = [line for line in self.lines if line.container == container.name and line.at >= (since or 0)]
        yield from own[-tail:]
        position = len(self.lines) if not own else self.lines.index(own[-1]) + 1
        while follow and not (stop and stop.wait(0.01)):
            new, position = self.lines[position:], len(self.lines)
            yield from (line for line in new if line.container == container.name)


class StoreReconciling:
    """``amiss`` is what there is to do."""

    def __init__(self) -> None:
        self.amiss: list[Change] = []

    def look(self) -> list[Change]:
        return self.amiss

    def reconcile(self) -> list[Change]:
        done, self.amiss = self.amiss, []
        return done


class Busy(UsageSampler):
    """Every container uses as much."""

    def figures(self, container_id: str) -> ContainerUsage:
        return ContainerUsage(12.5, 84_000_000, 268_435_456)


class MemoryServer:
    """``hold`` keeps deploys from ending until ``release``; ``fail_next`` ends the next one as told."""

    def __init__(self, store: Store, settings: Settings, bus: Bus | None = None, port: int = 80) -> None:
        self.store, self.settings, self.bus = store, settings, bus or Bus()
        self.engine, self.front = MemoryEngine(store), MemoryFront(port)
        self.fail_next: Failure | None = None
        self._may_end = threading.Event()
        self._may_end.set()
        self.queue = DeployQueue(self._run, cancel_running=False)
        self.tls, self.authority = Curtain(), TestAuthority()
        self.facts, self.reconciling = StoreFacts(store), StoreReconciling()
        self.programs, self.runs = EchoPrograms(), EchoRuns(store)
        self.tally, self.active_canaries = TrafficCounters(), ActiveCanaries()
        engine, front, server_id = self.engine, self.front, store.server_id()
        self.repositories = repositories = Repositories(settings.repositories, None)
        self._renaming = AppRename(settings, store, front, repositories)
        self._keeper = keeper = VolumeLifecycle(store, engine, server_id)
        addresses = Addresses(store, engine, IPv4Network("10.9.0.0/20"), server_id)
        backups = Backups(settings, None, store, repositories, engine.volumes, keeper)
        self.services = services = services_of(settings, store, engine, addresses, keeper, backups)
        kept = LogArchive(store, engine, settings.logs, keep_releases=5)
        drainer = Drainer(front, ContainerStarter(engine, addresses, kept, server_id, store))
        gates = AccessControl(
            store, front, drainer, 0.0, DesiredState(store, settings.domain), settings, self.active_canaries
        )
        self.gates = gates
        self._pausing = ServerPauses(store, front, gates, settings.domain)
        self.showing = CertificateInstaller(settings, store, self.tls, gates)
        self.shared = Shared(
            settings, store, self.bus, engine, front, repositories, Jobs(settings, store, self.bus, self.queue)
        )
        rooms = Rooms(
            backups=backups,
            cron=Cron(store, "UTC", self.runs),
            destroying=AppDestruction(
                settings,
                store,
                self.bus,
                engine,
                front,
                repositories,
                addresses,
                self.queue,
                keeper,
                Claims(),
                services.links,
            ),
            facts=self.facts,
            gates=gates,
            https=https_of(settings, store, self.showing, self.authority),
            identify=self.identify,
            volume_lifecycle=keeper,
            notifications=WebhookSender(
                store, Bus(), lambda app: self.operations.domains.urls(app)[0]
            ),  # only `test` sends
            pauses=self._pausing,
            programs=self.programs,
            reconciling=self.reconciling,
            room=FreeSpace(settings.data_dir, 0),
            sampler=Busy(store, engine),
            services=services,
            stats=StoredStats(store, self.tally, None),
            tails=LogReader(store, self.bus, engine, kept),
            active_canaries=self.active_canaries,
        )
        self.operations = Operations(self.shared, rooms)

    def identify(self, fingerprint: str, address: str) -> Identity | None:
        key = self.store.key_by_fingerprint(fingerprint)
        return Identity(key.name, key.role, fingerprint, address, key.apps, key.id) if key else None

    # -- what a test does

    def hold(self) -> None:
        self._may_end.clear()

    def release(self) -> None:
        self._may_end.set()

    def settle(self) -> None:
        """No deploy is under way, but for those that are held, and canaries."""
        while (
            self._may_end.is_set()
            and not self.active_canaries._canaries
            and (thread := next(iter(self.queue._threads.values()), None))
        ):
            thread.join(LIMIT_S)

    def close(self) -> None:
        self._pausing.stop()
        self.queue.stop()
        self.store.close()

    def push(self, app: str, by: str = "ada") -> Deploy:
        """As if a commit had been pushed: a release with a web and a worker process goes live."""
        return self._push(app, Request(DeployKind.PUSH, commit=COMMIT, ref=MAIN), by)

    def try_out(self, app: str) -> Deploy:
        """A push whose canary has begun."""
        deploy = self._push(app, Request(DeployKind.PUSH, commit=COMMIT, canary=canary_rules.parse("5%")), "ada")
        assert self._trying.wait(LIMIT_S)
        return self.store.deploy(deploy.id)

    def _push(self, app: str, request: Request, by: str) -> Deploy:
        found = self.store.find_app(app) or self.operations.apps.create(app, GITSHIP)
        self._trying = threading.Event()
        deploy = self.shared.jobs.submit(found, request, dataclasses.replace(GITSHIP, key_name=by))
        if request.canary is None:
            self.settle()
        return self.store.deploy(deploy.id)

    def happen(self, event: ContainerEvent) -> None:
        """Docker tells of something that happened to a container."""
        self.store.add_container_event(event)
        self.bus.publish(Event(f"container.{event.kind}", text=event.text, at=event.at, happening=event))

    # -- how a deploy is carried out

    def _run(self, job: Job) -> None:
        job.journal.update(started_at=time.time(), state=DeployState.STARTING)
        job.journal.line(f"-----> Deploy {job.deploy.id} of {job.app.name}")
        job.journal.raw("#5 \x1b[31mpip\x1b[0m install\x1b]0;title\x07")
        aborted = self._tried_out(job) if job.request.canary is not None else ""
        deadline = time.monotonic() + LIMIT_S
        while not self._may_end.wait(0.01) and not job.cancel.is_set() and time.monotonic() < deadline:
            pass
        failure, self.fail_next = self.fail_next, None
        if aborted:
            failure = Failure(DeployState.CANARY, f"aborted by {aborted}", "")
        if job.cancel.is_set():
            failure = Failure(DeployState.STARTING, "canceled", "", job.canceled_by)
        try:
            if failure is not None:
                self._fail(job, failure)
            else:
                self._finish(job, job.confirm(self.store))
        except GitshipError as error:
            self._fail(job, Failure(DeployState.STARTING, error.message, error.hint))
        job.journal.close()

    def _tried_out(self, job: Job) -> str:
        """Who has aborted the canary, if anybody."""
        live = self.store.release(job.app.live_release or 0)
        trial = ActiveCanary(job.deploy.id, job.app_id, live, (), CanaryShare("5", 5), 60)
        self.active_canaries.begin(trial)
        job.journal.update(state=DeployState.CANARY)
        self._trying.set()
        deadline = time.monotonic() + LIMIT_S
        while not trial.decided.wait(0.01) and not job.cancel.is_set() and time.monotonic() < deadline:
            pass
        self.active_canaries.end(job.app_id)
        return trial.aborted_by

    def _fail(self, job: Job, failure: Failure) -> None:
        if failure.state is DeployState.FAILED:
            for line in output.failure(failure.stage, failure.reason, failure.hint, (), "v1 serves"):
                job.journal.line(line)
        job.journal.update(
            state=failure.state, failed_stage=failure.stage, reason=failure.reason, hint=failure.hint,
            finished_at=time.time(),
        )  # fmt: skip

    def _finish(self, job: Job, app: App) -> None:
        store, asked = self.store, job.request
        like = store.release(asked.release_id) if asked.release_id else None
        with store.transaction():
            if asked.new_name:
                self._renaming.begin(app, asked.new_name)
                self._renaming.commit(app, asked.new_name)
                app = store.app_by_id(app.id)
            store.replace_config(app.id, with_changes(store.config(app.id), asked.config))
            store.change_settings(app.id, asked.settings)
            store.set_scale(app.id, asked.scale)
            release = store.create_release(
                app.id,
                commit=like.commit if like else job.deploy.commit or COMMIT,
                image_id=like.image_id if like else f"sha256:{job.deploy.id}",
                image_bytes=84_000_000,
                config=like.config if like else store.config(app.id),
                processes=mounts.attached(PROCESSES, store.app_settings(app.id)),
                cause=str(job.kind),
                created_by=job.deploy.created_by,
                manifest=FILES,
            )
            scale = {p.type: int(p.type == "web") for p in PROCESSES} | store.scale(app.id)
            containers = [
                Container(
                    f"{app.id}-{release.number}-{process.type}-{n}",
                    f"{app.name}.{process.type}.{n}.{release.label}",
                    app.id,
                    release.id,
                    process.type,
                    n,
                    f"10.231.0.{n}",
                    process.port,
                )
                for process in PROCESSES
                for n in range(1, scale[process.type] + 1)
            ]
            store.set_live(app.id, release.id, containers)
            if job.deploy.ref and app.deploy_branch is None:
                store.set_deploy_branch(app.id, job.deploy.ref.removeprefix("refs/heads/"))
            store.set_setting(app.id, STOPPED, job.kind is DeployKind.STOP or None)
            job.journal.update(release_id=release.id)
        job.journal.line(f"=====> {self.operations.domains.urls(app)[0]}   {release.label} in 0.1s")
        job.journal.update(state=DeployState.LIVE, finished_at=time.time())
        self._keeper.clear(app)
