"""Apps that live from images of registries are restored: pulled again by digest, as soon as that can be done."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e import apps, docker_cli, registry
from tests.e2e.commands import ok, shown
from tests.e2e.harness import Server
from tests.e2e.test_backup import BACK_S, lose_everything, take
from tests.e2e.test_images import pushed
from tests.e2e.test_sources import image_of
from tests.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]


def log_in(server: Server, address: str) -> None:
    login = server.ssh("registry:login", address, registry.USER, stdin=registry.PASSWORD + "\n")
    assert login.returncode == 0, login.stderr


def answers(server: Server, app: str, version: str) -> bool:
    answer = server.get(app)
    return answer.status == 200 and answer.body.startswith(version)


def test_what_came_from_a_registry_is_pulled_again_and_one_that_is_away_holds_up_nobody(
    own_server: Server, base: Path, tiny_app: Callable[..., Path]
) -> None:
    server, archive, client = own_server, base / "gitship.tar", base / "docker"
    repository = tiny_app("source", version=f"v1-{base.name}")
    built: list[str] = []
    with registry.running(base / "here") as here:
        with registry.running(base / "away") as away:
            away_port = int(away.rpartition(":")[2])
            for address, app in ((here, "shop"), (away, "late")):
                built.append(pushed(server, repository, f"{address}/team/{app}:1", client))
                log_in(server, address)
                ok(server, "apps:create", app)
                ok(server, "git:from-image", app, f"{address}/team/{app}:1")
        ok(server, "config:set", "shop", "MOTTO=kept")  # its release says nothing of an image any more
        server.push_ok(tiny_app("plain"), "plain")
        ok(server, "apps:create", "copy")
        ok(server, "releases:promote", "plain", "copy")
        live = image_of(server, "shop")
        apps.commit(repository, "Second", {"Dockerfile": apps.tiny_dockerfile(f"v2-{base.name}")})
        built.append(pushed(server, repository, f"{here}/team/shop:1", client))  # the tag is another image's now
        take(server, archive)
        lose_everything(server)
        for image in built:
            docker_cli.docker(server.docker_host, "rmi", "-f", image, check=False)

        restored = server.gitship("restore", str(archive))
        assert restored.returncode == 0, restored.stderr
        server.start()
        wait_until(lambda: answers(server, "plain", "v1"), BACK_S, "what was pushed answers again")
        wait_until(lambda: answers(server, "shop", "v1"), BACK_S, "what was pulled answers again")
        wait_until(lambda: answers(server, "copy", "v1"), BACK_S, "what was promoted answers again")
        assert image_of(server, "copy") == image_of(server, "plain")
        assert image_of(server, "shop") == live, "the very image, whatever the tag says by now"
        assert server.get("shop", "/env?MOTTO").body == "kept"

        wait_until(lambda: "late is not live: deploy" in server.logs, BACK_S, "the log says that one is missing")
        assert (
            f"{away}/team/late@sha256:" in server.logs
            and "check that this server can reach the registry" in server.logs
        )
        failed = shown(server, "deploys:list", "late")[0]
        assert failed["state"] == "failed" and "cannot be pulled" in failed["reason"], failed
        assert server.get("late").status == 503
        with registry.running(base / "again", port=away_port, images=base / "away" / "images"):
            wait_until(lambda: answers(server, "late", "v1"), 90, "it is pulled once its registry is there")
        marked = "SELECT 1 FROM server_settings WHERE name = 'restored'"
        wait_until(lambda: not server.database(marked), 30, "all is done")
