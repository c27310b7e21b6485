"""What three apps on a server have to be, whatever is done to them: a model beside the real one, and its visitors."""

from __future__ import annotations

import http.client
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from gitship.deploy.auto_rollback_rules import CRASHES
from tests.e2e import apps
from tests.e2e.agreement import await_agreement
from tests.e2e.harness import Server
from tests.waiting import wait_until

NAMES = ("anna", "bert", "cora", "dirk", "edda")
KINDS = ("red", "green", "blue")  # what an app is, whatever its name: its versions begin with it
NOBODY = "nobody"  # the name has a 404 page
TO_COME = "to come"  # it may have any page of Varnish's own: an app is getting the name
KEPT = 4  # releases that may be gone back to; the server keeps the images of 5
PAUSE_S = 0.05
_TEXT = re.compile(r"(\w+)-(\d+)\n")


@dataclass(frozen=True, slots=True)
class Release:
    """What visitors can tell of a release."""

    number: int
    version: str
    config: Mapping[str, str]


@dataclass(slots=True)
class App:
    """An app as it has to be."""

    kind: str
    name: str
    repository: Path
    releases: list[Release] = field(default_factory=list)  # those that were live, the newest last
    pending: dict[str, str] = field(default_factory=dict)  # config that waits for the next deploy
    web: int = 1
    commits: int = 0
    crashes: int = 0  # since its release is live

    @property
    def live(self) -> Release:
        return self.releases[-1]


