"""A stock `git push` ends with the pushed Dockerfile running behind Varnish: real applications, first push and next."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e import apps
from tests.e2e.harness import Answer, Server, serving
from tests.e2e.python_image import cache_dir
from tests.waiting import wait_until

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest, module_base: Path, docker_host: str) -> Iterator[Server]:
    """`gitship serve`, and no fork."""
    failed_before = request.session.testsfailed
    made = Server(module_base / "server", docker_host, as_users_do=True)
    with serving(made, lambda: request.session.testsfailed > failed_before) as started:
        yield started


def test_first_push_makes_the_app_and_answers_with_its_url(server: Server, tiny_app: Callable[..., Path]) -> None:
    said = server.push_ok(tiny_app("shop"), "shop")
    assert re.search(rf"=====> http://shop\.localhost(:{server.http_port})?/? +v1 in \d+\.\ds", said), said
    answer = server.get("shop")
    assert (answer.status, answer.body) == (200, "v1\n")


def test_second_commit_replaces_the_first(server: Server, tiny_app: Callable[..., Path]) -> None:
    repository = tiny_app("second")
    server.push_ok(repository, "second")
    apps.commit(repository, "Version two", {"Dockerfile": apps.tiny_dockerfile("v2")})
    said = server.push_ok(repository, "second")
    assert "v2 is live (was v1)" in said
    assert server.get("second").body == "v2\n"
    assert server.server_ref("second") == apps.git(repository, "rev-parse", "HEAD")


def test_old_containers_are_gone_after_the_drain(server: Server, tiny_app: Callable[..., Path]) -> None:
    repository = tiny_app("drained")
    server.push_ok(repository, "drained")
    apps.commit(repository, "Version two", {"Dockerfile": apps.tiny_dockerfile("v2")})
    server.push_ok(repository, "drained")
    wait_until(
        lambda: server.containers("gitship.app=drained") == ["drained.web.1.v2"], 20, "only the new container is there"
    )


def test_push_without_changes_says_up_to_date(server: Server, tiny_app: Callable[..., Path]) -> None:
    repository = tiny_app("same")
    server.push_ok(repository, "same")
    assert "Everything up-to-date" in server.push_ok(repository, "same")


def test_push_prints_short_timed_lines_and_no_plumbing(server: Server, tiny_app: Callable[..., Path]) -> None:
    said = server.push_ok(tiny_app("lines"), "lines")
    lines = [line.removeprefix("remote: ").rstrip() for line in said.splitlines() if line.startswith("remote: ")]
    assert any(re.match(r"-----> lines: \d+ files, [0-9a-f]{7} \"Version v1\"", line) for line in lines), said
    assert any(re.match(r"-----> Building Dockerfile", line) for line in lines), said
    assert any(re.match(r"-----> Starting web x1", line) for line in lines), said
    assert any(re.match(r"-----> Healthy: ", line) for line in lines), said
    assert any(re.match(r"-----> Switched, v1 is live", line) for line in lines), said
    assert not re.search(r"sha256:[0-9a-f]{20}|Traceback|10\.\d+\.\d+\.\d+", said)


def test_clone_gives_back_what_was_pushed(server: Server, tiny_app: Callable[..., Path], base: Path) -> None:
    repository = tiny_app("back")
    server.push_ok(repository, "back")
    done = server.git(base, "clone", "-q", server.url("back"), "copy")
    assert done.returncode == 0, done.stderr
    assert apps.git(base / "copy", "rev-parse", "HEAD") == apps.git(repository, "rev-parse", "HEAD")


def test_busybox_page_is_served_and_replaced(server: Server, base: Path) -> None:
    repository = apps.busybox(base / "pages")
    server.push_ok(repository, "pages")
    assert "busybox v1" in server.get("pages").body
    page = (repository / "index.html").read_text()
    apps.commit(repository, "Second page", {"index.html": page.replace("busybox v1", "busybox v2")})
    server.push_ok(repository, "pages")
    assert "busybox v2" in server.get("pages").body


@pytest.mark.timeout(400)  # debootstrap makes the base image when no cache has it
def test_flask_tutorial_app_registers_logs_in_and_blogs(server: Server, base: Path, python_base: str) -> None:
    repository = apps.flaskr(base / "flaskr", cache_dir())
    server.push_ok(repository, "flaskr")

    def submit(path: str, cookie: str = "", **form: str) -> Answer:
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": cookie}
        return server.get("flaskr", path, method="POST", body=urllib.parse.urlencode(form).encode(), headers=headers)

    assert "Log In" in server.get("flaskr").body
    assert submit("/auth/register", username="ada", password="secret").status == 302
    login = submit("/auth/login", username="ada", password="secret")
    assert login.status == 302
    cookie = login.headers["set-cookie"].split(";")[0]
    assert submit("/create", cookie, title="First post", body="Pushed with git").status == 302
    mine = server.get("flaskr", headers={"Cookie": cookie}).body
    assert "First post" in mine and "Log Out" in mine
    theirs = server.get("flaskr").body
    assert "First post" in theirs and "Log Out" not in theirs  # a page for one visitor is never given to another

    template = repository / "flaskr" / "templates" / "base.html"
    renamed = template.read_text().replace("Flaskr", "Shipped")
    apps.commit(repository, "Another name", {"flaskr/templates/base.html": renamed})
    server.push_ok(repository, "flaskr")
    assert "Shipped" in server.get("flaskr").body
