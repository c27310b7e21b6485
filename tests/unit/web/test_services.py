"""Services on the status page, in the API and in /metrics."""

from __future__ import annotations

import re
import threading
import time

from gitship.engine.types import LogLine
from gitship.model import Role
from gitship.model.backups import WHOLE_SERVER, BackupState, BackupSubject, SubjectKind
from gitship.model.services import TaskState
from gitship.web import service_figures
from tests.unit.web.conftest import Site
from tests.unit.web.test_pages import go_live
from tests.waiting import wait_until


def test_the_page_of_services_shows_state_figures_links_and_the_last_task(site: Site) -> None:
    go_live(site, "shop")
    service = site.service("db", "shop")
    task = site.store.begin_task(service.subject, "upgrade", "bob")
    site.store.end_task(task.id, TaskState.FAILED, "the copy differs in orders", "nothing was changed")
    text = site.get("/services").text
    for part in (
        '<a href="/services/db">db</a>', '<span class="state live">running</span>', "postgres 17", "84 MB", "of 537 MB",
        '<a href="/apps/shop">shop</a>', "upgrade", "the copy differs in orders", "by bob",
    ):  # fmt: skip
        assert part in text, part
    assert re.search(r'data-name="connections">7<', text)
    assert '<a href="/services">Services</a>' in site.get("/").text


def test_the_page_of_a_service_shows_its_links_and_the_lines_of_its_last_task(site: Site) -> None:
    go_live(site, "shop")
    service = site.service("db", "shop")
    began = site.operations.services.tasks.begin(service, "restart", site.key("bob", Role.ADMIN), lambda journal: None)
    site.operations.services.tasks.follow(began, lambda line: None, threading.Event())
    log = site.settings.data_dir / "service-tasks" / f"{began.id}.log"
    log.write_text("-----> Restarting <db>\n")
    target = site.store.add_backup_target("disk", "directory", "/mnt/backups", {}, "", "ada")
    archive = site.store.open_archive(
        service, site.store.add_backup_schedule(service.subject, target, "0 3 * * *", "7d", "ada", 1 << 30)
    )
    site.store.change_wal_archive(archive.id, last_at=time.time() - 7200, reason="the disk is away")
    base = site.store.begin_backup(
        service.subject, target, "ada", engine="postgres", version="17", schedule=None, encrypted=True,
        archive_id=archive.id,
    )  # fmt: skip
    site.store.change_backup(base.id, sha256="a", as_of=time.time() - 3 * 86_400)
    text = site.get("/services/db").text
    assert "<code>DATABASE_URL</code>" in text
    assert "Restarting &lt;db&gt;" in text
    assert re.search(r">3 d ago</time>\s+to <time [^>]*>2 h ago</time>\s+and on: .*the disk is away", text)
    assert "restart" in text
    viewer = site.sign_in("vera", Role.VIEWER)
    text = site.get("/services/db", cookie=viewer).text
    assert "Restarting" not in text  # as `services:log`
    assert "Point in time" not in text
    assert "/services/db/logs" not in text


def test_an_app_shows_the_services_that_it_is_linked_to(site: Site) -> None:
    go_live(site, "shop")
    site.service("db", "shop")
    assert '<a href="/services/db">db</a>' in site.get("/apps/shop").text
    assert site.get("/api/apps/shop").json()["services"] == [
        {
            "service": "db", "engine": "postgres", "version": "17", "state": "running", "alias": "DATABASE",
            "read_only": False,
        }
    ]  # fmt: skip


def test_the_api_tells_services_and_no_password(site: Site) -> None:
    go_live(site, "shop")
    site.service("db", "shop")
    for path in ("/api/services", "/api/services/db", "/services", "/services/db"):
        assert "-password" not in site.get(path).text, path
    [told] = site.get("/api/services").json()["services"]
    assert (told["state"], told["connections"], told["size_bytes"]) == ("running", 7, 84_000_000)
    assert told["links"] == [{"app": "shop", "alias": "DATABASE", "read_only": False, "link_state": "active"}]


