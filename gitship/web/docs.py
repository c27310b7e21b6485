"""/docs: pages of the manual, with search."""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markdown_it.utils import OptionsDict
from tornado.escape import xhtml_escape
from tornado.web import HTTPError

from gitship import __version__, docs
from gitship.docs import ManualTopic
from gitship.errors import NotFound, nearest
from gitship.web.page import Page


@dataclass(frozen=True, slots=True)
class Heading:
    level: int
    title: str
    anchor: str


@dataclass(frozen=True, slots=True)
class Rendered:
    """A topic as HTML, its headings, and the plain text below each, in their order."""

    html: str
    headings: tuple[Heading, ...]
    texts: tuple[str, ...]


@functools.cache
def rendered(topic: ManualTopic) -> Rendered:
    """Markup in the text is shown, not obeyed. What can be wider than a phone scrolls by itself, by keyboard too."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    parser.add_render_rule("fence", _fence)
    for name, html in (("table_open", '<div class="wide" tabindex="0"><table>\n'), ("table_close", "</table></div>\n")):
        parser.add_render_rule(name, lambda *_, html=html: html)
    tokens = parser.parse(topic.text)
    headings: list[Heading] = []
    texts: list[list[str]] = []
    seen: Counter[str] = Counter()
    for number, token in enumerate(tokens):
        if token.type == "heading_open":
            title = "".join(_plain(tokens[number + 1]))
            anchor = docs.anchor(title)
            seen[anchor] += 1
            if seen[anchor] > 1:
                anchor += f"-{seen[anchor] - 1}"
            token.attrSet("id", anchor)
            headings.append(Heading(int(token.tag[1]), title, anchor))
            texts.append([])
        elif token.type == "fence" or (token.type == "inline" and tokens[number - 1].type != "heading_open"):
            texts[-1] += [*_plain(token), " "]
        for child in token.children or ():
            if child.type == "link_open":
                child.attrSet("href", _address(str(child.attrGet("href"))))
    html = parser.renderer.render(tokens, parser.options, {})
    return Rendered(html, tuple(headings), tuple(" ".join("".join(text).split()) for text in texts))


def _plain(token: Token) -> Iterator[str]:
    yield from (child.content or " " for child in token.children) if token.children else (token.content,)


def _address(link: str) -> str:
    file, hash_, anchor = link.partition("#")
    return f"/docs/{file.removesuffix('.md')}{hash_}{anchor}" if file.endswith(".md") and "/" not in file else link


def _fence(_: Any, tokens: Sequence[Token], index: int, options: OptionsDict, env: Any) -> str:
    return f'<pre tabindex="0"><code>{xhtml_escape(tokens[index].content)}</code></pre>\n'


@functools.cache
def index() -> str:
    """Every section of every topic, for the search."""
    rows = []
    for topic in docs.topics().values():
        page = rendered(topic)
        for heading, text in zip(page.headings, page.texts, strict=True):
            address = f"/docs/{topic.name}" + (f"#{heading.anchor}" if heading.level > 1 else "")
            trail = topic.title if heading.level > 1 else ""
            rows.append({"address": address, "title": heading.title, "topic": trail, "text": text})
    return json.dumps(rows, ensure_ascii=False)


class Manual(Page):
    """For who is signed in and, as the overview, for strangers where the status page is public.

    The manual says nothing of this server, but a page that is not public does not tell strangers even what runs it.
    """

    open_to_all = True

    def prepare(self) -> None:
        super().prepare()
        if self.identity is None and not self.services.settings.web.public:
            raise HTTPError(401, "sign in with your SSH key")

    def show(self, topic: ManualTopic | None, page: Rendered | None) -> None:
        self.render("docs.html", topic=topic, page=page, topics=docs.topics(), parts=docs.SECTIONS, version=__version__)


class DocsIndex(Manual):
    def get(self) -> None:
        self.show(None, None)

    head = get


class DocsPage(Manual):
    async def get(self, name: str) -> None:
        topic = docs.topics().get(name)
        if topic is None:
            near = nearest(name, docs.topics())
            raise NotFound(f"the manual has no topic '{name}'", f"did you mean /docs/{near}?" if near else "see /docs")
        self.show(topic, await self.in_background(rendered, topic))

    head = get


class DocsSearch(Manual):
    async def get(self) -> None:
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.set_header("Cache-Control", "private, max-age=86400")  # its address has the version
        self.finish(await self.in_background(index))

    head = get
