"""What stands between visitors and an app, as text; and that nobody's input becomes part of the program."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitship.front.app_vcl import AppFront, app_vcl, digest, digest_of
from gitship.front.gate import OPEN, Gate, HttpsRedirect, Login, Maintenance, Redirect, in_order, looping
from gitship.front.gate_vcl import declarations
from gitship.front.templates import literal
from gitship.front.visitor_limits import Rate, VisitorLimits
from tests.unit.front.golden import check
from tests.unit.front.test_app_vcl import LARGEST, NONE, ONE

NEVER = replace(NONE, release="v0")  # deployed

NAME = "app_shop_example_v12_1700000000000"
NETWORKS = ("203.0.113.0/24", "2001:db8::/32", "127.0.0.1/32")
REDIRECTS = (
    Redirect("/old", "/new", 301),
    Redirect("/search", "/find?all=1", 302),
    Redirect("/a.b(c)/*", "https://example.net/d/", 307),
    Redirect("/a.b(c)/deep/*", "/", 302),
    Redirect("www.example.com", "https://example.com", 308),
)
HTTPS = HttpsRedirect(("*.example.net", "shop.example.com"), 8443, hsts_s=3600)
LOGINS = (Login("ada", "YWRhOmE="), Login("bob", "Ym9iOmI="))


@pytest.mark.parametrize(
    ("golden", "app"),
    [
        ("gate-maintenance.vcl", replace(ONE, gate=Gate(maintenance=Maintenance()))),
        (
            "gate-maintenance-none.vcl",
            replace(NEVER, gate=Gate(maintenance=Maintenance("<p>soon", NETWORKS))),
        ),
        ("gate-redirects.vcl", replace(ONE, gate=Gate(redirects=REDIRECTS))),
        ("gate-auth.vcl", replace(ONE, gate=Gate(logins=LOGINS))),
        ("gate-allow.vcl", replace(ONE, gate=Gate(allow=NETWORKS))),
        ("gate-limits.vcl", replace(ONE, gate=Gate(limits=VisitorLimits(Rate(100, 10), 100 << 20)))),
        ("gate-https.vcl", replace(ONE, gate=Gate(logins=LOGINS, https=HTTPS))),
        ("gate-https-none.vcl", replace(NEVER, gate=Gate(https=replace(HTTPS, port=443, hsts_s=0)))),
    ],
)
def test_the_gate_as_vcl(golden: str, app: AppFront) -> None:
    check(golden, app_vcl(app, NAME, LARGEST))


@pytest.mark.parametrize(
    "gate",
    [
        Gate(maintenance=Maintenance()),
        Gate(maintenance=Maintenance("<p>")),
        Gate(redirects=REDIRECTS[:1]),
        Gate(logins=LOGINS[:1]),
        Gate(logins=LOGINS),
        Gate(allow=NETWORKS),
        Gate(allow=NETWORKS, limits=VisitorLimits(Rate(100, 10, "all"))),
        Gate(allow=NETWORKS, limits=VisitorLimits(body_bytes=0)),
        Gate(https=HTTPS),
        Gate(https=replace(HTTPS, hosts=HTTPS.hosts[:1])),
        Gate(https=replace(HTTPS, hsts_s=0)),
    ],
)
@pytest.mark.parametrize("app", [ONE, NONE])
def test_the_digest_tells_that_the_gate_is_different(app: AppFront, gate: Gate) -> None:
    other = replace(app, gate=gate)
    assert digest(app, LARGEST) != digest(other, LARGEST)
    assert digest_of(app_vcl(other, NAME, LARGEST)) == digest(other, LARGEST)


def test_the_gate_is_asked_before_the_cache_and_passed_by_gitships_own_token_only() -> None:
    text = app_vcl(replace(ONE, gate=Gate(logins=LOGINS)), NAME, LARGEST)
    recv = text[text.index("sub vcl_recv") :]
    asked = recv.index("if (!req.http.x-gitship-verify) {\n            call gitship_gate;")
    assert recv.index(f'if (req.http.x-gitship-verify != "{ONE.verify_token}")') < asked
    assert asked < recv.index("call gitship_websocket;") < recv.rindex("return (pass)")


# -- the program is the same whatever people type


def parts(vcl: str) -> tuple[str, list[str]]:
    """The program with every string emptied, and the strings: as Varnish's own lexer takes it apart."""
    bare, strings, at = [], [], 0
    while at < len(vcl):
        for start, end in (('"""', '"""'), ('{"', '"}'), ('"', '"')):
            if vcl.startswith(start, at):
                close = vcl.index(end, at + len(start))
                strings.append(vcl[at + len(start) : close])
                assert len(start) > 1 or "\n" not in strings[-1]
                bare.append('""')
                at = close + len(end)
                break
        else:
            bare.append(vcl[at])
            at += 1
    return "".join(bare), strings


