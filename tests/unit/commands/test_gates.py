"""maintenance, redirects, auth and allow: what may be typed, what is kept, and what is never shown."""

from __future__ import annotations

from base64 import b64decode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitship.console.ip_networks import network
from gitship.console.redirect_targets import redirect
from gitship.errors import GitshipError
from gitship.front.gate import OPEN, PAGE_BYTES, Gate, Login, Maintenance, Redirect
from gitship.model import Role
from gitship.routing.gate_settings import gate_of, store_gate
from tests.unit.commands.world import Client, World


@pytest.fixture
def shop(world: World) -> World:
    world.ok("apps:create", "shop")
    return world


def gate(world: World) -> Gate:
    return gate_of(world.store, world.store.app("shop").id)


def refused(world: World, client: Client, code: int = 1) -> str:
    """The message of a command that failed with a hint or a plain reason, and changed nothing."""
    assert client.code == code, client.err
    assert client.err.startswith("error: ")
    assert client.out == ""
    return client.err


def test_a_gate_is_kept_as_it_is(shop: World) -> None:
    wanted = Gate(
        ("10.0.0.0/8",),
        Maintenance("<p>€", ("::1/128",)),
        (Redirect("/a", "/b", 302),),
        (Login("ada", "YWRhOmE="),),
    )
    app_id = shop.store.app("shop").id
    store_gate(shop.store, app_id, wanted)
    assert gate(shop) == wanted
    store_gate(shop.store, app_id, OPEN)
    assert gate(shop) == OPEN
    assert shop.store.app_settings(app_id).values == {}


# -- maintenance


def test_maintenance_on_shown_and_off(shop: World) -> None:
    client = shop.run("maintenance:on", "shop", "--page", "-", "--allow", "10.0.0.1", "--allow", "::1", stdin=b"<p>")
    assert client.code == 0, client.err
    assert gate(shop).maintenance == Maintenance("<p>", ("10.0.0.1/32", "::1/128"))
    row = {"on": True, "page_bytes": 3, "allow": ["10.0.0.1/32", "::1/128"]}
    assert shop.ok("maintenance:show", "shop", "--format", "json", role=Role.VIEWER).json == row
    shop.ok("maintenance:on", "shop")
    assert gate(shop).maintenance == Maintenance()
    shop.ok("maintenance:off", "shop")
    shop.ok("maintenance:off", "shop")
    assert shop.ok("maintenance", "shop", "--format", "json").json == {"on": False, "page_bytes": None, "allow": []}


@pytest.mark.parametrize(
    ("stdin", "reason"),
    [
        (b"x" * (PAGE_BYTES + 1), "longer than 262,144 bytes"),
        (b" \n", "is empty"),
        (b"<p>\x00", "control characters"),
        (b"\xff\xfe", "not UTF-8"),
    ],
)
def test_a_page_that_cannot_be_one(shop: World, stdin: bytes, reason: str) -> None:
    assert reason in refused(shop, shop.run("maintenance:on", "shop", "--page", "-", stdin=stdin))
    assert gate(shop) == OPEN


def test_a_page_is_no_file_of_the_server(shop: World) -> None:
    err = refused(shop, shop.run("maintenance:on", "shop", "--page", "/etc/passwd"), 2)
    assert "--page - < page.html" in err
    assert gate(shop) == OPEN


# -- redirects


def test_redirects_are_added_replaced_listed_and_removed(shop: World) -> None:
    shop.ok("domains:add", "shop", "www.example.net")
    shop.ok("redirects:add", "shop", "/old", "/new")
    shop.ok("redirects:add", "shop", "/old", "/newer", "--code", "302")
    shop.ok("redirects:add", "shop", "WWW.example.net", "https://example.net", "--code", "308")
    assert shop.ok("redirects:list", "shop", "--format", "json", role=Role.VIEWER).json == [
        {"from": "/old", "to": "/newer", "code": 302},
        {"from": "www.example.net", "to": "https://example.net", "code": 308},
    ]
    assert "did you mean '/old'?" in refused(shop, shop.run("redirects:remove", "shop", "/odl"), 3)
    shop.ok("redirects:remove", "shop", "/old")
    assert [r.source for r in gate(shop).redirects] == ["www.example.net"]


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (("/a", "/a"), 1, "redirect in a loop"),
        (("/a", "http://shop.example.com/a"), 1, "redirect in a loop"),
        (("www.other.example", "/a"), 1, "domains:add shop www.other.example"),
        (("/a", "evil"), 2, "not a redirect target"),
        (("/a?b", "/c"), 2, "not a path to redirect"),
        (("/a/*", "/c?d"), 2, "not a redirect target"),
        (("a b", "/c"), 2, "not a host name"),
        (("/a", "/b", "--code", "303"), 2, "303"),
    ],
)
def test_a_redirect_that_cannot_be(shop: World, words: tuple[str, ...], code: int, reason: str) -> None:
    assert reason in refused(shop, shop.run("redirects:add", "shop", *words), code)
    assert gate(shop) == OPEN


