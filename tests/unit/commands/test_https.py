"""https and certs: what people type, and what they are told."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gitship.config import HttpsSettings, Settings, WebSettings
from gitship.model import Role
from gitship.store import Store
from tests.unit.certs import bundle, leaf
from tests.unit.commands.world import World
from tests.unit.memory.server import MemoryServer

OWN = "shop.example.com"  # the server's domain is example.com


def status(world: World) -> dict[str, object]:
    [row] = world.ok("https:status", "shop", "--format", "json").json
    return dict(row)


def test_one_command_is_enough(shop: World) -> None:
    assert status(shop)["state"] == "off"
    said = shop.ok("https:enable", "shop")
    assert said.out == f"{OWN}: certificate of Test Intermediate, valid for 89 days\n"
    row = status(shop)
    assert (row["state"], row["source"], row["days"], row["problem"]) == ("ok", "acme", 89, "")
    assert row["renew_at"] and row["retry_at"] is None
    assert shop.ok("https:disable", "shop").out == "shop is served by http only\n"
    assert status(shop)["state"] == "off"


def test_hsts_is_asked_for_and_warned_of(shop: World) -> None:
    said = shop.ok("https:enable", "shop", "--hsts", "on")
    assert f"browsers now refuse http at {OWN} for 180 days" in said.err
    shop.ok("https:enable", "shop")  # it stays
    assert "still refuse http, for up to 180 days" in shop.ok("https:disable", "shop").err
    shop.ok("https:enable", "shop", "--hsts", "off")
    assert "refuse" not in shop.ok("https:disable", "shop").err
    assert shop.run("https:enable", "shop", "--hsts", "perhaps").code == 2


def test_hsts_is_told_only_of_hosts_that_send_it(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, domain="localhost", https=HttpsSettings(check_dns=False))
    store = Store(settings.database)
    world = World(store, settings, MemoryServer(store, settings))
    world.memory.push("shop")
    said = world.ok("https:enable", "shop", "--hsts", "on")
    assert "self-signed" in said.out and "refuse" not in said.err and "that browsers trust" in said.err
    world.ok("domains:add", "shop", OWN)
    assert f"refuse http at {OWN} for" in world.ok("https:enable", "shop", "--hsts", "on").err
    store.close()


def test_what_the_authority_says_is_shown_with_what_to_do(shop: World) -> None:
    shop.memory.authority.fails = {OWN}
    said = shop.run("https:enable", "shop")
    assert (said.code, said.out) == (1, "")
    assert f"error: the authority could not verify {OWN}: connection refused" in said.err
    assert status(shop)["state"] == "off"
    shop.memory.authority.fails = set()
    assert shop.run("https:renew", "shop").code == 1
    shop.ok("https:enable", "shop")
    assert "--force" in shop.run("https:renew", "shop").err
    assert "valid for 89 days" in shop.ok("https:renew", "shop", "--force").out


def add(world: World, text: str) -> tuple[int, str, str]:
    said = world.run("certs:add", "shop", stdin=text.encode())
    return said.code, said.out, said.err


def test_ones_own_certificate(shop: World) -> None:
    code, out, err = add(shop, bundle(OWN, "other.example.net", days=30.5))
    assert (code, out) == (
        0,
        f"shop: certificate of Test Intermediate for other.example.net, {OWN}, valid for 30 days\n",
    )
    assert (status(shop)["source"], shop.memory.authority.asked) == ("own", [])
    made = leaf(OWN, days=3)
    _, _, err = add(shop, made.pem + made.key_pem)
    assert "the intermediate certificate is missing" in err and "expires in 2 days" in err
    [row] = shop.ok("certs:list", "shop", "--format", "json").json
    assert (row["domains"], row["source"], row["issuer"]) == ([OWN], "own", "Test Intermediate")
    shop.ok("certs:remove", "shop")
    assert shop.run("certs:remove", "shop").code == 3
    assert shop.ok("certs:list", "shop", "--format", "json").json == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "standard input is empty"),
        ("x" * 70_000, "longer than"),
        ("no PEM", "no private key found"),
        (bundle(OWN, days=-0.5), "expired on"),
        (bundle(OWN, since=0.5), "not valid before"),
        (
            bundle("elsewhere.example.net"),
            "the certificate is for elsewhere.example.net, which are not domains of shop",
        ),
        (leaf(OWN).pem + leaf(OWN).key_pem, "does not belong"),
    ],
)
def test_a_certificate_that_would_not_work_changes_nothing(shop: World, text: str, reason: str) -> None:
    good = bundle(OWN)
    add(shop, good)
    before = (shop.memory.tls.shown, shop.store.certificates())
    code, out, err = add(shop, text)
    assert code != 0 and out == ""
    assert reason in err and "hint: " in err
    assert (shop.memory.tls.shown, shop.store.certificates()) == before


def test_a_domain_of_another_app_is_refused_and_its_app_only_named_to_who_may_know(shop: World) -> None:
    shop.memory.push("secret")
    shop.ok("domains:add", "secret", "www.example.net")
    text = bundle(OWN, "www.example.net")
    code, _, err = add(shop, text)
    assert code == 1 and "the certificate also covers www.example.net, which belongs to the app 'secret'" in err
    assert add(shop, bundle(OWN, "*.example.net"))[0] == 0  # whoever vouches for that has to know
    assert shop.store.certificates(shop.store.app("secret").id) == []


def test_keys_are_never_printed_or_logged(shop: World) -> None:
    secret = bundle(OWN)
    body = secret.rpartition("-----BEGIN PRIVATE KEY-----")[2].split()[0]
    code, out, err = add(shop, secret)
    printed = (
        out
        + err
        + "".join(shop.ok(*words).out for words in (("certs:list",), ("https:status",), ("audit",), ("server:export",)))
    )
    assert code == 0 and body not in printed and "PRIVATE" not in printed
    assert "PRIVATE" not in repr(shop.store.certificates())


def test_expiry_is_counted_in_whole_days(shop: World) -> None:
    add(shop, bundle(OWN, days=20))
    shop.store._db.execute("UPDATE certificates SET not_after = ?", (time.time() - 3600,))
    shop.memory.showing.bring()  # as every ten seconds
    row = status(shop)
    assert (row["state"], row["days"]) == ("expired", -1)


STATUS = "status.example.com"


@pytest.fixture
def with_page(tmp_path: Path) -> Iterator[World]:
    world = World.open(tmp_path, web=WebSettings(domain=STATUS))
    world.memory.push("shop")
    yield world
    world.store.close()


def test_the_status_page_is_named_by_a_flag(with_page: World) -> None:
    said = with_page.ok("https:enable", "--status-page")
    assert said.out == f"{STATUS}: certificate of Test Intermediate, valid for 89 days\n"
    rows = with_page.ok("https:status", "--format", "json", role=Role.VIEWER).json
    assert [(row["app"], row["state"]) for row in rows] == [("shop", "off"), (None, "ok")]
    assert [row["app"] for row in with_page.ok("certs:list", "--format", "json").json] == [None]
    assert "is not due for renewal" in with_page.run("https:renew", "--status-page").err
    assert with_page.run("certs:remove", "--status-page").code == 3
    assert with_page.run("certs:add", "--status-page", stdin=bundle(STATUS).encode()).code == 0
    with_page.ok("certs:remove", "--status-page")
    assert with_page.ok("https:disable", "--status-page").out == "the status page is served by http only\n"


def test_a_key_that_is_limited_does_not_see_the_status_page(with_page: World) -> None:
    client = with_page.client("https:status", "--format", "json")
    client.session = replace(client.session, identity=replace(client.session.identity, apps=frozenset()))
    assert with_page.go(client).json == []


@pytest.mark.parametrize("name", ["https:enable", "https:disable", "https:renew", "certs:add", "certs:remove"])
def test_the_status_page_is_for_admins_and_one_thing_at_a_time(with_page: World, name: str) -> None:
    refused = with_page.run(name, "--status-page", role=Role.DEPLOYER)
    assert refused.code != 0 and "needs the role admin" in refused.err
    for words in ([], ["shop", "--status-page"]):
        assert "give either an app or --status-page" in with_page.run(name, *words).err
    assert with_page.memory.authority.asked == []


def test_without_a_host_name_the_status_page_has_no_https(shop: World) -> None:
    said = shop.run("https:enable", "--status-page")
    assert said.code == 1 and "has no host name" in said.err and "[web]" in said.err


def test_an_apps_certificate_may_not_name_the_status_page(with_page: World) -> None:
    said = with_page.run("certs:add", "shop", stdin=bundle(OWN, STATUS).encode())
    assert said.code == 1 and f"the certificate also covers {STATUS}, which belongs to the status page" in said.err
