"""The status page in a real browser, beside real pushes."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from gitship.observe.uptime import SAMPLE_S, SAVE_S
from tests.e2e import apps
from tests.e2e.browser import axe_source, chromium, sign_in, violations
from tests.e2e.harness import Server, make_key, running
from tests.waiting import wait_until

pytestmark = pytest.mark.e2e

TIMEOUT_MS = 20_000
DOMAIN = "status.localhost"
HOSTILE = "<script>window.ran=1</script><img src=x onerror=window.ran=1>"


@pytest.fixture(scope="module")
def server(module_base: Path, docker_host: str) -> Iterator[Server]:
    """With its status page behind Varnish, so that all of this goes through it, streams included."""
    with running(module_base / "server", docker_host, lambda: False, web={"domain": DOMAIN}) as started:
        yield started


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One for the module; each test has a context of its own, with cookies of its own."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(server: Server, browser: Browser) -> Iterator[Page]:
    """A page of the admin's session; what it complains of fails the test."""
    page = browser.new_page()
    page.set_default_timeout(TIMEOUT_MS)
    expect.set_options(timeout=TIMEOUT_MS)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if "Content Security" in message.text else None)
    sign_in(server, page)
    yield page
    page.close()
    assert complaints == []


def address(server: Server, path: str) -> str:
    return f"http://{DOMAIN}:{server.http_port}{path}"


def deploy_id(server: Server, app: str) -> int:
    sql = "SELECT max(d.id) FROM deploys d JOIN apps a ON a.id = d.app_id WHERE a.name = ?"
    return int(wait_until(lambda: server.database(sql, app)[0][0], 60, f"a deploy of {app}"))


def test_a_link_signs_in_once_and_without_it_there_is_nothing(server: Server, page: Page) -> None:
    expect(page.get_by_role("banner")).to_contain_text("admin")
    link = server.ssh("web").stdout.strip()
    page.goto(link)
    page.get_by_role("button", name="Sign in").click()
    assert page.goto(link).status == 403  # type: ignore[union-attr]
    expect(page.get_by_role("heading")).to_contain_text("already used or has expired")
    page.goto(address(server, "/sign-out"))
    page.get_by_role("button", name="Sign out").click()
    assert page.goto(address(server, "/")).status == 401  # type: ignore[union-attr]
    expect(page.locator("pre")).to_contain_text("web")


def test_a_push_is_seen_while_it_happens(server: Server, page: Page, tiny_app: Callable[..., Path]) -> None:
    page.goto(address(server, "/"))
    push = server.start_push(tiny_app("seen"), "seen")
    expect(page.get_by_role("link", name="seen", exact=True)).to_be_visible()  # without loading the page anew
    page.goto(address(server, f"/apps/seen/deploys/{deploy_id(server, 'seen')}"))
    expect(page.locator("#log .result")).to_contain_text("http://seen.localhost")
    expect(page.locator("#head .state")).to_have_text("live", timeout=30_000)
    expect(page.locator("#head .stages")).to_contain_text("building")
    said, _ = push.communicate(timeout=60)
    assert push.returncode == 0
    number = deploy_id(server, "seen")
    assert "remote:        " + address(server, f"/apps/seen/deploys/{number}") in said
    log = (server.app_logs("seen") / f"{number}.log").read_text()
    shown = page.evaluate(
        "[...document.querySelectorAll('#log li')].map(li => { const copy = li.cloneNode(true);"
        " copy.querySelector('button')?.remove(); return copy.textContent })"
    )
    assert shown == [line.removeprefix("    : ") for line in log.splitlines()]  # each line once, in order
    page.reload()
    expect(page.locator("#head .state")).to_have_text("live")


