"""Six apps on which people work at once, a seventh under load, and gitship, which is killed again and again."""

from __future__ import annotations

import http.client
import random
import re
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path

from tests.e2e import apps
from tests.e2e.commands import add_key
from tests.e2e.harness import PUSH_S, Server
from tests.e2e.history import Act, History

NAMES = ("aster", "birch", "cedar", "daisy", "elder", "fennel")
STEADY = "steady"  # the seventh, under load
MOST_VERSIONS = 400
LIMITED, VIEWER = "cleo", "vera"
ROLES = {"ada": "admin", "bob": "deployer", LIMITED: "deployer", "dan": "admin", VIEWER: "viewer"}
TOML = '[[processes.web.checks]]\npath = "/healthz"\n'


class Storm:
    """The server, its apps' repositories, and who did what. Everything is done by the stock clients."""

    def __init__(self, server: Server, base: Path, tiny: Path) -> None:
        self.server = server
        self.history = History()
        self.up = threading.Event()
        self.up.set()
        self.over = threading.Event()
        self.wrong: list[str] = []
        self.versions: dict[str, str] = {}  # by commit
        self._numbers = {name: count(1) for name in (*NAMES, STEADY)}
        self._locks = {name: threading.Lock() for name in (*NAMES, STEADY)}
        self.repositories = {}
        for name in (*NAMES, STEADY):
            path = self.repositories[name] = apps.tiny(base / name, tiny, f"{name}-0", {"gitship.toml": TOML})
            self.versions[apps.git(path, "rev-parse", "HEAD")] = f"{name}-0"
            server.push_ok(path, name)
        limit = [word for app in NAMES for word in ("--app", app)]
        self.keys = {
            name: add_key(server, name, "--role", role, *(limit if name == LIMITED else ()))
            for name, role in ROLES.items()
        }

    # -- how people do it

    def ssh(self, act: Act, *command: str) -> Act:
        return self._act(act, lambda: self.server.ssh(*command, key=self.keys[act.who], timeout_s=PUSH_S))

    def push(self, act: Act, commit: str) -> Act:
        key, repository = self.keys[act.who], self.repositories[act.app]
        return self._act(
            act, lambda: self.server.push(repository, act.app, refspec=f"{commit}:refs/heads/main", key=key)
        )

    def _act(self, act: Act, run: Callable[[], subprocess.CompletedProcess[str]]) -> Act:
        try:
            done = run()
        except subprocess.TimeoutExpired:
            self.wrong.append(f"it did not end in {PUSH_S:g} s: {act}")
            return self.history.ended(act, 1, "it did not end")
        return self.history.ended(act, done.returncode, done.stdout + done.stderr)

    def commit(self, app: str, env: Mapping[str, str], extra: tuple[str, ...] = ()) -> tuple[str, str]:
        """The next version's commit and name: one line of history for all."""
        with self._locks[app]:
            version = f"{app}-{next(self._numbers[app])}"
            dockerfile = apps.tiny_dockerfile(version, env, extra=extra)
            made = apps.commit(self.repositories[app], version, {"Dockerfile": dockerfile})
            self.versions[made] = version
        return made, version


class Onlookers:
    """Ask each name all the time: whatever happens to an app, no other one answers by its name."""

    def __init__(self, storm: Storm) -> None:
        self.answers = 0
        self._storm = storm

    def run(self) -> None:
        while not self._storm.over.wait(0.1):
            for name in NAMES:
                try:
                    answer = self._storm.server.get(name)
                except (OSError, http.client.HTTPException) as error:
                    self._storm.wrong.append(f"{name} did not answer: {error!r}")
                    continue
                self.answers += 1
                if answer.status == 200 and not re.fullmatch(rf"{name}-\d+\n", answer.body):
                    self._storm.wrong.append(f"{name} answered {answer.body[:100]!r}")
                elif answer.status not in (200, 404, 503):
                    self._storm.wrong.append(f"{name} answered {answer.status}")


class Killer:
    """Ends gitship with -9 and starts it again, until it is over."""

    def __init__(self, storm: Storm, rng: random.Random, every_s: tuple[float, float]) -> None:
        self._storm = storm
        self._rng = rng
        self._every_s = every_s
        self.kills = 0

    def run(self) -> None:
        storm = self._storm
        while not storm.over.wait(self._rng.uniform(*self._every_s)):
            storm.up.clear()
            away = storm.history.killed()
            try:
                storm.server.kill9()
                self.kills += 1
                time.sleep(self._rng.choice((0.0, 0.0, 0.5, 2.0)))
                storm.server.start()
            except AssertionError as error:
                storm.wrong.append(f"gitship did not start again: {error}")
                return
            away.until = time.monotonic()
            storm.up.set()
