"""Clients, and gitship itself, killed with -9 at bad moments: nothing is lost, nothing is left."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e import apps
from tests.e2e.harness import Server
from tests.e2e.load import load
from tests.waiting import wait_to_be, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

SLOW_BUILD = {"RELEASE_MS": "2500"}
HEALTHCHECK = (
    '{"healthchecks": {"web": [{"type": "startup", "path": "/healthz", "attempts": 10, "wait": 1, "timeout": 1}]}}'
)
RELEASE = "release: /tiny release\nweb: /tiny\n"

# phase -> what makes it last long enough to be met
PHASES: dict[str, dict[str, str]] = {
    "building": {"Dockerfile": apps.tiny_dockerfile("v2", SLOW_BUILD, extra=['RUN ["/tiny", "release"]'])},
    "release command": {"Dockerfile": apps.tiny_dockerfile("v2", SLOW_BUILD), "Procfile": RELEASE},
    "checking": {"Dockerfile": apps.tiny_dockerfile("v2", {"HEALTH_MS": "2500"}), "app.json": HEALTHCHECK},
}


def children(pid: int) -> list[str]:
    """Command lines of all descendants of a process, but for the one that counts visitors all the time."""
    done = subprocess.run(["ps", "--ppid", str(pid), "-o", "pid=,args="], capture_output=True, text=True, check=False)
    found = []
    for line in done.stdout.splitlines():
        child, _, command = line.strip().partition(" ")
        found += [command, *children(int(child))]
    return [command for command in found if not command.startswith("ps ") and "varnishncsa" not in command]


def kill_client(push: subprocess.Popen[str]) -> None:
    """git and its ssh at once, without a word to the server."""
    os.killpg(push.pid, signal.SIGKILL)
    push.communicate(timeout=10)


def check_clean(server: Server, app: str) -> None:
    """No quarantine, lock, child process or unfinished deploy of the app is left."""
    assert server.process is not None
    pid = server.process.pid
    wait_until(lambda: not server.leftovers(app), 5, "no quarantine or lock is left")
    wait_until(lambda: not children(pid), 5, "no child of the server is left")


@pytest.mark.parametrize("phase", PHASES, ids=lambda phase: phase.replace(" ", "-"))
def test_deploy_goes_on_when_its_client_is_killed(server: Server, tiny_app: Callable[..., Path], phase: str) -> None:
    app = "killed-" + phase.split()[0]
    repository = tiny_app(app)
    server.push_ok(repository, app)
    commit = apps.commit(repository, phase, PHASES[phase])
    push = server.start_push(repository, app)
    wait_until(lambda: server.deploys(app)[-1][0] == phase, 20, f"the deploy is {phase}")
    kill_client(push)
    wait_until(lambda: server.deploys(app)[-1][0] == "live", 40, "the deploy is live without its client")
    assert server.get(app).body == "v2\n"
    wait_until(lambda: server.server_ref(app) == commit, 5, "the ref has moved")
    check_clean(server, app)


def test_client_killed_while_it_sends_leaves_nothing(server: Server, tiny_app: Callable[..., Path]) -> None:
    """A real ssh client that has sent half of a pack, so that the moment is always the same."""
    repository = tiny_app("midway")
    server.push_ok(repository, "midway")
    good = apps.git(repository, "rev-parse", "HEAD")
    new = apps.commit(repository, "Much noise", {"noise": os.urandom(5 << 20)})
    pack = subprocess.run(
        ["git", "pack-objects", "--revs", "--stdout", "-q"], cwd=repository, input=f"{new}\n^{good}\n".encode(),
        capture_output=True, timeout=60, check=True,
    ).stdout  # fmt: skip
    command = f"{good} {new} refs/heads/main\0report-status side-band-64k".encode()
    client = subprocess.Popen(
        [*server.ssh_command(), "deploy@127.0.0.1", "git-receive-pack 'midway'"], env=apps.clean_env(),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert client.stdin is not None
    client.stdin.write(b"%04x%s0000" % (len(command) + 4, command) + pack[: len(pack) // 2])
    client.stdin.flush()
    objects = server.data_dir / "repos" / "midway.git" / "objects"
    wait_until(lambda: list(objects.glob("incoming-*")), 30, "a quarantine is there")
    client.kill()
    client.communicate(timeout=10)
    check_clean(server, "midway")
    assert len(server.deploys("midway")) == 1
    assert server.server_ref("midway") == good
    assert server.get("midway").body == "v1\n"


def test_twenty_racing_pushes_to_one_ref_tell_exactly_one_ok(
    server: Server, tiny_app: Callable[..., Path], base: Path
) -> None:
    repository = tiny_app("race")
    server.push_ok(repository, "race")
    racers = []
    for n in range(20):
        clone = base / f"racer{n}"
        apps.git(base, "clone", "-q", str(repository), str(clone))
        apps.commit(clone, f"Racer {n}", {"Dockerfile": apps.tiny_dockerfile(f"r{n}")})
        racers.append(clone)
    pushes = [server.start_push(clone, "race") for clone in racers]
    outputs = [push.communicate(timeout=120)[0] for push in pushes]
    winners = [n for n, push in enumerate(pushes) if push.returncode == 0]
    assert len(winners) == 1, f"told ok: {winners}\n" + "\n----\n".join(outputs[n] for n in winners)
    [winner] = winners
    assert server.server_ref("race") == apps.git(racers[winner], "rev-parse", "HEAD")
    assert server.get("race").body == f"r{winner}\n"
    for n, output in enumerate(outputs):
        assert n == winner or "[remote rejected]" in output or "[rejected]" in output, output
    check_clean(server, "race")


def test_no_request_fails_when_gitship_is_killed_and_restarted(
    own_server: Server, tiny_app: Callable[..., Path]
) -> None:
    repository = tiny_app("steady")
    own_server.push_ok(repository, "steady")
    with load(own_server.http_port, "steady.localhost", ["v1", "v2"]) as visitors:
        for _ in range(3):
            own_server.kill9()
            own_server.start()
        apps.commit(repository, "Two", {"Dockerfile": apps.tiny_dockerfile("v2")})
        own_server.push_ok(repository, "steady")
        own_server.restart()
        report = visitors.end()
    assert report.failed == 0, f"{report.failures}\n{report.samples}"
    assert report.requests > 500
    assert set(report.versions) == {"v1", "v2"}


@pytest.mark.parametrize("phase", PHASES, ids=lambda phase: phase.replace(" ", "-"))
def test_gitship_killed_in_a_deploy_keeps_the_old_release(
    own_server: Server, tiny_app: Callable[..., Path], phase: str
) -> None:
    repository = tiny_app("interrupted")
    own_server.push_ok(repository, "interrupted")
    good = apps.git(repository, "rev-parse", "HEAD")
    apps.commit(repository, phase, PHASES[phase])
    push = own_server.start_push(repository, "interrupted")
    wait_until(lambda: own_server.deploys("interrupted")[-1][0] == phase, 20, f"the deploy is {phase}")
    own_server.kill9()
    output, _ = push.communicate(timeout=20)
    assert push.returncode != 0, output
    assert own_server.get("interrupted").body == "v1\n"

    own_server.start()
    wait_until(
        lambda: own_server.deploys("interrupted")[-1][0] in ("failed", "canceled"),
        10,
        "the deploy is not running for ever",
    )
    wait_to_be(lambda: own_server.containers("gitship.app=interrupted"), ["interrupted.web.1.v1"], 15)  # no orphan
    assert own_server.get("interrupted").body == "v1\n"
    assert own_server.server_ref("interrupted") == good
    assert not own_server.leftovers("interrupted")
    own_server.push_ok(repository, "interrupted")
    assert own_server.get("interrupted").body == "v2\n"
