"""Two sides of a canary in a real Varnish: who gets which, that they stay there, and that nothing is mixed."""

from __future__ import annotations

import http.client
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from gitship.deploy import canary as deploy
from gitship.errors import FrontError
from gitship.front.canary_vcl import CanaryShare, CanarySide, telling
from gitship.front.front import AppFront, Front
from tests.e2e.front.asking import TOKEN, app, ask
from tests.e2e.front.conftest import LOOPBACK, MEMORY_BYTES, switch
from tests.e2e.front.origin import Origin

pytestmark = pytest.mark.e2e

HOST = "shop.localhost"
SHARE = CanaryShare("12", 30)
OLD, NEW = CanarySide(SHARE.rest, 600, "shop/v2"), CanarySide(SHARE.canary, 600, "shop/v1")


class Canary:
    """v1 serves, and v2 a share."""

    def __init__(self, front: Front, old: Origin, new: Origin) -> None:
        self.front = front
        self.old, self.new = old, new
        front.set_hosts({HOST: "shop", "*.shop.example": "shop", "blog.localhost": "blog"})
        self.first = switch(front, self.wanted(old, "v1"))
        self.rest = switch(front, replace(self.wanted(old, "v1"), side=OLD))
        self.canary = front.load(replace(self.wanted(new, "v2"), side=NEW))
        front.canaries.label("shop", self.canary)
        front.canaries.share("shop", SHARE)

    def wanted(self, origin: Origin, release: str) -> AppFront:
        return app("shop", origin, release=release)

    def version(self, cookie: str = "", path: str = "/", host: str = HOST) -> str:
        answer = ask(self.front.address, host, path, headers={"Cookie": cookie} if cookie else {})
        assert answer.status == 200
        return answer.headers["x-version"]

    def versions(self, count: int, host: str = HOST) -> Counter[str]:
        return Counter(self.version(host=host) for _ in range(count))


@pytest.fixture
def canary(front: Front) -> Iterator[Canary]:
    with Origin("v1") as old, Origin("v2") as new:
        yield Canary(front, old, new)


def cookies(front: Front, path: str = "/") -> list[str]:
    """All Set-Cookie headers of one answer."""
    connection = http.client.HTTPConnection(front.address.host, front.address.port, timeout=10)
    connection.request("GET", path, headers={"Host": HOST})
    answer = connection.getresponse()
    connection.close()
    return answer.headers.get_all("Set-Cookie") or []


def test_about_its_share_of_visitors_gets_the_canary_and_each_stays_on_its_side(canary: Canary) -> None:
    assert 30 <= canary.versions(200)["v2"] <= 95  # 60 expected: outside of that once in a million
    assert canary.versions(60, "www.shop.example")["v2"], "by every host of the app"
    sides: dict[str, str] = {}
    while len(sides) < 2:
        answer = ask(canary.front.address, HOST)
        told = answer.headers["set-cookie"]
        assert told.partition("; ")[2] == "Path=/; Max-Age=600; HttpOnly; SameSite=Lax"
        sides[answer.headers["x-version"]] = told.partition(";")[0]
    for version, cookie in sides.items():
        assert {canary.version(f"a=1; {cookie}") for _ in range(20)} == {version}
        assert "set-cookie" not in ask(canary.front.address, HOST, headers={"Cookie": cookie}).headers
    earlier = Counter(canary.version("gitship_canary=11-new") for _ in range(60))
    assert earlier["v1"] and earlier["v2"], "the side of an earlier canary counts for nothing"


def test_each_side_has_its_own_cache_and_the_cookie_keeps_nobody_from_it(canary: Canary) -> None:
    path = "/page?cache-control=max-age%3D60"
    for side, version in ((OLD, "v1"), (NEW, "v2")) * 3:
        assert canary.version(f"gitship_canary={side.cookie}", path) == version
    assert (canary.old.count("/page"), canary.new.count("/page")) == (1, 1)
    assert all("set-cookie" not in seen.headers for seen in canary.old.seen)
    canary.version("gitship_canary=12-old", "/seen")
    canary.version("a=1; gitship_canary=12-old; b=2", "/seen")
    seen = [s.headers.get("cookie") for s in canary.old.seen if s.path == "/seen"]
    assert seen == [None, "a=1; b=2"], "the app sees its own cookies only"
    assert not [name for s in canary.new.seen for name in s.headers if name.startswith("x-gitship")]


def test_the_apps_own_cookie_is_set_beside_the_sides(canary: Canary) -> None:
    own, side = cookies(canary.front, "/?set-cookie=session%3D1")
    assert own == "session=1"
    assert side.startswith("gitship_canary=12-")


def test_without_the_vmod_a_visitor_is_told_with_an_answer_that_sets_no_cookie(front: Front) -> None:
    text = telling(NEW, beside_others=False)
    assert "import header" not in text
    front._control.inline("plain", f'vcl 4.1;\nimport std;\nbackend a {{ .host = "127.0.0.1"; }}\n{text}')