def test_a_limited_key_sees_the_services_of_its_apps_and_no_other_app_that_has_them(site: Site) -> None:
    go_live(site, "shop")
    go_live(site, "blog")
    site.service("db", "shop", "blog")
    site.service("secret", "blog")
    cookie = site.sign_in("sam", Role.DEPLOYER, ["shop"])
    [told] = site.get("/api/services", cookie=cookie).json()["services"]
    assert [link["app"] for link in told["links"]] == ["shop"]
    text = site.get("/services", cookie=cookie).text
    assert "secret" not in text
    assert "blog" not in text
    same = [site.get(f"/services/{name}", cookie=cookie) for name in ("secret", "nothing")]
    assert {answer.status for answer in same} == {404}
    assert site.get("/services/db/logs", cookie=cookie).status == 403  # it is another's, too
    assert site.get("/api/services/db/logs", cookie=cookie).status == 403


def test_a_service_that_hangs_costs_a_page_a_moment_once_and_others_nothing(site: Site) -> None:
    go_live(site, "shop")
    hung, well = site.service("hung"), site.service("well", "shop")
    free = threading.Event()
    site.memory.engine.printed_by_programs[hung.container] = free
    try:
        assert site.get("/api/services").status == 200  # from now on it is known to be slow
        began = time.monotonic()
        found = {told["name"]: told for told in site.get("/api/services").json()["services"]}
        pages = [site.get(path).status for path in ("/", "/services", "/services/hung", "/apps/shop", "/metrics")]
        took = time.monotonic() - began
        assert pages == [200] * 5
        assert took < service_figures.WAIT_S  # six answers, of which each would have waited for it
        assert found["well"]["connections"] == 7
        assert (found["hung"]["state"], found["hung"]["connections"]) == (None, None)
        threads = [t for t in threading.enumerate() if t.name.startswith("web-services")]
        assert len(threads) <= service_figures.THREADS
    finally:
        free.set()
    assert well.name == "well"


def test_a_service_that_is_down_is_told_on_the_overview(site: Site) -> None:
    service = site.service("db")
    site.memory.engine.services_down[service.container] = "exited"
    assert "The service db is exited" in site.get("/").text
    assert "1 of 1 services is down" in site.get("/services").text
    assert 'gitship_service_up{engine="postgres",service="db"} 0.0' in site.get("/metrics").text
    site.store.begin_task(service.subject, "restart", "ada")  # somebody sees to it
    wait_until(lambda: "The service db" not in site.get("/").text, 10, "the warning is gone")


def test_metrics_have_figures_of_services_that_the_token_may_know_of(site: Site) -> None:
    go_live(site, "shop")
    site.service("db", "shop")
    site.service("other")
    text = site.get("/metrics", cookie="").text
    labels = '{engine="postgres",service="db"}'
    for line in (
        f"gitship_service_up{labels} 1.0", f"gitship_service_connections{labels} 7.0",
        f"gitship_service_size_bytes{labels} 8.4e+07",
    ):  # fmt: skip
        assert line in text, line
    key = site.key("sam", Role.VIEWER, ["shop"])
    token = site.operations.sign_ins.add_token(key, "prometheus")
    text = site.get("/metrics", cookie="", headers={"Authorization": f"Bearer {token}"}).text
    assert 'service="db"' in text
    assert 'service="other"' not in text


def test_an_open_page_is_told_when_a_task_begins_prints_and_ends(site: Site) -> None:
    service = site.service("db")
    with site.stream("/services/db/changes?after=0") as stream:
        stream.until("changed")
        task = site.store.begin_task(service.subject, "restart", "ada")
        stream.until("changed")
        site.store.end_task(task.id, TaskState.DONE)
        stream.until("changed")


def test_logs_of_a_service_come_live_to_deployers_only(site: Site) -> None:
    service = site.service("db")
    site.memory.facts.lines.append(LogLine("db.service.0", time.time(), "stderr", "ready to accept <connections>"))
    page = site.get("/services/db/logs").text
    assert "ready to accept &lt;connections&gt;" in page
    assert [line["text"] for line in site.get("/api/services/db/logs").json()["lines"]] == [
        "ready to accept <connections>"
    ]
    after = re.search(r'data-stream="[^"]*after=([^"]*)"', page)
    assert after
    with site.stream(f"/services/db/logs/stream?after={after[1]}") as stream:
        site.memory.facts.lines.append(LogLine("db.service.0", time.time(), "stdout", "a new one"))
        assert "a new one" in stream.until("lines").data
    viewer = site.sign_in("vera", Role.VIEWER)
    for path in ("/services/db/logs", "/services/db/logs/stream", "/api/services/db/logs"):
        assert site.get(path, cookie=viewer).status == 403, path
    assert service.name == "db"


