"""One visitor, one container: affinity by a cookie, when the app asks for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.harness import Server

pytestmark = pytest.mark.e2e

WHO = "/env?HOSTNAME"  # the answering container
REQUESTS = 8


def test_a_visitor_stays_with_one_container_when_the_app_asks_for_it(
    server: Server, tiny_app: Callable[..., Path]
) -> None:
    server.push_ok(tiny_app("chat"), "chat")
    assert server.ssh("ps:scale", "chat", "web=2").returncode == 0
    assert len({server.get("chat", WHO).body for _ in range(REQUESTS)}) == 2

    assert server.ssh("cache:set", "chat", "--sticky", "on").returncode == 0
    visitors: list[tuple[str, str]] = []
    for _ in range(REQUESTS):  # each is new, and what they are told keeps them where they are
        first = server.get("chat", WHO)
        cookie = first.headers["set-cookie"]
        assert cookie.startswith("gitship_sticky=") and "HttpOnly" in cookie
        visitors.append((cookie.partition(";")[0], first.body))
    assert len({container for _, container in visitors}) == 2
    for cookie, container in visitors:
        for also in ("", "session=1; "):
            answer = server.get("chat", WHO, headers={"Cookie": also + cookie})
            assert answer.body == container
            assert "set-cookie" not in answer.headers

    assert server.ssh("cache:unset", "chat", "sticky").returncode == 0
    seen = {server.get("chat", WHO, headers={"Cookie": visitors[0][0]}).body for _ in range(REQUESTS)}
    assert len(seen) == 2


def test_the_cookie_costs_no_cached_page_and_no_app_sees_it(server: Server, tiny_app: Callable[..., Path]) -> None:
    files = {"gitship.toml": "[cache]\nsticky = true\n", "app.json": '{"formation": {"web": {"quantity": 2}}}'}
    server.push_ok(tiny_app("kept", files=files), "kept")
    cookie = {"Cookie": "gitship_sticky=00000000-0000-4000-8000-000000000000"}
    assert server.get("kept", "/public/a").headers["x-cache"] == "miss"
    assert server.get("kept", "/public/a", headers=cookie).headers["x-cache"] == "hit"
    assert "set-cookie" not in server.get("kept", "/public/a").headers
