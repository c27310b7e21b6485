"""/docs: every topic as a page, links that lead on, no markup that the browser would obey, the search's index."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from gitship import docs
from gitship.docs import ManualTopic
from gitship.model import Role
from gitship.web.docs import rendered
from gitship.web.page import CONTENT_SECURITY_POLICY
from tests.unit.web.conftest import Site


class Seen(HTMLParser):
    """The ids and links of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.ids += [named["id"] or ""] if "id" in named else []
        self.links += [named["href"] or ""] if tag == "a" and "href" in named else []


def test_every_topic_is_a_page_whose_links_lead_to_what_is_there(site: Site) -> None:
    pages = {f"/docs/{name}": Seen(site.get(f"/docs/{name}").text) for name in docs.topics()}
    for address, page in pages.items():
        assert len(page.ids) == len(set(page.ids)), address
        for link in page.links:
            target, _, anchor = link.partition("#")
            if target.startswith("/docs/"):
                assert target in pages, (address, link)
            assert ".md" not in target, (address, link)
            assert not anchor or anchor in pages.get(target or address, page).ids, (address, link)


def test_the_index_lists_every_topic_and_is_the_same_policy(site: Site) -> None:
    answer = site.get("/docs")
    assert answer.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
    for topic in docs.topics().values():
        assert f'<a href="/docs/{topic.name}">' in answer.text
    assert "<script>" not in answer.text and "style=" not in answer.text


def test_markup_in_the_text_is_shown_not_obeyed() -> None:
    text = (
        "# T\n\nabout <script>alert(1)</script> <b onclick=x>.\n\n<img src=x onerror=alert(1)>\n\n"
        "```\n</code></pre><script>\n```\n\n[x](javascript:alert(1)) [y](volumes.md#a) `<i>`\n"
    )
    html = rendered(ManualTopic("t", "T", "about", text)).html
    assert not re.search(r"<(script|img|b |i>)", html)
    assert "&lt;script&gt;" in html
    assert 'href="javascript' not in html
    assert '<a href="/docs/volumes#a">y</a>' in html


def test_the_search_has_every_section_once(site: Site) -> None:
    rows = site.get("/docs/index.json").json()
    addresses = [row["address"] for row in rows]
    assert len(addresses) == len(set(addresses))
    assert {f"/docs/{name}" for name in docs.topics()} <= set(addresses)
    [found] = [row for row in rows if row["address"] == "/docs/commands#configset"]
    assert (found["title"], found["topic"]) == ("config:set", "Commands")
    assert "Set variables, and deploy" in found["text"]
    assert "`" not in found["text"]
    [lead] = [row for row in rows if row["address"] == "/docs/volumes"]
    assert "storage:export shop data --gzip" in lead["text"]  # code is found, too


def test_an_unknown_topic_names_the_nearest(site: Site) -> None:
    answer = site.get("/docs/volume")
    assert answer.status == 404
    assert "did you mean /docs/volumes?" in answer.text


def test_strangers_read_it_where_the_status_page_is_public(public_site: Site) -> None:
    for path in ("/docs", "/docs/volumes", "/docs/index.json"):
        assert public_site.get(path, cookie="").status == 200, path
    assert public_site.get("/apps/shop", cookie="").status == 401


def test_a_limited_key_reads_it(site: Site) -> None:
    site.store.create_app("shop")
    assert site.get("/docs/volumes", cookie=site.sign_in("bob", Role.VIEWER, ["shop"])).status == 200
