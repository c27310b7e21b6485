"""What somebody breaks by hand is mended, at once or by `server:reconcile`, which says what it did and then nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gitship.config import load
from gitship.front.varnish_service import VarnishService
from gitship.reconcile.schedule import WHOLE_S
from tests.e2e import docker_cli
from tests.e2e.harness import Server
from tests.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def reconciled(server: Server, *options: str) -> list[str]:
    """``action subject`` of each row."""
    done = server.ssh("server:reconcile", *options, "--format", "json")
    assert done.returncode == 0, done.stderr
    return [f"{row['action']} {row['subject']}" for row in json.loads(done.stdout)]


def docker(server: Server, *words: str) -> str:
    return docker_cli.docker(server.docker_host, *words)


def test_what_belongs_to_an_app_that_is_gone_is_found_told_and_removed(
    server: Server, tiny_app: Callable[..., Path]
) -> None:
    server.push_ok(tiny_app("gone"), "gone")
    [(app_id,)] = server.database("SELECT id FROM apps WHERE name = 'gone'")
    image = docker(server, "inspect", "-f", "{{.Image}}", server.containers("gitship.app=gone")[0]).strip()
    docker(server, "tag", image, f"gitship-test:{server.server_id()}")
    assert server.ssh("apps:destroy", "gone", "--force").returncode == 0
    own = {"gitship.app": "gone", "gitship.app-id": str(app_id), "gitship.process": "web"}
    labels = server.sealed(f"orphan-{server.server_id()}", own)
    network = f"gitship-{server.server_id()}-{app_id}"

    def break_it() -> None:
        docker(server, "network", "create", *labels, network)
        docker(server, "create", "--name", f"orphan-{server.server_id()}", *labels, "--network", network, image)

    try:
        reconciled(server)  # the next round of the server's own is a minute away
        break_it()
        wanted = [f"remove orphan-{server.server_id()}", f"remove network {network}"]
        # only looked at: what is there stays, unless the server's own round was faster
        while reconciled(server, "--dry-run") != wanted or not server.containers(f"gitship.app-id={app_id}"):
            reconciled(server)
            break_it()
        assert set(reconciled(server)) <= set(wanted)
        assert server.containers(f"gitship.app-id={app_id}") == []
        assert network not in docker(server, "network", "ls", "--format", "{{.Name}}").split()
        assert reconciled(server, "--dry-run") == reconciled(server) == []
    finally:
        docker(server, "rmi", f"gitship-test:{server.server_id()}")


def test_what_is_live_and_broken_is_put_right_and_its_visitors_do_not_meet_it(
    server: Server, tiny_app: Callable[..., Path]
) -> None:
    server.push_ok(tiny_app("pair"), "pair")
    assert server.ssh("ps:scale", "pair", "web=2").returncode == 0
    assert server.get("pair", "/doom", method="POST", body=b"x").status == 503
    # a POST is never tried again at the other one: about half of them would fail
    wait_until(lambda: "pair: its route" in server.logs, 60, "the container that crashes is taken out")
    for _ in range(40):
        assert server.get("pair", method="POST", body=b"x").status == 200
    [doomed] = [name for name in server.containers("gitship.app=pair") if restarts(server, name)]
    docker(server, "rm", "-f", doomed)
    wait_until(lambda: len(server.containers("gitship.app=pair")) == 2, 60, "it is made anew")
    wait_until(lambda: reconciled(server, "--dry-run") == [], 60, "everything is as it should be")


def restarts(server: Server, name: str) -> int:
    return int(docker(server, "inspect", "-f", "{{.RestartCount}}", name))


def test_a_container_cut_off_from_its_network_is_made_anew_with_it(
    server: Server, tiny_app: Callable[..., Path]
) -> None:
    server.push_ok(tiny_app("cut"), "cut")
    [name] = server.containers("gitship.app=cut")
    network = docker(server, "inspect", "-f", "{{range $k, $v := .NetworkSettings.Networks}}{{$k}}{{end}}", name)
    docker(server, "stop", "-t", "1", name)
    docker(server, "network", "disconnect", "-f", network.strip(), name)
    docker(server, "network", "rm", network.strip())
    wait_until(lambda: server.get("cut").status == 200, 60, "it serves again")
    assert server.get("cut").body == "v1\n"
    wait_until(lambda: reconciled(server, "--dry-run") == [], 60, "everything is as it should be")


def test_a_route_that_could_not_be_brought_is_told_and_does_not_wait_for_the_next_minute(
    server: Server, tiny_app: Callable[..., Path]
) -> None:
    server.push_ok(tiny_app("late"), "late")
    varnish = VarnishService(load(server.config).http.listen, load(server.config).varnish_dir, 0, list)
    compiler = json.loads(varnish.control.command("param.show", "-j", "cc_command"))[-1]["value"]
    reconciled(server)
    varnish.control.command("param.set", "cc_command", "exit 1")
    try:
        varnish.control.command("vcl.label", "z_late", "unavailable")
        done = server.ssh("server:reconcile")
        assert done.returncode != 0 and "late: " in done.stderr
        assert server.get("late").status == 503
        time.sleep(WHOLE_S / 4)  # several tries that fail
    finally:
        varnish.control.command("param.set", "cc_command", compiler)
        varnish.control.close()
    wait_until(lambda: server.get("late").status == 200, WHOLE_S / 2, "it is tried again soon")
    assert "late: " in server.logs
