"""Webhooks of a real server: deploys are told, and a kill -9 loses nothing that was to be told."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import apps
from tests.e2e.harness import Server
from tests.places import free_port
from tests.waiting import wait_until

pytestmark = pytest.mark.e2e


class Receiver:
    """Keeps the JSON of every POST to its port, from ``open`` on."""

    def __init__(self) -> None:
        self.port = free_port()
        self.got: list[dict[str, Any]] = []
        self._server: ThreadingHTTPServer | None = None

    def open(self) -> None:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), name="receiver", daemon=True).start()

    def close(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def events(self, app: str) -> list[str]:
        return [told["event"] for told in self.got if told["app"] == app]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


def test_deploys_are_told_and_a_killed_server_tells_the_rest_at_its_next_start(
    own_server: Server, tiny_app: Callable[..., Path], receiver: Receiver
) -> None:
    server, url = own_server, f"http://127.0.0.1:{receiver.port}/"
    assert server.ssh("notify:add", "ops", url).returncode == 0
    repository = tiny_app("shop")
    server.push_ok(repository, "shop")  # nobody listens: it is not held up, and the messages wait

    slow = server.data_dir / "hooks" / "before-build.d" / "10-slow"
    slow.write_text("#!/bin/sh\nsleep 4\n")
    slow.chmod(0o755)
    apps.commit(repository, "Version two", {"Dockerfile": apps.tiny_dockerfile("v2")})
    push = server.start_push(repository, "shop")
    wait_until(lambda: server.deploys("shop")[-1][0] == "building", 20, "the second deploy begins")
    server.kill9()
    push.communicate(timeout=30)
    waiting = server.database("SELECT uuid, event FROM deliveries WHERE status = 'waiting' ORDER BY id")
    assert [event for _, event in waiting] == ["app.created", "deploy.started", "deploy.live", "deploy.started"]

    receiver.open()
    server.start()
    expected = [event for _, event in waiting] + ["deploy.failed"]
    wait_until(lambda: receiver.events("shop") == expected, 30, "everything is told, in order")
    assert [told["id"] for told in receiver.got[:4]] == [uuid for uuid, _ in waiting]
    live, failed = receiver.got[2]["deploy"], receiver.got[4]["deploy"]
    assert (live["state"], live["release"], live["growth_bytes"]) == ("live", 1, None)
    assert live["url"] == f"http://shop.localhost:{server.http_port}"
    assert failed["reason"] == "gitship was stopped during 'building'"
    log = server.ssh("notify:log", "ops", "--format", "json")
    assert {row["status"] for row in json.loads(log.stdout)} == {"delivered"}
    assert server.ssh("notify:test", "ops").stdout.startswith("delivered: answered 204")


IN_A_NAMESPACE = """
import http.server, sys, threading
from gitship.notify.post import Undelivered, post

class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.send_response(204)
        self.end_headers()
    def log_message(self, *_):
        pass

server = http.server.HTTPServer((sys.argv[1], 8484), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://{sys.argv[1]}:8484/"
for anywhere, own_ports in ((False, {80}), (False, {80, 8484}), (True, {80})):
    try:
        print(post(url, b"{}", {}, anywhere=anywhere, own_ports=own_ports))
    except Undelivered as error:
        print(error)
"""


@pytest.mark.skipif(shutil.which("unshare") is None or os.geteuid() != 0, reason="a namespace needs root")
def test_a_public_address_of_the_server_itself_is_no_way_to_its_other_ports() -> None:
    """In a network namespace that has such an address: what listens there for the machine alone is out of reach."""
    address = "193.0.6.139"
    script = 'ip link set lo up && ip addr add "$1/32" dev lo && exec "$2" -c "$3" "$1"'
    done = subprocess.run(
        ["unshare", "-n", "sh", "-c", script, "sh", address, sys.executable, IN_A_NAMESPACE],
        capture_output=True, text=True, timeout=60, env=apps.clean_env(), check=False,
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        "resolves to port 8484 of this server, which only an admin's webhook may use", "204", "204",
    ], done.stderr  # fmt: skip
