"""A canary on a whole server: a bad release is aborted by itself, a good one promoted, and nobody is led astray."""

from __future__ import annotations

import http.client
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.e2e import apps
from tests.e2e.harness import Server
from tests.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

WORKERS = 6
LONG = "canary=30% for 10m"  # for what the test itself ends


@dataclass
class Visitors:
    """People who keep the cookies that they get: each visits a few times, then another one comes."""

    port: int
    host: str
    visits: int = 8
    visitors: int = 0
    unlucky: int = 0  # visitors who saw an error
    moved: list[str] = field(default_factory=list)  # visitors who saw two releases and were told of one side only
    strayed: list[str] = field(default_factory=list)  # those among them who saw the old one after the new one
    seen: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._come, daemon=True) for _ in range(WORKERS)]

    def begin(self) -> None:
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _come(self) -> None:
        while not self._stop.is_set():
            self._visit()

    def _visit(self) -> None:
        cookie, answers, sides = "", [], []
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        for _ in range(self.visits):
            try:
                connection.request("GET", "/", headers={"Host": self.host, **({"Cookie": cookie} if cookie else {})})
                answer = connection.getresponse()
                answers.append((answer.status, answer.read().decode().strip()))
            except (OSError, http.client.HTTPException) as error:
                answers.append((0, repr(error)))
                connection.close()
                continue
            if told := answer.headers.get("Set-Cookie"):
                cookie = told.partition(";")[0]
            sides.append(cookie)
            if self._stop.wait(0.005):
                break
        connection.close()
        with self._lock:
            self.visitors += 1
            wrong = [f"{status} {text}" for status, text in answers if status != 200]
            self.unlucky += bool(wrong)
            self.failures += wrong
            versions = [text for status, text in answers if status == 200]
            self.seen.update(versions)
            if len(set(sides)) == 1 and len(set(versions)) > 1:
                self.moved.append(f"{sides[0]}: {versions}")
                if versions != sorted(versions):
                    self.strayed.append(self.moved[-1])


@contextmanager
def visiting(server: Server, app: str) -> Iterator[Visitors]:
    visitors = Visitors(server.http_port, f"{app}.localhost")
    visitors.begin()
    try:
        yield visitors
    finally:
        visitors.end()


def release(repository: Path, version: str, **env: str) -> str:
    return apps.commit(repository, version, {"Dockerfile": apps.tiny_dockerfile(version, env)})


def state(server: Server, app: str) -> str:
    return server.deploys(app)[-1][0]


def canary_begins(server: Server, app: str) -> None:
    wait_until(lambda: state(server, app) == "canary", 40, f"the canary begins: {server.deploys(app)}")
    boot = server.data_dir / "varnish" / "boot.cli"
    wait_until(lambda: f"C_{app} " in boot.read_text(), 10, "Varnish has it")


@contextmanager
def slow_request(server: Server, app: str, side: str) -> Iterator[list[str]]:
    """A request of a visitor on that side, under way while the body runs; afterwards its answer is there."""
    [[deploy]] = server.database("SELECT max(id) FROM deploys WHERE state = 'canary'")
    answers: list[str] = []

    def ask() -> None:
        cookie = {"Cookie": f"gitship_canary={deploy}-{side}"}
        answers.append(server.get(app, "/x?ms=2500", headers=cookie).body.strip())

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    time.sleep(0.3)
    yield answers
    thread.join(20)


def all_have(server: Server, app: str, version: str) -> None:
    assert Counter(server.get(app).body.strip() for _ in range(30)) == {version: 30}


def said(server: Server, app: str, release: str) -> str:
    return server.ssh("logs", app, "--release", release).stdout


def only(server: Server, app: str, container: str) -> None:
    wait_until(lambda: server.containers(f"gitship.app={app}") == [container], 30, f"only {container} is left")


def test_a_failing_release_is_aborted_by_itself_and_only_its_share_of_visitors_saw_errors(
    server: Server, tiny_app: Callable[..., Path]
) -> None:
    repository = tiny_app("worse")
    server.push_ok(repository, "worse")
    good = server.server_ref("worse")
    release(repository, "v2", FAIL_EVERY="5")
    with visiting(server, "worse") as visitors:
        push = server.push(repository, "worse", "-o", "canary=20% for 60s")
    assert push.returncode != 0
    assert "Canary: v2 for 20% of visitors for 1m" in push.stderr
    assert re.search(r"canary failed: [0-9]+ of [0-9]+ requests failed \([0-9.]+%; 0.0% before\)", push.stderr)
    assert "v1 keeps serving, unchanged" in push.stderr and "| failing" in push.stderr
    assert server.server_ref("worse") == good
    assert {failure[:3] for failure in visitors.failures} == {"500"}
    assert visitors.visitors > 50
    # 20 % have the canary, and not each of them meets an error; 13 points more are five sigma of 250 visitors
    assert visitors.unlucky / visitors.visitors <= 0.33, f"{visitors.unlucky} of {visitors.visitors}"
    assert not visitors.moved
    all_have(server, "worse", "v1")
    only(server, "worse", "worse.web.1.v1")
    assert server.deploys("worse")[-1][:2] == ("failed", re.search(r"canary failed: (.*)", push.stderr)[1].strip())  # type: ignore[index]


