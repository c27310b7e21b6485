"""`git:from-image` and the registry's logins, with a real registry that asks for a password."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e import apps, docker_cli, registry
from tests.e2e.commands import ok, refused, shown
from tests.e2e.harness import Server
from tests.e2e.test_sources import has_image, image_of

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def address(module_base: Path) -> Iterator[str]:
    with registry.running(module_base / "registry") as found:
        yield found


def built(server: Server, repository: Path, name: str) -> str:
    """An image on the engine that is none of gitship's; its id."""
    docker_cli.docker(server.docker_host, "build", "-q", "-t", name, str(repository))
    return docker_cli.docker(server.docker_host, "inspect", "-f", "{{.Id}}", name)


def pushed(server: Server, repository: Path, name: str, config: Path) -> str:
    """An image that is in the registry only; its id."""
    image = built(server, repository, name)
    command = ["docker", "--config", str(config), "-H", server.docker_host]
    address = name.partition("/")[0]
    login = ["login", "-u", registry.USER, "--password-stdin", address]
    for words, stdin in ((login, registry.PASSWORD.encode()), (["push", "-q", name], b"")):
        done = subprocess.run([*command, *words], input=stdin, capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
    docker_cli.docker(server.docker_host, "rmi", "-f", image)
    assert not has_image(server, image)
    return image


def test_an_image_is_pulled_with_the_registrys_login_and_leaves_with_the_app(
    server: Server, base: Path, address: str, tiny_app: Callable[..., Path], request: pytest.FixtureRequest
) -> None:
    name = f"{address}/team/shop:1.2"
    image = pushed(server, tiny_app("pulled", version=f"v1-{base.name}"), name, base / "docker")
    request.addfinalizer(lambda: docker_cli.docker(server.docker_host, "rmi", "-f", image, check=False))
    ok(server, "apps:create", "pulled")
    assert f"registry:login {address} USER" in refused(server, "git:from-image", "pulled", name)
    wrong = server.ssh("registry:login", address, registry.USER, stdin="wrong")
    assert wrong.returncode == 1 and "rejected the login" in wrong.stderr, wrong
    assert shown(server, "registry:list") == []
    login = server.ssh("registry:login", address, registry.USER, stdin=registry.PASSWORD + "\n")
    assert login.returncode == 0, login.stderr
    assert shown(server, "registry:list") == [{"server": address, "user": registry.USER}]

    out = ok(server, "git:from-image", "pulled", name)
    assert "Fetching" in out and image_of(server, "pulled") == image
    assert server.get("pulled").body.startswith("v1")
    [release] = shown(server, "releases:list", "pulled")
    assert release["commit"] is None and release["cause"] == f"image {name}"
    ok(server, "ports:set", "pulled", "3100")  # set as for an app that was pushed
    assert server.get("pulled", "/env?PORT").body == "3100"
    assert "the registry has no" in refused(server, "git:from-image", "pulled", f"{address}/team/shop:9")
    assert "was not built from a commit" in refused(server, "ps:rebuild", "pulled")
    ok(server, "registry:logout", address)
    assert f"no login for '{address}'" in refused(server, "registry:logout", address)

    said = server.logs + "".join(p.read_text() for p in (server.data_dir / "logs").rglob("*.log"))
    assert registry.PASSWORD not in said + ok(server, "audit", "--format", "json")
    names = docker_cli.docker(server.docker_host, "inspect", "-f", "{{.RepoTags}} {{.RepoDigests}}", image)
    assert address not in names and "gitship/pulled:" in names  # held by the app alone
    ok(server, "apps:destroy", "pulled", "--force")
    assert not has_image(server, image)


def test_an_image_of_the_engine_keeps_its_own_name_and_the_release_keeps_the_image(
    server: Server, tiny_app: Callable[..., Path]
) -> None:
    name = f"gitship-tests-{server.server_id()}:latest"
    repository = tiny_app("local")
    try:
        first = built(server, repository, name)
        ok(server, "apps:create", "local")
        ok(server, "git:from-image", "local", name)
        apps.commit(repository, "v2", {"Dockerfile": apps.tiny_dockerfile("v2")})
        built(server, repository, name)
        ok(server, "ps:restart", "local")
        assert image_of(server, "local") == first and server.get("local").body.startswith("v1")
        ok(server, "git:from-image", "local", name)
        assert server.get("local").body.startswith("v2")
        ok(server, "releases:rollback", "local")
        assert server.get("local").body.startswith("v1")
        for wrong in ("No/Good", "shop:", "a b", "../x"):
            assert "does not name an image" in refused(server, "git:from-image", "local", f"'{wrong}'")
        ok(server, "apps:destroy", "local", "--force")
        assert not has_image(server, first) and has_image(server, name)
    finally:
        docker_cli.docker(server.docker_host, "rmi", "-f", name, check=False)
