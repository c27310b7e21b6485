"""web: links, QR codes, tokens."""

from __future__ import annotations

import dataclasses

import pytest

from gitship.config import WebSettings
from gitship.config_values import Address
from gitship.model import Role
from gitship.routing import status_page_address
from tests.unit.commands.world import World


def test_web_prints_a_link_and_how_to_reach_it(world: World) -> None:
    client = world.ok("web", role=Role.VIEWER)
    assert client.out.startswith("http://127.0.0.1:8484/sign-in/")
    assert client.out.count("\n") == 1
    assert "it works once, within 5 minutes" in client.err
    assert "ssh -N -L 8484:127.0.0.1:8484" in client.err
    assert [(e.action, e.detail) for e in world.store.audit()] == [("web", "")]


def test_on_a_terminal_there_is_a_qr_code(world: World) -> None:
    client = world.run("web", pty=True)
    assert client.out.count("▀") > 50
    assert "http://127.0.0.1:8484/sign-in/" in client.out
    assert "▀" not in world.run("web", "-q", pty=True).out


def test_tokens_are_shown_once_and_are_ones_own(world: World) -> None:
    token = world.ok("web:token", "grafana", role=Role.VIEWER).out.strip()
    assert len(token) == 43
    assert [t["name"] for t in world.ok("web:tokens", "--format", "json").json] == ["grafana"]
    assert token not in world.ok("web:tokens", "--format", "json").out
    assert world.run("web:token", "grafana").code == 3
    world.ok("web:token:remove", "grafana")
    assert world.ok("web:tokens", "--format", "json").json == []
    assert world.run("web:token:remove", "grafana").code == 3
    assert [(e.action, e.detail) for e in world.store.audit()][-1] == ("web:token", "grafana")


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "-"])
def test_a_bad_name_is_refused(world: World, name: str) -> None:
    assert world.run("web:token", name).code in (1, 2)
    assert world.store.web_tokens() == []


@pytest.mark.parametrize(
    ("web", "address", "reachable"),
    [
        (WebSettings(), "http://127.0.0.1:8484", False),
        (WebSettings(listen=Address("::1", 8484)), "http://[::1]:8484", False),
        (WebSettings(listen=Address("0.0.0.0", 8484)), "http://example.com:8484", True),
        (WebSettings(domain="status.example.com"), "http://status.example.com", True),
    ],
)
def test_where_the_page_is_found(world: World, web: WebSettings, address: str, reachable: bool) -> None:
    settings = dataclasses.replace(world.settings, web=web)
    assert status_page_address.status_page(settings, world.store) == address
    assert status_page_address.reachable(settings) is reachable
    assert status_page_address.deploy_page(settings, world.store, "shop", 7) == f"{address}/apps/shop/deploys/7"
