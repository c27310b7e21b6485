"""Four people at work on six apps at once, and one who may only look."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.e2e import apps
from tests.e2e.history import ANYTHING, Act, Outcome
from tests.e2e.storm import LIMITED, NAMES, ROLES, STEADY, VIEWER, Storm

AGAIN_S = 60.0  # within which gitship is ready again
BROKEN: dict[str, tuple[dict[str, str], tuple[str, ...]]] = {
    "push that crashes": ({"CRASH": "3"}, ()),
    "push that is never healthy": ({"HEALTH_MS": "600000"}, ()),
    "push that does not build": ({"RELEASE_EXIT": "3"}, ('RUN ["/tiny", "release"]',)),
}


@dataclass(slots=True)
class Person:
    """What one of them does, chosen by a random generator of their own."""

    storm: Storm
    name: str
    rng: random.Random

    def run(self) -> None:
        try:
            while not self.storm.over.is_set():
                if not self.storm.up.wait(AGAIN_S):
                    raise AssertionError("gitship did not come back")
                self._look() if self.name == VIEWER else self._work()
                self.storm.over.wait(self.rng.uniform(0.05, 0.4))
        except Exception as error:  # of the tests themselves: it must not go unseen
            self.storm.wrong.append(f"{self.name}: {error!r}")
            raise

    def _work(self) -> None:
        kinds: dict[Callable[[str], None], float] = {
            self._push: 5, self._break: 2.2, self._roll_back: 2, self._scale: 3, self._stop: 1.2, self._start: 2,
            self._mount: 1, self._unmount: 0.8, self._configure: 3,
        }  # fmt: skip
        if ROLES[self.name] == "admin":
            kinds |= {self._destroy: 0.6, self._grant: 0.4}
        if self.name != LIMITED:
            kinds[self._push_steady] = 0.4
        [chosen] = self.rng.choices(list(kinds), list(kinds.values()))
        chosen(self.rng.choice(NAMES))

    def _do(self, app: str, what: str, *words: str, must: Outcome | None = None, **writes: object) -> Act:
        return self.storm.ssh(Act(self.name, app, what, writes, must), what, *words)

    # -- pushes

    def _push(self, app: str) -> None:
        commit, version = self.storm.commit(app, {})
        must = None if self.name == LIMITED else Outcome.DONE  # it may have lost the app with its last destruction
        self.storm.push(Act(self.name, app, "push", {"version": version, "stopped": False}, must), commit)

    def _push_steady(self, app: str) -> None:
        self._push(STEADY)

    def _break(self, app: str) -> None:
        what = self.rng.choice(list(BROKEN))
        env, extra = BROKEN[what]
        commit, version = self.storm.commit(app, env, extra)
        act = Act(self.name, app, what, {"version": version, "stopped": False}, must=Outcome.REFUSED)
        self.storm.push(act, commit)

    # -- commands

    def _roll_back(self, app: str) -> None:
        """To one of the four before. Another app may get the name meanwhile, with releases of the same numbers."""
        began = time.monotonic()
        listed = self.storm.ssh(Act(self.name, app, "releases:list"), "releases:list", app, "--format", "json")
        rows = self.storm.server.database(
            "SELECT r.number, r.commit_sha, r.config, r.app_id FROM releases r JOIN apps a ON a.id = r.app_id WHERE"
            " a.name = ? AND r.id <> a.live_release AND EXISTS (SELECT 1 FROM deploys WHERE release_id = r.id AND"
            " state = 'live') ORDER BY r.number DESC LIMIT 3", app,
        )  # fmt: skip
        if listed.outcome is not Outcome.DONE or not rows:
            return
        number, commit, config, app_id = self.rng.choice(rows)
        set_then = json.loads(config)
        writes: dict[str, object] = {"version": self.storm.versions[commit], "stopped": False}
        writes |= {f"BY_{name}": set_then.get(f"BY_{name}") for name in ROLES}
        act = Act(self.name, app, "releases:rollback", writes, began=began)
        self.storm.ssh(act, "releases:rollback", app, f"v{number}")
        if self.storm.server.database("SELECT id FROM apps WHERE name = ?", app) != [(app_id,)]:
            act.writes = dict.fromkeys(writes, ANYTHING)

    def _scale(self, app: str) -> None:
        [web] = self.rng.choices((0, 1, 2, 3), (1, 4, 4, 2))
        self._do(app, "ps:scale", app, f"web={web}", web=web)

    def _stop(self, app: str) -> None:
        self._do(app, "ps:stop", app, stopped=True)

    def _start(self, app: str) -> None:
        self._do(app, "ps:start", app, stopped=False)

    def _mount(self, app: str) -> None:
        self._do(app, "storage:mount", app, "data:/data", mounted=True)

    def _unmount(self, app: str) -> None:
        self._do(app, "storage:unmount", app, "data:/data", mounted=False)

    def _configure(self, app: str) -> None:
        value = f"{self.rng.randrange(10**6)}"
        act = Act(self.name, app, "config:set", {f"BY_{self.name}": value})
        self.storm.ssh(act, "config:set", app, f"BY_{self.name}={value}")

    def _destroy(self, app: str) -> None:
        """And most times somebody makes it again at once."""
        nothing = dict.fromkeys(("version", "web", *(f"BY_{name}" for name in ROLES)))
        act = Act(self.name, app, "apps:destroy", {"stopped": False, "mounted": False, **nothing})
        self.storm.ssh(act, "apps:destroy", app, "--force")
        if self.rng.random() < 0.7:
            self._push(app)
            self._grant(app)

    def _grant(self, app: str) -> None:
        self._do(app, "keys:grant", LIMITED, app)

    # -- who may only look

    def _look(self) -> None:
        app = self.rng.choice(NAMES)
        if self.rng.random() < 0.15:
            commit = apps.git(self.storm.repositories[app], "rev-parse", "HEAD")
            self.storm.push(Act(self.name, app, "push of a viewer", must=Outcome.REFUSED), commit)
        elif self.rng.random() < 0.15:
            self._do(app, "apps:destroy", app, "--force", must=Outcome.REFUSED)
        else:
            command = self.rng.choice(("apps:list", "ps:list", "deploys:list", "apps:info", "storage:list"))
            words = [] if command == "apps:list" else [app]
            self._do(app, command, *words, must=Outcome.DONE if command == "apps:list" else None)
