"""A real database reached from outside: by `ssh -N -L` with psql, by whom it may, and what ends that."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e import apps, docker_cli
from tests.e2e.apps import clean_env
from tests.e2e.commands import ok, refused, shown
from tests.e2e.harness import Server, make_key
from tests.e2e.services.engines import engines, sql
from tests.places import free_port
from tests.unit.ssh.test_forward import listens
from tests.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]
CLIENT_S = 30


@dataclass
class Reach:
    server: Server
    admin: Path
    limited: Path  # a deployer's, limited to an app that the database is not linked to

    @contextlib.contextmanager
    def tunnel(self, line: str, key: Path) -> Iterator[subprocess.Popen[bytes]]:
        """The line that `services:proxy` has printed, run as printed, with this test's key."""
        words = line.split()
        assert words[:2] == ["ssh", "-N"]
        local = next(word for word in words if ":" in word).split(":")[0]
        own = self.server.ssh_command(key)
        child = subprocess.Popen([*own, "-N", *words[4:-1], "deploy@127.0.0.1"], env=clean_env())
        try:
            wait_until(lambda: listens(int(local)), CLIENT_S, "ssh listens")
            yield child
        finally:
            child.kill()
            child.wait(10)


@pytest.fixture(scope="module")
def reach(server: Server, module_base: Path) -> Iterator[Reach]:
    with engines(server, "postgres:15"):
        ok(server, "apps:create", "shop")
        ok(server, "apps:create", "blog")
        ok(server, "services:create", "db", "postgres:15", "--memory", "128m", "--link", "shop")
        limited = make_key(module_base / "limited")
        public = limited.with_suffix(".pub").read_text()
        ok(server, "keys:add", "limited", "--role", "deployer", "--app", "blog", stdin=public)
        yield Reach(server, server.key, limited)
        for app in ("shop", "blog"):
            ok(server, "apps:destroy", app, "--force")
        for service in shown(server, "services:list"):
            ok(server, "services:destroy", service["name"], "--force")


def proxied(reach: Reach, *words: str) -> tuple[str, str]:
    """The ssh line and the URL."""
    line, url = ok(reach.server, "services:proxy", "db", "--port", str(free_port()), *words).splitlines()
    return line, url


