"""Promotions, images, archives, stored branches, clones, registries: what is refused, said and left behind."""

from __future__ import annotations

import io
import json

import pytest

from gitship.git.repository import Repositories
from gitship.model import GITSHIP, DeployKind, Identity, Role
from tests.tars import tar_of
from tests.unit.commands.world import World


@pytest.fixture
def shop(world: World) -> World:
    """`shop` is live, `blog` was never deployed; both have a repository."""
    world.memory.push("shop")
    world.operations.apps.create("blog", GITSHIP)
    for name in ("shop", "blog"):
        repositories(world).create(name)
    return world


def repositories(world: World) -> Repositories:
    return Repositories(world.settings.repositories, None)


def test_a_promotion_is_the_others_release(shop: World) -> None:
    shop.ok("releases:promote", "shop", "blog", "v1")
    [deploy] = shop.store.deploys(shop.store.app("blog").id)
    assert (deploy.kind, deploy.cause) == (DeployKind.PROMOTE, "shop v1")
    [entry] = [e for e in shop.store.audit() if e.action == "releases:promote"]
    assert entry.app == "shop, blog"
    shop.operations.apps.create("empty", GITSHIP)
    assert "empty has never been deployed" in shop.run("releases:promote", "empty", "shop").err
    shop.ok("apps:lock", "blog")
    assert "blog is locked" in shop.run("releases:promote", "shop", "blog").err
    for argv, said in (
        (("shop", "shop"), "is the same app"),
        (("shop", "nothing"), "no app 'nothing'"),
        (("shop", "blog", "v9"), "no release v9"),
        (("shop", "blog", "new"), "is not a release"),
    ):
        assert said in shop.run("releases:promote", *argv).err


def test_a_clone_has_what_was_set_and_not_what_the_app_is_at_the_moment(shop: World) -> None:
    store, source = shop.store, shop.store.app("shop").id
    store.replace_config(source, {"A": "1"})
    store.set_scale(source, {"web": 3})
    store.add_domain(source, "www.example.net")
    store.set_deploy_branch(source, "production")
    copied = {"run.port": 3000, "limit.web.cpus": 2, "build.target": "x", "allow": ["10.0.0.0/8"]}
    store.change_settings(source, {**copied, "skip-checks": "once", "stopped": True, "settings-pending": 1.0})
    shop.ok("apps:lock", "shop")
    shop.ok("apps:clone", "shop", "copy")
    made = store.app("copy")
    assert store.config(made.id) == {"A": "1"} and store.scale(made.id) == {"web": 3}
    assert store.domains(made.id) == [] and made.deploy_branch == "production"
    assert store.app_settings(made.id).values == {name: json.dumps(value) for name, value in copied.items()}
    assert [d.kind for d in store.deploys(made.id)] == [DeployKind.PROMOTE]
    shop.ok("apps:clone", "shop", "bare", "--no-deploy", "--no-config")
    bare = store.app("bare")
    assert store.config(bare.id) == {} and store.deploys(bare.id) == [] and repositories(shop).open("bare").refs() == {}


def test_a_clone_that_fails_half_way_leaves_no_app(shop: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Repositories, aside: object, name: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Repositories, "adopt", full)
    assert "No space left" in shop.run("apps:clone", "shop", "copy").err
    assert shop.store.find_app("copy") is None
    assert sorted(p.name for p in shop.settings.repositories.iterdir()) == ["blog.git", "shop.git"]
    for name, said in (("blog", "app 'blog' already exists"), ("A_B", "is not an app name")):
        assert said in shop.run("apps:clone", "shop", name).err


def test_an_archive_deploys_its_commit_on_top_of_the_branch(shop: World) -> None:
    shop.run("git:from-archive", "blog", stdin=tar_of(Dockerfile=b"FROM scratch\n"))
    [deploy] = shop.store.deploys(shop.store.app("blog").id)
    repository = repositories(shop).open("blog")
    assert deploy.kind is DeployKind.PUSH and (deploy.ref, deploy.old) == ("refs/heads/main", None)
    assert repository.blob(deploy.commit or "", "Dockerfile") == b"FROM scratch\n"
    assert repository.refs() == {}  # it moves when the commit is live
    shop.ok("apps:lock", "blog")
    locked = shop.client("git:from-archive", "blog", stdin=tar_of(a=b""))
    assert "blog is locked" in shop.go(locked).err and locked.session.stdin.read(1) != b""  # nothing was read
    assert shop.run("git:from-archive", "shop", "--strip", "-1").code == 2
    assert "from a terminal" in shop.run("git:from-archive", "shop", pty=True).err
    assert "standard input is empty" in shop.run("git:from-archive", "shop").err


