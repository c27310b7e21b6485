"""The VCL of an app as text."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gitship.front.app_vcl import (
    AppFront,
    app_vcl,
    digest,
    digest_of,
    for_version,
    label_name,
    unavailable_vcl,
    vcl_name,
)
from gitship.front.backend_vcl import Backend
from gitship.front.canary_vcl import CanarySide, telling
from gitship.front.probe_vcl import Probe
from gitship.model import App
from tests.unit.front.golden import check

LARGEST = 16 << 20
ONE = AppFront(
    slug="shop_example",
    app="shop.example",
    release="v12",
    cache_key="7/0123456789abcdef",
    backends=(Backend("shop.example.web.1.v12", "10.231.0.5", 5000),),
    verify_token="T" * 32,
    proxy=Path("/data/varnish/websockets/in.sock"),
)
THREE = replace(
    ONE,
    backends=tuple(Backend(f"shop.example.web.{n}.v12", f"10.231.0.{n}", 5000) for n in (5, 6, 7)),
    probe=Probe("/healthz", ("Host: shop.example.com",)),
)
NONE = replace(ONE, backends=(), verify_token="")


def test_an_app_with_one_container() -> None:
    check("one.vcl", app_vcl(ONE, "app_shop_example_v12_1700000000000", LARGEST))


def test_an_app_with_three_containers_and_a_probe() -> None:
    check("three.vcl", app_vcl(THREE, "app_shop_example_v12_1700000000000", LARGEST))


def test_an_app_without_containers() -> None:
    check("none.vcl", app_vcl(replace(NONE, release="v0"), "app_shop_example_v0_1700000000000", LARGEST))
    check("scaled-to-none.vcl", app_vcl(NONE, "app_shop_example_v12_1700000000000", LARGEST))
    check("no-web.vcl", app_vcl(replace(NONE, web=False), "app_shop_example_v12_1700000000000", LARGEST))


@pytest.mark.parametrize(
    ("app", "said"),
    [
        (replace(NONE, release="v0"), "Nothing has been deployed"),
        (NONE, "ps:scale shop.example web=1"),
        (replace(NONE, web=False), "It has no web process"),
        (replace(NONE, stopped=True), "ps:start shop.example"),
        (replace(NONE, release="v0", stopped=True), "ps:start shop.example"),
    ],
)
def test_whatever_runs_nothing_answers_503_in_its_own_words(app: AppFront, said: str) -> None:
    text = app_vcl(app, "app_shop_example_v0_1", LARGEST)
    assert text.count("return (synth(503, ") == 1 and "synth(502" not in text
    words = ("Nothing has been deployed", "ps:scale", "It has no web process", "ps:start")
    assert [word for word in words if word in text] == [word for word in words if word in said]


def test_a_stopped_app_says_so_only_while_nothing_runs() -> None:
    text = app_vcl(replace(NONE, stopped=True), "app_shop_example_v0_1700000000000", LARGEST)
    assert '503, "Stopped"' in text and "ps:start shop.example" in text
    assert "ps:start" not in app_vcl(replace(ONE, stopped=True), "app_shop_example_v12_1", LARGEST)
    assert "ps:start" not in app_vcl(NONE, "app_shop_example_v0_1", LARGEST)


def test_the_page_for_an_app_that_could_not_be_loaded() -> None:
    check("unavailable.vcl", unavailable_vcl())


def test_names_have_only_letters_that_vcl_names_may_have() -> None:
    app = replace(ONE, slug=App(1, "my-shop.example", 0.0).slug)
    assert vcl_name(app, 1700000000000) == "app_my-shop_example_v12_1700000000000"
    assert label_name(app.slug) == "z_my-shop_example"


def test_the_digest_is_the_same_for_another_name_and_token() -> None:
    other = replace(ONE, verify_token="U" * 32)
    assert digest_of(app_vcl(ONE, "app_a_v1_1", LARGEST)) == digest_of(app_vcl(other, "app_a_v1_2", LARGEST))


@pytest.mark.parametrize(
    "other",
    [
        replace(ONE, cache_key="8/0123456789abcdef"),
        replace(ONE, release="v13"),
        replace(ONE, probe=Probe("/")),
        replace(ONE, backends=(Backend("shop.example.web.1.v12", "10.231.0.6", 5000),)),
        replace(ONE, backends=(Backend("shop.example.web.1.v12", "10.231.0.5", 5001),)),
        NONE,
        THREE,
    ],
)
def test_the_digest_tells_whatever_else_is_different(other: AppFront) -> None:
    assert digest(ONE, LARGEST) != digest(other, LARGEST)
    assert digest(ONE, LARGEST) != digest(ONE, LARGEST + 1)
    assert digest(other, LARGEST) == digest_of(app_vcl(other, "app_a_v1_1", LARGEST))


@pytest.mark.parametrize("token", ["", "short", "x" * 15, 'x" || "a" == "a'])
def test_an_app_with_containers_needs_a_token_that_cannot_be_met_by_chance(token: str) -> None:
    with pytest.raises(ValueError, match="cannot be put into VCL"):
        replace(ONE, verify_token=token)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("slug", "a.b"),
        ("slug", 'x"'),
        ("app", 'shop"; }'),
        ("app", "shop\n}"),
        ("release", "v1 v2"),
        ("cache_key", 'a")'),
    ],
)
def test_nothing_can_break_out_of_its_place_in_the_program(field: str, value: str) -> None:
    with pytest.raises(ValueError, match="cannot be put into VCL"):
        replace(ONE, **{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("path", "header"),
    [("healthz", "A: b"), ('/"; .interval = 0s; "', "A: b"), ("/a b", "A: b"), ("/", 'A: "'), ("/", "A: b\r\nC: d")],
)
def test_nothing_can_break_out_of_a_probe(path: str, header: str) -> None:
    with pytest.raises(ValueError, match="cannot be put into VCL"):
        Probe(path, (header,))


@pytest.mark.parametrize(("address", "port"), [("localhost", 80), ('127.0.0.1"', 80), ("127.0.0.1", 0)])
def test_a_backend_is_an_address_and_a_port(address: str, port: int) -> None:
    with pytest.raises(ValueError):
        Backend("web", address, port)


@pytest.mark.parametrize("beside_others", [True, False])
def test_a_side_of_a_canary_tells_its_visitors(beside_others: bool) -> None:
    check(
        f"side-{'header' if beside_others else 'plain'}.vcl",
        telling(CanarySide("12-new", 361, "7/other"), beside_others=beside_others),
    )
    assert telling(None, beside_others=beside_others) == ""
    assert digest(replace(ONE, side=CanarySide("12-old", 361, "7/other")), LARGEST) != digest(ONE, LARGEST)


def test_one_side_of_a_canary_looks_for_a_page_under_the_others_key_too() -> None:
    side = app_vcl(replace(ONE, side=CanarySide("12-new", 600, "7/other")), "app_a_v1_1", LARGEST)
    assert 'set req.http.x-gitship-changes = "look-first";' in side and 'hash_data("7/other");' in side
    assert 'set req.http.x-gitship-changes = "look";' in app_vcl(ONE, "app_a_v1_1", LARGEST)


@pytest.mark.parametrize(
    "wrong", [("12-new", 600, '7/"'), ("12-new", 600, ""), ("12-new", 0, "7/a"), ("12", 600, "7/a")]
)
def test_a_side_is_nothing_that_could_end_a_string_of_vcl(wrong: tuple[str, int, str]) -> None:
    with pytest.raises(ValueError, match="not a canary's side"):
        CanarySide(*wrong)


def test_varnish_6_6_is_not_told_what_it_does_not_know() -> None:
    text = "sub vcl_recv {\n    set req.hash_ignore_busy = true;\n    set req.hash_ignore_vary = true;\n}\n"
    assert for_version(text, (7, 0)) == text
    assert for_version(text, (6, 6)) == "sub vcl_recv {\n    set req.hash_ignore_busy = true;\n}\n"
