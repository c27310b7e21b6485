"""First minutes without a project: an empty server says what is next, demo:create makes a page of one's own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.e2e import apps
from tests.e2e.harness import Server

pytestmark = pytest.mark.e2e


def test_from_an_empty_server_to_a_page_that_one_changes(server: Server, base: Path) -> None:
    said = server.ssh("apps").stderr
    assert "git push deploy main" in said
    assert "demo:create" in said

    made = server.ssh("demo:create", "first")
    assert made.returncode == 0, made.stderr
    assert '"A page to begin with"' in made.stdout + made.stderr
    page = server.get("first")
    assert page.status == 200
    assert "It works." in page.body
    assert server.get("first", "/any/path?at=all", method="HEAD").status == 200

    url = re.search(r"git clone (\S+)", page.body)
    assert url is not None
    assert url[1] in made.stderr
    assert url[1] == server.url("first").replace("127.0.0.1", "localhost")
    assert server.git(base, "clone", "-q", server.url("first"), "first").returncode == 0
    index = base / "first/index.html"
    apps.commit(base / "first", "Mine", {"index.html": index.read_text().replace("It works.", "It is mine.")})
    pushed = server.git(base / "first", "push", "origin", "main")
    assert pushed.returncode == 0, pushed.stderr
    assert "It is mine." in server.get("first").body

    again = server.ssh("demo:create", "first")
    assert again.returncode == 3
    assert "first" in again.stderr
