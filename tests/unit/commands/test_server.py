"""A whole server as one document: written, read, and brought about by the commands themselves."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gitship.config import WebSettings
from gitship.containers.discrepancies import Change, RepairAction
from gitship.git.repository import Repositories
from gitship.model import Role
from gitship.serverfile import document
from tests.unit.commands.test_again import MAKES, SETS
from tests.unit.commands.world import ADA, BOB, World

ODD = "two words, $HOME \"quotes\" 'single' \\back\\slash\n\tsecond line é €"


SETTING = (
    ("config:global:set", f"SHARED={ODD}", "--no-restart"), ("config:set", "shop", f"A={ODD}", "B=-b", "C="),
    ("ps:scale", "shop", "web=2", "worker=1"), ("ports:set", "shop", "3000"),
    ("checks:set", "shop", "--path", "/healthz?a=b", "--timeout", "2", "--content=-ok", "--header", "X-A: b c"),
    ("checks:set", "shop", "--process", "worker", "--port", "9000"),
    ("resources:limit", "shop", "--memory", "512m"),
    ("resources:limit", "shop", "--process", "worker", "--cpus", "0.5", "--pids", "90", "--read-only"),
    ("resources:limit", "shop", "--process", "web", "--writable"),
    ("capabilities:add", "shop", "NET_RAW", "cap_sys_chroot"),
    ("builder:set", "shop", "--dockerfile", "docker/Dockerfile", "--context", "app", "--target", "prod"),
    ("builder:set", "shop", "--arg", f"X={ODD}", "--arg-from-config", "A"),
    ("domains:add", "shop", "www.example.net"), ("domains:add", "shop", "*.example.org"),
    ("builder:set", "shop", "--platform", "linux/amd64", "--network", "none", "--secret", "token=A"),
    ("git:set", "shop", "deploy-branch", "production"),
    ("storage:mount", "shop", "data:/var/lib/shop"),
    ("storage:mount", "shop", "up:/up", "--read-only", "--process", "web"),
    ("cron:add", "shop", "nightly", "0 3 * * mon-fri", "./report", "--all", "two words"),
    ("cron:add", "--timezone=Europe/Berlin", "--overlap=queue", "--timeout=2h", "shop", "sync", "@hourly", "s"),
    ("cron:suspend", "shop", "sync"),
    ("cache:set", "shop", "--ttl=90s", "--ignore-cookies=on", "--strip-query=utm_*,fbclid", "--warm=/,/feed?a=b"),
    ("cache:set", "blog", "--ignore-cookies=off", "--assets-for=0s"),
    ("notify:add", "ops", "https://hooks.example.com/a?token=swordfish", "--events", "deploy.live,app.created"),
    ("maintenance:on", "shop", "--allow", "10.0.0.0/8"), ("redirects:add", "shop", "/old", "/new"),
    ("redirects:add", "shop", "www.example.net", "https://example.net", "--code", "308"),
    ("ratelimit:set", "shop", "--requests", "100", "--per", "1m", "--by", "all"), ("bodylimit:set", "shop", "1500"),
    ("https:enable", "shop", "--hsts", "on"),
    ("allow:add", "shop", "203.0.113.7", "10.0.0.0/8"), ("apps:lock", "blog", "sale", "until", "Friday"),
    ("checks:skip", "shop"), ("https:disable", "blog"),
)  # fmt: skip
BY_STDIN = {"auth:set", "errors:set", "notify:add", "vcl:set", "keys:add"}  # see ``full``
TAKES_BACK = {
    "config:unset", "config:global:unset", "ports:unset", "checks:unset", "resources:unset", "capabilities:remove",
    "builder:unset", "cache:unset", "maintenance:off", "errors:unset", "vcl:unset", "ratelimit:off", "bodylimit:off",
    "cron:resume", "apps:unlock",
}  # fmt: skip
NOT_IN_IT = {
    "certs:add": "it has a private key", "registry:login": "a login of Docker's", "web:token": "shown once",
    "ps:stop": "for now", "ps:start": "for now", "cache:purge": "no setting", "server:reconcile": "no setting",
    "server:apply": "reads it", "apps:create": "an app itself, by its name",
    "apps:clone": "an app itself, by its name", "demo:create": "an app itself, by its name",
    "config:import": "as config:set", "domains:set": "as domains:add", "keys:limit": "as keys:add --app",
    "keys:grant": "as keys:add --app",
}  # fmt: skip


def repositories(world: World) -> None:
    """The operations of the commands' tests make none."""
    made = Repositories(world.settings.repositories, None)
    for name in ("shop", "blog"):
        made.create(name)