@given(st.text(alphabet='"}{a\n;€@', max_size=40))
def test_any_page_comes_out_as_it_went_in(text: str) -> None:
    bare, strings = parts(literal(text))
    assert "".join(strings) == text
    assert set(bare.split(" + ")) == {'""'}


@given(st.text(max_size=60), st.text(max_size=60), st.text(alphabet='/"\\\n;}{*?#.a: ', max_size=20))
def test_a_redirect_is_refused_or_stays_within_its_strings(source: str, target: str, more: str) -> None:
    for made_source, made_target in ((source, target), ("/" + more, "/" + target), ("/x", "https://h" + more)):
        try:
            made = Redirect(made_source, made_target, 301)
        except ValueError:
            continue
        plain = Redirect("h.example" if made.is_host else "/p/*" if made.is_prefix else "/p", "/t", 301)
        if not made.keeps_query:
            plain = replace(plain, target="/t?q")
        bare, strings = parts(declarations(Gate(redirects=(made,)), "shop"))
        assert bare == parts(declarations(Gate(redirects=(plain,)), "shop"))[0]
        assert made.base in strings


@given(st.text(max_size=30))
def test_networks_and_logins_are_refused_or_harmless(text: str) -> None:
    for owner in (Gate, Maintenance):
        try:
            owner(allow=(text,))
        except ValueError:
            continue
        assert re.fullmatch(r"[0-9a-f.:]+/[0-9]+", text)
    try:
        login = Login(text, text)
    except ValueError:
        return
    assert not set(login.credentials) & set('"\\\n{}')


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("old", "/new "), ("/old", ""), ("/old", "new"), ("/old", "//evil.example"), ("/old", "ftp://a.example"),
        ("/old", "javascript:alert(1)"), ("/old", "https://a.example@evil.example"), ("/old", "https://"),
        ("/old", "/\\evil.example"), ("/o*d", "/new"), ("/old?x", "/new"), ("/old#x", "/new"), ("/old/*", "/new?x="),
        ("www.example.com", "https://example.com/#x"), ("www.example.com:80", "/x"), ("", "/x"), ("/\u00e4", "/x"),
        ("/old", 'https://a.example/"'), ("/old", "/a\r\nSet-Cookie: b"), ('/old" + "', "/x"),
    ],
)  # fmt: skip
def test_what_is_no_redirect(source: str, target: str) -> None:
    with pytest.raises(ValueError):
        Redirect(source, target, 301)


# -- where a redirect leads


@pytest.mark.parametrize(
    ("host", "url", "location"),
    [
        ("shop", "/old", "/new"),
        ("shop", "/old?a=b", "/new?a=b"),
        ("shop", "/older", None),
        ("shop", "/old/", None),
        ("shop", "/search?a=b", "/find?all=1"),
        ("shop", "/a.b(c)/x?y", "https://example.net/d/x?y"),
        ("shop", "/a.b(c)/deep/x", "/x"),
        ("shop", "/a.b(c)/deep//evil.example", "/evil.example"),
        ("shop", "/a.b(c)/deep/\\/evil.example", "/evil.example"),
        ("www.example.com", "/old?a", "https://example.com/old?a"),
        ("xwww.example.com", "/x", None),
    ],
)
def test_where_a_url_is_sent(host: str, url: str, location: str | None) -> None:
    assert next((to for r in in_order(REDIRECTS) if (to := r.location(host, url)) is not None), None) == location


OWN = {"shop.example.com", "www.example.com"}


@pytest.mark.parametrize(
    "circle",
    [
        [("/a", "/a")],
        [("/a", "/a?x")],
        [("/a", "http://shop.example.com/a")],
        [("/a", "https://WWW.example.com/a")],
        [("/a", "/b"), ("/b", "/c"), ("/c", "/a")],
        [("/a/*", "/a/b")],
        [("/*", "/")],
        [("www.example.com", "http://www.example.com")],
        [("www.example.com", "http://shop.example.com"), ("shop.example.com", "http://www.example.com/x")],
        [("/a", "http://www.example.com/b"), ("www.example.com", "http://shop.example.com"), ("/b", "/a")],
    ],
)
def test_a_circle_is_found(circle: list[tuple[str, str]]) -> None:
    assert looping([Redirect(source, target, 302) for source, target in circle], OWN) is not None


@pytest.mark.parametrize(
    "line",
    [
        [("/a", "/b"), ("/b", "/c")],
        [("/a", "https://elsewhere.example/a")],
        [("/*", "https://elsewhere.example")],
        [("/a/*", "/b"), ("/b/*", "/c/")],
        [("www.example.com", "http://shop.example.com"), ("/a", "/b")],
        [("/a", "/a/")],
    ],
)
def test_a_line_is_no_circle(line: list[tuple[str, str]]) -> None:
    assert looping([Redirect(source, target, 302) for source, target in line], OWN) is None


def test_an_open_gate_is_nothing() -> None:
    assert OPEN.open
    assert declarations(OPEN, "shop") == ""
    assert "gitship_gate" not in app_vcl(ONE, NAME, LARGEST)
