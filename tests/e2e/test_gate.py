"""Maintenance, redirects, passwords and networks: by real commands, asked of the real Varnish."""

from __future__ import annotations

import subprocess
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e import apps
from tests.e2e.harness import Answer, Server
from tests.e2e.load import load

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def shop(server: Server, module_base: Path, tiny_binary: Path) -> Iterator[Path]:
    """The repository of the app "gated"; each test leaves its gate open."""
    repository = apps.tiny(module_base / "gated", tiny_binary, version="v1")
    server.push_ok(repository, "gated")
    yield repository


@pytest.fixture
def run(server: Server, shop: Path) -> Iterator[Callable[..., str]]:
    def go(*words: str, stdin: str = "") -> str:
        done = server.ssh(*words, stdin=stdin)
        assert done.returncode == 0, done.stderr
        return done.stdout

    yield go
    for command in ("maintenance:off", "auth:off", "allow:off"):
        go(command, "gated")
    for row in go("redirects:list", "gated").splitlines()[1:]:
        go("redirects:remove", "gated", f"'{row.split()[0]}'")


def signed_in(server: Server, user: str, password: str) -> Answer:
    return server.get("gated", headers={"Authorization": "Basic " + b64encode(f"{user}:{password}".encode()).decode()})


def test_maintenance_with_an_own_page_through_a_deploy_and_restarts(
    server: Server, shop: Path, run: Callable[..., str]
) -> None:
    page = '<h1>Closed</h1> """ "} {" @NAME@ grüße\n' + "<!-- padding -->\n" * 15_000
    assert len(page.encode()) > 250_000
    run("maintenance:on", "gated", "--page", "-", stdin=page)
    answer = server.get("gated", method="POST", body=b"x")
    assert (answer.status, answer.headers["retry-after"]) == (503, "60")
    assert server.get("gated").body == page
    apps.commit(shop, "Two", {"Dockerfile": apps.tiny_dockerfile("v2")})
    server.push_ok(shop, "gated")  # gitship's own request through Varnish sees the app
    assert server.get("gated").body == page
    assert server.gitship("stop-front").returncode == 0
    server.restart()
    assert server.get("gated").body == page
    run("maintenance:on", "gated", "--allow", "127.0.0.0/8")
    assert server.get("gated").body == "v2\n"
    run("maintenance:on", "gated", "--allow", "203.0.113.7")
    assert "is being worked on" in server.get("gated").body
    run("maintenance:off", "gated")
    assert server.get("gated").body == "v2\n"


def test_maintenance_of_an_app_that_never_ran(server: Server, run: Callable[..., str]) -> None:
    run("apps:create", "gated-later")
    assert server.get("gated-later").status == 503
    run("maintenance:on", "gated-later", "--page", "-", stdin="soon")
    assert (server.get("gated-later").status, server.get("gated-later").body) == (503, "soon")
    run("maintenance:off", "gated-later")
    assert server.get("gated-later").status == 503


def test_passwords_before_the_cache(server: Server, run: Callable[..., str]) -> None:
    run("auth:set", "gated", "ada", stdin="correct: hörse\n")
    run("auth:set", "gated", "bob", stdin="battery staple")
    stranger = server.get("gated")
    assert stranger.status == 401
    assert stranger.headers["www-authenticate"] == 'Basic realm="gated", charset="UTF-8"'
    assert signed_in(server, "ada", "correct: hörse").status == 200
    assert signed_in(server, "bob", "battery staple").status == 200
    for user, password in (("ada", "battery staple"), ("bob", "battery stapl"), ("bob", "battery staple "), ("", "")):
        assert signed_in(server, user, password).status == 401
    run("auth:remove", "gated", "bob")
    assert signed_in(server, "bob", "battery staple").status == 401
    assert "h\xf6rse" not in run("auth:list", "gated", "--format", "json")
    run("auth:off", "gated")
    assert server.get("gated").status == 200


def test_networks(server: Server, run: Callable[..., str]) -> None:
    run("allow:add", "gated", "203.0.113.0/24", "2001:db8::/32")
    assert server.get("gated").status == 403
    assert server.get("gated", headers={"X-Forwarded-For": "203.0.113.1"}).status == 403
    done = server.ssh("allow:remove", "gated", "203.0.113.0/24", "2001:db8::/32")
    assert done.returncode == 1
    assert server.get("gated").status == 403
    run("allow:add", "gated", "127.0.0.1")
    assert server.get("gated").status == 200


