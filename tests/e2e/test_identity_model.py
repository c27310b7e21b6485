"""Two keys with different rights, and apps that others rename and make anew while commands are held open.

Whatever is held back, and whoever loses which right meanwhile: no act reaches an app for which its key has no right at
that moment, nor another app than the one it was begun for. Longer: --long, or GITSHIP_TEST_RUNS=50 GITSHIP_TEST_SEED=7.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.e2e.harness import Server, make_key
from tests.e2e.held import HeldCommand, HeldPush
from tests.waiting import wait_until

RUNS = int(os.environ.get("GITSHIP_TEST_RUNS", "8"))
SEED = int(os.environ.get("GITSHIP_TEST_SEED", "1"))

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120 + RUNS * 120)]
names = st.sampled_from(["shop", "store"])
keys = st.sampled_from(["ada", "bob"])
KINDS = ("config:import", "errors:set", "auth:set", "push", "apps:destroy")
DEEDS = ("make anew", "rename", "limit", "lift", "new key")


@dataclass
class Held:
    """An act that waits: which app it is about, by whose key row, and whether that ever lost its right since."""

    number: int
    kind: str
    app_id: int
    name: str
    key_id: int
    act: HeldCommand | HeldPush
    lost: bool = False


class World:
    """One server, and what the store says of rights and of marks that acts have left."""

    def __init__(self, server: Server, repository: Path) -> None:
        self.server = server
        self.repository = repository
        self.numbers = 0
        self.outcomes: dict[tuple[str, bool], int] = {}

    def ssh(self, *command: str, stdin: str = "") -> int:
        return self.server.ssh(*command, stdin=stdin).returncode

    def key(self, name: str) -> Path:
        return self.server.key if name == "admin" else make_key(self.server.base / name)

    def add(self, name: str) -> None:
        self.ssh("keys:add", name, "--role", "deployer", stdin=Path(f"{self.key(name)}.pub").read_text())

    def reset(self) -> None:
        for (name,) in self.server.database("SELECT name FROM apps"):
            self.ssh("apps:destroy", name, "--force")
        for name in ("ada", "bob"):
            self.ssh("keys:remove", name)
            self.add(name)

    def app_id(self, name: str) -> int:
        rows = self.server.database("SELECT id FROM apps WHERE name = ?", name)
        return int(rows[0][0]) if rows else 0

    def key_id(self, name: str) -> int:
        rows = self.server.database("SELECT id FROM keys WHERE name = ?", "admin_ed25519" if name == "admin" else name)
        return int(rows[0][0]) if rows else 0

    def may(self, key_id: int, app_id: int) -> bool:
        """As the store says it now."""
        sql = (
            "SELECT 1 FROM keys, apps WHERE keys.id = ? AND apps.id = ? AND"
            " (all_apps OR EXISTS (SELECT 1 FROM key_apps WHERE key_id = keys.id AND app_id = apps.id))"
        )
        return bool(self.server.database(sql, key_id, app_id))

    def marked(self, held: Held) -> set[int]:
        """The ids of the apps that have its mark."""
        mark = f"MARK{held.number}X"
        found = self.server.database(
            "SELECT app_id FROM config WHERE name = ? UNION SELECT app_id FROM settings WHERE value LIKE ?",
            mark, f"%{mark}%",
        )  # fmt: skip
        ids = {int(row[0]) for row in found}
        for app_id, name in self.server.database("SELECT id, name FROM apps"):
            with contextlib.suppress(OSError):
                if self.server.server_ref(name, f"refs/heads/{mark}"):
                    ids.add(int(app_id))
        return ids


class Acts:
    """One run: some acts are held, others go about their deeds, and what is held is let go between these."""

    def __init__(self, world: World) -> None:
        self.world = world
        world.reset()
        self.held: list[Held] = []
        for name in ("shop", "store"):
            world.ssh("apps:create", name)

    def others(self, deed: str, name: str, key: str, new: str) -> None:
        if deed == "make anew":
            self._other("apps:destroy", name, "--force")
            self._other("apps:create", name)
        elif deed == "rename":
            self._other("apps:rename", name, new)
        elif deed == "limit":
            self._other("keys:limit", key, name)
        elif deed == "lift":
            self._other("keys:grant", key, "--all")
        else:
            self._other("keys:remove", key)
            self.world.add(key)

    def _other(self, *command: str) -> None:
        self.world.ssh(*command)
        for held in self.held:
            held.lost = held.lost or not self.world.may(held.key_id, held.app_id)

    def begin(self, key: str, name: str, kind: str) -> None:
        world, server = self.world, self.world.server
        if kind == "apps:destroy":
            key = "admin"
        app_id, key_id = world.app_id(name), world.key_id(key)
        if len(self.held) >= 4 or not world.may(key_id, app_id):
            return
        world.numbers += 1
        mark, private = f"MARK{world.numbers}X", world.key(key)
        act: HeldCommand | HeldPush
        if kind == "push":
            ref = f"HEAD:refs/heads/{mark}"
            act = HeldPush(server, private, world.repository, name, "-o", "no-deploy", ref=ref)
        else:
            more = {"errors:set": ("--page", "-"), "auth:set": (mark,)}.get(kind, ())
            before = self._begun(kind)
            act = HeldCommand(server, private, kind, name, *more, terminal=kind == "apps:destroy")
            if kind == "apps:destroy":
                act.until_said("Type its name to continue")
            else:
                wait_until(lambda: self._begun(kind) > before, 20, f"{kind} has begun")
        self.held.append(Held(world.numbers, kind, app_id, name, key_id, act))

    def _begun(self, kind: str) -> int:
        [(count,)] = self.world.server.database("SELECT count(*) FROM audit WHERE action = ?", kind)
        return int(count)

    def let_go(self, which: int) -> None:
        if self.held:
            self._end(self.held.pop(which % len(self.held)))

    def _end(self, held: Held) -> None:
        world = self.world
        there = {int(i): str(n) for i, n in world.server.database("SELECT id, name FROM apps")}
        may = world.may(held.key_id, held.app_id)
        mark = f"MARK{held.number}X"
        code = self._let(held, mark)
        if held.kind == "apps:destroy":
            gone = there.keys() - {int(i) for (i,) in world.server.database("SELECT id FROM apps")}
            good = may and there.get(held.app_id) == held.name
            assert gone == ({held.app_id} if good else set()), (held, there, gone)
        else:
            marked = world.marked(held)
            assert marked <= ({held.app_id} if may else set()), (held, marked, there)
            if may and not held.lost and (held.kind != "push" or there[held.app_id] == held.name):
                assert (code, marked) == (0, {held.app_id}), (held, code, self._said(held))
        if held.lost and held.kind != "apps:destroy":
            assert code != 0, (held, self._said(held))
        world.outcomes[held.kind, code == 0] = world.outcomes.get((held.kind, code == 0), 0) + 1

    def _let(self, held: Held, mark: str) -> int:
        if isinstance(held.act, HeldPush):
            code, self._pushed = held.act.go_on()
            return code
        text = {
            "config:import": f"{mark}=1\n", "errors:set": f"<p>{mark}</p>", "auth:set": "a long password\n",
            "apps:destroy": f"{held.name}\r",
        }[held.kind]  # fmt: skip
        return held.act.give(text)

    def _said(self, held: Held) -> str:
        return held.act.said if isinstance(held.act, HeldCommand) else self._pushed


def test_no_act_reaches_an_app_without_a_right_to_it(server: Server, tiny_app: Callable[..., Path]) -> None:
    world = World(server, tiny_app("source"))
    act = st.tuples(keys, names, st.sampled_from(KINDS))
    deed = st.tuples(st.sampled_from(DEEDS), names, keys, st.sampled_from(["shop", "store", "third"]))

    @seed(SEED)
    @settings(
        max_examples=RUNS, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(st.lists(act, min_size=3, max_size=4), st.lists(st.tuples(deed, st.integers(0, 9)), min_size=2, max_size=4))
    def run(acts: list[tuple[str, str, str]], deeds: list[tuple[tuple[str, str, str, str], int]]) -> None:
        one = Acts(world)
        for held in acts:
            one.begin(*held)
        for what, which in deeds:
            one.others(*what)
            one.let_go(which)
        while one.held:
            one.let_go(0)

    run()
    counted = {f"{kind} {'done' if good else 'refused'}": n for (kind, good), n in sorted(world.outcomes.items())}
    print(counted)
    assert sum(counted.values()) >= RUNS * 2, "too little was held: choose another seed"
