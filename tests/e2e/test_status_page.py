"""The status page beside real pushes: it streams what the deploy's log holds and shows what happened."""

from __future__ import annotations

import html
import http.client
import itertools
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e import apps
from tests.e2e.harness import Server
from tests.waiting import wait_until

pytestmark = pytest.mark.e2e


_cookies: dict[int, str] = {}


def cookie(server: Server) -> str:
    """The admin's session, by a link from `web`; one for the module."""
    if server.web_port not in _cookies:
        path = server.ssh("web").stdout.strip().partition(f":{server.web_port}")[2]
        connection = http.client.HTTPConnection("127.0.0.1", server.web_port, timeout=60)
        connection.request("POST", path)
        _cookies[server.web_port] = connection.getresponse().headers["Set-Cookie"].partition(";")[0]
        connection.close()
    return _cookies[server.web_port]


@contextmanager
def answer(server: Server, path: str, last_id: str = "") -> Iterator[http.client.HTTPResponse]:
    connection = http.client.HTTPConnection("127.0.0.1", server.web_port, timeout=60)
    try:
        resumed = {"Last-Event-ID": last_id} if last_id else {}
        connection.request("GET", path, headers={"Cookie": cookie(server), **resumed})
        yield connection.getresponse()
    finally:
        connection.close()


def read(server: Server, path: str) -> str:
    with answer(server, path) as response:
        assert response.status == 200, path
        return response.read().decode()


def test_a_push_can_be_watched_line_by_line_to_its_end(server: Server, tiny_app: Callable[..., Path]) -> None:
    repository = tiny_app("watched")
    push = server.start_push(repository, "watched")
    wait_until(lambda: server.deploys("watched"), what="a deploy is recorded")
    (deploy_id,) = server.database(
        "SELECT d.id FROM deploys d JOIN apps a ON a.id = d.app_id WHERE a.name = 'watched'"
    )[0]
    lines: list[str] = []
    states: list[str] = []
    with answer(server, f"/apps/watched/deploys/{deploy_id}/stream") as stream:
        event = ""
        while raw := stream.readline():
            name, _, value = raw.decode().rstrip("\n").partition(": ")
            if name == "event":
                event = value
            elif name == "data" and event == "state":
                states.append(json.loads(value)["state"])
            elif name == "data":
                lines.append(html.unescape(value))
            if event == "end":
                break
    said, _ = push.communicate(timeout=60)
    assert push.returncode == 0, said
    log = (server.app_logs("watched") / f"{deploy_id}.log").read_text()
    assert lines == [line.removeprefix("    : ") for line in log.splitlines()]
    assert states[-1] == "live"
    assert any(line.startswith("=====> http://watched.localhost") for line in lines)


def test_overview_and_app_page_show_what_a_push_and_a_failed_one_left(
    server: Server, tiny_app: Callable[..., Path]
) -> None:
    repository = tiny_app("shown")
    server.push_ok(repository, "shown")
    (app,) = [a for a in json.loads(read(server, "/api/apps"))["apps"] if a["name"] == "shown"]
    assert (app["state"], app["release"]["number"], app["processes"]) == ("live", 1, {"web": 1})
    assert app["release"]["commit"] == apps.git(repository, "rev-parse", "HEAD")
    assert app["urls"][0] in read(server, "/")
    apps.commit(repository, "Two", {"Dockerfile": apps.tiny_dockerfile("v2", {"CRASH": "6"})})
    assert server.push(repository, "shown").returncode != 0
    page = read(server, "/apps/shown")
    assert "exited 6" in page
    assert "v1 keeps serving" in page
    assert "last deploy failed" in read(server, "/")
    assert '<li class="failed checking">' in page


COUNTER = """\
FROM scratch
COPY busybox /bin/sh
EXPOSE 8000
CMD ["/bin/sh", "-c", "httpd -f -p 8000 -h / & while :; do i=$((i+1)); echo $HOSTNAME $i; \
[ $((i % 10)) = 0 ] && usleep 50000; [ $i = $LAST ] && exit 1; done"]
"""


def test_container_lines_come_once_over_lost_connections_crashes_and_a_restart_of_the_server(
    server: Server, base: Path
) -> None:
    repository = base / "counts"
    repository.mkdir()
    shutil.copy(shutil.which("busybox") or "/bin/busybox", repository / "busybox")
    (repository / "Dockerfile").write_text(COUNTER.replace("$LAST", "400"))
    apps.git(repository, "init", "-q", "-b", "main")
    apps.commit(repository, "Counts, and crashes after two seconds")
    server.push_ok(repository, "counts")
    path = html.unescape(read(server, "/apps/counts/logs").partition('data-stream="')[2].partition('"')[0])
    lines: list[str] = []
    last_id, crashes, connections = "", 0, 0
    while crashes < 2 or connections < 4:  # a busy machine sends much in one piece
        connections += 1
        if connections == 3:
            server.restart()
        with answer(server, path, last_id) as stream:
            for _ in range(5):
                event_id = stream.readline()
                while not event_id.startswith(b"id: "):
                    assert event_id, "the stream ended"
                    event_id = stream.readline()
                assert stream.readline() == b"event: lines\n"
                lines += [row[3] for row in json.loads(stream.readline().removeprefix(b"data: "))]
                last_id = event_id.decode()[4:].strip()
        crashes = sum(line.endswith(" 400") for line in lines)
    numbers = [int(line.split()[1]) for line in lines]
    for before, after in itertools.pairwise(numbers):
        assert after == before + 1 or (before, after) == (400, 1), (before, after)
