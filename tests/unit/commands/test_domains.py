from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitship.console.host_names import domain_name
from gitship.errors import GitshipError
from gitship.model import DOMAIN_NAME, Role
from tests.unit.commands.world import World


@pytest.fixture
def two(world: World) -> World:
    world.ok("apps:create", "shop")
    world.ok("apps:create", "blog")
    return world


def listed(world: World, app: str) -> list[str]:
    return [row["domain"] for row in world.ok("domains:list", app, "--format", "json").json]


def test_a_domain_is_added_listed_and_removed(two: World) -> None:
    two.ok("domains:add", "shop", "WWW.Example.NET.")
    assert listed(two, "shop") == ["shop.example.com", "www.example.net"]
    two.ok("domains:remove", "shop", "www.EXAMPLE.net")
    assert listed(two, "shop") == ["shop.example.com"]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("faß.example", "xn--fa-hia.example"),
        ("例え.テスト", "xn--r8jz45g.xn--zckzah"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("example。com", "example.com"),
        ("localhost", "localhost"),
        ("a.b-c.d1", "a.b-c.d1"),
    ],
)
def test_a_name_is_kept_as_dns_knows_it(text: str, name: str) -> None:
    assert domain_name(text) == name


@pytest.mark.parametrize(
    "text",
    ["", ".", "a..b", "-a.com", "a_b.com", "http://a.com", "a.com:80", "a.com/x",
     "*.com", "a.*.com", "*a.com", "*", "*.*.com", "*.10.0.0.1",
     "a b.com", "10.0.0.1",
     "[::1]", "x" * 64 + ".com", ".".join(["abcdefgh"] * 32), "a.com\nHost: b", "☃\u202e.com", "a;b.com", "a\".com"],
)  # fmt: skip
def test_what_is_no_host_name_is_refused(two: World, text: str) -> None:
    with pytest.raises(GitshipError):
        domain_name(text)
    client = two.run("domains:add", "shop", "--", text)
    assert client.code == 2
    assert "hint: " in client.err
    assert two.store.domains() == []


@given(st.text(max_size=40))
def test_any_text_is_a_name_or_an_error(text: str) -> None:
    try:
        name = domain_name(text)
    except GitshipError:
        return
    assert DOMAIN_NAME.fullmatch(name)
    assert domain_name(name) == name


def test_a_name_leads_to_one_app_only(two: World) -> None:
    two.ok("domains:add", "blog", "www.example.net")
    client = two.run("domains:add", "shop", "WWW.example.net")
    assert client.code == 1
    assert "belongs to the app 'blog'" in client.err
    assert "no change" in two.ok("domains:add", "blog", "www.example.net").err


def test_all_domains_of_an_app_are_set_at_once_or_not_at_all(two: World) -> None:
    two.ok("domains:add", "shop", "old.example.net")
    two.ok("domains:add", "blog", "taken.example.net")
    refused = two.run("domains:set", "shop", "new.example.net", "taken.example.net")
    assert (refused.code, listed(two, "shop")) == (1, ["shop.example.com", "old.example.net"])
    two.ok("domains:set", "shop", "new.example.net", "*.example.org", "new.example.net")
    assert listed(two, "shop") == ["shop.example.com", "*.example.org", "new.example.net"]
    assert "no change" in two.ok("domains:set", "shop", "new.example.net", "*.example.org").err
    two.ok("domains:set", "shop")
    assert listed(two, "shop") == ["shop.example.com"]


def test_a_wildcard_is_kept_as_dns_knows_it_and_belongs_to_one_app(two: World) -> None:
    two.ok("domains:add", "shop", "*.Bücher.example.")
    assert listed(two, "shop") == ["shop.example.com", "*.xn--bcher-kva.example"]
    assert "belongs to the app 'shop'" in two.run("domains:add", "blog", "*.xn--bcher-kva.example").err
    two.ok("domains:remove", "shop", "*.bücher.example")
    assert listed(two, "shop") == ["shop.example.com"]


