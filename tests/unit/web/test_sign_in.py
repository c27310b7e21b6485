"""Who gets in: links that work once, sessions that end with the key, tokens, and what a limited key must not learn."""

from __future__ import annotations

import itertools
import re
import time

import pytest

from gitship.model import (
    GITSHIP,
    STATUS_PAGE,
    CertificateSource,
    ContainerEvent,
    ContainerEventKind,
    DeployState,
    Outcome,
    Role,
    UptimeDay,
)
from gitship.model.backups import BackupState
from gitship.operations import sign_ins as signins
from tests.unit.web.conftest import Site, addresses
from tests.unit.web.test_pages import fail, go_live

OPEN = {"/healthz", "/metrics"}  # the latter because the tests ask from the server itself
PATHS = [
    "/", "/api", "/api/apps", "/api/server", "/changes", "/sign-out", "/docs", "/docs/index.json", "/docs/volumes",
    "/backups", "/api/backups",
    "/services", "/changes/services", "/api/services", "/services/{}", "/services/{}/changes", "/services/{}/logs",
    "/services/{}/logs/stream", "/api/services/{}", "/api/services/{}/logs",
    "/apps/{}", "/apps/{}/changes", "/apps/{}/logs", "/apps/{}/logs/stream",
    "/apps/{}/deploys/1", "/apps/{}/deploys/1/log", "/apps/{}/deploys/1/stream",
    "/apps/{}/actions/restart", "/apps/{}/actions/rollback?release=1", "/apps/{}/actions/cancel",
    "/apps/{}/actions/maintenance-on", "/apps/{}/actions/maintenance-off", "/apps/{}/actions/purge",
    "/api/apps/{}/traffic", "/api/apps/{}/logs", "/api/apps/{}/deploys/1/log",
    "/api/apps/{}", "/api/apps/{}/releases", "/api/apps/{}/deploys", "/api/apps/{}/deploys/1", "/badge/{}.svg",
]  # fmt: skip
OF_APPS = [path for path in PATHS if "{}" in path]


def test_the_paths_are_all_that_there_are() -> None:
    asked = [path.format("shop").partition("?")[0] for path in PATHS]
    for address in addresses():
        if not re.match(r"/(sign-in|healthz|metrics)", address):
            assert any(re.fullmatch(address, path) for path in asked), address


def test_without_a_session_there_is_no_page(site: Site) -> None:
    go_live(site, "shop")
    for path in PATHS:
        for app, cookie in itertools.product(("shop", "nothing"), ("", "gitship=guessed")):
            page = site.get(path.format(app), cookie=cookie)
            assert page.status == (404 if "badge" in path else 401), path
            assert "shop" not in page.text, path
    assert "deploy@localhost web" in site.get("/", cookie="").text


def test_a_link_signs_in_once(site: Site) -> None:
    go_live(site, "shop")
    path = f"/sign-in/{site.operations.sign_ins.link(site.key('bob', Role.VIEWER))}"
    for _ in range(2):  # what only looks, to preview it, does not use it up
        page = site.get(path, cookie="")
        assert (page.status, "Sign in as bob" in page.text) == (200, True)
    done = site.get(path, "POST", cookie="", form={})
    assert (done.status, done.headers["Location"]) == (303, "/")
    cookie = done.headers["Set-Cookie"]
    assert re.search(r"^gitship=[\w-]{43};.*HttpOnly", cookie)
    assert "SameSite=Lax" in cookie
    assert "Max-Age=43200" in cookie
    assert site.get("/", cookie=cookie.partition(";")[0]).status == 200
    for method in ("GET", "POST"):
        again = site.get(path, method, cookie="", form={} if method == "POST" else None)
        assert again.status == 403
        assert "This link was already used or has expired" in again.text
        assert "Set-Cookie" not in again.headers
    [entry] = site.store.audit()
    assert (entry.key_name, entry.action, entry.detail, entry.address) == ("bob", "web", "signed in", "127.0.0.1")


