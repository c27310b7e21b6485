"""Operations that keep their promises on a real store, with deploys that need no container. For the commands' tests."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from gitship.config import HttpsSettings, Settings
from gitship.deploy import output
from gitship.deploy.cron import Cron
from gitship.deploy.gates import gate_of, store_gate
from gitship.deploy.https.operations import ServerHttps
from gitship.deploy.lifecycle import Lifecycle
from gitship.deploy.lock import ensure_unlocked
from gitship.deploy.operations import ProcessStatus
from gitship.deploy.renaming import Renaming
from gitship.deploy.switch import STOPPED
from gitship.deploy.tuning import Tuning
from gitship.engine.base import LogLine
from gitship.errors import GitshipError, NotFound
from gitship.front.front import Front
from gitship.front.gate import Gate
from gitship.git.repository import Repositories
from gitship.model import (
    App,
    Container,
    Deploy,
    DeployKind,
    DeployState,
    Identity,
    Process,
    Release,
    app_name,
)
from gitship.store import Store
from tests.unit.commands.https import Curtain, TestAuthority, https_of
from tests.unit.commands.machine import MANIFEST, Machine
from tests.unit.commands.programs import EchoPrograms, EchoRuns

PROCESSES = (Process("web", port=5000), Process("worker", quantity=0))  # as the manifest plans them
FOLLOW_LIMIT_S = 20.0


@dataclasses.dataclass(frozen=True)
class Failure:
    """How the next deploy shall end."""

    stage: DeployState
    reason: str
    hint: str
    state: DeployState = DeployState.FAILED


class Stream(Iterator[LogLine]):
    """A log stream that says whether it was closed."""

    def __init__(self, lines: Iterator[LogLine]) -> None:
        self._lines = lines
        self.closed = False

    def __next__(self) -> LogLine:
        return next(self._lines)

    def close(self) -> None:
        self.closed = True


class StoreGates:
    """Keeps gates; there is no Varnish."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def change(self, app: str, change: Callable[[Gate], Gate]) -> Gate:
        found = self._store.app(app)
        gate = change(gate_of(self._store, found.id))
        store_gate(self._store, found.id, gate)
        return gate