class World:
    """A server with its apps. Every change is made by a stock client, and then made in the model."""

    def __init__(self, server: Server, base: Path, tiny: Path) -> None:
        self.server = server
        self.steps = 0
        self.over = False
        self.broken: BaseException | None = None
        self.apps = {
            kind: App(kind, name, apps.tiny(base / kind, tiny, f"{kind}-0"))
            for kind, name in zip(KINDS, NAMES, strict=False)
        }
        for app in self.apps.values():
            self.server.push_ok(app.repository, app.name)
            self._is_live(app, Release(0, f"{app.kind}-0", {}))

    @property
    def free_names(self) -> list[str]:
        return sorted(set(NAMES) - {app.name for app in self.apps.values()})

    def say(self, text: str) -> None:
        """For whoever reads about a failure."""
        self.steps += 1
        print(f"{self.steps}. {text}", flush=True)

    # -- what people do

    def push(self, kind: str) -> None:
        app, version = self._commit(kind, {})
        self.server.push_ok(app.repository, app.name)
        self._is_live(app, Release(0, version, {**app.live.config, **app.pending}))

    def push_that_fails(self, kind: str, *, build: bool) -> None:
        """By its build, or by a container that does not stay up."""
        app, _ = self._commit(kind, {"RELEASE_EXIT": "3"} if build else {"CRASH": "3"}, build=build)
        done = self.server.push(app.repository, app.name)
        assert done.returncode != 0, done.stderr

    def roll_back(self, kind: str, back: int) -> None:
        app = self.apps[kind]
        target = app.releases[max(-KEPT, -len(app.releases), -1 - back)]
        if target is app.live:
            return
        self._do("releases:rollback", app.name, f"v{target.number}")
        app.pending.clear()
        self._is_live(app, target)

    def scale(self, kind: str, web: int) -> None:
        app = self.apps[kind]
        self._do("ps:scale", app.name, f"web={web}")
        app.web = web

    def configure(self, kind: str, value: str, *, restart: bool) -> None:
        app = self.apps[kind]
        now = {**app.live.config, **app.pending}
        self._do("config:set", app.name, f"COLOUR={value}", *([] if restart else ["--no-restart"]))
        if now.get("COLOUR") == value:  # what is set already deploys nothing, not even what waits
            return
        app.pending["COLOUR"] = value
        if restart:
            self._is_live(app, replace(app.live, config={**now, "COLOUR": value}))

    def rename(self, kind: str, new: str) -> None:
        app = self.apps[kind]
        self._do("apps:rename", app.name, new)
        app.name = new

    # -- what happens to it

    def may_crash(self, kind: str) -> bool:
        """A release that crashes once more is rolled back from: test_probation.py has that. Counts this time."""
        app = self.apps[kind]
        app.crashes += 1
        return app.crashes < CRASHES

    def crash(self, kind: str) -> None:
        """A container ends by itself; Docker starts it again."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.http_port, timeout=10)
        try:
            connection.request("GET", "/crash", headers={"Host": f"{self.apps[kind].name}.localhost"})
            connection.getresponse().read()
        finally:
            connection.close()

    @contextmanager
    def gitship_away(self) -> Iterator[None]:
        """Killed, and started again after the block."""
        self.server.kill9()
        yield
        self.server.start()

    # -- what has to be true

    def check(self) -> None:
        """Each app answers as its live release does, under its own name only, and everything agrees."""
        await_agreement(self.server)
        for app in self.apps.values():
            wait_until(lambda a=app: self._answers(a), 20, f"{app.name} answers with {app.live}")  # type: ignore[misc]
            [(web,)] = self.server.database(
                "SELECT count(*) FROM containers c JOIN apps a ON a.id = c.app_id"
                " WHERE a.name = ? AND c.process = 'web'", app.name,
            )  # fmt: skip
            assert web == app.web, f"{app.name} has {web} web containers, {app.web} are wanted"
        for name in self.free_names:
            assert self.server.get(name).status == 404, name

    def _answers(self, app: App) -> bool:
        answer = self.server.get(app.name)
        if answer.status >= 500:  # a container that crashed is coming back
            return False
        assert (answer.status, answer.body) == (200, f"{app.live.version}\n"), f"{app.name}: {answer}, not {app.live}"
        colour = self.server.get(app.name, "/env?COLOUR")
        if colour.status >= 500:
            return False
        assert colour.body == app.live.config.get("COLOUR", ""), f"{app.name}: {colour}, not {app.live}"
        return True

    # -- within

    def _commit(self, kind: str, env: dict[str, str], *, build: bool = False) -> tuple[App, str]:
        app = self.apps[kind]
        app.commits += 1
        version = f"{kind}-{app.commits}"
        extra = ['RUN ["/tiny", "release"]'] if build else []
        apps.commit(app.repository, version, {"Dockerfile": apps.tiny_dockerfile(version, env, extra=extra)})
        return app, version

    def _do(self, *command: str) -> None:
        done = self.server.ssh(*command)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}\n{self.server.logs[-3000:]}"

    def _is_live(self, app: App, release: Release) -> None:
        [(number,)] = self.server.database(
            "SELECT r.number FROM releases r JOIN apps a ON a.live_release = r.id WHERE a.name = ?", app.name
        )
        app.pending.clear()
        app.crashes = 0
        app.releases.append(replace(release, number=number))


class Visitors:
    """Ask every name all the time: an answer is always an app's own, and with ``calm`` there is one each time."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._stop = threading.Event()
        self._calm = threading.Event()
        self._thread = threading.Thread(target=self._run, name="visitors", daemon=True)
        self.owners: dict[str, set[str]] = {}  # name -> the kinds that may answer, or NOBODY, TO_COME
        self.wrong: list[str] = []
        self.answers = 0
        self.settle()
        self._thread.start()

    def settle(self) -> None:
        """The names belong to whom the model says."""
        names = {app.name: {app.kind} for app in self._world.apps.values()}
        self.owners = {name: names.get(name, {NOBODY}) for name in NAMES}

    @contextmanager
    def calm(self, moving: tuple[str, str] | None = None) -> Iterator[None]:
        """While only people do things no request fails; ``moving``: the old and the new name of an app on its way."""
        if moving:
            old, new = moving
            self.owners = {**self.owners, old: self.owners[old] | {NOBODY}, new: self.owners[old] | {NOBODY, TO_COME}}
        self._calm.set()
        try:
            yield
        finally:
            self._calm.clear()
            self.settle()

    def end(self) -> None:
        self._stop.set()
        self._thread.join(20)

    def _run(self) -> None:
        while not self._stop.wait(PAUSE_S):
            for name in NAMES:
                calm, owners = self._calm.is_set(), self.owners[name]
                try:
                    answer = self._world.server.get(name)
                    self._judge(name, owners, calm and self._calm.is_set(), answer.status, answer.body)
                except (OSError, http.client.HTTPException) as error:
                    self._judge(name, owners, calm and self._calm.is_set(), 0, repr(error))

    def _judge(self, name: str, owners: set[str], calm: bool, status: int, body: str) -> None:
        match = _TEXT.fullmatch(body) if status == 200 else None
        if match:
            self.answers += 1
            if match[1] not in owners:
                self.wrong.append(f"{name} belongs to {owners} and answered {body!r}")
        elif status == 200 or (calm and TO_COME not in owners and not (status == 404 and NOBODY in owners)):
            self.wrong.append(f"{name} ({owners}) answered {status} {body[:100]!r}")
