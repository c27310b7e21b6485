"""Pages full of figures in a real browser: whether they fit, read, fold and answer the keyboard. No container runs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from gitship import docs
from gitship.deploy import output
from gitship.deploy.journal import DeployJournal
from gitship.model import DeployState
from gitship.model.backups import WHOLE_SERVER, BackupState, BackupSubject, SubjectKind
from gitship.model.services import ServiceVolume, TaskState, VolumeUse
from tests.bench.web import full_site
from tests.e2e.browser import axe_source, chromium, violations
from tests.unit.web.conftest import Site

pytestmark = pytest.mark.e2e

FITS = "width => innerWidth == width && document.documentElement.scrollWidth <= width"
WIDE, PHONE = (1400, 900), (360, 740)


@pytest.fixture(scope="module")
def site(module_base: Path) -> Iterator[Site]:
    """Twenty-six apps, of which one is down; strangers see up or down."""
    site = full_site(module_base, 26, public=True)
    ids = [c.id for c in site.store.containers(site.store.app("app-003").id)]
    site.memory.facts.states = dict.fromkeys(ids, "exited")
    for name in ("db", "a-service-with-a-very-long-name-of-its-own", "down"):
        service = site.service(name, "app-003", "app-007", "app-011")
        task = site.store.begin_task(service.subject, "upgrade", "ada")
        site.store.end_task(task.id, TaskState.FAILED, "the image cannot be pulled: no such host", "try again later")
        log = site.settings.data_dir / "service-tasks" / f"{task.id}.log"
        log.parent.mkdir(exist_ok=True)
        log.write_text("-----> Pulling docker.io/library/postgres:17\n !     failed\n")
        site.store.note_volume(ServiceVolume(f"{name}-old", service.id, VolumeUse.KEPT, "16", "i", "i", 1.0, 2e9))
    site.memory.engine.services_down[service.container] = "exited"
    with_backups(site)
    site.server.start()
    yield site
    site.server.stop()
    site.store.close()


def with_backups(site: Site) -> None:
    """One that is late, one that is well, and one that has only begun."""
    target = site.store.add_backup_target("a-target-of-a-long-name", "directory", "/mnt/backups", {}, "", "ada")
    db = site.store.find_service("db")
    assert db is not None
    volume = BackupSubject(SubjectKind.VOLUME, site.store.app("app-003").id, "uploaded-pictures")
    for subject, hours in ((db.subject, 1), (volume, 100), (WHOLE_SERVER, 0)):
        schedule = site.store.add_backup_schedule(subject, target, "0 3 * * *", "7d,4w,6m", "ada")
        if hours:
            site.store.change_backup_schedule(schedule.id, created_at=1.0)
            backup = site.store.begin_backup(
                subject, target, "ada", engine="", version="", schedule=None, encrypted=True
            )
            at = time.time() - hours * 3600
            site.store.change_backup(backup.id, state=BackupState.VERIFIED, started_at=at, verified_at=at)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


def opened(
    site: Site, browser: Browser, path: str, *, size: tuple[int, int] = WIDE, dark: bool = False, scripts: bool = True,
    signed_in: bool = True,
) -> Page:  # fmt: skip
    """A page in a context of its own; its close ends it."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme="dark" if dark else "light",
        java_script_enabled=scripts, reduced_motion="reduce", base_url=f"http://localhost:{site.server.address.port}",
    )  # fmt: skip
    if signed_in:
        name, _, value = site.cookie.partition("=")
        context.add_cookies([{"name": name, "value": value, "url": f"http://localhost:{site.server.address.port}"}])
    page = context.new_page()
    page.set_default_timeout(20_000)
    page.goto(path)
    return page


@pytest.mark.timeout(300)
def test_pages_full_of_figures_fit_their_width_and_axe_finds_no_fault(site: Site, browser: Browser) -> None:
    axe = axe_source()
    for path, size, dark, signed_in in (
        ("/", WIDE, False, True), ("/", PHONE, True, False),
        ("/apps/app-007", WIDE, True, True), ("/apps/app-007?span=month", PHONE, False, True),
        ("/apps/app-003/actions/purge", PHONE, True, True), ("/services", WIDE, False, True),
        ("/services", PHONE, True, True), ("/services/db", WIDE, True, True),
        ("/backups", WIDE, True, True), ("/backups", PHONE, False, True),
        ("/services/a-service-with-a-very-long-name-of-its-own", PHONE, False, True),
        ("/services/db/logs", PHONE, True, True), ("/api", PHONE, False, True),
    ):  # fmt: skip
        page = opened(site, browser, path, size=size, dark=dark, signed_in=signed_in)
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0], (path, size)
        assert violations(page, axe) == [], (path, size, dark)
        page.context.close()


