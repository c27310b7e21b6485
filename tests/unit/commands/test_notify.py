"""Webhooks by command: who may add which, and who sees what of them. Hooks and policy are only looked at."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gitship.config import PolicySettings
from gitship.console.session import Session
from gitship.deploy.hook_files import HookPoint, directory
from gitship.model import Identity, Role
from tests.unit.commands.world import Client, World

URL = "https://hooks.example.com/T0/very-secret"


def limited(world: World, *argv: str, role: Role = Role.DEPLOYER, stdin: bytes = b"") -> Client:
    """As a key that may use `shop` alone."""
    client = world.client(*argv, role=role, stdin=stdin)
    who = Identity("ci", role, apps=frozenset({world.store.app("shop").id}))
    session = client.session
    made = Session(session.argv, who, session.stdin, session.stdout, session.stderr, session.pty)
    return world.go(Client(made, client.stdout, client.stderr))


@pytest.fixture
def two(world: World) -> World:
    world.ok("apps:create", "shop")
    world.ok("apps:create", "blog")
    return world


def test_an_admin_sees_the_url_and_nobody_else_does(two: World) -> None:
    two.ok("notify:add", "ops", URL)
    two.ok("notify:add", "chat", URL, "--app", "shop", "--format", "slack", "--events", "deploy.live, deploy.failed")
    chat, ops = two.ok("notify:list", "--format", "json").json
    assert (ops["url"], ops["apps"], ops["events"], ops["signed"]) == (URL, None, [], False)
    assert (chat["apps"], chat["events"], chat["format"]) == (["shop"], ["deploy.live", "deploy.failed"], "slack")
    for role in (Role.VIEWER, Role.DEPLOYER):
        for format in ("table", "json"):
            listed = two.ok("notify:list", "--format", format, role=role)
            assert "hooks.example.com" in listed.out
            assert "very-secret" not in listed.out + listed.err
    assert "very-secret" not in two.ok("notify:list").out
    assert all("very-secret" not in e.detail + e.app for e in two.store.audit())


def test_a_limited_key_sees_the_webhooks_of_its_apps_alone(two: World) -> None:
    for name, apps in (("ops", ()), ("of-blog", ("--app", "blog")), ("of-both", ("--app", "blog", "--app", "shop"))):
        two.ok("notify:add", name, URL, *apps)
    assert limited(two, "notify:add", "mine", URL, "--app", "shop").code == 0
    assert [row["name"] for row in limited(two, "notify:list", "--format", "json").json] == ["mine"]
    for name in ("ops", "of-blog", "of-both", "absent"):
        for verb in ("remove", "test", "log"):
            refused = limited(two, f"notify:{verb}", name)
            assert (refused.code, refused.out) == (3 if verb == "remove" else 1, "")
            assert refused.err == f"error: no webhook named '{name}'\nhint: see `notify:list`\n"
    assert limited(two, "notify:remove", "mine").code == 0
    assert len(two.store.webhooks()) == 3


def test_all_apps_need_an_admin(two: World) -> None:
    two.ok("notify:add", "ops", URL)
    for refused in (
        two.run("notify:add", "x", URL, role=Role.DEPLOYER),
        two.run("notify:remove", "ops", role=Role.DEPLOYER),
        two.run("notify:log", "ops", role=Role.DEPLOYER),
    ):
        assert refused.code == 1
        assert "no permission for webhooks of all apps" in refused.err
    assert two.run("notify:add", "y", URL, "--app", "blog", role=Role.DEPLOYER).code == 0
    assert [w.name for w in two.store.webhooks()] == ["ops", "y"]


def test_a_webhook_of_no_app_is_said_to_be_so(two: World) -> None:
    two.ok("notify:add", "later", URL, "--no-apps")
    two.ok("notify:add", "gone", URL, "--app", "blog")
    two.ok("apps:destroy", "blog", "--force")
    assert [row["apps"] for row in two.ok("notify:list", "--format", "json").json] == [[], []]
    assert ["none" in line for line in two.ok("notify:list").out.splitlines()[1:]] == [True, True]
    refused = two.run("notify:add", "x", URL, "--app", "shop", "--no-apps")
    assert (refused.code, "give --app, or --no-apps" in refused.err) == (2, True)
    assert not any(webhook.wants("deploy.live", two.store.app("shop").id) for webhook in two.store.webhooks())


def test_only_an_admins_webhook_may_lead_anywhere(two: World) -> None:
    two.ok("notify:add", "ops", "http://127.0.0.1:9/")
    two.ok("notify:add", "far", URL, "--app", "shop")
    for host in ("127.0.0.1", "[::1]", "169.254.169.254", "10.0.0.1", "localhost", "a.localhost"):
        refused = two.run("notify:add", "x", f"http://{host}/", "--app", "shop", role=Role.DEPLOYER)
        assert refused.code == 1
        assert "not a public address" in refused.err
    two.run("notify:add", "dep", URL, "--app", "shop", role=Role.DEPLOYER)
    assert {w.name: w.anywhere for w in two.store.webhooks()} == {"ops": True, "far": True, "dep": False}


def test_the_secret_comes_from_standard_input(two: World) -> None:
    client = two.run("notify:add", "ops", URL, "--secret", stdin=b"sword fish\n")
    assert client.code == 0
    assert two.store.webhooks()[0].secret == "sword fish"
    assert two.ok("notify:list", "--format", "json").json[0]["signed"] is True
    assert "sword" not in client.out + client.err + two.ok("notify:list").out
    empty = two.run("notify:add", "x", URL, "--secret", stdin=b"\n")
    assert (empty.code, "the secret is empty" in empty.err) == (1, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("no good", URL), "is not a webhook's name"),
        (("x", "ftp://example.com/secret"), "begins with https://"),
        (("x", "https://"), "begins with https://"),
        (("x", "https://u:secret@example.com/"), "name or password"),
        (("x", "https://example.com:secret/"), "not a URL"),
        (("x", "https://example.com/secret\r\nX: y"), "without spaces"),
        (("x", URL, "--events", "deploy.lives"), "no event 'deploy.lives'"),
        (("x", URL, "--events", ","), "no event is given"),
        (("x", URL, "--app", "shpo"), "no app 'shpo'"),
        (("ops", URL), "a webhook named 'ops' already exists"),
    ],
)
def test_bad_input_is_one_error_with_a_hint_and_changes_nothing(two: World, words: tuple[str, ...], said: str) -> None:
    two.ok("notify:add", "ops", URL)
    client = two.run("notify:add", *words)
    assert client.code in (1, 2, 3)
    assert said in client.err
    assert "secret" not in client.err
    assert client.err.count("\n") == 2 and "\nhint: " in client.err
    assert [w.name for w in two.store.webhooks()] == ["ops"]


def test_the_log_has_what_was_sent_and_what_waits(two: World) -> None:
    two.ok("notify:add", "ops", "http://127.0.0.1:1/")
    two.memory.push("shop")
    failed = two.run("notify:test", "ops")
    assert (failed.code, "not delivered: connection refused" in failed.err) == (1, True)
    rows = two.ok("notify:log", "ops", "--format", "json").json
    assert [(row["event"], row["status"], row["tries"]) for row in rows] == [
        ("test", "failed", 1),
        ("deploy.started", "waiting", 0),
    ]
    two.ok("notify:remove", "ops")
    assert two.store.webhooks() == []


def test_policy_shows_what_is_in_force(world: World) -> None:
    assert world.ok("policy:show", role=Role.VIEWER).out == "base images  all\nroot         allow\nmax image    -\n"
    policy = PolicySettings(("python:*",), "warn", 5_000_000)
    world.services = replace(world.services, settings=replace(world.settings, policy=policy))
    shown = world.ok("policy:show", "--format", "json", role=Role.VIEWER)
    assert shown.json == {"base_images": ["python:*"], "root": "warn", "max_image_bytes": 5_000_000}


def test_hooks_are_listed_with_why_one_would_not_run(world: World) -> None:
    assert "no hooks" in world.ok("hooks:list").err
    place = directory(world.settings.hooks_dir, HookPoint.ON_FAILURE)
    place.mkdir(parents=True)
    (place / "10-tell").touch(mode=0o755)
    (place / "20-open").touch()
    (place / "20-open").chmod(0o777)
    rows = world.ok("hooks:list", "--format", "json").json
    assert [(r["point"], r["name"], r["runs"]) for r in rows] == [
        ("on-failure", "10-tell", True),
        ("on-failure", "20-open", False),
    ]
    assert "writable by everyone" in rows[1]["reason"]
