"""Filling templates and pages."""

from __future__ import annotations

import re

import pytest

from gitship.assets import asset
from gitship.front import templates
from gitship.front.templates import fill, page, template

PAGES = (
    "unknown-host",
    "never-deployed",
    "scaled-to-none",
    "no-web",
    "stopped",
    "app-down",
    "maintenance",
    "sign-in",
    "not-allowed",
    "too-many",
    "too-large",
)


def test_a_line_whose_gap_is_filled_with_nothing_is_dropped() -> None:
    assert fill("a\n  @GAP@\n\nb @GAP@.\n", gap="") == "a\n\nb .\n"


def test_a_gap_without_value_and_a_value_without_gap_are_errors() -> None:
    with pytest.raises(ValueError, match="no value for @B@"):
        fill("@A@ @B@", a="1")
    with pytest.raises(ValueError, match="no gap for b"):
        fill("@A@", a="1", b="2")


def test_a_value_that_looks_like_a_gap_stays_as_it_is() -> None:
    assert fill("@A@ @B@", a="@B@", b="2") == "@B@ 2\n"


def test_names_are_escaped_for_html() -> None:
    assert "<script>" not in page("app-down", app="<script>")
    assert "&lt;script&gt; is not answering" in page("app-down", app="<script>")


def test_a_page_that_would_end_the_string_it_stands_in_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templates, "template", lambda name: 'a """ b')
    with pytest.raises(ValueError, match="cannot contain"):
        page("app-down", app="shop")


def test_a_page_that_is_made_while_the_app_is_asked_takes_the_names_from_there() -> None:
    assert " + bereq.http.x-request-id + " in page("app-down", request="bereq", app="shop")


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_whole_small_and_needs_nothing_else(name: str) -> None:
    text = page(name, app="shop")
    assert text.startswith('"""<!doctype html>')
    assert '<p class="request">Request """ + req.http.x-request-id + """</p>' in text
    assert text.endswith('</html>\n"""')
    assert "{{" not in text
    assert "prefers-color-scheme: dark" in text
    assert not re.search(r"src=|href=|url\(|@import|<script", text)
    assert len(text) < 4096


def test_every_file_of_the_directory_is_used() -> None:
    directory = asset("varnish")
    files = {str(p.relative_to(directory)) for p in directory.rglob("*") if p.is_file()}
    assert files == {
        "app.vcl",
        "answer.vcl",
        "pause.vcl",
        "top.vcl",
        "websockets.vcl",
        "pages/style.css",
        *(f"pages/{n}.html" for n in PAGES),
    }
    assert all(template(name) for name in files)