def test_services_are_a_link_away_and_their_pages_go_on_by_themselves(site: Site, browser: Browser) -> None:
    page = opened(site, browser, "/")
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.get_by_role("link", name="Services", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("1 of 3 services is down")
    for width in (360, 700, 800, 1024, 1280, 1500):
        page.set_viewport_size({"width": width, "height": 800})
        page.wait_for_function(FITS, arg=width)  # a frame later, perhaps
    page.get_by_role("link", name="db", exact=True).click()
    page.evaluate("window.sameDocument = true")
    service = site.store.find_service("db")
    assert service is not None
    task = site.store.begin_task(service.subject, "restart", "bob")
    expect(page.get_by_text("by bob").first).to_be_visible()
    site.store.end_task(task.id, TaskState.DONE)
    expect(page.locator("section.cause")).to_have_count(0)  # the failed one is not the last any more
    assert page.evaluate("window.sameDocument")
    assert wrong == []
    page.context.close()


def test_the_overview_fits_every_width(site: Site, browser: Browser) -> None:
    page = opened(site, browser, "/")
    for width in (360, 700, 800, 1024, 1280, 1500):
        page.set_viewport_size({"width": width, "height": 800})
        page.wait_for_function(FITS, arg=width)  # a frame later, perhaps
    page.context.close()


def test_a_plot_of_another_span_takes_the_place_of_the_first(site: Site, browser: Browser) -> None:
    page = opened(site, browser, "/apps/app-007")
    page.evaluate("window.sameDocument = true")
    spans = page.get_by_role("navigation", name="How far back")
    expect(spans.locator("[aria-current]")).to_have_text("hour")
    spans.get_by_role("link", name="30 days").focus()
    page.keyboard.press("Enter")
    expect(spans.locator("[aria-current]")).to_have_text("30 days")
    assert page.url.endswith("?span=month")
    expect(spans.get_by_role("link", name="30 days")).to_be_focused()
    page.go_back()
    expect(spans.locator("[aria-current]")).to_have_text("hour")
    assert page.evaluate("window.sameDocument")
    page.context.close()


def test_everything_reads_without_javascript(site: Site, browser: Browser) -> None:
    page = opened(site, browser, "/", scripts=False)
    expect(page.get_by_role("heading", level=1)).to_contain_text("1 of 26 apps is down")
    page.get_by_role("link", name="app-007", exact=True).click()
    expect(page.locator("svg.plot")).to_have_count(3)
    page.get_by_role("link", name="30 days").click()
    expect(page.locator("[aria-current=true]")).to_have_text("30 days")
    page.get_by_role("link", name="Purge the cache").click()
    page.get_by_label("Only this path").fill("/blog/*")
    page.get_by_role("button", name="Purge").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("app-007")
    assert site.memory.front.purged[-1][1].url == "/blog/*"
    page.get_by_role("link", name="Logs").click()
    expect(page.get_by_label("Search")).to_be_visible()
    page.context.close()


@pytest.mark.timeout(300)
def test_axe_finds_no_fault_in_the_manual(site: Site, browser: Browser) -> None:
    axe = axe_source()
    for path, size, dark, signed_in in (
        ("/docs", WIDE, True, True), ("/docs/domains-and-https", PHONE, True, True),
        ("/docs/settings", PHONE, False, False), ("/docs/security", WIDE, False, True),
    ):  # fmt: skip
        page = opened(site, browser, path, size=size, dark=dark, signed_in=signed_in)
        assert violations(page, axe) == [], (path, size, dark)
        page.context.close()


@pytest.mark.timeout(300)
def test_no_topic_of_the_manual_is_wider_than_a_phone(site: Site, browser: Browser) -> None:
    page = opened(site, browser, "/docs", size=PHONE)
    for name in docs.topics():
        page.goto(f"/docs/{name}")
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0], name
    page.context.close()


def test_the_manual_is_searched_by_keyboard(site: Site, browser: Browser) -> None:
    page = opened(site, browser, "/docs")
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.get_by_role("searchbox", name="Search the docs").focus()
    page.keyboard.type("canary p95")
    expect(page.get_by_role("search").get_by_role("status")).to_have_text("1 section found")
    expect(page.get_by_role("search").get_by_role("link")).to_have_text("Canaries")
    page.keyboard.press("Enter")
    page.wait_for_url("**/docs/rollbacks#canaries")
    page.get_by_role("searchbox").fill("config:set")
    expect(page.get_by_role("search").get_by_role("link").first).to_have_text("config:set")
    page.get_by_role("searchbox").fill("<img src=x> zebra")
    expect(page.get_by_role("search").get_by_role("status")).to_have_text("No sections found")
    assert wrong == []
    page.context.close()


