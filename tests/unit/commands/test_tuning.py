"""ports, checks, resources, builder: what they take, refuse, store and show."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from gitship.appsettings import PENDING
from gitship.config import DockerSettings
from gitship.console.context import Services
from gitship.model import Role
from gitship.operations.clone import cloned
from tests.unit.commands.world import World


def shown(world: World, *command: str) -> Any:
    return world.ok(*command, "--format", "json").json


def stored(world: World) -> dict[str, Any]:
    found = world.store.app_settings(world.store.app("shop").id)
    return found.stored(found.values)


def deploys(world: World) -> int:
    return len(world.store.deploys(world.store.app("shop").id))


def test_a_port_is_deployed_and_the_same_port_again_is_not(shop: World) -> None:
    assert shown(shop, "ports:show", "shop") == {"port": 5000, "source": "EXPOSE", "live": 5000}
    assert shop.ok("ports:set", "shop", "3000").out.startswith("changing port for shop\n-----> Deploy 2")
    assert shown(shop, "ports:show", "shop")["port"] == 3000
    assert "no change" in shop.ok("ports:set", "shop", "3000").err
    assert deploys(shop) == 2


def test_config_says_the_port_unless_a_command_does(shop: World) -> None:
    shop.ok("config:set", "shop", "PORT=7000")
    assert shown(shop, "ports:show", "shop")["source"] == "config PORT"
    shop.ok("ports:set", "shop", "3000")
    assert shown(shop, "ports:show", "shop")["source"] == "ports:set"


@pytest.mark.parametrize("port", ["0", "65536", "-1", "80a", "", "٣", "1e3", "99999999999999999999"])
def test_what_is_no_port_is_refused(shop: World, port: str) -> None:
    assert shop.run("ports:set", "shop", "--", port).code == 2
    assert stored(shop) == {} and deploys(shop) == 1


@pytest.mark.parametrize("port", ["1", "65535"])
def test_the_bounds_of_ports_are_fine(shop: World, port: str) -> None:
    shop.ok("ports:set", "shop", port)


def test_what_waits_for_a_restart_says_so_and_can_be_set_again_at_once(shop: World) -> None:
    client = shop.ok("ports:set", "shop", "3000", "--no-restart")
    assert client.out == "changed port for shop\n" and "the next deploy uses it" in client.err
    assert deploys(shop) == 1
    assert "ps:restart shop" in shop.ok("ports:show", "shop").err
    shop.ok("ports:set", "shop", "3000")  # the same, but now
    assert deploys(shop) == 2


def test_a_stopped_app_and_one_without_a_release_only_remember(world: World) -> None:
    world.ok("apps:create", "shop")
    world.ok("ports:set", "shop", "3000")
    assert shown(world, "ports:show", "shop") == {"port": 3000, "source": "ports:set", "live": None}
    said = world.ok("resources:show", "shop").err  # not `ps:restart`, which has nothing to start
    assert "the first push uses it" in said and "ps:restart" not in said
    world.memory.push("shop")
    world.ok("ps:stop", "shop")
    before = deploys(world)
    world.ok("ports:set", "shop", "4000")
    assert deploys(world) == before


def test_a_locked_app_is_left_alone(shop: World) -> None:
    shop.ok("apps:lock", "shop", "sale")
    for command in (
        ("ports:set", "shop", "3000"),
        ("ports:set", "shop", "3000", "--no-restart"),
        ("checks:skip", "shop"),
        ("resources:limit", "shop", "--pids", "5"),
        ("builder:set", "shop", "--target", "prod"),
    ):
        client = shop.run(*command)
        assert client.code == 1 and "sale" in client.err
    assert stored(shop).keys() == {"lock"}


def test_checks_say_where_they_come_from(shop: World) -> None:
    rows = shown(shop, "checks:show", "shop")
    assert [(r["process"], r["check"], r["source"]) for r in rows] == [
        ("web", "listening", "default"), ("web", "GET /", "default"), ("worker", "look", "app.json"),
    ]  # fmt: skip
    shop.ok("checks:set", "shop", "--path", "/up", "--header", "A: b: c", "--content", "two words", "--timeout", "1.5")
    shop.ok("checks:set", "shop", "--process", "worker", "--port", "9000")
    web, worker = shown(shop, "checks:show", "shop")
    assert (web["check"], web["source"], web["headers"]) == ("GET /up", "checks:set", {"A": "b: c"})
    assert (web["content"], web["timeout"]) == ("two words", 1.5)
    assert worker["check"] == "GET / on port 9000"
    shop.ok("checks:unset", "shop", "--process", "web")
    assert [r["source"] for r in shown(shop, "checks:show", "shop")] == ["default", "default", "checks:set"]


@pytest.mark.parametrize(
    "words",
    [("--path", "up"), ("--path", "/a b"), ("--path", "/a\r\nX: y"), ("--port", "0"), ("--port", "65536"),
     ("--timeout", "0"), ("--timeout", "nan"), ("--timeout", "4000"), ("--content", "a\nb"), ("--header", "A"),
     ("--header", "A b: c"), ("--header", "A: b\r\nC: d"), ("--process", "ghost"), ("--process", "we b")],
)  # fmt: skip
def test_checks_that_cannot_be_are_refused(shop: World, words: tuple[str, ...]) -> None:
    client = shop.run("checks:set", "shop", *words)
    assert client.code in (1, 2) and client.err.startswith("error: ")
    assert stored(shop) == {} and deploys(shop) == 1


def test_skipping_is_remembered_until_off(shop: World) -> None:
    shop.ok("checks:skip", "shop", "--once")
    assert {r["skipped"] for r in shown(shop, "checks:show", "shop")} == {"once"}
    shop.ok("checks:skip", "shop")
    assert {r["skipped"] for r in shown(shop, "checks:show", "shop")} == {"always"}
    shop.ok("checks:skip", "shop", "--off")
    assert {r["skipped"] for r in shown(shop, "checks:show", "shop")} == {None}
    assert shop.run("checks:skip", "shop", "--once", "--off").code == 2
    assert deploys(shop) == 1


def test_checks_run_needs_something_that_runs(world: World) -> None:
    world.ok("apps:create", "shop")
    assert "no process of shop is running" in world.run("checks:run", "shop").err


def test_a_process_types_own_limit_comes_before_that_for_all(shop: World) -> None:
    shop.ok("resources:limit", "shop", "--memory", "64m", "--cpus", "0.5")
    shop.ok("resources:limit", "shop", "--process", "worker", "--memory", "1g")
    web, worker, run = shown(shop, "resources:show", "shop")
    assert (web["memory_bytes"], web["cpus"], web["pids"], web["by_command"]) == (
        64 << 20,
        0.5,
        None,
        ["cpus", "memory"],
    )
    assert (worker["memory_bytes"], worker["cpus"], worker["pids"]) == (1 << 30, 0.5, 90)
    assert (run["process"], run["memory_bytes"], run["by_command"]) == ("run", 64 << 20, ["cpus", "memory"])
    shop.ok("resources:unset", "shop", "--process", "worker")
    assert [r["memory_bytes"] for r in shown(shop, "resources:show", "shop")] == [64 << 20] * 3
    shop.ok("resources:unset", "shop")
    assert [(r["memory_bytes"], r["pids"]) for r in shown(shop, "resources:show", "shop")] == [(None, None), (None, 90)]


def test_a_read_only_root_and_back(shop: World) -> None:
    shop.ok("resources:limit", "shop", "--read-only")
    assert {r["process"]: r["read_only"] for r in shown(shop, "resources:show", "shop")} == {
        "web": True, "worker": True, "run": True,
    }  # fmt: skip
    shop.ok("resources:limit", "shop", "--process", "worker", "--writable")
    assert [r["read_only"] for r in shown(shop, "resources:show", "shop")] == [True, False, True]
    assert shop.run("resources:limit", "shop", "--read-only", "--writable").code == 2


def test_capabilities_are_given_and_taken_by_admins(shop: World) -> None:
    def own() -> list[str]:
        rows = shown(shop, "capabilities:list", "shop")
        return [row["capability"] for row in rows if row["from"] == "capabilities:add"]

    shop.ok("capabilities:add", "shop", "cap_net_raw", "SYS_NICE")
    assert own() == ["NET_RAW", "SYS_NICE"]
    assert shop.run("capabilities:add", "shop", "SYS_NICE", role=Role.DEPLOYER).code == 1
    for bad in ("SYS_ADMIN", "CHOWN", "x"):
        refused = shop.run("capabilities:add", "shop", bad)
        assert refused.code == 2 and "hint: " in refused.err
    shop.ok("capabilities:remove", "shop", "NET_RAW")
    assert own() == ["SYS_NICE"]
    assert cloned(shop.store.app_settings(shop.store.app("shop").id)) == {}


def test_limits_of_one_offs_hold_without_a_deploy(shop: World) -> None:
    done = shop.ok("resources:limit", "shop", "--process", "run", "--memory", "1g", "--pids", "70")
    assert "the next one-off container uses it" in done.err
    assert deploys(shop) == 1 and PENDING.name not in stored(shop)
    run = shown(shop, "resources:show", "shop")[-1]
    assert (run["process"], run["memory_bytes"], run["pids"]) == ("run", 1 << 30, 70)
    shop.ok("resources:unset", "shop", "--process", "run")
    assert deploys(shop) == 1
    assert [row["process"] for row in shown(shop, "resources:show", "shop")] == ["web", "worker"]


def test_buildkit_cannot_limit_one_apps_builds_and_says_so(shop: World) -> None:
    refused = shop.run("resources:limit", "shop", "--process", "build", "--memory", "1g")
    assert refused.code == 1 and "BuildKit has no limit per app" in refused.err
    assert "build_memory and build_cpus in [docker]" in refused.err
    assert stored(shop) == {}


def test_the_classic_builder_can(shop: World) -> None:
    shop.settings = dataclasses.replace(shop.settings, docker=DockerSettings(builder="classic"))
    shop.services = Services(shop.store, shop.settings, shop.operations)
    done = shop.ok("resources:limit", "shop", "--process", "build", "--memory", "1g", "--cpus", "0.5")
    assert "the next build uses it" in done.err and deploys(shop) == 1
    assert shown(shop, "resources:show", "shop")[-1]["process"] == "build"
    assert "only in memory and CPUs" in shop.run("resources:limit", "shop", "--process", "build", "--pids", "5").err


def test_memory_is_shown_as_it_is_typed(shop: World) -> None:
    shop.ok("resources:limit", "shop", "--memory", "512m")
    assert "web      512m" in shop.ok("resources:show", "shop").out


@pytest.mark.parametrize(
    "words",
    [("--memory", "5m"), ("--memory", "6291455"), ("--memory", "-1"), ("--memory", "5g"), ("--memory", "many"),
     ("--cpus", "0"), ("--cpus", "2.5"), ("--cpus", "nan"), ("--cpus", "inf"), ("--pids", "0"), ("--pids", "-1"),
     ("--pids", "4000001"), (), ("--pids", "5", "--process", "ghost"), ("--pids", "5", "--process", "*")],
)  # fmt: skip
def test_absurd_limits_are_refused(shop: World, words: tuple[str, ...]) -> None:
    client = shop.run("resources:limit", "shop", *words)
    assert client.code in (1, 2) and client.err.startswith("error: ")
    assert stored(shop) == {} and deploys(shop) == 1


def test_the_bounds_of_limits_are_fine(shop: World) -> None:
    shop.ok("resources:limit", "shop", "--memory", "6m", "--cpus", "2", "--pids", "1")
    shop.ok("resources:limit", "shop", "--memory", "4g", "--cpus", "0.01", "--pids", "4000000")


def test_limits_before_the_first_push_are_shown(world: World) -> None:
    world.ok("apps:create", "shop")
    world.ok("resources:limit", "shop", "--pids", "5")
    assert [(r["process"], r["pids"]) for r in shown(world, "resources:show", "shop")] == [("all", 5)]


def test_the_builder_is_set_without_a_deploy(shop: World) -> None:
    shop.ok("builder:set", "shop", "--dockerfile", "a/Dockerfile", "--context", ".", "--arg", "A=1", "--arg", "B=x=y")
    assert deploys(shop) == 1 and not shop.operations.tuning.pending(shop.store.app("shop"))
    shop.ok("builder:set", "shop", "--arg-from-config", "A")
    assert {r["name"]: r["value"] for r in shown(shop, "builder:show", "shop")} == {
        "dockerfile": "a/Dockerfile", "context": "", "arg A": None, "arg B": "x=y",
    }  # fmt: skip
    shop.ok("builder:set", "shop", "--arg", "A=2")
    assert stored(shop) | {"build.arg.A": "2"} == stored(shop)
    assert "build.arg-from-config.A" not in stored(shop)
    assert shop.run("builder:unset", "shop", "--arg", "GHOST").code == 3
    shop.ok("builder:unset", "shop", "--dockerfile", "--arg", "A")
    assert [r["name"] for r in shown(shop, "builder:show", "shop")] == ["context", "arg B"]
    shop.ok(
        "builder:set",
        "shop",
        "--secret",
        "npm.rc=NPM_TOKEN",
        "--secret",
        "key=KEY",
        "--platform",
        "linux/386",
        "--network",
        "none",
    )
    shop.ok("builder:unset", "shop", "--secret", "key", "--context")
    assert [(r["name"], r["value"], r["source"]) for r in shown(shop, "builder:show", "shop")] == [
        ("platform", "linux/386", "command"),
        ("network", "none", "command"), ("arg B", "x=y", "command"), ("secret npm.rc", "NPM_TOKEN", "config"),
    ]  # fmt: skip
    assert shop.run("builder:unset", "shop", "--secret", "ghost").code == 3
    shop.ok("builder:unset", "shop")
    assert shown(shop, "builder:show", "shop") == []


@pytest.mark.parametrize(
    "words",
    [(), ("--dockerfile", ""), ("--dockerfile", "../Dockerfile"), ("--context", "/etc"), ("--context", "a/../.."),
     ("--target", ""), ("--target", "a\nb"), ("--arg", "A"), ("--arg", "1=x"), ("--arg", "A=1", "--arg", "A=2"),
     ("--arg-from-config", "A-B"), ("--arg", "A=1", "--arg-from-config", "A"),
     ("--secret", "a"), ("--secret", "../a=B"), ("--secret", "a,src=/etc/shadow=B"), ("--secret", "a=b-c"),
     ("--arg", "EXPERIMENTAL_BUILDKIT_SOURCE_POLICY=/etc/shadow"), ("--arg-from-config", "BUILDKIT_ATTEST_SBOM"),
     ("--platform", "linux/s390x"), ("--platform", "x")],
)  # fmt: skip
def test_build_settings_that_cannot_be_are_refused(shop: World, words: tuple[str, ...]) -> None:
    client = shop.run("builder:set", "shop", *words)
    assert client.code in (1, 2) and client.err.startswith("error: ")
    assert stored(shop) == {}


def test_a_viewer_may_only_look(shop: World) -> None:
    for command in ("ports:set shop 80", "checks:set shop", "checks:skip shop", "checks:run shop",
                    "resources:limit shop --pids 5", "builder:set shop --target x", "builder:unset shop"):  # fmt: skip
        client = shop.run(*command.split(), role=Role.VIEWER)
        assert client.code != 0 and "deployer" in client.err
    for command in ("ports:show", "checks:show", "resources:show", "builder:show"):
        shop.ok(command, "shop", role=Role.VIEWER)