@pytest.fixture
def full(world: World) -> World:
    """A server on which everything is set that a document can say."""
    return filled(world)


@pytest.fixture(scope="module")
def untouched(settled: World) -> World:
    """As ``full``, for tests that change nothing."""
    return filled(settled)


def filled(world: World) -> World:
    world.memory.push("shop")
    world.ok("apps:create", "blog")
    repositories(world)
    assert world.run("keys:add", "ada", *ADA.split()[:2], "--role", "admin").code == 0
    assert world.run("keys:add", "ci", *BOB.split()[:2], "--app", "shop").code == 0
    for words in SETTING:
        world.ok(*words)
    assert world.run("auth:set", "shop", "ada", stdin=b"open sesame: two").code == 0
    assert world.run("errors:set", "shop", "--page", "-", stdin="<p>Back soon é\n".encode()).code == 0
    words = ("chat", "https://chat.example.com/b", "--app", "shop", "--format", "slack", "--secret")
    assert world.run("notify:add", *words, stdin=b"swordfish").code == 0
    assert world.run("vcl:set", "shop", stdin=b'sub app_recv {\n  set req.http.x = {"a"};\n}\n').code == 0
    return world


def apply(world: World, text: str, *words: str) -> tuple[int, str, str]:
    client = world.run("server:apply", *words, stdin=text.encode())
    return client.code, client.out, client.err


def exported(world: World, *words: str) -> str:
    return world.ok("server:export", *words).out


def test_what_was_exported_is_there_already(untouched: World) -> None:
    code, out, err = apply(untouched, exported(untouched), "--dry-run")
    assert (code, out) == (0, ""), out
    assert "no change" in err
    assert "no change" in apply(untouched, exported(untouched))[2]


def test_another_server_becomes_the_same_and_then_has_nothing_to_do(full: World, tmp_path: Path) -> None:
    text = exported(full)
    other = World.open(tmp_path / "other")
    repositories(other)
    code, out, err = apply(other, text)
    assert code == 0, out + err
    assert exported(other) == text
    assert "no change" in apply(other, text)[2]
    other.store.close()


@pytest.mark.clients
def test_the_sections_are_known_and_in_order_whatever_was_imported_first() -> None:
    """In a process of its own: as a server has it whose first command is `server:apply`."""
    program = (
        "from gitship.console import command_registry; command_registry.load();"
        "from gitship.serverfile import document; document.parse('[apps.shop.config]');"
        "print(*[one.key for one in document.sections()])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [
        "deploy_branch", "mounts", "cron", "ratelimit", "bodylimit", "vcl", "config", "scale", "port", "checks",
        "skip_checks", "limits", "capabilities", "build", "links", "domains", "maintenance", "redirects",
        "cache", "error_page", "allow", "auth", "https", "lock",
    ]  # fmt: skip


def test_every_section_is_in_the_full_document(untouched: World) -> None:
    """So that a new section is tested here too."""
    apps = tomllib.loads(exported(untouched))["apps"]
    assert {key for app in apps.values() for key in app} | {"links"} == {one.key for one in document.sections()}
    assert (apps["shop"]["skip_checks"], "skip_checks" in apps["blog"]) == (True, False)
    assert set(tomllib.loads(exported(untouched))) == {"config", "keys", "webhooks", "apps"}


def test_all_that_a_command_can_set_is_in_the_document() -> None:
    """Every command that ``test_again`` runs twice is set by ``full``, takes such a thing back, or has a reason."""
    changing = {words[0] for words, _ in SETS} | {words[0] for words in MAKES}
    said = {words[0] for words in SETTING} | BY_STDIN
    assert changing - said - TAKES_BACK - NOT_IN_IT.keys() == set()
    assert not said & NOT_IN_IT.keys()


