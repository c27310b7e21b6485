"""Every command that changes something, twice: the second time has a clear end and changes nothing more.

0: it is as was asked for. 3: what was to be made is there, or what was to be removed is not.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gitship.console import command_registry
from gitship.git.repository import Repositories
from gitship.model import Role
from tests.unit.certs import bundle
from tests.unit.commands.world import ADA, BOB, World

pytestmark = pytest.mark.clients

Words = tuple[str, ...]

SETS: tuple[tuple[Words, bytes], ...] = (
    (("config:set", "shop", "A=1"), b""), (("config:import", "shop"), b"B=2\n"), (("config:global:set", "C=3"), b""),
    (("domains:add", "shop", "www.example.net", "*.example.org"), b""), (("domains:set", "shop", "a.example.net"), b""),
    (("keys:add", "ada", "--role", "admin", *ADA.split()[:2]), b""), (("keys:add", "ci", *BOB.split()[:2]), b""),
    (("keys:limit", "ci", "shop"), b""), (("keys:grant", "ci", "blog"), b""),
    (("ps:scale", "shop", "web=2"), b""), (("ports:set", "shop", "3000"), b""), (("ports:unset", "shop"), b""),
    (("checks:set", "shop", "--path", "/healthz"), b""), (("checks:unset", "shop"), b""),
    (("checks:skip", "shop"), b""), (("resources:limit", "shop", "--memory", "64m"), b""),
    (("resources:unset", "shop"), b""), (("capabilities:add", "shop", "NET_RAW"), b""),
    (("capabilities:remove", "shop", "NET_RAW"), b""), (("builder:set", "shop", "--target", "prod"), b""),
    (("builder:unset", "shop"), b""), (("git:set", "shop", "deploy-branch", "production"), b""),
    (("storage:mount", "shop", "data:/data"), b""), (("cron:add", "shop", "nightly", "@daily", "./report"), b""),
    (("cron:suspend", "shop", "nightly"), b""), (("cron:resume", "shop", "nightly"), b""),
    (("cache:set", "shop", "--ttl", "60s"), b""), (("cache:purge", "shop"), b""), (("cache:unset", "shop"), b""),
    (("redirects:add", "shop", "/old", "/new"), b""), (("auth:set", "shop", "ada"), b"secret"),
    (("allow:add", "shop", "192.0.2.0/24"), b""), (("maintenance:on", "shop"), b""), (("maintenance:off", "shop"), b""),
    (("errors:set", "shop", "--page", "-"), b"<p>down"), (("errors:unset", "shop"), b""),
    (("vcl:set", "shop"), b"sub app_recv {\n}\n"), (("vcl:unset", "shop"), b""),
    (("ratelimit:set", "shop", "--requests", "9"), b""), (("ratelimit:off", "shop"), b""),
    (("bodylimit:set", "shop", "1m"), b""), (("bodylimit:off", "shop"), b""),
    (("https:enable", "shop"), b""), (("https:disable", "shop"), b""),
    (("certs:add", "shop"), bundle("shop.example.com", "a.example.net", days=30.5).encode()),
    (("registry:login", "registry.example.com", "ci"), b"secret"),
    (("apps:lock", "blog", "sale"), b""), (("apps:unlock", "blog"), b""),
    (("ps:stop", "shop"), b""), (("ps:start", "shop"), b""),
    (("server:apply",), b"[apps.shop.config]\nA = \"2\"\n"), (("server:reconcile",), b""),
)  # fmt: skip
MAKES: tuple[Words, ...] = (
    ("apps:create", "fresh"), ("apps:clone", "shop", "copy"), ("demo:create", "demo"),
    ("notify:add", "chat", "https://chat.example.com/x"), ("web:token", "grafana"),
)  # fmt: skip
REMOVES: tuple[Words, ...] = (
    ("notify:remove", "chat"), ("web:token:remove", "grafana"), ("registry:logout", "registry.example.com"),
    ("certs:remove", "shop"), ("redirects:remove", "shop", "/old"), ("cron:remove", "shop", "nightly"),
    ("storage:unmount", "shop", "data"), ("storage:destroy", "shop", "data", "--force"),
    ("domains:remove", "shop", "a.example.net"), ("keys:revoke", "ci", "blog"), ("keys:remove", "ci"),
    ("config:unset", "shop", "A"), ("config:global:unset", "C"), ("ps:resume", "shop"),
)  # fmt: skip
BEFORE: dict[str, Words] = {"storage:destroy": ("ps:restart", "shop"), "ps:resume": ("ps:pause", "shop")}
# The first of these leaves one user, one network: the last ones go with :off.
LEAVING_ONE: tuple[tuple[Words, Words], ...] = (
    (("auth:remove", "shop", "ada"), ("auth:off", "shop")),
    (("allow:remove", "shop", "192.0.2.0/24"), ("allow:off", "shop")),
)  # fmt: skip
ACTIONS = {
    "server:cleanup": "frees what there is, with Docker: tests/e2e/test_disk.py",
    "apps:destroy": "no app of that name afterwards, which is answered as to a key that may not know of it",
    "apps:rename": "as apps:destroy: the old name leads nowhere",
    "checks:run": "changes nothing", "config:export": "changes nothing", "config:get": "changes nothing",
    "cron:log": "changes nothing", "logs:run": "changes nothing", "run:list": "changes nothing",
    "notify:log": "changes nothing", "server:export": "changes nothing", "server:backup": "changes nothing",
    "storage:export": "changes nothing", "keys:list": "changes nothing", "audit": "changes nothing",
    "hooks:list": "changes nothing", "registry:list": "changes nothing", "config:global:show": "changes nothing",
    "certs:list": "changes nothing",
    "cron:run": "runs it once more", "run": "runs it once more", "enter": "runs it once more",
    "run:stop": "see test_run",
    "notify:test": "sends it once more", "ps:restart": "restarts once more", "ps:rebuild": "builds once more",
    "https:renew": "asks when it is time", "releases:rollback": "goes back once more",
    "releases:promote": "deploys once more", "git:deploy": "deploys once more", "git:from-image": "deploys once more",
    "git:from-archive": "deploys once more", "storage:import": "refused without --replace once it is full",
    "deploys:cancel": "needs a deploy", "deploys:retry": "needs a deploy", "deploys:abort": "needs a canary",
    "deploys:promote": "needs a canary", "ps:pause": "refused while it lasts",
    **dict.fromkeys(
        ("services:create", "services:link", "services:unlink", "services:promote", "services:rotate",
         "services:restart", "services:resize", "services:dump", "services:load", "services:clone", "services:upgrade",
         "services:rollback", "services:connect", "services:proxy", "services:expose", "services:unexpose",
         "services:log", "services:logs", "services:destroy",
         "backups:run", "backups:list", "backups:times", "backups:download", "backups:schedules", "backups:target:list",
         "backups:verify", "backups:restore", "backups:remove", "backups:schedule", "backups:unschedule",
         "backups:target:add", "backups:target:check", "backups:target:remove"),
        "needs a server: tests/e2e/services",
    ),
}  # fmt: skip


@pytest.fixture
def world_of_two(world: World) -> Iterator[World]:
    world.memory.push("shop")
    world.ok("apps:create", "blog")
    made = Repositories(world.settings.repositories, None)
    for name in ("shop", "blog", "demo"):
        made.create(name)
    yield world


def state(world: World) -> str:
    """All that is stored, but for the audit log, times, and the numbers of rows that are written anew."""
    kept = [
        line
        for line in world.store._db.iterdump()
        if not any(f'"{t}"' in line for t in ("audit", "deploys", "certificates"))
    ]
    return "\n".join(sorted(line for line in kept if "sequence" not in line and "release" not in line))


def twice(world: World, words: Words, stdin: bytes, code: int) -> None:
    first = world.run(*words, stdin=stdin)
    assert first.code == 0, (words, first.err)
    before = state(world)
    second = world.run(*words, stdin=stdin)
    assert second.code == code, (words, second.out, second.err)
    assert state(world) == before, words
    if code:
        assert second.err.startswith("error: ") and "\nhint: " in second.err, words
        assert second.out == "", words


def test_what_is_so_already_is_done_again_with_0_and_what_is_there_or_gone_with_3(world_of_two: World) -> None:
    world = world_of_two
    for words, stdin in SETS:
        twice(world, words, stdin, 0)
    for words in MAKES:
        twice(world, words, b"", 3)
    assert world.run("auth:set", "shop", "bob", stdin=b"x").code == 0
    world.ok("allow:add", "shop", "10.0.0.0/8")
    for words, off in LEAVING_ONE:
        twice(world, words, b"", 3)
        twice(world, off, b"", 0)
    for words in REMOVES:
        if before := BEFORE.get(words[0]):
            world.ok(*before)
        twice(world, words, b"", 3)


def test_no_command_that_changes_something_is_left_out() -> None:
    tried = {words[0] for words, _ in SETS} | {words[0] for words in (*MAKES, *REMOVES)}
    tried |= {words[0] for pair in LEAVING_ONE for words in pair}
    changing = {c.name for c in command_registry.load().values() if c.role is not Role.VIEWER and not c.hidden}
    known = {name for name in ACTIONS if command_registry.find(name)}
    assert changing - tried - known == set(), "run it twice here, or say why it is not"
    assert known & tried == set()