def test_a_good_release_is_promoted_by_itself_and_no_request_fails(
    server: Server, tiny_app: Callable[..., Path]
) -> None:
    repository = tiny_app("good")
    server.push_ok(repository, "good")
    new = apps.commit(
        repository, "v2",
        {"Dockerfile": apps.tiny_dockerfile("v2"), "gitship.toml": '[deploy]\ncanary = "25% for 5s"\n'},
    )  # fmt: skip
    with visiting(server, "good") as visitors:
        pushed = server.push_ok(repository, "good")
        wait_until(lambda: state(server, "good") == "live", 20, "the old release is drained")
    assert re.search(r"Canary promoted: [0-9]+ requests, no worse than before", pushed)
    assert re.search(r"http://good.localhost\S*   v2 in", pushed)
    assert (visitors.failures, visitors.strayed) == ([], [])
    assert visitors.seen["v1"] > visitors.seen["v2"] / 4 > 0
    assert server.server_ref("good") == new
    all_have(server, "good", "v2")
    only(server, "good", "good.web.1.v2")
    assert "set-cookie" not in server.get("good").headers
    stages = [row[0] for row in server.database("SELECT stages FROM deploys d ORDER BY d.id DESC LIMIT 1")]
    assert '"canary"' in stages[0]
    release(repository, "v3")
    assert "Canary" not in server.push_ok(repository, "good", "-o", "canary=off")


def test_people_decide_too_and_what_else_is_asked_waits_or_holds_for_both_sides(
    server: Server, tiny_app: Callable[..., Path]
) -> None:
    repository = tiny_app("hand")
    server.push_ok(repository, "hand")
    release(repository, "v2")
    push = server.start_push(repository, "hand", "-o", LONG)
    canary_begins(server, "hand")
    assert len({server.get("hand").body for _ in range(60)}) == 2
    assert server.ssh("config:set", "hand", "A=1", "--detach").returncode == 0
    assert state(server, "hand") == "queued"
    assert server.ssh("maintenance:on", "hand").returncode == 0
    assert {server.get("hand").status for _ in range(40)} == {503}, "on both sides at once"
    assert server.ssh("maintenance:off", "hand").returncode == 0
    assert {server.get("hand").body for _ in range(60)} == {"v1\n", "v2\n"}, "and the canary goes on"
    with slow_request(server, "hand", "new") as answers:
        aborted = server.ssh("deploys:abort", "hand")
        assert (aborted.returncode, aborted.stdout[:14]) == (0, "aborted deploy")
    assert answers == ["v2"], "what was asked of the canary is answered by it"
    wait_until(lambda: "SIGTERM with 0 in flight" in said(server, "hand", "v2"), 20, "only then it is told to end")
    output, _ = push.communicate(timeout=30)
    assert push.returncode != 0 and "aborted by admin_ed25519" in output
    wait_until(lambda: state(server, "hand") == "live", 30, "the config change comes after it")
    all_have(server, "hand", "v1")

    push = server.start_push(repository, "hand", "-o", LONG)
    canary_begins(server, "hand")
    with slow_request(server, "hand", "old") as answers:
        promoted = server.ssh("deploys:promote", "hand")
        assert promoted.returncode == 0, promoted.stderr
    assert answers == ["v1"]
    output, _ = push.communicate(timeout=30)
    assert push.returncode == 0, output
    all_have(server, "hand", "v2")

    release(repository, "v3")
    push = server.start_push(repository, "hand", "-o", LONG)
    canary_begins(server, "hand")
    assert server.ssh("deploys:cancel", "hand").returncode == 0
    push.communicate(timeout=30)
    assert (push.returncode != 0, state(server, "hand")) == (True, "canceled")
    all_have(server, "hand", "v2")
    wait_until(lambda: len(server.containers("gitship.app=hand")) == 1, 30, "the canary's container is gone")
    assert server.ssh("deploys:promote", "hand").returncode == 1


def test_a_push_option_that_is_no_canary_and_a_first_push_with_one(
    server: Server, tiny_app: Callable[..., Path]
) -> None:
    repository = tiny_app("first")
    refused = server.push(repository, "first", "-o", "canary=all")
    assert refused.returncode != 0
    assert "push option 'canary=all' must be a share of visitors, \"5%\"" in refused.stderr
    assert "no canary: it needs a web process in the live and the new release" in server.push_ok(
        repository, "first", "-o", "canary=5%"
    )
    all_have(server, "first", "v1")


def test_gitship_killed_in_a_canary_leads_everybody_to_the_old_release(
    own_server: Server, tiny_app: Callable[..., Path]
) -> None:
    repository = tiny_app("halted")
    own_server.push_ok(repository, "halted")
    good = own_server.server_ref("halted")
    release(repository, "v2")
    push = own_server.start_push(repository, "halted", "-o", LONG)
    canary_begins(own_server, "halted")
    with visiting(own_server, "halted") as visitors:
        own_server.kill9()
        push.communicate(timeout=20)
        assert len({own_server.get("halted").body for _ in range(60)}) == 2, "Varnish goes on meanwhile"
        own_server.start()
        all_have(own_server, "halted", "v1")
        only(own_server, "halted", "halted.web.1.v1")
    assert visitors.failures == []
    assert own_server.deploys("halted")[-1][:2] == ("failed", "gitship was stopped during 'canary'")
    assert own_server.server_ref("halted") == good
    boot = (own_server.data_dir / "varnish" / "boot.cli").read_text()
    assert "C_app" not in boot and "app_app_v2" not in boot

    push = own_server.start_push(repository, "halted", "-o", LONG)
    canary_begins(own_server, "halted")
    own_server.restart()
    push.communicate(timeout=20)
    assert (push.returncode != 0, state(own_server, "halted")) == (True, "canceled"), "as any deploy when gitship stops"
    all_have(own_server, "halted", "v1")
    only(own_server, "halted", "halted.web.1.v1")
    own_server.push_ok(repository, "halted", "-o", "canary=off")
    all_have(own_server, "halted", "v2")