def test_other_scripts_are_kept_as_browsers_send_them() -> None:
    assert redirect("/grüße", "/a b/%41é", 301) == Redirect("/gr%C3%BC%C3%9Fe", "/a%20b/%41%C3%A9", 301)


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_words_are_a_redirect_or_an_error(source: str, target: str) -> None:
    for start in ("", "/"):
        try:
            redirect(start + source, start + target, 301)
        except GitshipError as error:
            assert error.hint


# -- passwords


def test_a_password_from_standard_input_is_kept_for_varnish_and_never_shown(shop: World) -> None:
    client = shop.run("auth:set", "shop", "ada", stdin="pass: wörd\n".encode())
    assert client.code == 0, client.err
    [login] = gate(shop).logins
    assert b64decode(login.credentials).decode() == "ada:pass: wörd"
    listed = shop.ok("auth:list", "shop", "--format", "json", role=Role.VIEWER)
    assert listed.json == [{"user": "ada"}]
    assert login.credentials not in client.out + client.err


class Typed:
    """A terminal's keys, one line at a time."""

    def __init__(self, *lines: bytes) -> None:
        self._lines = list(lines)

    def read(self, size: int, /) -> bytes:
        return self._lines.pop(0) if self._lines else b""


def typed(world: World, *lines: bytes) -> Client:
    client = world.client("auth:set", "shop", "ada", pty=True)
    client.session.stdin = Typed(*lines)
    return world.go(client)


def test_a_password_typed_twice_is_not_echoed(shop: World) -> None:
    client = typed(shop, b"swordfish\r", b"swordfish\r")
    assert client.code == 0, client.out + client.err
    assert "swordfish" not in client.out + client.err
    assert b64decode(gate(shop).logins[0].credentials) == b"ada:swordfish"
    other = typed(shop, b"one\r", b"two\r")
    assert other.code == 1
    assert "nothing was changed" in other.err
    assert b64decode(gate(shop).logins[0].credentials) == b"ada:swordfish"


@pytest.mark.parametrize(
    ("user", "stdin", "code"),
    [
        ("a:b", b"x", 2), ("", b"x", 2), ("a\nb", b"x", 2), (" a", b"x", 2), ("x" * 65, b"x", 2),
        ("ada", b"", 1), ("ada", b"\n", 1), ("ada", b"a\nb", 1), ("ada", b"x" * 2000, 1), ("ada", b"\xff", 1),
    ],
)  # fmt: skip
def test_what_no_browser_could_send(shop: World, user: str, stdin: bytes, code: int) -> None:
    refused(shop, shop.run("auth:set", "shop", user, stdin=stdin), code)
    assert gate(shop) == OPEN


def test_the_last_user_stays_until_off_so_that_nothing_opens_by_accident(shop: World) -> None:
    for user in ("ada", "bob"):
        assert shop.run("auth:set", "shop", user, stdin=b"x").code == 0
    assert "did you mean 'bob'?" in refused(shop, shop.run("auth:remove", "shop", "bbo"), 3)
    shop.ok("auth:remove", "shop", "ada")
    assert "auth:off shop" in refused(shop, shop.run("auth:remove", "shop", "bob"))
    assert [login.user for login in gate(shop).logins] == ["bob"]
    shop.ok("auth:off", "shop")
    assert gate(shop) == OPEN


# -- networks


def test_networks_are_added_once_and_the_last_stays_until_off(shop: World) -> None:
    shop.ok("allow:add", "shop", "10.0.0.0/8", "2001:DB8::/32")
    shop.ok("allow:add", "shop", "203.0.113.7", "10.0.0.0/8")
    assert gate(shop).allow == ("10.0.0.0/8", "2001:db8::/32", "203.0.113.7/32")
    assert shop.ok("allow", "shop", "--format", "json", role=Role.VIEWER).json[1] == {"network": "2001:db8::/32"}
    shop.ok("allow:remove", "shop", "10.0.0.0/8", "2001:db8::/32")
    assert "allow:off shop" in refused(shop, shop.run("allow:remove", "shop", "203.0.113.7"))
    assert "not on shop's list" in refused(shop, shop.run("allow:remove", "shop", "10.0.0.0/8"), 3)
    assert gate(shop).allow == ("203.0.113.7/32",)
    shop.ok("allow:off", "shop")
    assert gate(shop) == OPEN


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ((), "CIDR is missing"),
        (("10.0.0.0/33",), "not an address or network"),
        (("example.com",), "not an address or network"),
        (("10.0.0.1/8",), "give 10.0.0.0/8, or 10.0.0.1 alone"),
        (("fe80::1%eth0",), "not an address or network"),
        (("::ffff:10.0.0.1",), "give 10.0.0.1"),
        (("10.0.0.1", '1.2.3.4"/8; }'), "not an address or network"),
    ],
)
def test_what_is_no_network(shop: World, words: tuple[str, ...], reason: str) -> None:
    for command in ("allow:add", "allow:remove"):
        assert reason in refused(shop, shop.run(command, "shop", *words), 2)
    assert gate(shop) == OPEN


@given(st.text(max_size=30) | st.ip_addresses().map(str))
def test_any_word_is_a_network_or_an_error(text: str) -> None:
    try:
        found = network(text)
    except GitshipError as error:
        assert error.hint
        return
    assert network(found) == found
    assert Gate(allow=(found,)).allow == (found,)