def test_redirects(server: Server, run: Callable[..., str]) -> None:
    run("domains:add", "gated", "www.example.com")
    run("redirects:add", "gated", "/old", "/new?x=1", "--code", "302")
    run("redirects:add", "gated", "'/blog/*'", "/")
    run("redirects:add", "gated", "'/blog/de/*'", "https://example.de/b", "--code", "307")
    run("redirects:add", "gated", "www.example.com", "https://example.com", "--code", "308")

    def sent(path: str, host: str = "gated.localhost") -> tuple[int, str]:
        answer = server.request(host, path, headers={"X-Gitship-Location": "https://evil.example"})
        return answer.status, answer.headers.get("location", "")

    assert sent("/old?a=b") == (302, "/new?x=1")
    assert sent("/blog/a/b?c=d") == (301, "/a/b?c=d")
    assert sent("/blog//evil.example") == (301, "/evil.example")
    assert sent("/blog/\\evil.example") == (301, "/evil.example")
    assert sent("/blog/de/x") == (307, "https://example.de/b/x")
    assert sent("/a?b", "WWW.example.com:8080") == (308, "https://example.com/a?b")
    assert sent("/older") == (200, "")
    assert sent("/blog") == (200, "")


def test_a_deploy_waits_for_requests_that_came_by_an_earlier_gate(
    server: Server, shop: Path, run: Callable[..., str]
) -> None:
    [old] = server.containers("gitship.app=gated")
    follow = ["docker", "-H", server.docker_host, "logs", "-f", old]
    with (
        ThreadPoolExecutor(1) as visitor,
        subprocess.Popen(follow, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as words,
    ):
        slow = visitor.submit(server.get, "gated", "/x?ms=8000")
        time.sleep(0.5)  # it has reached the app
        run("redirects:add", "gated", "/elsewhere", "/")
        run("ps:restart", "gated")
        assert not slow.done(), "the deploy took longer than the slow request: nothing was seen"
        out, _ = words.communicate(timeout=60)
        assert slow.result(timeout=30).status == 200
    assert "SIGTERM with 0 in flight" in out, out


def test_no_request_fails_while_the_gate_changes(server: Server, shop: Path, run: Callable[..., str]) -> None:
    version = server.get("gated").body.strip()
    allowed = [version, "during"]
    with load(server.http_port, "gated.localhost", allowed, workers=6, pause_ms=20) as visitors:
        for _ in range(5):
            run("redirects:add", "gated", "/elsewhere", "/")
            run("redirects:remove", "gated", "/elsewhere")
        apps.commit(shop, "During", {"Dockerfile": apps.tiny_dockerfile("during")})
        server.push_ok(shop, "gated")
        run("redirects:add", "gated", "/elsewhere", "/")
        report = visitors.end()
    print(report)
    assert report.failed == 0, report
    assert report.requests > 200
    assert report.versions["during"] > 0


def test_limits_of_rate_and_size(server: Server, shop: Path, run: Callable[..., str]) -> None:
    run("bodylimit:set", "gated", "1k")
    assert server.get("gated", method="POST", body=bytes(1024)).status == 200
    assert server.get("gated", method="POST", body=bytes(1025)).status == 413
    run("bodylimit:off", "gated")
    assert server.get("gated", method="POST", body=bytes(1025)).status == 200
    done = server.ssh("ratelimit:set", "gated", "--requests", "3", "--per", "1h", "--by", "all")
    if done.returncode:
        assert "apt-get install varnish-modules" in done.stderr
        pytest.skip("no varnish-modules")
    try:
        assert [server.get("gated").status for _ in range(4)] == [200, 200, 200, 429]
        run("ps:restart", "gated")  # whose own request is not counted
        assert server.get("gated").headers["retry-after"] == "3600"
    finally:
        run("ratelimit:off", "gated")
    assert server.get("gated").status == 200


def test_an_apps_own_vcl(server: Server, shop: Path, run: Callable[..., str]) -> None:
    run("vcl:set", "gated", stdin='sub app_deliver {\n    set resp.http.x-own = "one";\n}\n')
    assert server.get("gated").headers["x-own"] == "one"
    done = server.ssh("vcl:set", "gated", stdin="sub app_deliver {\n    nonsense;\n}\n")
    assert done.returncode == 1
    assert "(line 2 Pos 5)" in done.stderr
    run("ps:restart", "gated")
    assert server.get("gated").headers["x-own"] == "one"
    assert "x-own" in run("vcl:show", "gated")
    run("vcl:unset", "gated")
    assert "x-own" not in server.get("gated").headers


def test_an_app_without_websockets_can_say_so(server: Server, shop: Path, run: Callable[..., str]) -> None:
    """Who asks for one is then answered through Varnish's cache, as everybody."""
    asking = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="}
    assert "x-cache" not in server.get("gated", headers=asking).headers
    run("vcl:set", "gated", stdin="sub app_recv { unset req.http.upgrade; }\n")
    assert server.get("gated", headers=asking).headers["x-cache"]
    run("vcl:unset", "gated")