def test_the_manual_reads_without_javascript(site: Site, browser: Browser) -> None:
    page = opened(site, browser, "/docs", scripts=False)
    expect(page.get_by_role("search")).to_have_count(0)
    page.get_by_role("link", name="Volumes", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Volumes")
    page.get_by_role("navigation", name="Topics").get_by_role("link", name="Caching").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Caching")
    page.context.close()


def test_strangers_see_90_days_in_a_picture_that_can_be_read_out(site: Site, browser: Browser) -> None:
    page = opened(site, browser, "/", signed_in=False, scripts=False)
    expect(page.get_by_role("heading")).to_have_text("1 of 26 not available")
    bar = page.get_by_role("img", name="Up in 90 days: 99.99 %").first
    expect(bar).to_be_visible()
    assert "down for 1m 00s" in (bar.get_attribute("aria-label") or "")
    page.context.close()


@pytest.fixture
def journal(site: Site) -> Iterator[DeployJournal]:
    """A deploy that has built within a second: its headline came after its lines."""
    journal = site.deploy(site.store.app("app-009"))
    journal.line(output.headline("app-009: 4 files", 0.1))
    with journal.stage(DeployState.BUILDING, "Building Dockerfile"):
        for number in range(3):
            journal.raw(f"#{number} RUN make")
    yield journal
    journal.close()


def test_a_step_folds_with_the_lines_that_are_its_own(site: Site, browser: Browser, journal: DeployJournal) -> None:
    path = f"/apps/app-009/deploys/{journal.deploy.id}"
    page = opened(site, browser, path)
    first, building = page.locator("#log .headline").all()
    expect(first.get_by_role("button")).to_have_count(0)
    button = building.get_by_role("button", name="3 lines")
    expect(page.locator("#log .raw:visible")).to_have_count(3)
    button.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#log .raw:visible")).to_have_count(0)
    expect(button).to_have_attribute("aria-expanded", "false")
    journal.line(output.headline("Starting web x1"))  # printed early: its lines come after it
    journal.raw("pulled")
    expect(page.locator("#log .headline").last.get_by_role("button", name="1 line")).to_be_visible()
    expect(page.locator("#log .raw:visible")).to_have_text(["pulled"])
    page.context.close()


def test_a_log_follows_until_one_scrolls_up_and_a_line_has_an_address(
    site: Site, browser: Browser, journal: DeployJournal
) -> None:
    for number in range(200):
        journal.line(f"line {number}")
    path = f"/apps/app-009/deploys/{journal.deploy.id}"
    page = opened(site, browser, path)
    follow = page.get_by_role("button", name="Following")
    journal.line("the newest")
    expect(page.get_by_text("the newest")).to_be_in_viewport()
    box = page.locator(".bar-of-log").bounding_box()
    assert box is not None
    covers = "([x, y]) => Boolean(document.elementFromPoint(x, y).closest('.bar-of-log'))"
    assert page.evaluate(covers, [box["x"] + 60, box["y"] + box["height"] - 3])  # no line shines through it
    page.keyboard.press("f")
    expect(page.get_by_role("button", name="Paused")).to_be_visible()
    page.evaluate("scrollTo(0, 0)")
    journal.line("unseen")
    expect(page.get_by_text("unseen")).to_have_count(1)
    expect(page.get_by_text("unseen")).not_to_be_in_viewport()
    page.keyboard.press("f")
    expect(follow).to_be_visible()
    expect(page.get_by_text("unseen")).to_be_in_viewport()
    journal.update(state=DeployState.FAILED, finished_at=time.time())
    stage = page.locator(".bar-of-log .state")
    expect(stage).to_have_text("failed")
    expect(stage).to_have_class("state failed")  # in red, and no longer as what goes on
    page.goto(f"{path}#L20")
    expect(page.locator("#L20")).to_be_in_viewport()  # a reload goes back to where one was
    page.reload()
    expect(page.locator("#L20")).to_be_in_viewport()
    page.context.close()


def test_the_keyboard_reaches_the_content_at_once(site: Site, browser: Browser) -> None:
    page = opened(site, browser, "/apps/app-007")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Logs", exact=True)).to_be_focused()
    page.context.close()