def test_a_log_that_is_open_ends_when_the_key_loses_its_right(site: Site) -> None:
    go_live(site, "shop")
    go_live(site, "blog")
    service = site.service("db", "shop")
    cookie = site.sign_in("sam", Role.DEPLOYER, ["shop"])
    with site.stream("/services/db/logs/stream", cookie=cookie) as stream:
        link = site.store.create_link(
            service, site.store.app("blog").id, "DATABASE", "x", 1, read_only=False, declared=""
        )
        assert link.id
        assert stream.next() is None


def test_the_last_verified_backup_is_green_only_while_it_is_young_enough(site: Site) -> None:
    db = site.service("db")
    site.service("cache")
    target = site.store.add_backup_target("disk", "directory", "/mnt/backups", {}, "", "ada")
    schedule = site.store.add_backup_schedule(db.subject, target, "0 3 * * *", "7d", "ada")
    site.store.change_backup_schedule(schedule.id, created_at=1.0)
    found = []
    for hours, state in ((50, BackupState.VERIFIED), (2, BackupState.LISTED), (1, BackupState.VERIFIED)):
        backup = site.store.begin_backup(
            db.subject, target, "ada", engine="postgres", version="17", schedule=None, encrypted=True
        )
        site.store.change_backup(backup.id, state=state, started_at=time.time() - hours * 3600)
        looks = re.findall(r'data-name="verified backup"><span class="state (\w+)', site.get("/services").text)
        told = {one["name"]: one for one in site.get("/api/services").json()["services"]}
        new = site.sign_in(f"vera-{hours}", Role.VIEWER)  # who has no page of a moment ago
        late = "db has no verified backup at disk in twice the interval" in site.get("/", cookie=new).text
        found.append((looks, told["db"]["backup_overdue"], late))
    assert found == [(["down", "down"], True, True), (["down", "down"], True, True), (["down", "live"], False, False)]
    assert told["cache"]["verified_backup_at"] is None


def test_schedules_of_services_volumes_and_the_server_have_a_page(site: Site) -> None:
    go_live(site, "shop")
    target = site.store.add_backup_target("disk", "directory", "/mnt/backups", {}, "", "ada")
    volume = BackupSubject(SubjectKind.VOLUME, site.store.app("shop").id, "data")
    for subject in (site.service("db").subject, volume, WHOLE_SERVER):
        site.store.add_backup_schedule(subject, target, "0 3 * * *", "7d", "ada")
    told = site.get("/api/backups").json()["schedules"]
    assert [(one["name"], one["kind"], one["overdue"]) for one in told] == [
        ("db", "service", False), ("shop/data", "volume", False), ("server", "server", False),
    ]  # fmt: skip
    text = site.get("/backups").text
    assert all(
        part in text for part in ('<a href="/services/db">db</a>', "shop/data", '<span class="state stopped">none')
    )
    cookie = site.sign_in("sam", Role.DEPLOYER, ["shop"])
    assert [one["name"] for one in site.get("/api/backups", cookie=cookie).json()["schedules"]] == ["shop/data"]
    assert ">server<" not in site.get("/backups", cookie=cookie).text
    metrics = site.get("/metrics", cookie="").text
    assert 'gitship_backup_overdue{kind="volume",service="shop/data",target="disk"} 0.0' in metrics


def test_a_newer_image_in_docker_makes_an_upgrade_due(site: Site) -> None:
    service = site.service("db")
    site.service("other")
    site.store.change_service(service.id, image_id="sha256:of-before")
    told = {one["name"]: one["upgrade"] for one in site.get("/api/services").json()["services"]}
    assert told == {"db": {"version": "17", "due": True}, "other": {"version": "18", "due": False}}
    text = site.get("/services").text
    assert text.count("upgrade due") == 1 and text.count("18 is available") == 1
    assert "services:upgrade db 17" in site.get("/services/db").text
