"""What the pages say, read over a real connection."""

from __future__ import annotations

import html
import logging
import re
import time
from dataclasses import replace
from io import StringIO

import pytest

from gitship import log_format
from gitship.appfiles import cache_rules
from gitship.appsettings import CACHE, LOCK, MAINTENANCE, STOPPED, AppLock
from gitship.config_values import Address
from gitship.deploy.deploy_json import deploy_document
from gitship.engine.types import LogLine
from gitship.errors import EngineError, GitshipError, NotFound
from gitship.front.gate import Maintenance
from gitship.front.traffic_counters import TrafficMinute
from gitship.https.app_https import HostStatus, ServerHttps
from gitship.model import (
    STATUS_PAGE,
    CertificateSource,
    Container,
    ContainerEvent,
    ContainerEventKind,
    DeployKind,
    DeployState,
    Role,
    StoredCertificate,
    UptimeDay,
)
from gitship.model.services import ServiceVolume, VolumeUse
from gitship.model.traffic import Traffic, bucket, no_latency
from gitship.web import health, usage
from tests.unit.web.conftest import COMMIT, Site, addresses
from tests.waiting import wait_until

HOSTILE = '<script>alert("x")</script>'
ESCAPED = "&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;"


def go_live(site: Site, name: str, **release: str) -> None:
    app = site.store.create_app(name)
    journal = site.deploy(app)
    made = site.release(app, **release)
    containers = [
        Container(f"id{i}", f"{name}.{process}.{i}.v1", app.id, made.id, process, i, f"10.231.0.{i + 4}", port)
        for i, (process, port) in enumerate((("web", 5000), ("web", 5000), ("worker", None)))
    ]
    site.store.set_live(app.id, made.id, containers)
    with journal.stage(DeployState.BUILDING, "Building Dockerfile"):
        pass
    journal.update(state=DeployState.LIVE, release_id=made.id, finished_at=time.time())
    journal.close()


def fail(site: Site, name: str, reason: str = "exited 1", hint: str = "see the lines above") -> int:
    journal = site.deploy(site.store.app(name))
    journal.line(f" !     checking failed: {reason}")
    journal.update(
        state=DeployState.FAILED,
        failed_stage=DeployState.CHECKING,
        reason=reason,
        hint=hint,
        finished_at=time.time(),
    )
    journal.close()
    return journal.deploy.id


def test_without_an_app_the_overview_shows_the_next_command_to_type(site: Site) -> None:
    page = site.get("/")
    assert page.status == 200
    assert "git remote add deploy ssh://deploy@localhost:2222/my-app\ngit push deploy main" in page.text


def test_overview_shows_a_live_app_with_release_commit_processes_and_address(site: Site) -> None:
    go_live(site, "shop")
    text = site.get("/").text
    for part in ('class="state live"', "<b>v1</b>", f"<code>{COMMIT[:7]}</code>", "web&nbsp;×2", "worker&nbsp;×1"):
        assert part in text
    assert 'href="http://shop.localhost:8080"' in text
    assert "just now" in text


def test_overview_tells_deploying_failed_and_never_deployed_apart(site: Site) -> None:
    go_live(site, "broken")
    fail(site, "broken", reason="listens on 3000, expected 5000")
    site.store.create_app("fresh")
    site.store.create_app("first")
    fail(site, "first")
    journal = site.deploy(site.store.create_app("busy"))
    journal.update(state=DeployState.BUILDING)
    states = {app["name"]: app["state"] for app in site.get("/api/apps").json()["apps"]}
    assert states == {"broken": "live", "busy": "deploying", "fresh": "never deployed", "first": "failed"}
    text = site.get("/").text
    assert "checking: listens on 3000, expected 5000" in text
    assert text.count("last deploy failed") == 2
    assert '<span class="state never-deployed">' in text
    journal.close()


def test_an_app_whose_newest_deploy_was_canceled_is_still_live(site: Site) -> None:
    go_live(site, "shop")
    journal = site.deploy(site.store.app("shop"))
    journal.update(state=DeployState.CANCELED, finished_at=time.time())
    journal.close()
    assert site.get("/api/apps").json()["apps"][0]["state"] == "live"