def test_the_status_pages_https_goes_into_it_and_comes_out_again(tmp_path: Path) -> None:
    with_name = WebSettings(domain="status.example.com")
    one, other = World.open(tmp_path / "one", with_name), World.open(tmp_path / "other", with_name)
    nameless = World.open(tmp_path / "nameless")
    assert "status_page" not in exported(one)
    for words, value in (
        (("https:enable", "--hsts", "on"), {"hsts": True}), (("https:enable", "--hsts", "off"), {"hsts": False}),
        (("https:disable",), False),
    ):  # fmt: skip
        one.ok(*words, "--status-page")
        text = exported(one)
        assert tomllib.loads(text)["status_page"] == {"https": value}
        plan = apply(other, text, "--dry-run", "--format", "json")[1]
        assert json.loads(plan) == [
            {"step": " ".join([words[0], "--status-page", *words[1:]]), "subject": "status page"}
        ]
        assert apply(other, text)[0] == 0
        assert exported(other) == text
        assert "no change" in apply(other, text)[2]
    code, _, err = apply(nameless, text)
    assert (code, "the status page has no host name" in err) == (1, True)
    assert "did you mean 'status_page.https'" in apply(other, "[status_page]\nhttp = true\n")[2]
    for world in (one, other, nameless):
        world.store.close()


def test_https_that_was_switched_off_is_said(untouched: World) -> None:
    """Where the server's settings switch it on for all, an app without a word would get it."""
    apps = tomllib.loads(exported(untouched))["apps"]
    assert (apps["blog"]["https"], apps["shop"]["https"]) == (False, {"hsts": True})


def test_a_plan_has_no_secret_and_does_nothing(untouched: World) -> None:
    before = exported(untouched)
    text = before.replace("open sesame", "swordfish").replace(ODD.split(",")[0] + ",", "swordfish,")
    code, out, err = apply(untouched, text, "--dry-run")
    assert code == 0
    assert "config:import shop: A" in out
    assert "auth:set shop ada" in out
    assert "swordfish" not in out + err
    out = apply(untouched, text.replace("chat.example.com/b", "chat.example.com/c"), "--dry-run")[1]
    assert "notify:add chat --app shop" in out
    assert "chat.example.com" not in out, "a URL may hold a secret"
    assert exported(untouched) == before
    assert not [e for e in untouched.store.audit() if "swordfish" in repr(e)]


def test_an_export_without_secrets_leaves_them_alone_when_it_is_applied(untouched: World) -> None:
    text = exported(untouched, "--no-secrets")
    assert "swordfish" not in text
    assert "two words, $HOME" not in text.replace("[apps.shop.build", "").partition("X =")[0]
    assert "sesame" not in text
    assert "no change" in apply(untouched, text)[2]


def test_changes_of_one_live_app_are_one_deploy(full: World) -> None:
    before = len(full.store.deploys(full.store.app("shop").id))
    text = exported(full).replace("3000", "4000").replace("/healthz", "/ready").replace("512m", "600m")
    code, out, err = apply(full, text)
    assert code == 0, err
    assert len(full.store.deploys(full.store.app("shop").id)) == before + 1
    assert out.count("ps:restart shop") == 1


def test_what_a_section_does_not_name_is_unset_and_what_has_no_section_stays(full: World) -> None:
    code, _, err = apply(
        full, '[apps.shop.config]\nB = "-b"\n[apps.shop]\nredirects = []\nallow = false\nport = "auto"\n'
    )
    assert code == 0, err
    app = tomllib.loads(exported(full))["apps"]["shop"]
    assert app["config"] == {"B": "-b"}
    assert not {"redirects", "allow", "port"} & app.keys()
    assert app["scale"] == {"web": 2, "worker": 1}
    assert "ada" in app["auth"]


def test_a_failing_step_is_told_and_holds_up_no_other_app(full: World) -> None:
    text = "[apps.blog]\nport = 4000\n[apps.shop]\nport = 5000\ndomains = []\n"  # blog is locked
    code, out, err = apply(full, text)
    assert code == 1
    assert "blog is locked" in err
    assert "1 of " in err and "ports:set blog" in err
    assert full.ok("ports:show", "shop", "--format", "json").json["port"] == 5000
    assert "apps:create" not in out