def test_a_failed_deploy_shows_its_cause_and_a_button_rolls_back(
    server: Server, page: Page, tiny_app: Callable[..., Path]
) -> None:
    repository = tiny_app("again")
    server.push_ok(repository, "again")
    apps.commit(repository, "Crash at once", {"Dockerfile": apps.tiny_dockerfile("v2", {"CRASH": "6"})})
    assert server.push(repository, "again").returncode != 0
    page.goto(address(server, f"/apps/again/deploys/{deploy_id(server, 'again')}"))
    expect(page.get_by_role("region", name="Cause")).to_contain_text("exited 6")
    apps.commit(repository, "Second version", {"Dockerfile": apps.tiny_dockerfile("v3")})
    server.push_ok(repository, "again")
    page.goto(address(server, "/apps/again"))
    expect(page.locator(".timeline > li").first).to_contain_text("Second version")
    page.get_by_role("link", name="Roll back to v1").click()
    expect(page.get_by_role("heading")).to_have_text("Roll again back to v1?")
    page.get_by_role("button", name="Roll back").click()
    expect(page.locator("#log .result")).to_contain_text("http://again.localhost")
    assert server.get("again").body.startswith("v1")
    audit = server.ssh("audit", "--app", "again", "--format", "json").stdout
    assert '"releases:rollback"' in audit
    assert "web, to v1" in audit


def test_varnish_hands_the_page_on_and_keeps_none_of_it(server: Server, page: Page) -> None:
    assert server.request(f"{DOMAIN}:{server.http_port}").status == 401  # whoever has been there before
    assert server.request(f"{DOMAIN}:{server.http_port}", "/metrics").status == 401
    answer = page.goto(address(server, "/"))
    assert answer is not None
    assert answer.header_value("x-cache") == "pass"
    assert server.ssh("apps:create", "status").returncode == 1  # its host is taken
    assert server.ssh("apps:create", "other").returncode == 0
    assert server.ssh("domains:add", "other", DOMAIN).returncode == 1


def test_container_logs_arrive_once_over_a_lost_connection(
    server: Server, page: Page, tiny_app: Callable[..., Path]
) -> None:
    server.push_ok(tiny_app("talks"), "talks")
    server.get("talks", "/log?before")
    page.goto(address(server, "/apps/talks/logs"))
    lines = page.locator("#log li")
    for number in range(3):
        server.get("talks", f"/log?line-{number}")
    expect(lines.filter(has_text="line-2")).to_have_count(1)
    page.context.set_offline(True)
    server.get("talks", "/log?while-away")
    time.sleep(0.5)
    page.context.set_offline(False)
    expect(lines.filter(has_text="while-away")).to_have_count(1)
    for text in ("before", "line-0", "line-1", "line-2"):
        expect(lines.filter(has_text=text)).to_have_count(1)
    page.get_by_label("Search").fill("line-1")
    expect(page.locator("#log li:visible")).to_have_count(1)


def test_open_pages_come_back_after_gitship_was_away(
    server: Server, browser: Browser, page: Page, base: Path, tiny_app: Callable[..., Path]
) -> None:
    server.push_ok(tiny_app("stays"), "stays")
    server.get("stays", "/log?before")
    page.goto(address(server, "/apps/stays/logs"))
    lines, link = page.locator("#log li"), page.locator("#link")
    expect(lines.filter(has_text="before")).to_have_count(1)
    make_key(base / "leaver")
    public = (base / "leaver.pub").read_text()
    assert server.ssh("keys:add", "leaver", "--role", "viewer", stdin=public).returncode == 0
    overview = browser.new_page()
    sign_in(server, overview, base / "leaver")
    assert server.stop() == 0
    expect(link).to_contain_text("trying again")
    assert server.request(f"{DOMAIN}:{server.http_port}").status == 503  # Varnish answers for it: no lost connection
    server.get("stays", "/log?while-away")
    page.wait_for_timeout(3000)  # the browser has asked again by now
    server.start()
    expect(lines.filter(has_text="while-away")).to_have_count(1)
    expect(link).to_have_text("")
    expect(lines.filter(has_text="before")).to_have_count(1)
    assert server.ssh("apps:create", "since").returncode == 0
    expect(overview.get_by_role("link", name="since", exact=True)).to_be_visible()
    assert server.ssh("keys:remove", "leaver").returncode == 0
    expect(overview.locator("#link")).to_contain_text("load the page again")  # it does not try for ever
    overview.close()


