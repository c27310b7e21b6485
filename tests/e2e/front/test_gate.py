"""The gate and the cache, and what an app gets to see of a password."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace

import pytest

from gitship.commands.auth import MOST_USERS
from gitship.commands.redirects import MOST_REDIRECTS
from gitship.console.ip_networks import MOST_NETWORKS
from gitship.front.front import Front
from gitship.front.gate import Gate, Login, Maintenance, Redirect
from tests.e2e.front.asking import TOKEN, app, ask
from tests.e2e.front.conftest import Serve, switch
from tests.e2e.front.origin import Origin

pytestmark = pytest.mark.e2e

CREDENTIALS = b64encode(b"ada:swordfish").decode()
CACHED = "/page?cache-control=public,max-age=60"
LOGIN = Gate(logins=(Login("ada", CREDENTIALS),))


def put(front: Front, host: str, origin: Origin, gate: Gate) -> None:
    """The same app with another gate: its cached pages stay."""
    switch(front, replace(app(host.partition(".")[0], origin), gate=gate))


@pytest.mark.parametrize(
    ("gate", "status"),
    [(LOGIN, 401), (Gate(allow=("203.0.113.0/24",)), 403), (Gate(maintenance=Maintenance()), 503)],
)
def test_a_cached_page_is_not_for_strangers(shared: Front, serve: Serve, gate: Gate, status: int) -> None:
    with Origin("v1") as origin:
        host = serve(origin)
        path = CACHED
        assert ask(shared.address, host, path).status == 200
        assert ask(shared.address, host, path).headers["x-cache"] == "hit"
        put(shared, host, origin, gate)
        stranger = ask(shared.address, host, path)
        assert (stranger.status, stranger.headers["cache-control"]) == (status, "no-store")
        assert "x-varnish" not in stranger.headers
        assert origin.count("/page") == 1
        put(shared, host, origin, Gate())
        assert ask(shared.address, host, path).headers["x-cache"] == "hit"


def test_who_has_signed_in_shares_the_cache_and_the_app_gets_no_password(shared: Front, serve: Serve) -> None:
    with Origin("v1") as origin:
        host = serve(origin)
        put(shared, host, origin, LOGIN)
        for scheme in ("Basic", "basic", "BASIC "):
            answer = ask(shared.address, host, CACHED, headers={"Authorization": f"{scheme} {CREDENTIALS}"})
            assert answer.status == 200
        assert answer.headers["x-cache"] == "hit"
        assert "authorization" not in origin.seen[-1].headers
        for wrong in (f"Bearer {CREDENTIALS}", CREDENTIALS, f"Basic {CREDENTIALS}x", f"Basic x{CREDENTIALS}", "Basic "):
            assert ask(shared.address, host, CACHED, headers={"Authorization": wrong}).status == 401


@pytest.mark.parametrize(
    "gate", [LOGIN, Gate(allow=("203.0.113.0/24",)), Gate(maintenance=Maintenance())], ids=["login", "allow", "page"]
)
def test_only_gitships_own_token_passes(shared: Front, serve: Serve, gate: Gate) -> None:
    with Origin("v1") as origin:
        host = serve(origin)
        put(shared, host, origin, gate)
        assert ask(shared.address, host, headers={"X-Gitship-Verify": TOKEN}).status == 200
        assert ask(shared.address, host, headers={"X-Gitship-Verify": TOKEN[:-1]}).status in (401, 403, 503)


def test_the_largest_gate_fits_on_the_stack_of_a_worker(shared: Front, serve: Serve) -> None:
    """1,000 calls of a vmod in one sub took 95 KB of a thread's 80 KB: the worker died of it."""
    redirects = [Redirect(f"/old{n}/*", "/new", 301) for n in range(MOST_REDIRECTS - 1)]
    logins = [Login(f"u{n}", b64encode(f"u{n}:x".encode()).decode()) for n in range(MOST_USERS)]
    networks = tuple(f"10.{n // 200}.{n % 200}.0/24" for n in range(MOST_NETWORKS - 1))
    gate = Gate(
        allow=("127.0.0.0/8", *networks), redirects=(*redirects, Redirect("/a", "/b", 302)), logins=tuple(logins)
    )
    with Origin("v1") as origin:
        host = serve(origin)
        put(shared, host, origin, gate)
        last = {"Authorization": f"Basic {logins[-1].credentials}"}
        assert ask(shared.address, host, "/a").status == 302
        assert ask(shared.address, host, "/x").status == 401
        assert ask(shared.address, host, CACHED, headers=last).status == 200
        assert "Child has not panicked" in shared._control.ask("panic.show").text
