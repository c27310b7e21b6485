"""Deploys of what no push brings: another app's release, an archive, a commit that is there already, a clone."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e import apps, docker_cli
from tests.e2e.commands import ok, refused, shown
from tests.e2e.harness import Server, make_key
from tests.e2e.load import load
from tests.waiting import wait_until

pytestmark = pytest.mark.e2e


def send(server: Server, data: bytes, *command: str) -> subprocess.CompletedProcess[bytes]:
    """`ssh deploy@server COMMAND` with bytes on its standard input."""
    return subprocess.run(
        [*server.ssh_command(), "deploy@127.0.0.1", *command],
        input=data,
        capture_output=True,
        timeout=90,
        env=apps.clean_env(),
        check=False,
    )


def image_of(server: Server, app: str) -> str:
    sql = "SELECT r.image_id FROM releases r JOIN apps a ON a.live_release = r.id WHERE a.name = ?"
    return str(server.database(sql, app)[0][0])


def has_image(server: Server, image: str) -> bool:
    return bool(docker_cli.docker(server.docker_host, "images", "-q", "--no-trunc", image, check=False)) or (
        image in docker_cli.docker(server.docker_host, "images", "-aq", "--no-trunc").split()
    )


def test_a_promoted_release_has_the_others_image_and_its_own_config(
    server: Server, tiny_app: Callable[..., Path]
) -> None:
    procfile = {"Procfile": "web: /tiny\nworker: /tiny\n"}
    staging = tiny_app("staging", files=procfile)
    server.push_ok(staging, "staging")
    server.push_ok(tiny_app("prod", version="old"), "prod")
    ok(server, "config:set", "prod", "WHO=prod")
    ok(server, "ports:set", "prod", "3100")
    with load(server.http_port, "prod.localhost", ["old", "v1"], workers=2) as visitors:
        out = ok(server, "releases:promote", "staging", "prod")
        report = visitors.end()
    assert report.failed == 0, report
    assert "Building" not in out and "prod: staging v1" in out
    assert image_of(server, "prod") == image_of(server, "staging")
    assert server.get("prod").body.startswith("v1")
    assert server.get("prod", "/env?WHO").body == "prod" and server.get("prod", "/env?PORT").body == "3100"
    assert server.get("staging", "/env?WHO").body != "prod"
    assert {"process": "worker", "quantity": 0} in shown(server, "ps:scale", "prod")  # from the other's Procfile

    # the commit is not in its repository; what is changed later works all the same, and so does a rollback
    ok(server, "ports:set", "prod", "3200")
    assert server.get("prod", "/env?PORT").body == "3200"
    assert shown(server, "checks:show", "prod")[0]["process"] == "web"
    ok(server, "releases:rollback", "prod")
    assert server.get("prod", "/env?PORT").body == "3100"
    ok(server, "config:set", "prod", "WHO=again")
    assert server.get("prod", "/env?WHO").body == "again"
    assert "is the same app" in refused(server, "releases:promote", "prod", "prod")
    assert "no release v99" in refused(server, "releases:promote", "staging", "prod", "v99")


def test_an_image_that_another_app_needs_outlives_the_app_it_was_built_for(
    server: Server, tiny_app: Callable[..., Path]
) -> None:
    source = tiny_app("maker")
    server.push_ok(source, "maker")
    image = image_of(server, "maker")
    ok(server, "apps:create", "taker")
    ok(server, "releases:promote", "maker", "taker")
    ok(server, "ps:stop", "taker")  # no container holds it now
    ok(server, "apps:destroy", "maker", "--force")
    assert has_image(server, image)
    ok(server, "ps:start", "taker")
    assert server.get("taker").body.startswith("v1")
    ok(server, "apps:destroy", "taker", "--force")
    wait_until(lambda: not has_image(server, image), 10, "the image goes with the last app that needs it")


def test_a_branch_that_was_only_stored_is_deployed_later(server: Server, tiny_app: Callable[..., Path]) -> None:
    repository = tiny_app("branches")
    server.push_ok(repository, "branches")
    first = apps.git(repository, "rev-parse", "HEAD")
    apps.git(repository, "checkout", "-q", "-b", "feature")
    second = apps.commit(repository, "v2", {"Dockerfile": apps.tiny_dockerfile("v2")})

    plain = server.push(repository, "branches", refspec="feature")
    assert plain.returncode != 0 and "-o no-deploy" in plain.stderr.replace("\nremote: ", " ")
    main = server.push(repository, "branches", "-o", "no-deploy", refspec="HEAD:main")
    assert "moves only with its deploy" in main.stderr
    stored = server.push_ok(repository, "branches", "-o", "no-deploy", refspec="feature")
    assert "git:deploy branches feature" in stored and server.get("branches").body.startswith("v1")

    assert "Building" in ok(server, "git:deploy", "branches", "feature")
    assert server.get("branches").body.startswith("v2")
    info = shown(server, "git:info", "branches")
    assert (info["deploy_branch"], info["commit"]) == ("main", second)
    assert {"ref": "refs/heads/feature", "object": second} in info["refs"] and info["repository_bytes"] > 1000

    assert "--force" in refused(server, "git:deploy", "branches", first[:10])
    assert "did you mean 'feature'" in refused(server, "git:deploy", "branches", "featur")
    assert server.get("branches").body.startswith("v2")
    ok(server, "git:deploy", "branches", first[:10], "--force")
    assert server.get("branches").body.startswith("v1")
    assert shown(server, "git:info", "branches")["commit"] == first

    ok(server, "git:set", "branches", "deploy-branch", "feature")
    apps.commit(repository, "v3", {"Dockerfile": apps.tiny_dockerfile("v3")})
    server.push_ok(repository, "branches", refspec="feature")
    assert server.get("branches").body.startswith("v3")
    assert server.push(repository, "branches", "-f", refspec="HEAD:main").returncode != 0
    head = server.git(repository, "ls-remote", "--symref", server.url("branches"), "HEAD").stdout
    assert "refs/heads/feature" in head


def test_a_failed_deploy_of_a_branch_moves_nothing(server: Server, tiny_app: Callable[..., Path]) -> None:
    repository = tiny_app("sound")
    server.push_ok(repository, "sound")
    first = apps.git(repository, "rev-parse", "HEAD")
    apps.git(repository, "checkout", "-q", "-b", "broken")
    apps.commit(repository, "broken", {"Dockerfile": "FROM scratch\nCOPY nothing /\n"})
    server.push_ok(repository, "sound", "-o", "no-deploy", refspec="broken")
    refused(server, "git:deploy", "sound", "broken")
    assert shown(server, "git:info", "sound")["commit"] == first and server.get("sound").body.startswith("v1")


def archive(repository: Path, prefix: str = "") -> bytes:
    command = ["git", "archive", "--format=tar.gz", f"--prefix={prefix}", "HEAD"]
    return subprocess.run(command, cwd=repository, capture_output=True, timeout=30, check=True).stdout


def test_an_archive_becomes_a_commit_that_can_be_fetched(
    server: Server, base: Path, tiny_app: Callable[..., Path]
) -> None:
    repository = tiny_app("packed", files={"run.sh": "#!/bin/sh\n"})
    (repository / "run.sh").chmod(0o755)
    (repository / "link").symlink_to("run.sh")
    apps.commit(repository, "link")
    ok(server, "apps:create", "packed")
    done = send(server, archive(repository), "git:from-archive", "packed")
    assert done.returncode == 0, done.stderr.decode() + done.stdout.decode()
    assert server.get("packed").body.startswith("v1")

    clone = base / "fetched"
    assert server.git(base, "clone", "-q", server.url("packed"), str(clone)).returncode == 0
    assert apps.git(clone, "rev-parse", "HEAD^{tree}") == apps.git(repository, "rev-parse", "HEAD^{tree}")
    assert apps.git(clone, "log", "-1", "--format=%an: %s").startswith("admin_ed25519: archive ")
    assert "error" not in apps.git(clone, "fsck", "--strict")

    apps.commit(repository, "v2", {"Dockerfile": apps.tiny_dockerfile("v2")})
    done = send(server, archive(repository, "shop-2/"), "git:from-archive", "packed", "--strip", "1")
    assert done.returncode == 0, done.stderr.decode()
    assert server.get("packed").body.startswith("v2")
    assert apps.git(clone, "rev-list", "--count", "HEAD") == "1"
    assert server.git(clone, "pull", "-q", "--ff-only").returncode == 0  # on top of what was there

    apps.commit(repository, "broken", {"Dockerfile": "FROM scratch\nCOPY nothing /\n"})
    before = shown(server, "git:info", "packed")["commit"]
    assert send(server, archive(repository), "git:from-archive", "packed").returncode == 1
    half = send(server, archive(repository)[:-40], "git:from-archive", "packed")
    assert half.returncode == 1 and b"ended early" in half.stderr
    hostile = io.BytesIO()
    with tarfile.open(fileobj=hostile, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("../etc/passwd"))
    done = send(server, hostile.getvalue(), "git:from-archive", "packed")
    assert done.returncode == 1 and b"dangerous name" in done.stderr
    assert shown(server, "git:info", "packed")["commit"] == before
    assert server.get("packed").body.startswith("v2")


def test_a_clone_is_live_with_the_same_image_and_all_that_was_set(
    server: Server, tiny_app: Callable[..., Path]
) -> None:
    repository = tiny_app("original")
    server.push_ok(repository, "original")
    ok(server, "config:set", "original", "WHO=both")
    ok(server, "resources:limit", "original", "--memory", "64m")
    ok(server, "ps:scale", "original", "web=2")
    ok(server, "domains:add", "original", "www.original.example")
    out = ok(server, "apps:clone", "original", "copy")
    assert "Building" not in out and "cloned original to copy" in out
    assert image_of(server, "copy") == image_of(server, "original")
    assert server.get("copy", "/env?WHO").body == "both"
    assert len(server.containers("gitship.app=copy")) == 2
    assert shown(server, "domains:list", "copy") != shown(server, "domains:list", "original")
    assert shown(server, "resources:show", "copy") == shown(server, "resources:show", "original")
    assert shown(server, "git:info", "copy")["commit"] == apps.git(repository, "rev-parse", "HEAD")
    apps.commit(repository, "v2", {"Dockerfile": apps.tiny_dockerfile("v2")})
    server.push_ok(repository, "copy")
    assert server.get("copy").body.startswith("v2") and server.get("original").body.startswith("v1")
    ok(server, "ps:rebuild", "copy", "--no-cache")
    assert "app 'copy' already exists" in refused(server, "apps:clone", "original", "copy")


def test_a_limited_key_learns_nothing_of_the_other_app(
    server: Server, base: Path, tiny_app: Callable[..., Path]
) -> None:
    server.push_ok(tiny_app("mine"), "mine")
    server.push_ok(tiny_app("hidden"), "hidden")
    key = make_key(base / "limited")
    public = (base / "limited.pub").read_text()
    done = server.ssh("keys:add", "limited", "--role", "deployer", "--app", "mine", stdin=public)
    assert done.returncode == 0, done.stderr
    for argv in (("releases:promote", "{}", "mine"), ("releases:promote", "mine", "{}")):
        there, absent = (
            refused(server, *(word.format(name) for word in argv), key=key).replace(name, "*")
            for name in ("hidden", "absent")
        )
        assert there == absent and "no app '*'" in there
    image = image_of(server, "hidden")
    assert "has no image" in refused(server, "git:from-image", "mine", image, key=key)
    tags = docker_cli.docker(server.docker_host, "inspect", "-f", "{{index .RepoTags 0}}", image)
    assert "has no image" in refused(server, "git:from-image", "mine", tags, key=key)