def test_a_locked_app_can_be_changed_by_a_document_that_says_so(full: World) -> None:
    code, _, err = apply(full, "[apps.blog]\nport = 4000\nlock = true\n")
    assert code == 0, err
    blog = tomllib.loads(exported(full))["apps"]["blog"]
    assert (blog["port"], blog["lock"]) == (4000, True)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "the document on standard input is empty"),
        ("[apps.shop", "not valid TOML"), ("[app.shop]", "did you mean 'apps'"),
        ("[apps.shop]\nprot = 1", "did you mean 'apps.shop.port'"), ("[apps.shop]\nport = 70000", "apps.shop.port"),
        ("[apps.Shop]", "is not an app name"), ("[apps.shop.config]\nA = 1", "apps.shop.config.A must be a string"),
        ("[apps.shop.scale]\nweb = -1", "apps.shop.scale.web"), ('[apps.shop]\ndomains = ["a b"]', "apps.shop.domains"),
        ('[apps.shop]\nallow = ["10.0.0.1/8"]', "apps.shop.allow"),
        ('[apps.shop]\nredirects = [{ from = "/a" }]', "needs to"),
        ('[apps.shop]\ncapabilities = ["SYS_ADMIN"]', "can't be given"),
        ('[apps.shop.limits.web]\nmemory = "1"', "at least"), ('[keys.x]\nkey = "ssh-ed25519 A"', "needs role"),
        ('[keys.x]\nkey = "ssh-ed25519 A"\nrole = "viewer"', "no admin key would be left"),
        ('[apps.blog]\ndomains = ["www.example.net"]', "would both have www.example.net"),
        ('[apps.blog]\ndomains = ["shop.example.com"]', "would both have shop.example.com"),
        ('[apps.blog]\ndomains = ["www.example.com"]', "www.example.com is directly below example.com"),
        ('[apps.new]\ndomains = ["www.example.com"]', "www.example.com is directly below example.com"),
        ('[keys.x]\nkey = "k"\nrole = "admin"\n[keys.y]\nkey = "l"\nrole = "viewer"\napps = ["sho"]',
         "did you mean 'shop'"),
        ("[apps.shop]\nratelimit = 3", "apps.shop.ratelimit must be a table"),
        ('[apps.shop.ratelimit]\nper = "1m"', "needs requests"),
        ('[apps.shop.ratelimit]\nrequests = 1\nper = "1y"', "apps.shop.ratelimit.per: '1y' is not a period"),
        ('[apps.shop]\nvcl = "sub vcl_recv { }"', "apps.shop.vcl is not valid as custom VCL: line 1"),
        ('[apps.shop]\nbodylimit = "much"', "apps.shop.bodylimit must be a size"),
        ("[apps.shop]\nmaintenance = 3", "maintenance must be a table"),
        ('[apps.shop.mounts."/proc"]\nsource = "a"', "a system directory"),
        ('[apps.shop.cron.a]\nschedule = "@daily"', "needs command"),
        ('[apps.shop.cron.a]\nschedule = "61 * * * *"\ncommand = ["a"]', "apps.shop.cron.a.schedule"),
        ("[apps.shop.cache]\ntll = 3", "did you mean 'apps.shop.cache.ttl'"),
        ("[apps.shop.cache]\nttl = -3", "apps.shop.cache.ttl"),
        ('[webhooks.a]\nurl = "ftp://x"', "begins with https://"),
        ('[webhooks.a]\nurl = "https://x"\napps = ["no"]', "no app 'no'"),
        ('[webhooks.a]\nurl = "https://x"\nevents = []', "webhooks.a.events is empty"),
        ('[apps.shop.mounts."/data"]\nsource = "a"\nprocesses = []', "processes is empty"),
        ("[apps.shop]\nallow = []", "apps.shop.allow is empty"),
        ("[apps.shop.auth]", "apps.shop.auth is empty"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_before_anything_is_done(untouched: World, text: str, says: str) -> None:
    before = exported(untouched)
    code, out, err = apply(untouched, text)
    assert code in (1, 2)
    assert says in err
    assert "hint: " in err
    assert (exported(untouched), out) == (before, "")


def test_a_domain_from_before_below_the_servers_own_is_no_reason_to_refuse(full: World) -> None:
    full.store.add_domain(full.store.app("blog").id, "www.example.com")
    assert "no change" in apply(full, exported(full))[2]


def test_a_domain_moves_from_one_app_to_another(full: World) -> None:
    text = '[apps.blog]\ndomains = ["www.example.net"]\nlock = false\n[apps.shop]\ndomains = []\n'
    code, _, err = apply(full, text)
    assert code == 0, err
    assert tomllib.loads(exported(full))["apps"]["blog"]["domains"] == ["www.example.net"]


def test_keys_are_added_changed_limited_and_removed(full: World) -> None:
    ada, bob = (" ".join(line.split()[:2]) for line in (ADA, BOB))
    text = f'[keys.boss]\nrole = "admin"\nkey = "{bob}"\n[keys.ci]\nrole = "viewer"\nkey = "{ada}"\napps = ["blog"]\n'
    code, out, err = apply(full, text)
    assert code == 1, "each public key is in use under another name, until that one is gone"
    assert re.search(r"the key SHA256:\S+ already exists", err)
    text = f'[keys.ada]\nrole = "admin"\nkey = "{ada}"\n[keys.ci]\nrole = "viewer"\nkey = "{bob}"\napps = ["blog"]\n'
    code, out, err = apply(full, text)
    assert code == 0, out + err
    assert [(k.name, k.role) for k in full.store.keys()] == [("ada", Role.ADMIN), ("ci", Role.VIEWER)]  # noqa: SIM118
    assert "no change" in apply(full, text)[2]
    code, _, err = apply(full, text.replace('apps = ["blog"]\n', ""))
    assert (code, [k.apps for k in full.store.keys()]) == (0, [None, None]), err  # noqa: SIM118


def test_what_is_limited_to_no_app_stays_so_here_and_on_another_server(full: World, tmp_path: Path) -> None:
    """An empty list is a limit to nothing; only one that is left out is none."""
    eve = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIL9ZqYnIsFdvLLLMRfBsQzIHb7Wm5dnQUdTSUbWZDlYV"
    full.ok("apps:create", "gone")
    full.ok("keys:add", "eve", "--app", "gone", *eve.split())
    full.ok("notify:add", "of-gone", "https://hooks.example.com/b", "--app", "gone")
    full.ok("apps:destroy", "gone", "--force")
    text = exported(full)
    assert (tomllib.loads(text)["keys"]["eve"]["apps"], tomllib.loads(text)["webhooks"]["of-gone"]["apps"]) == ([], [])
    assert "no change" in apply(full, text)[2]
    other = World.open(tmp_path / "other")
    repositories(other)
    code, out, err = apply(other, text)
    assert code == 0, out + err
    assert {k.name: k.apps for k in other.store.keys()}["eve"] == frozenset()  # noqa: SIM118
    assert {w.name: w.apps for w in other.store.webhooks()}["of-gone"] == frozenset()
    assert exported(other) == text
    other.store.close()


def test_a_document_takes_all_apps_from_a_key_and_a_webhook(full: World) -> None:
    told = tomllib.loads(exported(full))
    assert (told["keys"]["ci"]["apps"], told["webhooks"]["chat"]["apps"]) == (["shop"], ["shop"])
    code, out, err = apply(full, exported(full).replace('apps = [\n    "shop",\n]', "apps = []"))
    assert code == 0, out + err
    assert {k.name: k.apps for k in full.store.keys()} == {"ada": None, "ci": frozenset()}  # noqa: SIM118
    assert {w.name: w.apps for w in full.store.webhooks()} == {"chat": frozenset(), "ops": None}


def test_a_document_may_be_larger_than_any_file_of_a_commit(world: World) -> None:
    world.ok("apps:create", "shop")
    values = {f"V{n}": "x" * 4000 for n in range(30)}
    world.store.replace_config(world.store.app("shop").id, values)
    code, _, err = apply(world, exported(world).replace("V1 = ", "W = "))
    assert code == 0, err
    assert world.store.config(world.store.app("shop").id).keys() == values.keys() - {"V1"} | {"W"}


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=200))
def test_any_value_survives_the_round_trip(world: World, value: str) -> None:
    if world.store.find_app("shop") is None:
        world.ok("apps:create", "shop")
    world.store.replace_config(world.store.app("shop").id, {"V": value})
    text = exported(world)
    assert tomllib.loads(text)["apps"]["shop"]["config"] == {"V": value}
    code, _, err = apply(world, text.replace("V = ", "W = "))
    assert code == 0, err
    assert world.store.config(world.store.app("shop").id) == {"W": value}


def test_reconcile_shows_what_it_does_and_a_dry_run_does_nothing(world: World) -> None:
    amiss = [Change("shop", RepairAction.START, "shop.web.1.v3", "it was exited")]
    world.memory.reconciling.amiss = list(amiss)
    rows = [{"app": "shop", "action": "start", "subject": "shop.web.1.v3", "why": "it was exited"}]
    for words in (("--dry-run",), ()):
        assert world.ok("server:reconcile", *words, "--format", "json").json == rows
    assert world.ok("server:reconcile", "--format", "json").json == []
    assert "everything is as it should be" in world.run("server:reconcile").err
