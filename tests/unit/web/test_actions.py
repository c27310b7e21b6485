"""Buttons: asked twice, proof against other sites, allowed as commands are, and in the audit log."""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest

from gitship.front.cache_settings import Purge
from gitship.model import DeployKind, Outcome, Role
from gitship.routing.gate_settings import gate_of
from tests.unit.web.conftest import Answer, Site


@pytest.fixture
def shop(site: Site) -> Site:
    """A site with an app that has two releases."""
    site.memory.push("shop")
    site.memory.push("shop")
    return site


def press(site: Site, action: str, cookie: str | None = None) -> Answer:
    """As a browser does: reads the question, then sends the form that it shows."""
    question = site.get(f"/apps/shop/actions/{action}", cookie=cookie)
    assert question.status == 200
    assert '<form method="post"' in question.text
    form = dict(re.findall(r'<input type="hidden" name="(\w+)" value="(\w+)">', question.text))
    return site.get(f"/apps/shop/actions/{action.partition('?')[0]}", "POST", cookie=cookie, form=form)


def newest(site: Site) -> DeployKind:
    return site.store.deploys(site.store.app("shop").id, limit=1)[0].kind


def test_a_question_changes_nothing(shop: Site) -> None:
    for action in ("restart", "rollback?release=1", "cancel", "maintenance-on", "maintenance-off", "purge"):
        assert shop.get(f"/apps/shop/actions/{action}").status == 200
    assert newest(shop) is DeployKind.PUSH
    assert shop.store.audit() == []


def test_rollback_leads_to_the_deploy_that_it_made(shop: Site) -> None:
    page = shop.get("/apps/shop").text
    assert 'href="/apps/shop/actions/rollback?release=1"' in page
    assert "rollback?release=2" not in page  # it is live
    done = press(shop, "rollback?release=1")
    assert (done.status, done.headers["Location"]) == (303, "/apps/shop/deploys/3")
    assert newest(shop) is DeployKind.ROLLBACK
    [entry] = shop.store.audit()
    assert (entry.key_name, entry.action, entry.app, entry.detail, entry.outcome) == (
        "ada", "releases:rollback", "shop", "web, to v1", Outcome.OK,
    )  # fmt: skip


def test_the_question_of_a_rollback_names_config_that_comes_and_goes(shop: Site) -> None:
    assert "Config:" not in shop.get("/apps/shop/actions/rollback?release=1").text
    shop.operations.config.change(
        shop.store.app("shop"), {"DATABASE_URL": "postgres://secret"}, shop.key("cat", Role.DEPLOYER)
    )
    shop.memory.settle()
    page = shop.get("/apps/shop/actions/rollback?release=1").text
    assert "Config: removes DATABASE_URL." in page
    assert "secret" not in page
    assert shop.get("/apps/shop/actions/rollback?release=99").status == 404


def test_restart_and_maintenance_do_what_the_commands_do(shop: Site) -> None:
    assert press(shop, "restart").status == 303
    assert newest(shop) is DeployKind.RESTART
    app_id = shop.store.app("shop").id
    assert press(shop, "maintenance-on").status == 303
    assert gate_of(shop.store, app_id).maintenance is not None
    assert "maintenance" in shop.get("/").text
    assert press(shop, "maintenance-off").status == 303
    assert gate_of(shop.store, app_id).maintenance is None
    assert [e.action for e in shop.store.audit()] == ["maintenance:off", "maintenance:on", "ps:restart"]


def test_an_answer_is_for_the_app_that_was_asked_about(shop: Site) -> None:
    question = shop.get("/apps/shop/actions/maintenance-on")
    form = dict(re.findall(r'<input type="hidden" name="(\w+)" value="(\w+)">', question.text))
    shop.store.delete_app(shop.store.app("shop").id)
    new = shop.store.create_app("shop")
    answer = shop.get("/apps/shop/actions/maintenance-on", "POST", form=form)
    assert answer.status == 409 and "Shop is now a different app" in answer.text
    assert gate_of(shop.store, new.id).maintenance is None


def test_a_form_without_the_sessions_token_is_not_taken(shop: Site) -> None:
    for form in ({}, {"form_token": ""}, {"form_token": "0" * 64}):
        assert shop.get("/apps/shop/actions/restart", "POST", form=form).status == 403
    assert newest(shop) is DeployKind.PUSH