def test_an_app_that_only_drains_is_live_already(site: Site) -> None:
    go_live(site, "shop")
    journal = site.deploy(site.store.app("shop"))
    journal.update(state=DeployState.DRAINING)
    assert site.get("/api/apps").json()["apps"][0]["state"] == "live"
    journal.close()


def test_app_page_lists_releases_and_deploys_with_stage_times(site: Site) -> None:
    go_live(site, "shop", cause="first push")
    deploy_id = fail(site, "shop", reason="answered 500")
    page = site.get("/apps/shop")
    assert page.status == 200
    for part in ("push by ada", "84 MB", f'href="/apps/shop/deploys/{deploy_id}"', "answered 500", "v1 keeps serving"):
        assert part in page.text
    assert re.search(r'<li class="done building">building <b>\d\.\ds</b></li>', page.text)
    assert '<li class="failed checking">checking failed</li>' in page.text


def test_app_without_a_deploy_shows_how_to_push_to_it(site: Site) -> None:
    site.store.create_app("fresh")
    assert "git remote add deploy ssh://deploy@localhost:2222/fresh" in site.get("/apps/fresh").text


def test_deploy_page_has_the_cause_above_stages_and_log(site: Site) -> None:
    site.store.create_app("shop")
    deploy_id = fail(site, "shop", reason="listens on 127.0.0.1 only", hint="listen on 0.0.0.0")
    text = site.get(f"/apps/shop/deploys/{deploy_id}").text
    assert text.index("listens on 127.0.0.1 only") < text.index('<ol class="stages">') < text.index(">Log</h2>")
    assert "listen on 0.0.0.0" in text
    assert '<li id="L1" value="1" class="error">' in text
    assert " !     checking failed: listens on 127.0.0.1 only</li>" in text


def test_deploy_page_shows_the_end_of_a_long_log_and_links_the_whole(site: Site) -> None:
    journal = site.deploy(site.store.create_app("shop"))
    for number in range(1, 1501):
        journal.raw(f"step {number}")
    path = f"/apps/shop/deploys/{journal.deploy.id}"
    text = site.get(path).text
    assert '<li id="L501" value="501" class="raw">' in text
    assert '<li id="L1500" value="1500" class="raw">' in text
    assert 'id="L500"' not in text
    assert f'data-stream="{path}/stream?after=1500"' in text
    log = site.get(f"{path}/log")
    assert log.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert log.text == journal.path.read_text()
    journal.close()


def test_the_page_of_a_deploy_that_ended_asks_for_no_stream(site: Site) -> None:
    site.store.create_app("shop")
    assert "data-stream" not in site.get(f"/apps/shop/deploys/{fail(site, 'shop')}").text


def test_text_from_outside_is_escaped_everywhere(site: Site) -> None:
    app = site.store.create_app("shop")
    release = site.release(app, commit=HOSTILE, cause=HOSTILE)
    site.store.set_live(app.id, release.id, [])
    journal = site.deploy(app, commit=HOSTILE, cause=HOSTILE)
    journal.line(HOSTILE)
    journal.update(state=DeployState.FAILED, failed_stage=DeployState.CHECKING, reason=HOSTILE, hint=HOSTILE)
    for path in ("/", "/apps/shop", f"/apps/shop/deploys/{journal.deploy.id}", "/apps/" + "%3Cscript%3E"):
        text = site.get(path).text
        assert "<script>" not in text, path
    assert f"</a>{ESCAPED}</li>" in site.get(f"/apps/shop/deploys/{journal.deploy.id}").text
    with site.stream(f"/apps/shop/deploys/{journal.deploy.id}/stream") as stream:
        head = stream.until("state").data
        assert "<script>" not in head
        assert "&lt;script&gt;" in head
    journal.close()


