"""Three apps, and what may be done or happen to them in any order (hypothesis chooses): they stay what they are.

200 steps: --long. More, or others: GITSHIP_TEST_STEPS=5000 GITSHIP_TEST_SEED=42 pytest tests/e2e/test_model.py
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import wraps
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from tests.e2e import docker_cli
from tests.e2e.agreement import panic
from tests.e2e.forks import Forks
from tests.e2e.harness import Server, serving
from tests.e2e.model import KINDS, Visitors, World
from tests.waiting import wait_until

STEPS = int(os.environ.get("GITSHIP_TEST_STEPS", "28"))
SEED = int(os.environ.get("GITSHIP_TEST_SEED", "11"))  # with 28 steps it does 14 kinds of things
STEPS_OF_ONE = 7  # hypothesis leaves some rules out each time: 40 steps of one run were 26 renames and 14 scales
MOST_S = 240 + STEPS * 10

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(MOST_S)]
kinds = st.sampled_from(KINDS)


def act(**given: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], Any]:
    """A rule that does nothing once there have been STEPS: hypothesis has no other way to end in the middle."""

    def decorate(function: Callable[..., None]) -> Any:
        @wraps(function)
        def until_it_is_over(self: Apps, **drawn: Any) -> None:
            if self.world.steps < STEPS:
                function(self, **drawn)

        made: Any = rule  # its overloads cannot be told apart by words of any name
        return made(**given)(until_it_is_over)

    return decorate


class Apps(RuleBasedStateMachine):
    """The world goes on from one run to the next: no failure is tried again, the steps printed tell what led to it."""

    def __init__(self, world: World, visitors: Visitors) -> None:
        super().__init__()
        self.world, self.visitors = world, visitors

    @contextmanager
    def step(self, text: str, moving: tuple[str, str] | None = None, *, calm: bool = True) -> Iterator[None]:
        self.world.say(text)
        with self.once(), self.visitors.calm(moving) if calm else nullcontext():
            yield

    @contextmanager
    def once(self) -> Iterator[None]:
        """The first failure is the one that is told: hypothesis tries it again, on another world by then."""
        try:
            yield
        except BaseException as error:
            self.world.broken = self.world.broken or error
            raise

    # hypothesis begins with a run of the first rule alone: this one costs nothing
    @rule()
    def ask(self) -> None:
        """Nothing is done; ``all_is_well`` asks."""

    @act(kind=kinds)
    def push(self, kind: str) -> None:
        with self.step(f"push {kind}"):
            self.world.push(kind)

    @act(kind=kinds, build=st.booleans())
    def push_that_fails(self, kind: str, build: bool) -> None:
        with self.step(f"push {kind} with a failing {'build' if build else 'check'}"):
            self.world.push_that_fails(kind, build=build)

    @act(kind=kinds, back=st.integers(1, 3))
    def roll_back(self, kind: str, back: int) -> None:
        with self.step(f"roll {kind} back by {back}"):
            self.world.roll_back(kind, back)

    @act(kind=kinds, web=st.integers(1, 3))
    def scale(self, kind: str, web: int) -> None:
        with self.step(f"scale {kind} to {web}"):
            self.world.scale(kind, web)

    @act(kind=kinds, value=st.sampled_from(["teal", "pink", "grey"]), restart=st.booleans())
    def configure(self, kind: str, value: str, restart: bool) -> None:
        with self.step(f"config of {kind}: {value}{'' if restart else ', for later'}"):
            self.world.configure(kind, value, restart=restart)

    @act(kind=kinds, choice=st.integers(0, 1))
    def rename(self, kind: str, choice: int) -> None:
        new, old = self.world.free_names[choice], self.world.apps[kind].name
        with self.step(f"rename {kind} from {old} to {new}", (old, new)):
            self.world.rename(kind, new)

    @act(kind=kinds)
    def crash(self, kind: str) -> None:
        if not self.world.may_crash(kind):
            return
        with self.step(f"{kind} crashes", calm=False):
            self.world.crash(kind)

    @act(whole=st.booleans())
    def varnish_dies(self, whole: bool) -> None:
        with self.step(f"Varnish{'' if whole else chr(39) + 's worker'} is killed", calm=False):
            kill_varnish(self.world.server, whole=whole)

    @act()
    def gitship_is_killed(self) -> None:
        with self.step("gitship is killed"), self.world.gitship_away():
            pass

    @act(kind=kinds, remove=st.booleans(), away=st.booleans())
    def container_dies(self, kind: str, remove: bool, away: bool) -> None:
        if not self.world.may_crash(kind):
            return
        text = f"a container of {kind} is {'removed' if remove else 'killed'}{' while gitship is away' if away else ''}"
        with self.step(text, calm=False):
            server = self.world.server
            [name, *_] = server.containers(f"gitship.app={self.world.apps[kind].name}", "gitship.process=web")
            with self.world.gitship_away() if away else nullcontext():
                docker_cli.docker(server.docker_host, *(["rm", "-f"] if remove else ["kill"]), name)

    @invariant()
    def all_is_well(self) -> None:
        if self.world.over:
            return
        with self.once():
            self.world.check()
            self.world.over = self.world.steps >= STEPS
            assert not self.visitors.wrong, "\n".join(self.visitors.wrong[:10])


def kill_varnish(server: Server, *, whole: bool) -> None:
    """With -9: gitship, or else the manager starts another one."""
    for pid in server.varnishd()[0 if whole else 1 :]:
        os.kill(pid, signal.SIGKILL)

    def serves() -> bool:
        with suppress(OSError, HTTPException):
            return server.get("nobody").status == 404
        return False

    wait_until(serves, 30, "Varnish serves again")


def test_apps_stay_what_they_are(base: Path, docker_host: str, tiny_binary: Path) -> None:
    broken: list[BaseException] = []
    forks = Forks(base / "server", trapdoors=True)
    never = {"deploy": {"watch": 0.0}}  # a crash by the model is no reason to go back to the release before
    with serving(Server(base / "server", docker_host, never, forks=forks), lambda: bool(broken)) as server:
        world = World(server, base, tiny_binary)
        visitors = Visitors(world)

        @seed(SEED)
        def machine() -> Apps:
            if world.broken:
                raise world.broken
            return Apps(world, visitors)

        try:
            run_state_machine_as_test(
                machine,  # type: ignore[arg-type]  # a class by its annotation only
                settings=settings(
                    max_examples=-(-STEPS // STEPS_OF_ONE) + 4, stateful_step_count=STEPS_OF_ONE, deadline=None,
                    database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck),
                ),
            )  # fmt: skip
        except Exception:
            if world.broken:  # what hypothesis says of it is that it cannot be repeated
                broken.append(world.broken)
                print(panic(server))
                raise world.broken from None
            raise
        finally:
            visitors.end()
            print(f"seed {SEED}, {world.steps} steps, {visitors.answers} answers")
        assert world.steps >= STEPS