def test_the_token_of_another_session_is_not_taken(shop: Site) -> None:
    other = shop.sign_in("bob", Role.DEPLOYER)
    question = shop.get("/apps/shop/actions/restart", cookie=other)
    form = dict(re.findall(r'name="(form_token|app_id)" value="(\w+)"', question.text))
    assert shop.get("/apps/shop/actions/restart", "POST", form=form).status == 403
    assert newest(shop) is DeployKind.PUSH


def test_a_form_from_another_site_is_not_taken(shop: Site) -> None:
    question = shop.get("/apps/shop/actions/restart")
    form = dict(re.findall(r'name="(form_token|app_id)" value="(\w+)"', question.text))
    for site in ("cross-site", "same-site"):
        assert shop.get(
            "/apps/shop/actions/restart", "POST", form=form, headers={"Sec-Fetch-Site": site}
        ).status == 403  # fmt: skip
    assert newest(shop) is DeployKind.PUSH


def test_a_viewer_has_no_buttons_and_is_refused(shop: Site) -> None:
    cookie = shop.sign_in("bob", Role.VIEWER)
    assert "actions/" not in shop.get("/apps/shop", cookie=cookie).text
    token = re.search(r'name="form_token" value="(\w+)"', shop.get("/sign-out", cookie=cookie).text)
    assert token
    answer = shop.get("/apps/shop/actions/restart", "POST", cookie=cookie, form={"form_token": token[1]})
    assert answer.status == 403
    assert "needs the role deployer" in answer.text
    assert newest(shop) is DeployKind.PUSH
    assert [(e.key_name, e.outcome) for e in shop.store.audit()] == [("bob", Outcome.REFUSED)]


def test_what_cannot_be_done_says_why_and_is_in_the_log(shop: Site) -> None:
    question = shop.get("/apps/shop/actions/cancel")
    form = dict(re.findall(r'name="(form_token|app_id)" value="(\w+)"', question.text))
    answer = shop.get("/apps/shop/actions/cancel", "POST", form=form)
    assert (answer.status, "no deploy that can be canceled" in answer.text) == (404, True)
    assert [(e.action, e.outcome) for e in shop.store.audit()] == [("deploys:cancel", Outcome.FAILED)]


def test_a_release_is_a_number(shop: Site) -> None:
    for release in ("", "x", "-1", "٣", "9" * 40):
        assert shop.get(f"/apps/shop/actions/rollback?release={quote(release)}").status == 400


def test_a_purge_forgets_all_of_the_app_or_what_a_path_fits(shop: Site) -> None:
    assert 'href="/apps/shop/actions/purge"' in shop.get("/apps/shop").text
    assert press(shop, "purge").headers["Location"] == "/apps/shop"
    question = shop.get(f"/apps/shop/actions/purge?url={quote('/blog/*')}").text
    assert "cache:purge shop --url &#x27;/blog/*&#x27;" in question
    form = dict(re.findall(r'<input type="hidden" name="(form_token|app_id)" value="(\w+)">', question))
    assert shop.get("/apps/shop/actions/purge", "POST", form=form | {"url": "/blog/*"}).status == 303
    assert shop.memory.front.purged == [("1", Purge()), ("1", Purge("/blog/*"))]  # the app's id
    entries = [(e.action, e.detail, e.outcome) for e in shop.store.audit()]
    assert entries == [("cache:purge", "web, url /blog/*", Outcome.OK), ("cache:purge", "web, all", Outcome.OK)]


def test_what_cannot_be_purged_says_why(shop: Site) -> None:
    question = shop.get("/apps/shop/actions/purge").text
    form = dict(re.findall(r'<input type="hidden" name="(form_token|app_id)" value="(\w+)">', question))
    for url, why in (("blog", "not a path or url"), ("http://other.example.com/", "shop does not answer at")):
        answer = shop.get("/apps/shop/actions/purge", "POST", form=form | {"url": url})
        assert (answer.status, why in answer.text.lower()) == (400, True)
    assert shop.memory.front.purged == []
    assert shop.store.audit() == []  # as of a command that was typed wrongly
    assert shop.get("/apps/shop/actions/purge", "POST", form={"url": ""}).status == 403
    assert shop.memory.front.purged == []