def psql(url: str, text: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    words = ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", url, "-c", text]
    return subprocess.run(
        words, capture_output=True, text=True, timeout=CLIENT_S, input=stdin, check=False,
        env={"PATH": os.environ["PATH"], "PGCONNECT_TIMEOUT": "10"},
    )  # fmt: skip


def test_the_printed_lines_lead_to_the_database(reach: Reach) -> None:
    line, url = proxied(reach)
    with reach.tunnel(line, reach.admin):
        assert psql(url, "select 1 + 1").stdout == "2\n"
        rows = "".join(f"{n}\tsome words of a row\n" for n in range(200_000))  # 5 MB in, and out again
        assert psql(url, "create table rows (n int, words text)").returncode == 0
        done = psql(url, "copy rows from stdin", stdin=rows)
        assert done.returncode == 0, done.stderr
        assert psql(url, "copy rows to stdout").stdout == rows
    assert sql(reach.server, "db", "select tableowner from pg_tables where tablename = 'rows'") == "db"  # not its login


def test_a_login_that_reads_only(reach: Reach) -> None:
    sql(reach.server, "db", "create table if not exists seen (n int)")
    line, url = proxied(reach, "--read-only")
    with reach.tunnel(line, reach.admin):
        done = psql(url, "create table mine (n int)")
        assert done.returncode != 0
        assert "permission denied" in done.stderr or "read-only" in done.stderr, done.stderr


def test_a_login_ends_by_itself(reach: Reach) -> None:
    line, url = proxied(reach, "--for", "1s")
    with reach.tunnel(line, reach.admin):
        login = re.findall(r"//(p_\w+):", url)[0]
        there = "SELECT 1 FROM service_logins WHERE name = ?"
        wait_until(lambda: not reach.server.database(there, login), 100, "it is dropped")
        done = psql(url, "select 1")
        assert done.returncode != 0
        assert re.search("password authentication failed|does not exist", done.stderr), done.stderr


def test_another_key_is_refused_and_the_audit_has_both(reach: Reach) -> None:
    line, url = proxied(reach)
    with reach.tunnel(line, reach.limited):
        done = psql(url, "select 1")
        assert done.returncode != 0
    assert "no service 'db'" in refused(reach.server, "services:proxy", "db", key=reach.limited)
    found = [e for e in shown(reach.server, "audit") if e["action"] == "services:proxy"]
    assert [e["key"] for e in found if e["outcome"] == "refused"].count("limited") >= 1, found
    assert any("bytes to it" in e["detail"] for e in found), found
    assert "forwarding by limited refused: no service 'db' for this key" in reach.server.logs


@pytest.mark.parametrize("to", ["127.0.0.1:22", "db:22", "localhost:5432"])
def test_nothing_but_the_service_is_reached(reach: Reach, to: str) -> None:
    done = subprocess.run(
        [*reach.server.ssh_command(), "-W", to, "deploy@127.0.0.1"], capture_output=True, timeout=CLIENT_S,
        env=clean_env(), check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode != 0
    assert b"administratively prohibited" in done.stderr, done.stderr


def test_an_open_connection_ends_when_its_key_may_no_more(reach: Reach, module_base: Path) -> None:
    mobile = make_key(module_base / "mobile")
    public = mobile.with_suffix(".pub").read_text()
    ok(reach.server, "keys:add", "mobile", "--role", "deployer", stdin=public)
    line, url = proxied(reach)
    with reach.tunnel(line, mobile):
        words = ["psql", "-XAtq", url, "-c", "select 'begun'", "-c", "select pg_sleep(60)"]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as client:
            assert client.stdout is not None
            assert client.stdout.readline() == "begun\n"
            ok(reach.server, "keys:limit", "mobile", "blog")
            _, said = client.communicate(timeout=CLIENT_S)  # long before it has slept
            assert client.returncode != 0
            assert "closed the connection" in said or "lost" in said, said


def test_a_rotation_ends_such_logins(reach: Reach) -> None:
    line, url = proxied(reach)
    with reach.tunnel(line, reach.admin):
        assert psql(url, "select 1").stdout == "1\n"
        ok(reach.server, "services:rotate", "db")
        assert psql(url, "select 1").returncode != 0


def test_a_restart_of_the_server_ends_connections_and_the_same_line_leads_on(reach: Reach) -> None:
    line, url = proxied(reach)
    with reach.tunnel(line, reach.admin):
        assert psql(url, "select 1").stdout == "1\n"
        ok(reach.server, "services:restart", "db")
        assert psql(url, "select 1").stdout == "1\n"


def test_a_copy_of_the_data_keeps_the_login_and_ends_the_connection(reach: Reach) -> None:
    line, url = proxied(reach)
    dump = reach.server.base / "db.dump"
    with reach.tunnel(line, reach.admin):
        with dump.open("wb") as file:
            done = subprocess.run(
                [*reach.server.ssh_command(), "deploy@127.0.0.1", "services:dump", "db"], stdout=file, check=True,
                env=clean_env(), timeout=CLIENT_S,
            )  # fmt: skip
        assert done.returncode == 0
        words = ["psql", "-XAtq", url, "-c", "select 'begun'", "-c", "select pg_sleep(120)"]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as client:
            assert client.stdout is not None
            assert client.stdout.readline() == "begun\n"
            with dump.open("rb") as file:
                subprocess.run(
                    [*reach.server.ssh_command(), "deploy@127.0.0.1", "services:load", "db", "--replace"], stdin=file,
                    check=True, env=clean_env(), timeout=120, capture_output=True,
                )  # fmt: skip
            client.communicate(timeout=CLIENT_S)
            assert client.returncode != 0
        assert psql(url, "select count(*) from rows").stdout == "200000\n"


def test_an_exposed_port_speaks_tls_only_to_those_who_may(reach: Reach, base: Path) -> None:
    _, url = proxied(reach)
    port = free_port()
    assert "say who may connect" in refused(reach.server, "services:expose", "db", "--port", str(port))
    certificate = base / "server.crt"
    words = ("services:expose", "db", "--port", str(port))
    certificate.write_text(ok(reach.server, *words, "--allow", "127.0.0.0/8", "--allow", "::1"))
    outside = re.sub(r"@127.0.0.1:\d+/", f"@localhost:{port}/", url)
    verified = f"{outside}?sslmode=verify-full&sslrootcert={certificate}"
    asked = "select ssl from pg_stat_ssl where pid = pg_backend_pid()"
    assert psql(verified, f"select 7 -- {asked}").stdout == "7\n"
    assert psql(f"{outside}?sslmode=require", "select 8").stdout == "8\n"
    assert psql(f"{outside}?sslmode=disable", "select 9").returncode != 0
    rows = "".join(f"{n}\tsome words of a row\n" for n in range(100_000))
    assert psql(verified, "create table outside (n int, words text)").returncode == 0
    assert psql(verified, "copy outside from stdin", stdin=rows).returncode == 0
    assert psql(verified, "copy outside to stdout").stdout == rows
    assert f"port {port}, by TLS, for 127.0.0.0/8, ::1/128" in ok(reach.server, "services:info", "db")
    reach.server.restart()
    assert psql(verified, "select 1").stdout == "1\n"
    ok(reach.server, "services:restart", "db")
    assert psql(verified, "select 1").stdout == "1\n"
    assert ok(reach.server, *words, "--allow", "203.0.113.0/24") == certificate.read_text()  # clients keep their copy
    assert psql(verified, "select 1").returncode != 0
    ok(reach.server, "services:unexpose", "db")
    assert not listens(port)
    assert "is not exposed" in refused(reach.server, "services:unexpose", "db")


def test_the_page_and_metrics_have_figures_of_the_real_server(reach: Reach) -> None:
    def metrics() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{reach.server.web_port}/metrics", timeout=CLIENT_S) as answer:
            return bytes(answer.read()).decode()

    wait_until(lambda: 'gitship_service_up{engine="postgres",service="db"} 1.0' in metrics(), 20, "it is up")
    text = metrics()
    size = re.search(r'gitship_service_size_bytes\{engine="postgres",service="db"\} ([\d.e+]+)', text)
    assert size and float(size[1]) > 5e6, text
    assert re.search(r'gitship_service_connections\{engine="postgres",service="db"\} \d', text)
    assert re.search(r'gitship_service_memory_bytes\{engine="postgres",service="db"\} [\d.]+e\+07', text)


def test_an_export_makes_the_same_service_and_link_again(reach: Reach) -> None:
    document = ok(reach.server, "server:export")
    assert "no change" in reach.server.ssh("server:apply", "--dry-run", stdin=document).stderr
    ok(reach.server, "services:unlink", "db", "shop")
    more = document.replace(
        "[services.db]", '[services.second]\nengine = "postgres:15"\nmemory = "128m"\n\n[services.db]'
    )
    applied = reach.server.ssh("server:apply", stdin=more, timeout_s=120)
    assert applied.returncode == 0, applied.stdout + applied.stderr
    assert {service["name"]: service["apps"] for service in shown(reach.server, "services:list")} == {
        "db": ["shop"], "second": [],
    }  # fmt: skip
    again = reach.server.ssh("server:apply", stdin=document)
    assert "kept: the service second is not in the document" in again.stderr
    assert "second" in ok(reach.server, "services:list")


def test_a_release_says_its_links(reach: Reach, tiny_binary: Path, module_base: Path) -> None:
    reach.server.push_ok(apps.tiny(module_base / "blog", tiny_binary), "blog")
    ok(reach.server, "services:link", "db", "blog", "--alias", "POSTS")
    assert shown(reach.server, "releases:info", "blog")["links"] == ["db (POSTS)"]
    assert shown(reach.server, "releases:info", "blog", "v1")["links"] == []
    assert shown(reach.server, "apps:info", "blog")["links"] == ["db (POSTS)"]


def test_the_doctor_names_a_service_that_does_not_run(reach: Reach) -> None:
    def runs() -> bool:
        return re.search(r"ok +services +2 run", reach.server.gitship("doctor").stdout) is not None

    assert runs()
    assert reach.server.stop() == 0
    [(container,)] = reach.server.database("SELECT container FROM services WHERE name = 'db'")
    docker_cli.docker(reach.server.docker_host, "rm", "-f", str(container))
    assert "db does not run: it is missing" in reach.server.gitship("doctor").stdout
    reach.server.start()
    wait_until(runs, 60, "it is made anew", every_s=1.0)