def test_a_program_with_a_token_that_asks_for_a_wrong_address_is_told_so(site: Site) -> None:
    token = site.operations.sign_ins.add_token(site.key("robot", Role.VIEWER), "t")
    for path in ("/api/nothing", "/api/apps/shop/deploys/x"):
        answer = site.get(path, cookie="", headers={"Authorization": f"Bearer {token}"})
        assert answer.status == 404
        assert answer.json() == {"error": "no such address", "hint": "the page /api lists all of them"}
        assert site.get(path, cookie="").status == 401


def test_commands_of_a_hint_can_be_typed_as_they_stand(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.store.create_app("shop")

    def deploys(*_: object, **__: object) -> None:
        raise NotFound("no release v9", "see `releases:list`, or `apps:list`")

    monkeypatch.setattr(site.store, "deploys", deploys)
    answer = site.get("/api/apps/shop/deploys")
    assert answer.json()["hint"] == "see `releases:list shop`, or `apps:list`"


def test_without_an_app_each_key_is_told_what_it_can_do(site: Site) -> None:
    assert "git push" in site.get("/").text
    viewer = site.get("/", cookie=site.sign_in("vi", Role.VIEWER)).text
    assert "deployer’s or admin’s first push" in viewer and "keys:grant" not in viewer and "git push" not in viewer
    assert "keys:grant li APP" in site.get("/", cookie=site.sign_in("li", Role.DEPLOYER, [])).text


def test_no_page_shows_a_config_value(site: Site) -> None:
    go_live(site, "shop")
    for path in ("/", "/apps/shop", "/apps/shop/deploys/1", "/api/apps"):
        assert "the-secret" not in site.get(path).text


@pytest.mark.parametrize(
    "path",
    [
        "/apps/nothing",
        "/apps/nothing/deploys/1",
        "/apps/nothing/deploys/1/stream",
        "/apps/shop/deploys/99",
        "/apps/shop/deploys/9999999999999999999",
        "/apps/shop/deploys/x",
        "/apps/other/deploys/1",
        "/apps/..%2f..%2fetc",
        "/nothing",
    ],
)
def test_what_does_not_exist_is_a_404_page_that_leads_back(site: Site, path: str) -> None:
    go_live(site, "shop")  # deploy 1 is shop's
    site.store.create_app("other")
    page = site.get(path)
    assert page.status == 404
    assert '<a href="/">All apps</a>' in page.text


@pytest.mark.parametrize(
    "path", ["/", "/apps/shop", "/apps/shop/deploys/1", "/nothing", "/healthz", "/changes?after=x"]
)
def test_every_answer_forbids_inline_and_foreign_content(site: Site, path: str) -> None:
    go_live(site, "shop")
    headers = site.get(path).headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "Server" not in headers


def test_pages_hold_nothing_that_the_policy_forbids(site: Site) -> None:
    go_live(site, "shop")
    for path in ("/", "/apps/shop", "/apps/shop/deploys/1", "/nothing"):
        text = site.get(path).text
        assert " style=" not in text
        assert "<style" not in text
        assert not re.search(r"<[^>]+ on[a-z]+=", text)
        assert 'src="http' not in text


def test_style_script_and_icon_are_served_with_their_types(site: Site) -> None:
    text = site.get("/").text
    for file, type_ in (("style.css", "text/css"), ("changes.js", "javascript"), ("icon.svg", "image/svg+xml")):
        path = text[text.index(f"/static/{file}") :].partition('"')[0]
        answer = site.get(path)
        assert answer.status == 200
        assert type_ in answer.headers["Content-Type"]
    assert site.get("/static/../server.py").status in (403, 404)


def test_pages_only_read(site: Site) -> None:
    go_live(site, "shop")
    for method in ("PUT", "DELETE", "PATCH", "POST"):
        assert site.get("/apps/shop", method=method).status == 405
    head = site.get("/", method="HEAD")
    assert (head.status, head.text) == (200, "")


def test_healthz_says_whether_the_store_answers(site: Site) -> None:
    assert site.get("/healthz", cookie="").json() == {"status": "ok"}
    site.store.close()
    answer = site.get("/healthz", cookie="")
    assert answer.status == 503
    assert answer.json()["status"] == "the database does not answer"


def test_an_error_inside_shows_no_traceback_but_the_id_under_which_the_log_has_it(site: Site) -> None:
    site.store.close()
    logged = StringIO()
    handler = logging.StreamHandler(logged)
    handler.setFormatter(log_format.TextFormatter())
    logging.getLogger("gitship.web.page").addHandler(handler)
    try:
        page = site.get("/")
    finally:
        logging.getLogger("gitship.web.page").removeHandler(handler)
    assert page.status == 500
    found = re.search(r"has it under request ([0-9a-f]{8})", page.text)
    assert found, page.text
    assert f"GET / failed [request={found[1]}]" in logged.getvalue()
    assert "Traceback" not in page.text
    assert "sqlite" not in page.text


def test_api_tells_release_and_deploy(site: Site) -> None:
    go_live(site, "shop")
    (app,) = site.get("/api/apps").json()["apps"]
    assert app["processes"] == {"web": 2, "worker": 1}
    assert app["release"]["number"] == 1
    assert app["release"]["commit"] == COMMIT
    assert app["deploy"] == deploy_document(site.store.deploy(1), site.store.releases(1)[0])
    assert site.get("/api/apps/shop/deploys").json() == {
        "deploys": [{**app["deploy"], "subject": None, "author": None}]
    }
    assert site.get("/api/apps/shop/deploys/1").json()["release"] == 1
    assert app["urls"] == ["http://shop.localhost:8080"]


@pytest.mark.parametrize("host", ["localhost:8484", "127.0.0.1:8484", "[::1]:8484", "shop.localhost"])
def test_on_loopback_its_own_names_are_answered(site: Site, host: str) -> None:
    assert site.get("/", host=host).status == 200


def test_on_loopback_a_foreign_host_name_is_refused(site: Site) -> None:
    page = site.get("/", host="rebound.example.net")
    assert page.status == 403
    assert site.get("/api/apps", host="localhost.example.net").status == 403


def test_an_address_in_use_is_named_with_the_way_out(site: Site) -> None:
    second = site.new_server(Address("127.0.0.1", site.server.address.port))
    with pytest.raises(GitshipError, match=r"cannot listen on 127\.0\.0\.1") as caught:
        second.start()
    assert "web.listen" in caught.value.hint
    second.stop()


def test_the_state_is_what_a_visitor_gets(site: Site) -> None:
    for name in ("well", "half", "gone", "shut", "closed"):
        go_live(site, name)
    ids = {app.name: app.id for app in site.store.apps()}
    for name, app_id in ids.items():  # go_live calls the containers of every app alike
        live = site.store.app(name).live_release or 0
        containers = [replace(c, id=f"{name}-{c.id}") for c in site.store.containers(app_id)]
        site.store.set_live(app_id, live, containers)
    site.memory.facts.states = {"half-id2": "restarting", "gone-id0": "exited", "gone-id1": "exited"}
    site.store.set_setting(ids["shut"], STOPPED, True)
    site.store.set_setting(ids["closed"], MAINTENANCE, Maintenance())
    site.store.set_setting(ids["well"], LOCK, AppLock("ada", "freeze", 1.0))
    apps = site.get("/api/apps").json()["apps"]
    assert {a["name"]: (a["state"], a["up"]) for a in apps} == {
        "well": ("live", True),
        "half": ("degraded", True),
        "gone": ("down", False),
        "shut": ("stopped", False),
        "closed": ("maintenance", False),
    }
    assert [a["name"] for a in apps if a["locked"]] == ["well"]
    text = site.get("/").text
    assert "1 of 5 apps is down" in text
    assert "half.worker.2.v1 is in a crash loop" in text
    assert "ssh -p 2222 deploy@localhost logs half" in text  # there is no release to go back to
    assert "Locked by ada</b>: freeze" in site.get("/apps/well").text
    assert [w["command"] for w in site.get("/api/apps/gone").json()["warnings"]] == ["ps:restart gone"]


def test_a_crash_loop_is_told_between_two_crashes_too(site: Site) -> None:
    go_live(site, "loop")
    app = site.store.app("loop")
    container, now = site.store.containers(app.id)[0], time.time()
    for n, kind in enumerate([*[ContainerEventKind.CRASHED] * 3, ContainerEventKind.CRASH_LOOP]):
        code = 3 if kind is ContainerEventKind.CRASHED else None
        site.store.add_container_event(
            ContainerEvent(app.id, container.id, container.name, "web", 1, now - 3 + n / 2, kind, code, "exit code 3")
        )
    assert f"{container.name} is in a crash loop" in site.get("/").text


def test_what_went_live_after_docker_was_asked_is_not_called_down(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "FRESH_S", 3600.0)
    go_live(site, "shop")
    assert site.get("/api/apps").json()["apps"][0]["state"] == "live"
    app = site.store.app("shop")
    next_ones = [replace(c, id=f"next-{c.id}") for c in site.store.containers(app.id)]
    site.store.set_live(app.id, app.live_release or 0, next_ones)
    assert site.get("/api/apps").json()["apps"][0]["state"] == "live"


def test_while_docker_is_silent_nothing_is_called_down(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent() -> dict[str, str]:
        raise EngineError("Docker does not answer", "start it")

    monkeypatch.setattr(site.memory.facts, "containers", silent)
    go_live(site, "shop")
    assert site.get("/api/apps").json()["apps"][0]["state"] == "live"
    assert "Docker does not answer" in site.get("/").text
    assert "not known" in site.get("/apps/shop").text


def test_what_a_command_sets_without_a_deploy_reaches_an_open_page(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "FRESH_S", 0.05)
    go_live(site, "shop")
    site.server.stop()
    site.server = site.new_server(Address("127.0.0.1", 0))
    site.server.start()
    page = site.get("/").text
    with site.stream(page[page.index("/changes?after=") :].partition('"')[0]) as viewer:
        site.store.set_setting(site.store.app("shop").id, MAINTENANCE, Maintenance())
        viewer.until("changed")
        site.memory.facts.states = {"id0": "exited"}
        viewer.until("changed")


def test_traffic_of_the_hour_is_drawn_and_told(site: Site) -> None:
    go_live(site, "shop")
    go_live(site, "quiet")
    latency = no_latency()
    latency[bucket(0.05)] = 900
    latency[bucket(2.0)] = 20
    traffic = Traffic(hits=600, misses=300, app_errors=60, sent_bytes=84_000_000, latency=latency)
    site.memory.tally.restore([TrafficMinute(site.store.app("shop").id, int(time.time()) - 120, traffic)])
    shop, quiet = sorted(site.get("/api/apps").json()["apps"], key=lambda a: a["name"] == "quiet")
    assert quiet["traffic"] is None
    assert (shop["traffic"]["requests_per_s"], shop["traffic"]["errors_per_s"]) == (1.5, 0.1)
    assert 0.04 < shop["traffic"]["p95_s"] < 0.07
    text = site.get("/").text
    for figure in ("1.5/s", "67 %", "0.1/s", "no visitors in the last hour"):
        assert figure in text
    assert text.count("<path d=") == 4  # requests, hits, 5xx and p95 of the one that has visitors
    page = site.get("/apps/shop").text
    assert "900 requests, 67 % answered from the cache, 60 with 5xx, 84 MB sent, p50 " in page
    whole = page[page.index("5xx, 84 MB sent") + 5 :].partition(". Times")[0]
    assert re.fullmatch(r"84 MB sent, p50 [45][0-9] ms, p95 [56][0-9] ms, p99 [12]\.[0-9] s(; lines mark .*)?", whole)
    assert re.search(r"<title>[^<]+: 15/s, 67 % from the cache, 84 MB sent</title>", page)
    step = max(site.get("/api/apps/shop/traffic").json()["steps"], key=lambda step: step["requests"])
    assert step["sent_bytes"] == 84_000_000 and step["p50_s"] < step["p95_s"] < 0.1 < 1 < step["p99_s"]
    assert "No visitors in the last hour" in site.get("/apps/quiet").text


def test_a_certificate_that_ends_soon_or_cannot_be_had_is_a_warning(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_live(site, "shop")

    def certificate(not_after: float) -> StoredCertificate:
        return StoredCertificate(1, 1, CertificateSource.ACME, ("a.example.com",), "CA", 0.0, not_after, "")

    hosts = [
        HostStatus("a.example.com", "ok", certificate(time.time() + 6.2 * 86_400)),
        HostStatus("b.example.com", "ok", certificate(time.time() + 60 * 86_400)),
        HostStatus("c.example.com", "none", problem="its DNS record leads elsewhere", retry_at=time.time() + 900),
        HostStatus("*.example.com", "none", problem="needs your own certificate"),
    ]
    monkeypatch.setattr(ServerHttps, "status", lambda self, app: hosts)
    warnings = site.get("/api/apps/shop").json()["warnings"]
    assert [w["text"] for w in warnings] == [
        "The certificate of a.example.com ends in 6 days",
        "HTTPS of c.example.com: its DNS record leads elsewhere",
        "HTTPS of *.example.com: needs your own certificate",
    ]
    renew, bring = "https:renew shop --force", "certs:add shop < chain-and-key.pem"
    assert [w["command"] for w in warnings] == [renew, renew, bring]
    page = site.get("/apps/shop").text
    for part in ("in 6 d", "in 59 d", "no certificate", "its DNS record leads elsewhere"):
        assert part in page


def test_the_status_pages_own_certificate_is_on_it(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    go_live(site, "shop")
    ends = StoredCertificate(1, 0, CertificateSource.ACME, ("status.net",), "A CA", 0.0, time.time() + 6.2 * 86_400, "")
    own = [HostStatus("status.net", "ok", ends)]
    monkeypatch.setattr(ServerHttps, "status", lambda self, asked: own if asked.id == STATUS_PAGE.id else [])
    page = site.get("/").text
    assert "This page’s certificate" in page and "in 6 d" in page and "A CA" in page
    found = site.get("/api/server").json()["warnings"]
    warnings = [(w["text"], w["command"]) for w in found]
    assert ("The certificate of status.net ends in 6 days", "https:renew --status-page --force") in warnings


def test_a_crash_loop_after_a_release_that_was_good_is_ended_by_a_rollback(site: Site) -> None:
    site.memory.push("shop")
    site.memory.push("shop")
    site.memory.facts.states = {c.id: "restarting" for c in site.store.containers() if c.process == "web"}
    [warning] = site.get("/api/apps/shop").json()["warnings"]
    assert warning["command"] == "releases:rollback shop"


def test_a_deploy_that_waits_long_names_what_it_waits_for(site: Site) -> None:
    for name in ("shop", "blog"):
        site.store.create_app(name)
    running = site.deploy(site.store.app("blog"))
    running.update(state=DeployState.BUILDING)
    waits = site.deploy(site.store.app("shop"))
    with site.store.transaction() as db:
        db.execute("UPDATE deploys SET created_at = created_at - 600 WHERE id = ?", (waits.deploy.id,))
    text = site.get("/").text
    assert "Deploy 2 of shop has waited for 10 min: deploy 1 of blog is building" in text
    assert "deploys:cancel blog" in text
    cookie = site.sign_in("bob", Role.VIEWER, ["shop"])
    page = site.get("/", cookie=cookie)
    assert (page.status, "has waited for 10 min" in page.text, "blog" in page.text) == (200, True, False)
    running.close()
    waits.close()


def test_a_filling_disk_and_a_silent_varnish_are_warnings(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    go_live(site, "shop")
    full = replace(usage.machine(site.settings.data_dir), disk_bytes=100 << 30, disk_free_bytes=5 << 30)
    monkeypatch.setattr(usage, "machine", lambda data_dir: full)
    site.memory.facts.front = False
    found = {w["text"]: w["command"] for w in site.get("/api/server").json()["warnings"]}
    assert found == {
        "Varnish does not answer: no app can be reached": "gitship doctor",
        "The disk is filling: 5% is free": "docker builder prune && docker image prune",
    }
    assert site.get("/api/apps/shop").json()["state"] == "down"


def test_old_pages_that_stand_in_for_an_app_that_is_down_are_told(site: Site) -> None:
    go_live(site, "shop")
    app_id = site.store.app("shop").id
    site.memory.facts.states = {"id0": "exited", "id1": "exited"}
    site.memory.tally.take(f"{app_id} v1 stale 200 0.001 300\n".encode() * 7)
    app = site.get("/api/apps/shop").json()
    assert (app["state"], app["traffic"]["stale"]) == ("down", 7)
    text = site.get("/").text
    assert "shop: 7 requests in the last 10 minutes were answered with expired pages from the cache" in text
    assert '<span class="old">0.7/min old</span>' in text


def test_few_old_pages_while_new_ones_are_fetched_are_not_worth_a_word(site: Site) -> None:
    go_live(site, "shop")
    line = f"{site.store.app('shop').id} v1 %s 200 0.001 300\n"
    site.memory.tally.take(((line % "hit") * 500 + (line % "stale") * 4).encode())
    assert " old</span>" not in site.get("/").text
    assert site.get("/api/apps/shop").json()["traffic"]["stale"] == 4


def test_the_app_page_has_plots_of_an_hour_a_day_and_30_days_with_marks(site: Site) -> None:
    go_live(site, "shop")
    app_id, now = site.store.app("shop").id, int(time.time())
    site.memory.tally.restore([TrafficMinute(app_id, now // 60 * 60 - 120, Traffic(hits=600, stale=6, misses=300))])
    hours = [(app_id, now // 3600 * 3600 - 3600 * n, Traffic(misses=1000)) for n in (2, 30, 300)]
    site.store.add_traffic(hours)
    for span, requests in (("hour", 906), ("day", 1000), ("month", 3000), ("nonsense", 906)):
        page = site.get(f"/apps/shop?span={span}").text
        assert f"{requests:,} requests" in page, span
        assert page.count('<svg class="plot"') == 3
        steps = site.get(f"/api/apps/shop/traffic?span={span}")
        if span != "nonsense":
            assert sum(step["requests"] for step in steps.json()["steps"]) == requests
    assert (steps.status, "hour, day, month" in steps.json()["error"]) == (400, True)
    marks = site.get("/api/apps/shop/traffic?span=month").json()["live"]
    assert [(mark["release"], mark["deploy"]) for mark in marks] == [("v1", 1)]
    for span in ("hour", "day", "month"):
        drawn = 'href="/apps/shop/deploys/1" tabindex="-1"><title>v1 went live'
        assert site.get(f"/apps/shop?span={span}").text.count(drawn) == 3, span


def test_the_app_page_shows_the_cache_its_rules_and_what_it_answered(site: Site) -> None:
    go_live(site, "shop")
    app_id, now = site.store.app("shop").id, int(time.time())
    site.store.set_setting(app_id, CACHE("ttl_s"), 60)
    counts = Traffic(hits=600, stale=100, misses=200, passes=100)
    site.memory.tally.restore([TrafficMinute(app_id, now // 60 * 60 - 120, counts)])
    page = site.get("/apps/shop").text
    for part in ("from the cache <b>60.0 %</b>", "old, from the cache <b>10.0 %</b>", "not to be kept <b>10.0 %</b>"):
        assert part in page
    assert re.search(r"<dt>ttl</dt><dd>1m .*cache:set", page)
    cache = site.get("/api/apps/shop").json()["cache"]
    assert cache["rules"]["ttl"] == {"value": 60, "source": "cache:set"}


def test_what_happened_to_containers_is_on_the_app_page(site: Site) -> None:
    go_live(site, "shop")
    app_id = site.store.app("shop").id
    event = ContainerEvent(
        app_id, "id0", "shop.web.0.v1", "web", 1, time.time(), ContainerEventKind.OOM, 137, "out of memory", 2
    )
    site.store.add_container_event(event)
    assert "killed: out of memory, restarting (2nd time)" in site.get("/apps/shop").text
    [told] = site.get("/api/apps/shop").json()["events"]
    assert (told["kind"], told["container"]) == ("oom", "shop.web.0.v1")


def test_every_answer_of_the_api_is_on_its_page(site: Site) -> None:
    go_live(site, "shop")
    app_id, now = site.store.app("shop").id, int(time.time())
    site.store.add_uptime([UptimeDay(app_id, now // 86_400, up_s=5.0)])
    site.store.add_container_event(ContainerEvent(app_id, "id0", "c", "web", 1, 5.0, ContainerEventKind.CRASHED, 3))
    site.memory.tally.restore([TrafficMinute(app_id, now // 60 * 60 - 60, Traffic(misses=1))])
    site.memory.facts.lines.append(LogLine("shop.web.0.v1", time.time(), "stdout", "listening"))
    service = site.service("db", "shop")
    site.store.begin_task(service.subject, "create", "ada")
    site.store.note_volume(ServiceVolume("old", service.id, VolumeUse.KEPT, "16", "i", "i", 1.0, 2.0))
    page = site.get("/api").text
    paths = re.findall(r"<code>GET (/api[^<?]*)", page)
    routes = [address for address in addresses() if address.startswith("/api/")]
    for route in routes:
        assert any(re.fullmatch(route, path.replace("/ID", "/1")) for path in paths), route
    for path in paths:
        answer = site.get(path.replace("/APP", "/shop").replace("/SERVICE", "/db").replace("/ID", "/1"))
        assert answer.status == 200, path
        if not path.endswith("/log"):
            for name in names_in(answer.json()) - RULES - {"web", "worker"}:  # these are process types
                assert f"<code>{name}</code>" in page or f'"{name}"' in html.unescape(page), (path, name)


RULES = {rule.option for rule in cache_rules.RULES}


def names_in(document: object) -> set[str]:
    """The keys of all objects in a JSON document."""
    if isinstance(document, dict):
        return set(document) | set().union(*map(names_in, document.values()))
    return set().union(*map(names_in, document)) if isinstance(document, list) else set()


def test_a_container_that_crashes_again_and_again_is_told_so_while_it_happens_to_run(site: Site) -> None:
    go_live(site, "shop")
    app_id, now = site.store.app("shop").id, time.time()
    for n, kind in enumerate(
        (
            ContainerEventKind.CRASHED,
            ContainerEventKind.CRASHED,
            ContainerEventKind.CRASHED,
            ContainerEventKind.CRASH_LOOP,
        )
    ):
        code = None if kind is ContainerEventKind.CRASH_LOOP else 3
        event = ContainerEvent(app_id, "id0", "shop.web.0.v1", "web", 1, now - 40 + 10 * n, kind, code, "", n + 1)
        site.store.add_container_event(event)
    [warning] = site.get("/api/apps/shop").json()["warnings"]
    assert warning["text"] == "shop.web.0.v1 is in a crash loop"
    assert site.get("/apps/shop").text.count(">crash loop</span>") == 1
    assert site.get("/api/apps/shop").json()["instances"][0]["state"] == "crash loop"


def test_a_rollback_that_gitship_made_by_itself_is_told_with_its_cause(site: Site) -> None:
    site.memory.push("shop")
    app_id = site.store.app("shop").id
    cause = "automatic rollback to v1: v2 crashed 3 times within 9 s of the switch"
    for by, told in (("ada", 0), ("gitship", 1)):
        deploy = site.store.create_deploy(app_id, DeployKind.ROLLBACK, by, cause=cause)
        site.store.update_deploy(replace(deploy, state=DeployState.LIVE, finished_at=time.time()))
        link = f"/apps/shop/deploys/{deploy.id}"
        wait_until(lambda link=link: link in site.get("/apps/shop").text, what="pages are kept for a second")  # type: ignore[misc]
        page = site.get("/apps/shop").text
        assert page.count("<b>Rolled back automatically:</b>") == told
        overview = site.get("/", host=f"n{deploy.id}.localhost").text  # one that is not kept
        assert overview.count("rolled back</a>") == told
    assert site.get("/api/apps/shop").json()["rolled_back"] == cause
