"""What a container and a build reach: visitors' ports, but no link-local address, no control port, no other app."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from gitship.engine import engine_cgroup
from tests.e2e import apps
from tests.e2e.apps import clean_env
from tests.e2e.dockerd import UNIFIED, own_engine
from tests.e2e.harness import Server, running
from tests.places import free_port, own_name, place
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(shutil.which("iptables") is None or shutil.which("ip") is None, reason="no iptables here"),
]
BUSYBOX = "/bin/busybox"
METADATA_PORT = 8080


def run(*command: str, check: bool = True) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=check).stdout


@pytest.fixture(scope="module")
def metadata(module_base: Path) -> Iterator[str]:
    """The address of a service in the link-local range, in a network namespace of its own: as a cloud's is reached."""
    name, network = own_name("gs"), f"169.254.{100 + place()}"
    run("ip", "netns", "add", name)
    service = None
    try:
        run("ip", "link", "add", f"{name}a", "type", "veth", "peer", "name", f"{name}b", "netns", name)
        run("ip", "addr", "add", f"{network}.1/30", "dev", f"{name}a")
        run("ip", "link", "set", f"{name}a", "up")
        run("ip", "-n", name, "addr", "add", f"{network}.2/30", "dev", f"{name}b")
        run("ip", "-n", name, "link", "set", f"{name}b", "up")
        run("ip", "-n", name, "route", "add", "default", "via", f"{network}.1")
        (module_base / "creds").mkdir()
        (module_base / "creds" / "index.html").write_text("credentials of the machine")
        command = ["ip", "netns", "exec", name, sys.executable, "-m", "http.server", str(METADATA_PORT)]
        service = subprocess.Popen(
            [*command, "-d", str(module_base / "creds")], env=clean_env(),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        wait_until(lambda: connects(f"{network}.2", METADATA_PORT), 20, "the metadata service answers the machine")
        yield f"{network}.2"
    finally:
        if service is not None:
            service.terminate()
            service.wait(10)
        run("ip", "link", "del", f"{name}a", check=False)
        run("ip", "netns", "del", name, check=False)


@pytest.fixture
def free_page(base: Path) -> Iterator[str]:
    """A page on the machine that anybody may fetch."""
    (base / "page").mkdir()
    (base / "page" / "index.html").write_text("free")
    port = free_port()
    service = subprocess.Popen(
        [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "-d", str(base / "page")],
        env=clean_env(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_until(lambda: connects("127.0.0.1", port), 20, "the page is there")
        yield f"http://127.0.0.1:{port}/index.html"
    finally:
        service.terminate()
        service.wait(10)


def connects(host: str, port: int) -> bool:
    return subprocess.run(["busybox", "nc", "-w", "2", host, str(port)], stdin=subprocess.DEVNULL, timeout=10,
                          capture_output=True, check=False).returncode == 0  # fmt: skip


@pytest.fixture(scope="module")
def open_server(module_base: Path, docker_host: str) -> Iterator[Server]:
    """As on a real server, its ports are those of all the machine's addresses."""
    ssh, web, http = ({"listen": f"0.0.0.0:{free_port()}"} for _ in range(3))
    with running(module_base / "server", docker_host, lambda: False, ssh=ssh, web=web, http=http) as started:
        yield started


def gateway(server: Server, app: str) -> str:
    """The machine as the app's containers see it."""
    [(subnet,)] = server.database("SELECT network FROM apps WHERE name = ?", app)
    return str(next(IPv4Network(subnet).hosts()))


def address(server: Server, app: str) -> str:
    [(found,)] = server.database("SELECT address FROM containers WHERE name LIKE ?", f"{app}.web.%")
    return str(found)


def reaches(server: Server, app: str, host: str, port: int) -> bool:
    """Whether a process in the app's container gets a connection."""
    return server.ssh("enter", app, "web", BUSYBOX, "nc", "-w", "3", host, str(port)).returncode == 0


def test_an_app_reaches_what_visitors_reach_and_nothing_of_gitships(
    open_server: Server, base: Path, metadata: str
) -> None:
    server = open_server
    for app in ("first", "second"):
        server.push_ok(apps.busybox(base / app), app)
    machine, other = gateway(server, "first"), address(server, "second")

    assert reaches(server, "first", machine, server.http_port)
    assert not reaches(server, "first", machine, server.ssh_port)
    assert not reaches(server, "first", machine, server.web_port)
    assert not reaches(server, "first", metadata, METADATA_PORT)
    assert reaches(server, "second", other, 8080)  # it is there,
    assert not reaches(server, "first", other, 8080)  # but for the other app


def test_a_build_reaches_no_metadata(open_server: Server, base: Path, metadata: str) -> None:
    repository = apps.busybox(base / "curious")
    dockerfile = (repository / "Dockerfile").read_text().replace(
        "EXPOSE", f'RUN ["{BUSYBOX}", "sh", "-c", "if nc -w 3 {metadata} {METADATA_PORT} </dev/null;'
        f' then echo REACHED; else echo KEPT AWAY; fi"]\nEXPOSE',
    )  # fmt: skip
    apps.commit(repository, "Looks around", {"Dockerfile": dockerfile})
    said = open_server.push_ok(repository, "curious", "--no-progress")
    log = next(open_server.app_logs("curious").glob("*.log")).read_text()
    assert "KEPT AWAY" in said + log
    assert "REACHED\n" not in log.replace("echo REACHED", "")


def test_rules_that_are_lost_are_told_and_put_back_and_nothing_stays_behind(open_server: Server) -> None:
    server = open_server
    chain = f"GITSHIP-{server.server_id()[:12]}-IN"
    assert "cannot reach metadata services" in server.gitship("doctor").stdout
    rule = next(line for line in run("iptables", "-w", "-S", "INPUT").splitlines() if chain in line and "-s" in line)

    def told() -> bool:
        """The server may put the rule back before the doctor looks: once a minute."""
        run("iptables", "-w", "-D", *rule.split()[1:], check=False)
        return f"not there: iptables -I INPUT {' '.join(rule.split()[2:4])}" in server.gitship("doctor").stdout

    wait_until(told, 60, "the doctor misses the rule")
    server.restart()
    server.restart()  # doing it again makes no second one
    assert run("iptables", "-w", "-S", "INPUT").splitlines().count(rule) == 1
    assert server.stop() == 0
    assert chain in run("iptables", "-w", "-S")  # containers go on, and so do the rules
    assert server.gitship("stop-front").returncode == 0
    assert server.server_id()[:12] not in run("iptables", "-w", "-S")


@pytest.fixture
def served_engine() -> Iterator[str]:
    """A Docker that runs as systemd runs it."""
    if not UNIFIED or os.geteuid() != 0:
        pytest.skip("no control groups of version 2 here")
    with own_engine(beside_another=True, service=True) as engine:
        yield engine.host


def fetched(server: Server, repository: Path, url: str) -> tuple[bool, str]:
    """Whether a Dockerfile's ADD gets what is there, and what the push says."""
    text = (repository / "Dockerfile").read_text().partition("ADD")[0].partition("EXPOSE")[0]
    apps.commit(repository, "Fetches", {"Dockerfile": f'{text}ADD {url} /fetched\nEXPOSE 8080\nCMD ["/none"]\n'})
    pushed = server.push(repository, "fetcher")
    log = sorted(server.app_logs("fetcher").glob("*.log"), key=lambda p: int(p.stem))[-1].read_text()
    return "building failed" not in pushed.stderr, pushed.stderr + log


def test_what_docker_fetches_for_a_dockerfile_is_no_way_around(
    base: Path, served_engine: str, metadata: str, free_page: str
) -> None:
    """ADD is dockerd's own request, from the machine itself and not from a container."""
    with running(base / "server", served_engine, lambda: False) as server:
        repository = apps.busybox(base / "fetcher")
        there, said = fetched(server, repository, free_page)  # it can fetch
        assert there, said
        for url in (
            f"http://{metadata}:{METADATA_PORT}/index.html",
            f"http://127.0.0.1:{server.web_port}/metrics",
            f"http://localhost:{server.web_port}/healthz",
        ):
            there, said = fetched(server, repository, url)
            assert not there, said
            assert "connection refused" in said, said
        assert connects(metadata, METADATA_PORT)  # who runs on the machine goes on as before
        assert connects("127.0.0.1", server.web_port)
        assert "ADD" not in server.gitship("doctor").stdout
        chain = f"GITSHIP-{server.server_id()[:12]}-OUT"
        assert chain in run("iptables", "-w", "-S")
    assert chain not in run("iptables", "-w", "-S")


def test_where_docker_has_no_group_of_its_own_the_doctor_says_what_is_open(server: Server) -> None:
    """As in these tests: the engine of the machine is whoever started it."""
    if engine_cgroup.find(server.docker_host):
        pytest.skip("this machine's Docker is a service")
    assert "a Dockerfile's `ADD http://...` reaches what Docker itself does" in server.gitship("doctor").stdout


@pytest.mark.parametrize("broken", ["its settings", "its Docker"])
def test_a_server_that_cannot_be_ended_in_order_leaves_nothing(base: Path, docker_host: str, broken: str) -> None:
    """What a failed test leaves is what the next ones stumble over."""
    server = Server(base / "server", docker_host)
    try:
        server.init()
        server.start()
        chain = f"GITSHIP-{server.server_id()[:12]}"
        wait_until(lambda: chain in run("iptables", "-w", "-S"), 20, "the rules are there")
        if broken == "its settings":
            server.config.write_text("not = [toml")
        else:
            server.docker_host = f"unix://{base}/nobody.sock"
    finally:
        wrong = server.destroy()
    assert wrong, "what went wrong is told"
    assert chain not in run("iptables", "-w", "-S")
    assert not server.processes()


def test_a_server_whose_test_has_no_more_time_leaves_nothing(
    base: Path, docker_host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(base / "server", docker_host)
    monkeypatch.setattr(Server, "_end_front", lambda _: pytest.fail("Timeout"))
    try:
        server.init()
        server.start()
        chain = f"GITSHIP-{server.server_id()[:12]}"
        wait_until(lambda: chain in run("iptables", "-w", "-S"), 20, "the rules are there")
    finally:
        with pytest.raises(pytest.fail.Exception, match="Timeout"):
            server.destroy()
    assert chain not in run("iptables", "-w", "-S")
    assert not server.processes()