class StoreOperations:
    """``hold`` keeps deploys from ending until ``release``; ``fail_next`` ends the next one as told."""

    def __init__(self, store: Store, domain: str, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._settings = Settings(data_dir=data_dir, domain=domain, https=HttpsSettings(check_dns=False))
        self._store = store
        self._domain = domain
        self.gates = StoreGates(store)
        self.tls = Curtain()
        self.authority = TestAuthority()
        self._may_end = threading.Event()
        self._may_end.set()
        self._lines: dict[int, list[str]] = {}
        self._log_lines: list[LogLine] = []
        self._more = threading.Condition()
        self.fail_next: Failure | None = None
        self.streams: list[Stream] = []
        self.programs = EchoPrograms()
        self.runs = EchoRuns(store)
        self._crashes = 0

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
        front = Front(settings.http.listen, settings.varnish_dir, settings.varnish.memory)
        return Lifecycle(self._store, repositories, Renaming(settings, self._store, front, repositories), self._deploy)

    def _deploy(
        self, app: App, kind: DeployKind, by: Identity, *, cause: str, commit: str | None = None,
        ref: str | None = None, old: str | None = None, new_name: str | None = None,
    ) -> Deploy:  # fmt: skip
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
    def https(self) -> ServerHttps:
        """The real one; only haproxy and the authority are this class's."""
        return https_of(self._settings, self._store, self.tls, self.gates, self.authority)

    @property
    def tuning(self) -> Tuning:
        """The real one, on a machine that is made up; only the deploys are this class's."""
        return Tuning(Settings(), self._store, Machine(), lambda app, release: MANIFEST, self._set)

    def _set(self, app: App, changes: Mapping[str, Any], by: Identity, *, cause: str) -> Deploy:
        for name, value in changes.items():
            self._store.set_setting(app.id, name, value)
        return self._carry_out(app, self._store.create_deploy(app.id, DeployKind.CONFIG, by.key_name, cause=cause))

    def create_app(self, name: str) -> App:
        return self._store.create_app(app_name(name))

    def destroy_app(self, name: str) -> None:
        self._store.delete_app(self._store.app(name).id)

    def urls(self, app: App) -> list[str]:
        names = [f"{app.name}.{self._domain}", *(d.name for d in self._store.domains(app.id))]
        return [f"http://{name}" for name in names]

    def add_domain(self, app: str, domain: str) -> None:
        self._store.add_domain(self._store.app(app).id, domain)

    def remove_domain(self, app: str, domain: str) -> None:
        self._store.remove_domain(self._store.app(app).id, domain)

    # -- changes that deploy

    def push(self, app: str, by: str = "ada") -> Deploy:
        """As if a commit had been pushed: a release with a web and a worker process goes live."""
        found = self._store.find_app(app) or self.create_app(app)
        deploy = self._store.create_deploy(found.id, DeployKind.PUSH, by, commit="1a2b3c4d" * 5, ref="refs/heads/main")
        return self._carry_out(found, deploy)

    def change_config(
        self, app: str, changes: Mapping[str, str | None], by: Identity, *, restart: bool = True
    ) -> Deploy | None:
        found = self._store.app(app)
        ensure_unlocked(self._store, found)
        merged = {**self._store.config(found.id), **changes}
        self._store.replace_config(found.id, {n: v for n, v in merged.items() if v is not None})
        return self._begin(found, DeployKind.CONFIG, by) if restart else None

    def scale(self, app: str, quantities: Mapping[str, int], by: Identity) -> Deploy | None:
        found = self._store.app(app)
        self._store.set_scale(found.id, quantities)
        return self._begin(found, DeployKind.SCALE, by)

    def restart(self, app: str, by: Identity) -> Deploy:
        deploy = self._begin(self._store.app(app), DeployKind.RESTART, by)
        assert deploy is not None
        return deploy

    def rollback(self, app: str, number: int | None, by: Identity) -> Deploy:
        found = self._store.app(app)
        if number is None:
            earlier = [r for r in self._store.releases(found.id) if r.id != found.live_release]
            if not earlier:
                raise NotFound(f"{app} has no earlier release", "see `releases:list`")
            number = earlier[0].number
        wanted = self._store.release_number(found.id, number)
        deploy = self._store.create_deploy(found.id, DeployKind.ROLLBACK, by.key_name, cause=f"rollback to {number}")
        return self._carry_out(found, deploy, wanted)

    def deploy_pushed(self, app: str, ref: str, old: str, new: str, by: Identity) -> Deploy | None:
        if ref != "refs/heads/main":
            return None
        found = self._store.app(app)
        deploy = self._store.create_deploy(found.id, DeployKind.PUSH, by.key_name, commit=new, ref=ref, old=old)
        return self._carry_out(found, deploy)

    def cancel(self, app: str) -> Deploy:
        found = self._store.app(app)
        for deploy in self._store.unfinished_deploys():
            if deploy.app_id == found.id:
                return self._end(deploy, DeployState.CANCELED, reason="canceled")
        raise NotFound(f"{app} has no deploy to cancel", f"see `deploys:list {app}`")

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
            processes=PROCESSES,
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

    def processes(self, app: str) -> list[ProcessStatus]:
        found = self._store.app(app)
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
            )
            for c in self._store.containers(found.id)
        ]

    def print_line(self, line: LogLine) -> None:
        """A container prints something."""
        with self._more:
            self._log_lines.append(line)
            self._more.notify_all()

    def crash(self) -> None:
        """All containers end, and their log streams with them; Docker starts the same ones again."""
        self._crashes += 1

    def logs(
        self,
        app: str,
        *,
        process: str | None = None,
        tail: int = 100,
        since: float | None = None,
        follow: bool = False,
        stop: threading.Event | None = None,
    ) -> Iterator[LogLine]:
        stream = Stream(self._read_logs(app, process, tail, since, follow, stop))
        self.streams.append(stream)
        return stream

    def _read_logs(
        self,
        app: str,
        process: str | None,
        tail: int,
        since: float | None,
        follow: bool,
        stop: threading.Event | None,
    ) -> Iterator[LogLine]:
        found = self._store.app(app)
        containers = {c.name for c in self._store.containers(found.id) if process in (None, c.process)}
        if process is not None and not containers:
            raise NotFound(f"no '{process}' of {app} is running", "see `ps:list`")

        def wanted(line: LogLine) -> bool:
            return line.container in containers and (since is None or line.at >= since)

        crashes = self._crashes
        with self._more:
            position = len(self._log_lines)
            past = [line for line in self._log_lines if wanted(line)]
        for number, line in enumerate(past):
            if sum(later.container == line.container for later in past[number:]) <= tail:
                yield line
        while follow and not (stop and stop.is_set()):
            live = {c.name for c in self._store.containers(found.id)}
            over = crashes != self._crashes or not containers & live  # all of them have been stopped
            with self._more:
                new, position = self._log_lines[position:], len(self._log_lines)
            yield from filter(wanted, new)
            if over:
                return
            with self._more:
                self._more.wait(0.02)
