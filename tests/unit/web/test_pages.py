"""What the pages say, read over a real connection."""

from __future__ import annotations

import re
import time
from dataclasses import replace

import pytest

from gitship.configvalues import Address
from gitship.deploy.https.operations import HostStatus, ServerHttps
from gitship.errors import EngineError, GitshipError
from gitship.front.tally import Minute
from gitship.model import CertificateSource, Container, DeployState, StoredCertificate
from gitship.traffic import Traffic, bucket, no_latency
from gitship.web import health
from tests.unit.web.conftest import COMMIT, Site

pytestmark = pytest.mark.unit

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
    for part in ("push by ada", "84 MB", f'href="/apps/shop/deploys/{deploy_id}"', "answered 500", "v1 serves on"):
        assert part in page.text
    assert '<li class="done building">building <b>0.0s</b></li>' in page.text
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
    assert answer.json()["status"] == "the store does not answer"


def test_an_error_inside_shows_no_traceback(site: Site) -> None:
    site.store.close()
    page = site.get("/")
    assert page.status == 500
    assert "Traceback" not in page.text
    assert "sqlite" not in page.text


def test_api_tells_release_and_deploy(site: Site) -> None:
    go_live(site, "shop")
    (app,) = site.get("/api/apps").json()["apps"]
    assert app["processes"] == {"web": 2, "worker": 1}
    assert app["release"]["number"] == 1
    assert app["release"]["commit"] == COMMIT
    assert app["deploy"]["state"] == "live"
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
    site.operations.facts.states = {"half-id2": "restarting", "gone-id0": "exited", "gone-id1": "exited"}
    site.store.set_setting(ids["shut"], "stopped", True)
    site.store.set_setting(ids["closed"], "maintenance", {"page": None, "allow": []})
    site.store.set_setting(ids["well"], "lock", {"by": "ada", "message": "freeze", "at": 1.0})
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
    assert "half.worker.2.v1 crashes and is started again and again" in text
    assert "ssh -p 2222 deploy@localhost logs half" in text
    assert "Locked by ada</b>: freeze" in site.get("/apps/well").text
    assert [w["command"] for w in site.get("/api/apps/gone").json()["warnings"]] == ["ps:list gone"]


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

    monkeypatch.setattr(site.operations.facts, "containers", silent)
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
        site.store.set_setting(site.store.app("shop").id, "maintenance", {"page": None, "allow": []})
        viewer.until("changed")
        site.operations.facts.states = {"id0": "exited"}
        viewer.until("changed")


def test_traffic_of_the_hour_is_drawn_and_told(site: Site) -> None:
    go_live(site, "shop")
    go_live(site, "quiet")
    latency = no_latency()
    latency[bucket(0.05)] = 900
    traffic = Traffic(hits=600, misses=300, app_errors=60, latency=latency)
    site.operations.tally.restore([Minute(site.store.app("shop").id, int(time.time()) - 120, traffic)])
    shop, quiet = sorted(site.get("/api/apps").json()["apps"], key=lambda a: a["name"] == "quiet")
    assert quiet["traffic"] is None
    assert (shop["traffic"]["requests_per_s"], shop["traffic"]["errors_per_s"]) == (1.5, 0.1)
    assert 0.04 < shop["traffic"]["p95_s"] < 0.07
    text = site.get("/").text
    assert "1.5/s · 67&nbsp;%&nbsp;hits" in text
    assert text.count('<svg class="spark"') == 1
    page = site.get("/apps/shop").text
    assert "at most 15.0/s" in page
    assert '<line x1="59"' in page  # it went live just now
    assert "<h2>Traffic</h2>" not in site.get("/apps/quiet").text


def test_a_certificate_that_ends_soon_or_cannot_be_had_is_a_warning(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_live(site, "shop")

    def certificate(not_after: float) -> StoredCertificate:
        return StoredCertificate(1, 1, CertificateSource.ACME, ("a.example.com",), "CA", 0.0, not_after, "")

    hosts = [
        HostStatus("a.example.com", "ok", certificate(time.time() + 6.2 * 86_400)),
        HostStatus("b.example.com", "ok", certificate(time.time() + 60 * 86_400)),
        HostStatus("c.example.com", "none", problem="its DNS record leads elsewhere"),
    ]
    monkeypatch.setattr(ServerHttps, "status", lambda self, app: hosts)
    warnings = site.get("/api/apps/shop").json()["warnings"]
    assert [w["text"] for w in warnings] == [
        "The certificate of a.example.com ends in 6 days",
        "HTTPS of c.example.com: its DNS record leads elsewhere",
    ]
    assert {w["command"] for w in warnings} == {"https:status shop"}