def test_all_names_below_the_servers_own_domain_are_an_admins_to_give(two: World) -> None:
    refused = two.run("domains:add", "shop", "*.example.com", role=Role.DEPLOYER)
    assert (refused.code, "no permission for *.example.com" in refused.err) == (1, True)
    two.ok("domains:add", "shop", "*.example.com")


def test_a_host_below_a_wildcard_can_be_redirected(two: World) -> None:
    assert two.run("redirects:add", "shop", "old.example.net", "https://example.net").code == 1
    two.ok("domains:add", "shop", "*.example.net")
    two.ok("redirects:add", "shop", "old.example.net", "https://example.net")
    assert two.run("redirects:add", "shop", "a.old.example.net", "https://example.net").code == 1


def test_another_apps_own_name_is_refused(two: World) -> None:
    client = two.run("domains:add", "shop", "blog.example.com")
    assert client.code == 1
    assert "belongs to the app 'blog'" in client.err
    client = two.run("domains:add", "blog", "shop.example.com", role=Role.DEPLOYER)
    assert "belongs to the app 'shop'" in client.err


def test_names_directly_below_the_servers_domain_belong_to_apps_though_there_be_none(two: World) -> None:
    for command in ("domains:add", "domains:set"):
        client = two.run(command, "shop", "www.example.net", "www.example.com")
        assert client.code == 1
        assert (
            "www.example.com is directly below example.com, where each name belongs to the app of that name"
            in client.err
        )
        assert "hint: name an app www to use it: apps:create www, or apps:rename shop www" in client.err
        assert listed(two, "shop") == ["shop.example.com"]
    two.ok("domains:add", "shop", "www.shop.example.com")


def test_one_that_is_there_from_before_stays_until_it_is_removed(two: World) -> None:
    two.store.add_domain(two.store.app("shop").id, "www.example.com")
    assert "no change" in two.ok("domains:add", "shop", "www.example.com").err
    two.ok("domains:set", "shop", "www.example.com", "www.example.net")
    assert listed(two, "shop") == ["shop.example.com", "www.example.com", "www.example.net"]
    two.ok("domains:remove", "shop", "www.example.com")
    assert two.run("domains:add", "shop", "www.example.com").code == 1


def test_the_apps_own_name_needs_no_adding_and_stays(two: World) -> None:
    assert "no change" in two.ok("domains:add", "shop", "shop.example.com").err
    assert (
        "cannot remove shop.example.com: it is the app's own name"
        in two.run("domains:remove", "shop", "shop.example.com").err
    )


def test_removing_anothers_domain_does_nothing(two: World) -> None:
    two.ok("domains:add", "blog", "www.example.net")
    assert two.run("domains:remove", "shop", "www.example.net").code == 3
    assert listed(two, "blog") == ["blog.example.com", "www.example.net"]


def test_several_names_are_added_and_removed_all_or_none(two: World) -> None:
    two.ok("domains:add", "blog", "taken.example.net")
    refused = two.run("domains:add", "shop", "a.example.net", "taken.example.net", "b.example.net")
    assert (refused.code, refused.out, "belongs to the app 'blog'" in refused.err) == (1, "", True)
    assert listed(two, "shop") == ["shop.example.com"]
    two.ok("domains:add", "shop", "a.example.net", "A.example.net.", "*.example.org")
    assert listed(two, "shop") == ["shop.example.com", "*.example.org", "a.example.net"]
    absent = two.run("domains:remove", "shop", "a.example.net", "a.exampel.net")
    assert (absent.code, absent.out, "did you mean 'a.example.net'?" in absent.err) == (3, "", True)
    assert two.run("domains:remove", "shop", "a.example.net", "shop.example.com").code == 1
    assert "a.example.net" in listed(two, "shop")
    two.ok("domains:remove", "shop", "a.example.net", "*.example.org")
    assert listed(two, "shop") == ["shop.example.com"]
    for command in ("domains:add", "domains:remove"):
        client = two.run(command, "shop")
        assert (client.code, client.err.startswith("error: DOMAIN is missing\nhint: ")) == (2, True)