def test_a_stored_commit_deploys_forward_and_backward_only_with_force(shop: World) -> None:
    repository = repositories(shop).open("blog")
    git = shop.operations.git
    by = Identity("ada", Role.ADMIN)
    commits: list[str] = []
    for content in (b"1", b"2"):
        deploy = git.archive(shop.store.app("blog"), io.BytesIO(tar_of(a=content)), by)
        assert deploy.commit and repository.compare_and_set("refs/heads/main", deploy.old, deploy.commit)
        commits.append(deploy.commit)
    assert repository.compare_and_set("refs/heads/feature", None, commits[0])
    refused = shop.run("git:deploy", "blog", "feature")
    assert refused.code == 1 and "does not contain 'main' (" in refused.err and "--force" in refused.err
    shop.ok("git:deploy", "blog", "feature", "--force")
    newest = shop.store.deploys(shop.store.app("blog").id)[0]
    assert (newest.commit, newest.ref, newest.old) == (commits[0], "refs/heads/main", commits[1])
    shop.ok("git:deploy", "blog", commits[1][:8])
    assert "no branch, tag or commit 'nothing'" in shop.run("git:deploy", "blog", "nothing").err


def test_the_deploy_branch_is_set_by_name(shop: World) -> None:
    shop.ok("git:set", "blog", "deploy-branch", "production")
    assert shop.ok("git:info", "blog", "--format", "json").json["deploy_branch"] == "production"
    assert "deploy branch  production" in shop.ok("git:report", "blog").out.replace("    ", "  ")
    assert "git push deploy production," in shop.ok("git:set", "blog", "deploy-branch", "refs/heads/production").err
    assert shop.store.app("blog").deploy_branch == "production"  # a branch refs/heads/refs/heads/... confuses git push
    for name in ("", "-x", "a..b", "HEAD", "a b", "x" * 300, "refs/heads/"):
        assert shop.run("git:set", "blog", "deploy-branch", "--", name).code in (1, 2), name
    assert shop.run("git:set", "blog", "keep-git-dir", "true").code == 2
    assert shop.store.app("blog").deploy_branch == "production"


def test_a_registrys_password_is_kept_once_it_is_taken_and_shown_nowhere(shop: World) -> None:
    assert shop.run("registry:login", "r.example.com", "ci", stdin=b"wrong").code == 1
    assert shop.store.registries() == []
    shown = shop.run("registry:login", "r.example.com:5000", "ci", stdin=b"swordfish\n")
    assert shown.code == 0 and shop.store.registries()[0].password == "swordfish"
    shop.run("registry:login", "r.example.com", "ci", "--no-check", stdin=b"wrong")
    listed = shop.ok("registry:list", "--format", "json")
    assert listed.json[1] == {"server": "r.example.com:5000", "user": "ci"}
    assert "swordfish" not in shown.out + shown.err + listed.out + repr(shop.store.registries())
    assert not any("swordfish" in str(entry) for entry in shop.store.audit())
    shop.ok("registry:logout", "r.example.com")
    assert "no login for 'r.example.com'" in shop.run("registry:logout", "r.example.com").err
    for server in ("http://x", "", "a b"):
        assert shop.run("registry:login", "--", server, "ci", stdin=b"p").code == 1, server
    assert shop.run("registry:login", "r.example.com", "ci").code == 2


def test_a_clone_says_that_volumes_stay_behind(shop: World) -> None:
    assert "volume" not in shop.ok("apps:clone", "shop", "bare").err
    shop.ok("storage:mount", "shop", "data:/var/lib/shop")
    said = shop.ok("apps:clone", "shop", "copy").err
    assert "volumes are not copied: data at /var/lib/shop" in said
    assert "storage:mount copy data:/var/lib/shop" in said and "storage:import copy data" in said
