"""For how long a page that was made is given to others."""

from __future__ import annotations

from gitship.model import Role
from gitship.web.page_cache import KEPT_S, MOST, PageCache
from tests.unit.web.conftest import Site
from tests.unit.web.test_pages import go_live


def test_a_page_is_kept_for_its_key_and_a_moment() -> None:
    now = 100.0
    kept = PageCache(lambda: now)
    kept.keep(("ada", 1), b"page")
    assert kept.find(("ada", 1)) == b"page"
    assert kept.find(("bob", 1)) is None
    now += KEPT_S
    assert kept.find(("ada", 1)) is None
    assert kept.find(("ada", 1), 60.0) == b"page"


def test_no_more_than_some_pages_are_kept() -> None:
    kept = PageCache()
    for number in range(MOST + 1):
        kept.keep(number, b"page")
    assert [n for n in range(MOST + 1) if kept.find(n, 60.0)] == [MOST]


def test_a_kept_page_is_nobody_elses(site: Site) -> None:
    go_live(site, "shop")
    viewer_cookie = site.sign_in("bob", Role.VIEWER)
    for path in ("/", "/apps/shop"):
        admin = site.get(path).text
        viewer = site.get(path, cookie=viewer_cookie).text
        assert "actions/restart" not in viewer
        assert "bob" in viewer
        assert "bob" not in admin
    assert "span=day" in site.get("/apps/shop").text
    assert '<a href="?span=day" data-swap aria-current="true">' in site.get("/apps/shop?span=day").text