def test_a_link_of_another_sites_form_is_not_taken(site: Site) -> None:
    path = f"/sign-in/{site.operations.sign_ins.link(site.key('bob', Role.VIEWER))}"
    assert site.get(path, "POST", cookie="", form={}, headers={"Sec-Fetch-Site": "cross-site"}).status == 403
    assert site.get(path, "POST", cookie="", form={}).status == 303


@pytest.mark.parametrize("what", ["LINK_S", "SESSION_S"])
def test_links_and_sessions_expire(site: Site, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    monkeypatch.setattr(signins, what, 0.05)
    sign_ins = site.operations.sign_ins
    link = sign_ins.link(site.key("bob", Role.VIEWER))
    made = None if what == "LINK_S" else sign_ins.sign_in(link, "")
    time.sleep(0.1)
    assert sign_ins.peek(link, "") is None
    assert sign_ins.sign_in(link, "") is None
    assert made is None or sign_ins.of_session(made[0], "") is None


def test_only_hashes_are_stored(site: Site) -> None:
    bob = site.key("bob", Role.VIEWER)
    secrets = [site.operations.sign_ins.link(bob), site.operations.sign_ins.add_token(bob, "x"), site.cookie[8:]]
    dump = "\n".join(site.store._db.iterdump())
    assert not [s for s in secrets if s in dump]


def test_a_session_ends_with_its_key_also_when_the_key_returns(site: Site) -> None:
    cookie = site.sign_in("bob", Role.VIEWER)
    identity = site.memory.identify("SHA256:bob", "")
    assert identity
    bearer = {"Authorization": f"Bearer {site.operations.sign_ins.add_token(identity, 'x')}"}
    assert site.get("/", cookie=cookie).status == 200
    assert site.get("/api/apps", cookie="", headers=bearer).status == 200
    site.store.remove_key(bob_of(site))
    for _ in range(2):
        assert site.get("/", cookie=cookie).status == 401
        assert site.get("/api/apps", cookie="", headers=bearer).status == 401
        if site.store.key_by_fingerprint("SHA256:bob") is None:
            site.key("bob", Role.VIEWER)


def bob_of(site: Site) -> int:
    """The id of bob's key."""
    key = site.store.key_by_fingerprint("SHA256:bob")
    assert key
    return key.id


def test_an_open_stream_ends_at_once_when_its_key_is_removed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gitship.web.event_stream.IDENTITY_EVERY_S", 1e9)  # never by itself
    site.store.rights_changed = site.server.rights_changed
    go_live(site, "shop")
    cookie = site.sign_in("bob", Role.VIEWER)
    with site.stream("/apps/shop/changes", cookie=cookie) as viewer:
        site.store.remove_key(bob_of(site))
        while (event := viewer.next()) is not None:
            assert event.type in ("changed", "figures")


def test_a_session_ends_when_its_key_is_limited_and_a_token_narrows(site: Site) -> None:
    go_live(site, "shop")
    cookie = site.sign_in("bob", Role.VIEWER)
    identity = site.memory.identify("SHA256:bob", "")
    assert identity
    token = site.operations.sign_ins.add_token(identity, "x")
    site.store.limit_key(bob_of(site), [])
    assert site.get("/", cookie=cookie).status == 401
    answer = site.get("/api/apps", cookie="", headers={"Authorization": f"Bearer {token}"})
    assert answer.json() == {"apps": []}


def test_an_open_stream_ends_with_the_session(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gitship.web.event_stream.IDENTITY_EVERY_S", 0.05)
    go_live(site, "shop")
    cookie = site.sign_in("bob", Role.VIEWER)
    journal = site.deploy(site.store.app("shop"))
    with site.stream(f"/apps/shop/deploys/{journal.deploy.id}/stream", cookie=cookie) as viewer:
        viewer.until("state")
        site.store.remove_key(bob_of(site))
        assert viewer.next() is None
    journal.close()


def test_signing_out_ends_the_session_and_needs_its_own_form(site: Site) -> None:
    cookie = site.sign_in("bob", Role.VIEWER)
    assert site.get("/sign-out", "POST", cookie=cookie, form={"form_token": "guessed"}).status == 403
    assert site.get("/", cookie=cookie).status == 200
    token = re.search(r'name="form_token" value="(\w+)"', site.get("/sign-out", cookie=cookie).text)
    assert token
    assert site.get("/sign-out", "POST", cookie=cookie, form={"form_token": token[1]}).status == 303
    assert site.get("/", cookie=cookie).status == 401


@pytest.mark.parametrize("role", [Role.VIEWER, Role.DEPLOYER])
def test_an_app_of_others_is_answered_as_one_that_does_not_exist(site: Site, role: Role) -> None:
    go_live(site, "secret")  # deploy 1 and release 1 are its own
    go_live(site, "mine")
    cookie = site.sign_in("bob", role, ["mine"])
    for path in OF_APPS:
        hidden = site.get(path.format("secret"), cookie=cookie)
        missing = site.get(path.format("absent"), cookie=cookie)
        for_deployers = "actions" in path or ("/services/" in path and "logs" in path)
        wanted = 403 if for_deployers and role is Role.VIEWER else 404
        assert (hidden.status, missing.status) == (wanted, wanted), path
        assert hidden.text.replace("secret", "*") == missing.text.replace("absent", "*"), path


def test_what_a_limited_key_sees_names_no_other_app(site: Site) -> None:
    go_live(site, "zebras")
    go_live(site, "mine")
    cookie = site.sign_in("bob", Role.DEPLOYER, ["mine"])
    for path in PATHS:
        if "stream" not in path and "changes" not in path:
            page = site.get(path.format("mine"), cookie=cookie)
            assert "zebras" not in page.text, path
    assert site.get("/api/server", cookie=cookie).status == 403
    assert "mine" in site.get("/", cookie=cookie).text


def test_what_other_apps_do_does_not_reach_a_limited_key(site: Site) -> None:
    go_live(site, "mine")
    journal = site.deploy(site.store.create_app("secret"))
    cookie = site.sign_in("bob", Role.VIEWER, ["mine"])

    def changes() -> str:
        page = site.get("/", cookie=cookie).text
        return page[page.index("/changes?after=") :].partition('"')[0]

    time.sleep(0.3)  # until all that go_live did has been told
    before = changes()
    with site.stream(before, cookie=cookie) as limited, site.stream("/changes?after=1") as admin:
        admin.until("changed")
        journal.update(state=DeployState.BUILDING)
        admin.until("changed")
        limited.connection.sock.settimeout(0.3)
        with pytest.raises(TimeoutError):
            limited.until("changed")
    assert changes() == before
    own = site.deploy(site.store.app("mine"))
    with site.stream(before, cookie=cookie) as limited:
        own.update(state=DeployState.BUILDING)
        limited.until("changed")
    own.close()
    journal.close()


def test_the_public_page_says_up_or_down_and_nothing_else(public_site: Site) -> None:
    site = public_site
    go_live(site, "shop")
    go_live(site, "blog")
    site.store.create_app("unborn")
    fail(site, "shop")
    site.memory.facts.states = {"id0": "exited", "id1": "exited"}
    text = site.get("/", cookie="").text
    assert re.findall(r'class="state [a-z]+">(\w+)<', text) == ["down", "down"]  # go_live names all containers alike
    for hidden in ("unborn", "1a2b3c4", "v1", "exited 1", "web", "localhost:"):
        assert hidden not in text.partition("<main")[2], hidden
    assert site.get("/badge/shop.svg", cookie="").status == 200
    assert site.get("/apps/shop", cookie="").status == 401


def test_strangers_see_90_days_and_what_was_down_of_them(public_site: Site) -> None:
    site = public_site
    go_live(site, "shop")
    today = int(time.time() // 86_400)
    app_id = site.store.app("shop").id
    site.store.add_uptime([UptimeDay(app_id, today - n, up_s=86_400.0) for n in range(1, 10)])
    site.store.add_uptime([UptimeDay(app_id, today - 3, down_s=864.0)])
    text = site.get("/", cookie="").text
    assert "99.88 %" in text
    assert "down for 14m 24s" in text
    assert "Everything is up" in text
    assert site.get("/api/apps/shop", cookie="").status == 401


def test_a_pause_is_not_told_to_strangers_and_takes_nobody_down(public_site: Site) -> None:
    go_live(public_site, "shop")
    public_site.operations.pauses.pause(public_site.store.app("shop"), 30, GITSHIP)
    assert "Everything is up" in public_site.get("/", cookie="").text
    assert public_site.get("/api/apps").json()["apps"][0]["state"] == "paused"
    assert 'class="state paused"' in public_site.get("/").text


def test_a_badge_is_shown_to_its_own_token(site: Site) -> None:
    go_live(site, "shop")
    go_live(site, "blog")
    path = re.search(r'href="(/badge/shop.svg\?token=\w+)"', site.get("/apps/shop").text)
    assert path
    badge = site.get(path[1], cookie="")
    assert (badge.status, badge.headers["Content-Type"]) == (200, "image/svg+xml")
    assert "shop: up" in badge.text
    assert site.get(path[1].replace("shop", "blog"), cookie="").status == 404


def test_a_token_opens_the_api_and_metrics_and_no_page(site: Site) -> None:
    go_live(site, "shop")
    token = site.operations.sign_ins.add_token(site.key("bob", Role.VIEWER), "grafana")
    bearer = {"Authorization": f"Bearer {token}"}
    assert site.get("/api/apps/shop", cookie="", headers=bearer).json()["state"] == "live"
    assert site.get("/metrics", cookie="", headers=bearer).status == 200
    assert site.get("/api/apps/shop/deploys/1/log", cookie="", headers=bearer).status == 200
    assert site.get("/", cookie="", headers=bearer).status == 401
    answer = site.get("/api/apps", cookie="", headers={"Authorization": "Bearer wrong"})
    assert (answer.status, "web:token" in answer.json()["hint"]) == (401, True)


def test_metrics_are_for_the_server_itself_or_a_token_also_behind_varnish(site: Site) -> None:
    go_live(site, "shop")
    text = site.get("/metrics", cookie="").text
    assert 'gitship_deploys_total{app="shop",result="live"} 1.0' in text
    assert 'gitship_containers{app="shop",process="web",state="running"} 2.0' in text
    through = {"X-Forwarded-For": "192.0.2.9", "X-Real-IP": "192.0.2.9"}
    assert site.get("/metrics", cookie="", headers=through).status == 401


def test_metrics_tell_when_certificates_end_and_what_happened_to_containers(site: Site) -> None:
    go_live(site, "shop")
    app = site.store.app("shop")
    site.store.put_certificate(
        app.id, CertificateSource.OWN, domains=("shop.example.com",), issuer="a CA", not_before=0.0,
        not_after=2_000_000_000.0, pem="",
    )  # fmt: skip
    crash = ContainerEvent(app.id, "id", "shop.web.1.v1", "web", 1, 5.0, ContainerEventKind.CRASHED, 3)
    assert site.store.add_container_event(crash)
    text = site.get("/metrics", cookie="").text
    assert 'gitship_certificate_expires_seconds{app="shop",source="own"} 2e+09' in text
    assert 'gitship_container_events{app="shop",kind="crashed"} 1.0' in text
    site.store.put_certificate(
        STATUS_PAGE.id, CertificateSource.ACME, domains=("status.example.com",), issuer="a CA", not_before=0.0,
        not_after=3_000_000_000.0, pem="",
    )  # fmt: skip
    ends = 'gitship_certificate_expires_seconds{app="",source="acme"} 3e+09'
    assert ends in site.get("/metrics", cookie="").text


def test_metrics_have_every_series_that_readme_promises(site: Site) -> None:
    go_live(site, "shop")
    fail(site, "shop")
    app = site.store.app("shop")
    site.store.put_certificate(
        app.id, CertificateSource.ACME, domains=("shop.example.com",), issuer="a CA", not_before=0.0,
        not_after=time.time() + 10.5 * 86_400, pem="",
    )  # fmt: skip
    for deaths in (1, 2):
        crash = ContainerEvent(
            app.id, "id0", "shop.web.0.v1", "web", 1, 5.0 + deaths, ContainerEventKind.CRASHED, 3, "", deaths
        )
        site.store.add_container_event(crash)
    site.memory.tally.take(f"{app.id} v1 hit 200 0.001 300\n{app.id} v1 miss 502 0.04 300\n".encode())
    service = site.store.create_service("db", "postgres", "17", "postgres:17", 1 << 29, "db", "x", None)
    target = site.store.add_backup_target("disk", "directory", "/mnt/backups", {}, "", "ada")
    schedule = site.store.add_backup_schedule(service.subject, target, "0 3 * * *", "7d", "ada", 1 << 30)
    site.store.change_wal_archive(site.store.open_archive(service, schedule).id, seen_at=time.time() - 86_400)
    backup = site.store.begin_backup(
        service.subject, target, "ada", engine="postgres", version="17", schedule=None, encrypted=True
    )
    site.store.change_backup(backup.id, state=BackupState.VERIFIED, started_at=time.time() - 3 * 86_400)
    text = site.get("/metrics", cookie="").text
    for line in (
        'gitship_app_up{app="shop"} 1.0',
        'gitship_deploys_total{app="shop",result="live"} 1.0',
        'gitship_deploys_total{app="shop",result="failed"} 1.0',
        'gitship_deploy_seconds_count{app="shop",result="live"} 1.0',
        "gitship_deploys_waiting 0.0",
        'gitship_requests_total{answered_by="hits",app="shop"} 1.0',
        'gitship_requests_total{answered_by="misses",app="shop"} 1.0',
        'gitship_requests_total{answered_by="stale",app="shop"} 0.0',
        'gitship_errors_total{app="shop",made_by="app"} 1.0',
        'gitship_sent_bytes_total{app="shop"} 600.0',
        'gitship_first_byte_seconds_bucket{app="shop",le="+Inf"} 2.0',
        'gitship_container_restarts{app="shop",process="web"} 2.0',
        'gitship_container_restarts{app="shop",process="worker"} 0.0',
        'gitship_certificate_days{app="shop",source="acme"} 10.',
        'gitship_backup_age_seconds{kind="service",service="db"} 259',
        'gitship_backup_overdue{kind="service",service="db",target="disk"} 1.0',
        'gitship_point_in_time_age_seconds{service="db"} 864',
        "gitship_cpu_percent ",
        "gitship_memory_free_bytes ",
        "gitship_disk_free_bytes ",
        "gitship_load1 ",
    ):
        assert line in text, line


def test_behind_https_the_cookie_is_secure_and_bound_to_the_host(site: Site) -> None:
    path = f"/sign-in/{site.operations.sign_ins.link(site.key('bob', Role.VIEWER))}"
    through = {"X-Forwarded-For": "192.0.2.9", "X-Real-IP": "192.0.2.9", "X-Forwarded-Proto": "https"}
    cookie = site.get(path, "POST", cookie="", form={}, headers=through).headers["Set-Cookie"]
    assert cookie.startswith("__Host-gitship=")
    assert "Secure" in cookie
    assert site.get("/", cookie=cookie.partition(";")[0], headers=through).status == 200
    assert site.get("/", cookie=cookie.partition(";")[0]).status == 401
    assert site.store.audit()[0].address == "192.0.2.9"
    assert site.store.audit()[0].outcome is Outcome.OK
