"""Operations that keep their promises on a real store, with deploys that need no container. For the commands' tests."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from gitship.appfiles import mounts
from gitship.backup.create import Backups
from gitship.config import HttpsSettings, Settings, WebSettings
from gitship.containers.discrepancies import Change
from gitship.deploy import output
from gitship.deploy.rename import AppRename
from gitship.disk.free_space import FreeSpace
from gitship.engine.types import LogLine
from gitship.errors import FrontError, GitshipError, NotFound
from gitship.events import Bus, Event
from gitship.front.cache import Purge
from gitship.front.front import Front
from gitship.front.gate import Gate, HttpsRedirect
from gitship.front.traffic_counters import TrafficCounters
from gitship.git.repository import Commit, Repositories
from gitship.https.app_https import ServerHttps
from gitship.https.install_certificates import CertificateInstaller
from gitship.logs.archive import LogArchive
from gitship.logs.stream import LogReader
from gitship.model import (
    GITSHIP,
    App,
    Container,
    ContainerEvent,
    Deploy,
    DeployKind,
    DeployState,
    Identity,
    Process,
    Release,
    app_name,
)
from gitship.notify.sender import WebhookSender
from gitship.observe.container_usage import ContainerUsage, UsageSampler
from gitship.observe.traffic import StoredStats
from gitship.oneoff.cron import Cron
from gitship.operations.canaries import no_canary
from gitship.operations.cleanup import Cleanup
from gitship.operations.clone import Cloning
from gitship.operations.lifecycle import Lifecycle
from gitship.operations.processes import Looking, ProcessStatus
from gitship.operations.registries import Registries
from gitship.operations.serving import Serving
from gitship.operations.sign_ins import SignIns
from gitship.operations.sources import Sources
from gitship.operations.storage import Storage
from gitship.operations.tuning import Tuning
from gitship.routing import hostnames
from gitship.routing.gate_settings import gate_of, no_rates, store_gate, store_status_https
from gitship.routing.pause import Paused, ensure_can_pause, not_paused
from gitship.routing.switch import STOPPED
from gitship.store import Store
from gitship.store.app_lock import ensure_unlocked
from gitship.volumes.lifecycle import VolumeLifecycle
from tests.unit.commands.https import Curtain, TestAuthority, https_of
from tests.unit.commands.machine import MANIFEST, Machine
from tests.unit.commands.printing import Printing
from tests.unit.commands.programs import EchoPrograms, EchoRuns

PROCESSES = (Process("web", port=5000), Process("worker", quantity=0))  # as the manifest plans them
FOLLOW_LIMIT_S = 20.0
SERVER = "s1"


@dataclasses.dataclass(frozen=True)
class Failure:
    """How the next deploy shall end."""

    stage: DeployState
    reason: str
    hint: str
    state: DeployState = DeployState.FAILED


class StoreGates:
    """Keeps gates; there is no Varnish."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.rates = True

    def change(self, app: App, change: Callable[[Gate], Gate], by: Identity) -> Gate:
        found = self._store.confirm(app, by)
        gate = change(gate_of(self._store, found.id))
        store_gate(self._store, found.id, gate)
        return gate

    def change_status_page(self, https: HttpsRedirect | None) -> None:
        store_status_https(self._store, https)

    def try_vcl(self, app: App, vcl: str) -> None:
        if "nonsense" in vcl:
            raise FrontError("Varnish refuses the app's own VCL:\nnonsense (line 1", "`vcl:show`")

    def ensure_rates(self) -> None:
        if not self.rates:
            raise no_rates()