def test_a_purge_by_button_makes_varnish_forget(server: Server, page: Page, tiny_app: Callable[..., Path]) -> None:
    server.push_ok(tiny_app("kept"), "kept")
    assert server.ssh("cache:set", "kept", "--ttl", "1h").returncode == 0
    assert [server.get("kept").headers["x-cache"] for _ in range(2)] == ["miss", "hit"]
    page.goto(address(server, "/apps/kept"))
    page.get_by_role("link", name="Purge the cache").click()
    page.get_by_role("button", name="Purge").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("kept")
    assert server.get("kept").headers["x-cache"] == "miss"
    audit = server.ssh("audit", "--app", "kept", "--format", "json").stdout
    assert '"cache:purge"' in audit
    expect(page.locator("#cache ~ .facts.rules")).to_contain_text("1h cache:set")


def test_a_viewer_sees_only_its_app(
    server: Server, browser: Browser, base: Path, tiny_app: Callable[..., Path]
) -> None:
    for name in ("own", "others"):
        assert server.ssh("apps:create", name).returncode == 0
    make_key(base / "guest")
    public = (base / "guest.pub").read_text()
    assert server.ssh("keys:add", "guest", "--role", "viewer", "--app", "own", stdin=public).returncode == 0
    page = browser.new_page()
    sign_in(server, page, base / "guest")
    expect(page.get_by_role("link", name="own", exact=True)).to_be_visible()
    assert "others" not in page.content()
    assert page.goto(address(server, "/apps/others")).status == 404  # type: ignore[union-attr]
    page.goto(address(server, "/apps/own"))
    expect(page.get_by_role("link", name="Restart")).to_have_count(0)
    page.close()


def test_hostile_names_run_nothing_and_axe_finds_no_fault(
    server: Server, page: Page, tiny_app: Callable[..., Path]
) -> None:
    repository = tiny_app("evil")
    apps.commit(repository, HOSTILE)
    server.push_ok(repository, "evil")
    server.get("evil", f"/log?{HOSTILE.replace(' ', '+')}")
    assert server.ssh("config:set", "evil", "NAME=1").returncode == 0
    apps.commit(repository, HOSTILE, {"Dockerfile": apps.tiny_dockerfile("v2", {"CRASH": "6"})})
    assert server.push(repository, "evil").returncode != 0
    assert server.ssh("apps:lock", "evil", f"'{HOSTILE}'").returncode == 0
    axe = axe_source()
    last = deploy_id(server, "evil")
    paths = ["/", "/apps/evil", "/apps/evil/logs", f"/apps/evil/deploys/{last}", f"/apps/evil/deploys/{last - 1}",
             "/apps/evil/actions/restart", "/api", "/sign-out", "/nothing"]  # fmt: skip
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        for path in paths if scheme == "light" else paths[:4]:
            page.goto(address(server, path))
            page.wait_for_timeout(150)
            assert page.evaluate("window.ran") is None, path
            assert violations(page, axe) == [], (path, scheme)
    page.goto(address(server, "/apps/evil"))
    expect(page.locator("#main")).to_contain_text("<script>window.ran=1</script>")


def test_uptime_is_counted_and_outlives_a_restart(server: Server, page: Page, tiny_app: Callable[..., Path]) -> None:
    live = "SELECT a.name, min(d.finished_at) FROM apps a JOIN deploys d ON d.app_id = a.id WHERE d.state = 'live'"
    if server.database(live)[0][0] is None:  # this test alone is run
        server.push_ok(tiny_app("steady"), "steady")
    name = server.database(live)[0][0]
    sql = "SELECT total(up_s) FROM uptime JOIN apps ON id = app_id WHERE name = ?"
    counted = wait_until(lambda: server.database(sql, name)[0][0], SAMPLE_S + SAVE_S + 60, "uptime in the store")
    server.restart()
    assert server.database(sql, name)[0][0] >= counted
    page.goto(address(server, f"/apps/{name}"))
    expect(page.locator(".facts .wide")).to_have_text(re.compile(r"Up in 90 days\s*\d[\d.]* %"))
