"""What the builds of one app keep is no other app's, although both have the same Dockerfile and the same files."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from gitship.engine import build_cli
from tests.e2e import apps
from tests.e2e.commands import ok
from tests.e2e.harness import Server

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

DOCKERFILE = """\
FROM scratch
COPY busybox /bin/busybox
COPY busybox /bin/sh
RUN {run}
COPY version.txt /www/version.txt
EXPOSE 8080
CMD ["/bin/busybox", "httpd", "-f", "-p", "8080", "-h", "/www"]
"""
RANDOM = "busybox mkdir -p /www; busybox head -c 16 /dev/urandom | busybox md5sum >/www/random; : {word}; "
SECRET = "--mount=type=secret,id=token " + RANDOM + "busybox md5sum </run/secrets/token >/www/index.html"
PROXY = RANDOM + "echo proxy=$http_proxy >/www/index.html"
CACHE = (
    "--mount=type=cache,id=packages,target=/cache "
    + RANDOM
    + "busybox cp /cache/package /www/index.html || echo none >/www/index.html"
)
FILL = "--mount=type=cache,id=packages,target=/cache echo poisoned >/cache/package; " + RANDOM


def repository(base: Path, run: str, word: str) -> Path:
    made = apps.busybox(base / word)
    apps.commit(made, "build", {"Dockerfile": DOCKERFILE.format(run=run.format(word=word)), "version.txt": "1\n"})
    return made


def create(server: Server, app: str, secret: str = "") -> None:
    ok(server, "apps:create", app)
    if secret:
        assert server.ssh("config:import", app, stdin=f"TOKEN={secret}\n").returncode == 0
        ok(server, "builder:set", app, "--secret", "token=TOKEN")


def answers(server: Server, app: str) -> tuple[str, str]:
    """What the RUN line made of its input, and what it drew: the same as long as the layer is."""
    return server.get(app).body.strip(), server.get(app, path="/random").body.strip()


def test_an_app_gets_no_layer_that_was_made_with_another_apps_secret(
    server: Server, base: Path, docker_host: str
) -> None:
    if build_cli.client(docker_host) is None:
        pytest.skip("no docker command with BuildKit is installed here")
    same = repository(base, SECRET, uuid.uuid4().hex)
    create(server, "keyed", "one")
    create(server, "stranger", "two")
    server.push_ok(same, "keyed")
    server.push_ok(same, "stranger")
    first, other = answers(server, "keyed"), answers(server, "stranger")
    assert first[0] and other[0] and first[0] != other[0]
    assert first[1] != other[1]

    # within the app it is kept, until the secret changes
    apps.commit(same, "more", {"version.txt": "2\n"})
    server.push_ok(same, "keyed")
    assert server.get("keyed", path="/version.txt").body == "2\n"
    assert answers(server, "keyed") == first
    assert server.ssh("config:import", "keyed", "--no-restart", stdin="TOKEN=three\n").returncode == 0
    ok(server, "ps:rebuild", "keyed")
    changed = answers(server, "keyed")
    assert changed[0] not in (first[0], other[0]) and changed[1] != first[1]


def test_an_app_gets_no_layer_that_was_made_through_another_apps_proxy(server: Server, base: Path) -> None:
    """BuildKit leaves proxies out of the cache's key: what came through one would be everybody's."""
    same = repository(base, PROXY, uuid.uuid4().hex)
    create(server, "proxied")
    ok(server, "builder:set", "proxied", "--arg", "HTTP_proxy=http://192.0.2.1:3128")
    server.push_ok(same, "proxied")
    assert answers(server, "proxied")[0] == "proxy=http://192.0.2.1:3128"
    create(server, "direct")
    server.push_ok(same, "direct")
    assert answers(server, "direct")[0] == "proxy="


def test_an_app_gets_no_layer_that_was_made_from_another_apps_cache_mount(server: Server, base: Path) -> None:
    """Nor is the mount's id in the key, with which each app's own mount is found."""
    create(server, "poisoner")
    server.push_ok(repository(base, FILL, uuid.uuid4().hex), "poisoner")
    same = repository(base, CACHE, uuid.uuid4().hex)
    server.push_ok(same, "poisoner", "--force")
    assert answers(server, "poisoner")[0] == "poisoned"
    create(server, "clean")
    server.push_ok(same, "clean")
    assert answers(server, "clean")[0] == "none"


def test_apps_share_what_depends_on_the_dockerfile_and_its_files_alone(server: Server, base: Path) -> None:
    same = repository(base, RANDOM + "echo plain >/www/index.html", uuid.uuid4().hex)
    for app in ("here", "there"):
        create(server, app)
        server.push_ok(same, app)
    assert answers(server, "here") == answers(server, "there")