class StorePauses:
    """Keeps in mind what is paused; there is no Varnish."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._until: dict[int, float] = {}

    def pause(self, app: App, limit_s: float, by: Identity) -> Paused:
        found = self._store.confirm_live(app, by)
        ensure_can_pause(self._store, found, self.paused(found))
        self._until[found.id] = time.time() + limit_s
        return Paused(limit_s)

    def resume(self, app: App, by: Identity) -> Paused:
        found = self._store.confirm(app, by)
        paused = self.paused(found)
        if paused is None:
            raise not_paused(found)
        del self._until[found.id]
        return paused

    def paused(self, app: App) -> Paused | None:
        until = self._until.get(app.id)
        return None if until is None else Paused(max(0.0, until - time.time()))


class StoreCanaries:
    """Ends the deploy that ``StoreOperations.try_out`` has begun."""

    def __init__(self, operations: StoreOperations) -> None:
        self._operations = operations

    def promote(self, app: App, by: Identity) -> Deploy:
        return self._operations.decide(app, by, promote=True)

    def abort(self, app: App, by: Identity) -> Deploy:
        return self._operations.decide(app, by, promote=False)


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


class StoreOperations:
    """``hold`` keeps deploys from ending until ``release``; ``fail_next`` ends the next one as told."""

    def __init__(self, store: Store, domain: str, data_dir: Path, web: WebSettings | None = None) -> None:
        self._data_dir = data_dir
        https = HttpsSettings(check_dns=False)
        self._settings = Settings(data_dir=data_dir, domain=domain, https=https, web=web or WebSettings())
        self._store = store
        self._domain = domain
        self.gates = StoreGates(store)
        self.notifications = WebhookSender(
            store, Bus(), lambda app: self.urls(app)[0]
        )  # never started: only `test` sends
        self.pauses = StorePauses(store)
        self.tls = Curtain()
        self.showing = CertificateInstaller(self._settings, store, self.tls, self.gates)
        self.authority = TestAuthority()
        self.sign_ins = SignIns(store, self._identity)
        self.facts = StoreFacts(store)
        self.reconciling = StoreReconciling()
        self._may_end = threading.Event()
        self._may_end.set()
        self._lines: dict[int, list[str]] = {}
        self._bus = Bus()
        self.fail_next: Failure | None = None
        self.engine = Printing(store)
        self.purged: list[tuple[str, Purge]] = []
        self.programs = EchoPrograms()
        self.runs = EchoRuns(store)
        self.machine = Machine()
        self._keeper = VolumeLifecycle(store, self.machine, SERVER)
        self.backups = Backups(
            self._settings, None, store, Repositories(self._settings.repositories, None), self.machine.volumes,
            self._keeper,
        )  # fmt: skip
        self.room = FreeSpace(data_dir, 0)
        self.cleanup = Cleanup(self._settings, store, self.machine, Repositories(self._settings.repositories, None))
        self.canaries = StoreCanaries(self)
        self.tally = TrafficCounters()
        self.stats = StoredStats(store, self.tally, None)
        self._crashes = 0

    def _identity(self, fingerprint: str, address: str) -> Identity | None:
        key = self._store.key_by_fingerprint(fingerprint)
        return Identity(key.name, key.role, fingerprint, address, key.apps, key.id) if key else None

    def hold(self) -> None:
        self._may_end.clear()

    def release(self) -> None:
        self._may_end.set()

    # -- apps

    @property
    def lifecycle(self) -> Lifecycle:
        """The real one; only the deploys are this class's."""
        settings = Settings(data_dir=self._data_dir, domain=self._domain)
        repositories = Repositories(settings.repositories, None)
        front = Front(settings.http.listen, settings.varnish_dir, settings.varnish.cache_bytes)
        return Lifecycle(self._store, repositories, AppRename(settings, self._store, front, repositories), self._deploy)

    @property
    def sources(self) -> Sources:
        """The real one; only the deploys are this class's."""
        settings = Settings(data_dir=self._data_dir, domain=self._domain)
        return Sources(
            settings, self._store, Repositories(settings.repositories, None), self._store.acting, self._deploy
        )

    @property
    def cloning(self) -> Cloning:
        """The real one; only the deploys are this class's."""
        settings = Settings(data_dir=self._data_dir, domain=self._domain)
        repositories = Repositories(settings.repositories, None)
        front = Front(settings.http.listen, settings.varnish_dir, settings.varnish.cache_bytes)
        renaming = AppRename(settings, self._store, front, repositories)
        return Cloning(self._store, repositories, renaming, self._deploy, lambda app: None)

    @property
    def registries(self) -> Registries:
        """The real one; no registry is ever asked."""
        return Registries(self._store, Machine())

    def _deploy(
        self, app: App, kind: DeployKind, by: Identity, *, cause: str, commit: str | None = None,
        ref: str | None = None, old: str | None = None, new_name: str | None = None, no_cache: bool = False,
        release_id: int | None = None, source: App | None = None, image: str = "", pull: bool = False,
    ) -> Deploy:  # fmt: skip
        app = self._store.confirm(app, by)
        ensure_unlocked(self._store, app)
        if new_name:
            self._store.rename_app(app.id, new_name)
        deploy = self._store.create_deploy(app.id, kind, by.key_name, cause=cause, commit=commit, ref=ref, old=old)
        started = self._carry_out(self._store.app_by_id(app.id), deploy)
        self._store.set_setting(app.id, STOPPED, kind is DeployKind.STOP or None)
        return started

    @property
    def cron(self) -> Cron:
        """The real one; only what runs is this class's."""
        return Cron(self._store, "UTC", self.runs)

    @property
    def serving(self) -> Serving:
        """The real one; there is no Varnish."""
        return Serving(self._store, self._keep, lambda owner, purge: self.purged.append((owner, purge)))

    def _keep(self, app: App, changes: Mapping[str, Any], by: Identity) -> None:
        found = self._store.confirm(app, by)
        for name, value in changes.items():
            self._store.set_setting(found.id, name, value)

    @property
    def https(self) -> ServerHttps:
        """The real one; only haproxy and the authority are this class's."""
        return https_of(self._settings, self._store, self.showing, self.authority)

    @property
    def tuning(self) -> Tuning:
        """The real one, on a machine that is made up; only the deploys are this class's."""
        return Tuning(Settings(), self._store, self.machine, lambda app, release: MANIFEST, self._set)

    @property
    def storage(self) -> Storage:
        """The real one, on volumes in memory."""
        return Storage(self._data_dir, self._store, self.machine.volumes, self._keeper, self._set)

    def _set(self, app: App, changes: Mapping[str, Any], by: Identity, *, cause: str) -> Deploy:
        for name, value in changes.items():
            self._store.set_setting(app.id, name, value)
        return self._carry_out(app, self._store.create_deploy(app.id, DeployKind.CONFIG, by.key_name, cause=cause))

    def create_app(self, name: str, by: Identity) -> App:
        self._store.confirm_key(by)
        return self._store.create_app(app_name(name))

    def destroy_app(self, app: App, by: Identity) -> None:
        self._store.delete_app(self._store.confirm(app, by).id)

    def urls(self, app: App) -> list[str]:
        names = [f"{app.name}.{self._domain}", *(d.name for d in self._store.domains(app.id))]
        return [f"http://{name}" for name in names]

    def add_domain(self, app: App, domain: str, by: Identity) -> None:
        with self._store.acting(app, by) as found:
            hostnames.ensure_addable(self._store, self._settings, found, domain)
            self._store.add_domain(found.id, domain)

    def remove_domain(self, app: App, domain: str, by: Identity) -> None:
        self._store.remove_domain(self._store.confirm(app, by).id, domain)

    # -- changes that deploy

    def push(self, app: str, by: str = "ada") -> Deploy:
        """As if a commit had been pushed: a release with a web and a worker process goes live."""
        found = self._store.find_app(app) or self.create_app(app, GITSHIP)
        deploy = self._store.create_deploy(found.id, DeployKind.PUSH, by, commit="1a2b3c4d" * 5, ref="refs/heads/main")
        return self._carry_out(found, deploy)

    def change_config(
        self, app: App, changes: Mapping[str, str | None], by: Identity, *, restart: bool = True
    ) -> Deploy | None:
        found = self._store.confirm(app, by)
        ensure_unlocked(self._store, found)
        merged = {**self._store.config(found.id), **changes}
        self._store.replace_config(found.id, {n: v for n, v in merged.items() if v is not None})
        return self._begin(found, DeployKind.CONFIG, by) if restart else None

    def scale(self, app: App, quantities: Mapping[str, int], by: Identity) -> Deploy | None:
        found = self._store.confirm(app, by)
        self._store.set_scale(found.id, quantities)
        return self._begin(found, DeployKind.SCALE, by)

    def restart(self, app: App, by: Identity) -> Deploy:
        deploy = self._begin(self._store.confirm(app, by), DeployKind.RESTART, by)
        assert deploy is not None
        return deploy

    def rollback(self, app: App, number: int | None, by: Identity) -> Deploy:
        found = self._store.confirm(app, by)
        if number is None:
            earlier = [r for r in self._store.releases(found.id) if r.id != found.live_release]
            if not earlier:
                raise NotFound(f"{found.name} has no earlier release", "see `releases:list`")
            number = earlier[0].number
        wanted = self._store.release_number(found.id, number)
        deploy = self._store.create_deploy(found.id, DeployKind.ROLLBACK, by.key_name, cause=f"rollback to {number}")
        return self._carry_out(found, deploy, wanted)

    def deploy_pushed(self, app: App, ref: str, old: str, new: str, by: Identity) -> Deploy | None:
        if ref != "refs/heads/main":
            return None
        found = self._store.confirm(app, by)
        deploy = self._store.create_deploy(found.id, DeployKind.PUSH, by.key_name, commit=new, ref=ref, old=old)
        return self._carry_out(found, deploy)

    def cancel(self, app: App, by: Identity) -> Deploy:
        found = self._store.confirm(app, by)
        for deploy in self._store.unfinished_deploys():
            if deploy.app_id == found.id:
                return self._end(deploy, DeployState.CANCELED, reason="canceled")
        raise NotFound(f"{found.name} has no deploy to cancel", f"see `deploys:list {found.name}`")

    def try_out(self, app: str) -> Deploy:
        """A push whose canary has begun."""
        deploy = self._store.create_deploy(self._store.app(app).id, DeployKind.PUSH, "ada", commit="1a2b3c4d" * 5)
        tried = dataclasses.replace(deploy, started_at=time.time(), state=DeployState.CANARY)
        self._store.update_deploy(tried)
        self._lines[deploy.id] = []
        return tried

    def decide(self, app: App, by: Identity, *, promote: bool) -> Deploy:
        found = self._store.confirm(app, by)
        deploy = self._store.deploys(found.id, limit=1)[0] if self._store.deploys(found.id) else None
        if deploy is None or deploy.state is not DeployState.CANARY:
            raise no_canary(found.name)
        if promote:
            self._finish(found, deploy)
        else:
            self._end(deploy, DeployState.FAILED, failed_stage=deploy.state, reason=f"aborted by {by.key_name}")
        return self._store.deploy(deploy.id)

    def _begin(self, app: App, kind: DeployKind, by: Identity) -> Deploy | None:
        if not app.live_release:
            return None
        return self._carry_out(app, self._store.create_deploy(app.id, kind, by.key_name))

    def _carry_out(self, app: App, deploy: Deploy, like: Release | None = None) -> Deploy:
        self._lines[deploy.id] = [
            f"-----> Deploy {deploy.id} of {app.name}",
            output.raw("#5 \x1b[31mpip\x1b[0m install\x1b]0;title\x07"),
        ]
        started = dataclasses.replace(deploy, started_at=time.time(), state=DeployState.STARTING)
        self._store.update_deploy(started)
        if self._may_end.is_set():
            self._finish(app, started, like)
        return started

    def _finish(self, app: App, deploy: Deploy, like: Release | None = None) -> None:
        if self.fail_next:
            failure, self.fail_next = self.fail_next, None
            if failure.state is DeployState.FAILED:
                self._lines[deploy.id] += output.failure(failure.stage, failure.reason, failure.hint, (), "v1 serves")
            self._end(deploy, failure.state, failed_stage=failure.stage, reason=failure.reason, hint=failure.hint)
            return
        release = self._store.create_release(
            app.id,
            commit=like.commit if like else deploy.commit or "1a2b3c4d" * 5,
            image_id=like.image_id if like else f"sha256:{deploy.id}",
            image_bytes=84_000_000,
            config=like.config if like else self._store.config(app.id),
            processes=mounts.attached(PROCESSES, self._store.settings(app.id)),
            cause=str(deploy.kind),
            created_by=deploy.created_by,
        )
        scale = {p.type: int(p.type == "web") for p in PROCESSES} | self._store.scale(app.id)
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
        self._store.set_live(app.id, release.id, containers)
        self._lines[deploy.id].append(f"=====> http://{app.name}.{self._domain}   {release.label} in 0.1s")
        self._end(deploy, DeployState.LIVE, release_id=release.id)

    def _end(self, deploy: Deploy, state: DeployState, **changes: object) -> Deploy:
        ended = dataclasses.replace(deploy, state=state, finished_at=time.time(), **changes)  # type: ignore[arg-type]
        self._store.update_deploy(ended)
        return ended

    # -- watching

    def follow(self, deploy: Deploy, write: Callable[[str], None], gone: threading.Event) -> Deploy:
        shown = 0
        deadline = time.monotonic() + FOLLOW_LIMIT_S
        while time.monotonic() < deadline:
            record = self._store.deploy(deploy.id)
            lines = self._lines[deploy.id]
            for line in lines[shown:]:
                write(line)
            shown = len(lines)
            if record.state.ended or gone.is_set():
                return record
            if self._may_end.wait(0.01):
                self._finish(self._store.app_by_id(record.app_id), record)
        raise GitshipError("the deploy never ended")

    def processes(self, app: App) -> list[ProcessStatus]:
        found = self._store.app_by_id(app.id)
        return [
            ProcessStatus(
                c.name,
                c.process,
                self._store.release(c.release_id).number,
                "running",
                "healthy" if c.port else "",
                c.address,
                c.port,
                0,
                1_700_000_000.0,
                1,
                ContainerUsage(12.5, 84_000_000, 268_435_456),
            )
            for c in self._store.containers(found.id)
        ]

    def print_line(self, line: LogLine) -> None:
        """A container prints something."""
        self.engine.print_line(line)

    def crash(self) -> None:
        """All containers end, and their log streams with them; Docker starts the same ones again."""
        self.engine.crash()

    def happen(self, event: ContainerEvent) -> None:
        """Docker tells of something that happened to a container."""
        self._store.add_container_event(event)
        self._bus.publish(Event(f"container.{event.kind}", text=event.text, at=event.at, happening=event))

    def logs(
        self,
        app: App,
        *,
        process: str | None = None,
        tail: int = 100,
        since: float | None = None,
        follow: bool = False,
        stop: threading.Event | None = None,
        matches: Callable[[str], bool] | None = None,
        release: int | None = None,
    ) -> Iterator[LogLine]:
        """The real ones; only the engine is made up."""
        kept = LogArchive(self._store, self.engine, self._data_dir / "logs", keep_releases=5)
        tails = LogReader(self._store, self._bus, self.engine, kept)
        looking = Looking(self._store, self.engine, UsageSampler(self._store, self.engine), tails)
        return looking.logs(
            app, process=process, tail=tail, since=since, follow=follow, stop=stop, matches=matches, release=release
        )