def test_gitships_own_request_gets_the_side_that_it_asks_for_and_is_told_nothing(canary: Canary) -> None:
    headers = {"X-Gitship-Verify": TOKEN, "Cookie": f"gitship_canary={SHARE.canary}"}
    for _ in range(10):
        answer = ask(canary.front.address, HOST, headers=headers)
        assert answer.headers["x-gitship-release"] == canary.canary
    assert "set-cookie" not in ask(canary.front.address, HOST, headers={"X-Gitship-Verify": TOKEN}).headers


def test_one_label_ends_it_for_everybody_at_once(canary: Canary) -> None:
    assert canary.front.canaries.label("shop", canary.rest) == canary.canary
    assert canary.versions(100) == {"v1": 100}
    assert canary.version(f"gitship_canary={SHARE.canary}") == "v1"
    assert canary.front.canaries.end("shop") == canary.rest
    assert canary.versions(20) == {"v1": 20}
    assert "set-cookie" in ask(canary.front.address, HOST).headers, "until the usual VCL is back"


def test_an_abort_is_that_one_label_also_when_varnish_then_takes_no_new_table(
    canary: Canary, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(hosts: object) -> None:
        raise FrontError("Varnish cannot load top_1", "")

    nothing: Any = None
    stage = deploy.Canary(*[nothing, canary.front, *[nothing] * 7])
    rollout: Any = SimpleNamespace(app=SimpleNamespace(slug="shop"), release=SimpleNamespace(label="v2"))
    with monkeypatch.context() as patch:
        patch.setattr(canary.front._routes, "set_hosts", refused)
        with pytest.raises(FrontError, match="cannot load"):
            stage._end(rollout)
        assert canary.versions(50) == {"v1": 50}
        assert canary.version(f"gitship_canary={SHARE.canary}") == "v1"
    canary.front.canaries.end("shop")


def test_nothing_of_it_is_left_afterwards(canary: Canary) -> None:
    assert canary.front.canaries.end("shop") == canary.canary
    switch(canary.front, canary.wanted(canary.old, "v1"))
    assert canary.canary in canary.front.unlabelled("shop")
    for vcl in canary.front.unlabelled("shop"):
        canary.front.discard(vcl)
    assert not [v.name for v in canary.front._control.loaded() if v.name == canary.canary and not v.discarded]
    assert "C_" not in (canary.front.workdir.parent / "boot.cli").read_text()
    assert canary.versions(50) == {"v1": 50}
    switch(canary.front, replace(canary.wanted(canary.old, "v1"), side=OLD))
    again = canary.front.load(replace(canary.wanted(canary.new, "v3"), side=CanarySide("13-new", 60, "shop/v1")))
    canary.front.canaries.label("shop", again)
    canary.front.canaries.share("shop", CanaryShare("13", 99))
    assert canary.versions(50)["v2"] > 30, "the next canary finds its label free"
    canary.front.remove("shop")
    assert ask(canary.front.address, HOST).status == 404


def test_it_lasts_over_other_changes_and_a_new_varnish(canary: Canary) -> None:
    canary.front.set_hosts({HOST: "shop", "more.localhost": "more"})
    assert canary.versions(60)["v2"]
    assert canary.canary not in canary.front.unlabelled("shop")
    canary.front.discard(canary.canary)
    assert canary.versions(60)["v2"], "what a label leads to is not discarded"
    canary.front.stop()
    canary.front.ensure_running()
    assert canary.versions(60)["v2"]
    assert canary.version(f"gitship_canary={SHARE.canary}") == "v2"


def test_another_gitship_ends_what_an_earlier_one_began(canary: Canary) -> None:
    again = Front(LOOPBACK, canary.front.workdir.parent, MEMORY_BYTES)
    try:
        again.ensure_running()
        again.reload([canary.wanted(canary.old, "v1")], {HOST: "shop"})
        assert canary.versions(50) == {"v1": 50}
        assert canary.version(f"gitship_canary={SHARE.canary}") == "v1"
        assert not [v for v in again._control.loaded() if v.name == canary.canary and not v.discarded]
    finally:
        again.close()


@pytest.mark.parametrize("changes", [OLD, NEW])
def test_what_is_sent_to_one_side_throws_the_page_out_of_both_caches(canary: Canary, changes: CanarySide) -> None:
    path = "/page?cache-control=public,max-age=600"

    def told(side: CanarySide, method: str = "GET") -> str:
        headers = {"Cookie": f"gitship_canary={side.cookie}"}
        return ask(canary.front.address, HOST, path, method, headers).headers["x-cache"]

    other = NEW if changes is OLD else OLD
    assert [told(other) for _ in range(2)] == ["miss", "hit"]
    told(changes, "POST")
    sent = (canary.old if changes is OLD else canary.new).seen[-1]
    assert (sent.method, sent.url) == ("POST", path)
    assert told(other) == "miss"


def test_what_is_sent_to_a_side_where_neither_has_the_page_leaves_no_ban(canary: Canary) -> None:
    def bans() -> int:
        return len(canary.front._control.command("ban.list").splitlines())

    before = bans()
    for n in range(50):
        assert ask(canary.front.address, HOST, f"/{n}", "POST", body=b"a=b").text.endswith(" 3")
    assert bans() <= before
