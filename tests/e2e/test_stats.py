"""Statistics of a whole server: whose visitors are counted, over restarts, kills and names."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import Server
from tests.waiting import wait_until

pytestmark = pytest.mark.e2e


def shown(server: Server, app: str, since: str = "1h") -> dict[str, Any]:
    done = server.ssh("stats:show", app, "--since", since, "--format", "json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def counters(server: Server) -> dict[int, str]:
    return {pid: line for pid, line in server.processes().items() if "varnishncsa" in line}


def test_visitors_are_counted_by_every_name_and_over_a_restart_and_a_kill(
    own_server: Server, tiny_app: Callable[..., Path]
) -> None:
    own_server.push_ok(tiny_app("shop"), "shop")
    for name in ("*.shop.example", "shop.test"):
        assert own_server.ssh("domains:add", "shop", f"'{name}'").returncode == 0
    for host in ("shop.localhost", "shop.test", "www.shop.example"):
        assert own_server.request(host).status == 200
    own_server.request("nobody.localhost")
    wait_until(lambda: shown(own_server, "shop")["requests"] >= 3, 10, "three visitors are counted")
    figures = shown(own_server, "shop")
    assert (figures["requests"], figures["passes"], figures["error_ratio"]) == (3, 3, 0.0), "not gitship's own check"
    assert figures["p99_ms"] > 0 and figures["sent_bytes"] > 300

    [first] = counters(own_server)
    own_server.restart()
    [second] = wait_until(lambda: counters(own_server), 10, "a new varnishncsa")
    assert first != second
    assert [shown(own_server, "shop", since)["requests"] for since in ("1h", "24h")] == [3, 3]

    assert own_server.get("shop").status == 200
    wait_until(lambda: shown(own_server, "shop")["requests"] == 4, 10, "the fourth visitor is counted")
    own_server.kill9()
    wait_until(lambda: not counters(own_server), 5, "varnishncsa ends with gitship")
    own_server.start()
    assert shown(own_server, "shop")["requests"] == 3, "a kill loses a minute at most"
    wait_until(lambda: counters(own_server), 10, "a new varnishncsa")
    os.kill(next(iter(counters(own_server))), signal.SIGKILL)
    wait_until(lambda: counters(own_server), 10, "another one")

    assert own_server.ssh("apps:rename", "shop", "store").returncode == 0
    wait_until(
        lambda: own_server.get("store").status == 200 and shown(own_server, "store")["requests"] >= 5, 20,
        "visitors of the new name are added",
    )  # fmt: skip
    [row] = json.loads(own_server.ssh("stats:list", "--format", "json").stdout)
    assert (row["app"], row["requests"] >= 5) == ("store", True)
