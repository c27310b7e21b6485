"""Deploys, releases, and following them from a session."""

from __future__ import annotations

import threading

import pytest

from gitship.deploy import output
from gitship.model import Deploy, DeployKind, DeployState, Role
from tests.unit.commands.world import World
from tests.unit.memory.server import Failure
from tests.waiting import wait_until

WAIT_S = 10
FAILURE = Failure(DeployState.CHECKING, "web answered 500 at /healthz", "see `logs:deploy`")
DEPLOYING = [("config:set", "shop", "A=1"), ("ps:scale", "shop", "web=2"), ("ps:restart", "shop"), ("rollback", "shop")]


@pytest.fixture
def shop(world: World) -> World:
    world.memory.push("shop")
    world.memory.push("shop")
    return world


@pytest.mark.parametrize("argv", DEPLOYING)
def test_what_deploys_prints_the_deploy_and_exits_0(shop: World, argv: tuple[str, ...]) -> None:
    client = shop.ok(*argv)
    assert "-----> Deploy 3 of shop\n" in client.out
    assert client.out.endswith("=====> http://shop.example.com   v3 in 0.1s\n")
    assert "pip" not in client.out  # what the build prints is for the log


@pytest.mark.parametrize("argv", DEPLOYING)
def test_a_failed_deploy_exits_1_and_says_its_reason_once(shop: World, argv: tuple[str, ...]) -> None:
    shop.memory.fail_next = FAILURE
    client = shop.run(*argv)
    assert client.code == 1
    assert (client.out + client.err).count(FAILURE.reason) == 1
    assert client.err == "error: deploy 3 of shop failed\n"
    assert shop.store.release(shop.store.app("shop").live_release or 0).number == 2


@pytest.mark.parametrize("argv", DEPLOYING)
def test_detached_returns_at_once_and_says_how_to_look(shop: World, argv: tuple[str, ...]) -> None:
    shop.memory.hold()
    client = shop.ok(*argv, "--detach")
    assert "`logs:deploy shop 3` shows it" in client.out
    assert not shop.store.deploy(3).state.ended


@pytest.mark.parametrize("argv", DEPLOYING)
def test_leaving_leaves_the_deploy_running_and_says_so(shop: World, argv: tuple[str, ...]) -> None:
    shop.memory.hold()
    client = shop.client(*argv)
    client.stdout.on_write = lambda data: client.closed.set() if b"Deploy 3" in data else None
    shop.go(client)
    assert client.code == 130
    assert "deploy 3 of shop goes on" in client.err
    assert shop.store.deploy(3).state is DeployState.STARTING
    shop.memory.release()
    assert "v3" in shop.ok("logs:deploy", "shop").out
    assert shop.store.deploy(3).state is DeployState.LIVE


def test_a_connection_that_breaks_in_mid_deploy_does_not_end_it(shop: World) -> None:
    shop.memory.hold()
    client = shop.client("ps:restart", "shop")
    client.stdout.broken = client.stderr.broken = True
    assert shop.go(client).code == 130
    shop.memory.release()
    shop.ok("logs:deploy", "shop", "3")
    assert shop.store.deploy(3).state is DeployState.LIVE


@pytest.mark.parametrize(
    ("state", "says"),
    [(DeployState.CANCELED, "was canceled"), (DeployState.SUPERSEDED, "was superseded by a newer one")],
)
def test_other_ends_exit_1_and_are_named(shop: World, state: DeployState, says: str) -> None:
    shop.memory.fail_next = Failure(DeployState.QUEUED, "ada asked for it", "", state)
    client = shop.run("ps:restart", "shop")
    assert client.code == 1
    assert says in client.err


def test_who_sets_config_follows_the_deploy_that_took_it_over(shop: World) -> None:
    shop.memory.hold()
    shop.ok("ps:restart", "shop", "--detach")
    first = shop.client("config:set", "shop", "A=1")
    thread = threading.Thread(target=shop.go, args=(first,), name="the first")
    thread.start()
    wait_until(lambda: any(d.kind is DeployKind.CONFIG and d.state is DeployState.QUEUED for d in deploys(shop)))
    shop.ok("config:set", "shop", "B=2", "--detach")
    shop.memory.release()
    thread.join()
    newest = deploys(shop)[0]
    assert first.code == 0
    assert f"deploy {newest.id} of shop makes this change, too" in first.err
    assert {"A": "1", "B": "2"}.items() <= shop.store.config(newest.app_id).items()


def deploys(shop: World) -> list[Deploy]:
    """Newest first."""
    return shop.store.deploys(shop.store.app("shop").id)


def test_a_deploys_log_shows_everything_and_ends_as_the_deploy_did(shop: World) -> None:
    client = shop.ok("logs:deploy", "shop", "1")
    assert f"-----> Deploy 1 of shop\n{output.raw('#5 pip install')}\n=====> " in client.out
    assert "\x1b" not in client.out
    shop.memory.fail_next = FAILURE
    shop.run("ps:restart", "shop")
    assert "Deploy 3" in shop.run("logs:deploy", "shop").out
    assert shop.run("logs:deploy", "shop").code == 1


def test_another_apps_deploy_is_as_good_as_none(shop: World) -> None:
    shop.memory.push("blog")
    of_another, of_nobody = shop.run("logs:deploy", "shop", "3"), shop.run("logs:deploy", "shop", "9")
    assert of_another.code == of_nobody.code == 1
    assert of_another.err == of_nobody.err.replace("9", "3")
    assert of_another.out == ""


def test_an_app_without_deploys_says_so(world: World) -> None:
    world.ok("apps:create", "new")
    assert "has never been deployed" in world.run("logs:deploy", "new").err
    assert "no deploys yet" in world.ok("deploys:list", "new").err


def test_the_list_is_newest_first_and_bounded(shop: World) -> None:
    shop.memory.fail_next = FAILURE
    shop.run("ps:restart", "shop")
    rows = shop.ok("deploys:list", "shop", "--format", "json").json
    assert all("cause" in row for row in rows)
    assert [(r["id"], r["kind"], r["state"], r["release"]) for r in rows] == [
        (3, "restart", "failed", None),
        (2, "push", "live", 2),
        (1, "push", "live", 1),
    ]
    assert (rows[0]["failed_stage"], rows[0]["reason"]) == ("checking", FAILURE.reason)
    assert len(shop.ok("deploys:list", "shop", "-n", "1", "--format", "json").json) == 1
    assert shop.run("deploys:list", "shop", "-n", "0").code == 2


def test_cancel_ends_what_runs(shop: World) -> None:
    assert shop.run("deploys:cancel", "shop").code == 1
    shop.memory.hold()
    watched = shop.client("ps:restart", "shop")
    thread = threading.Thread(target=shop.go, args=(watched,), name="a watched deploy")
    thread.start()
    wait_until(lambda: "Deploy 3" in watched.out)
    assert shop.ok("deploys:cancel", "shop").out == "canceled deploy 3 of shop\n"
    thread.join(WAIT_S)
    assert watched.code == 1
    assert "was canceled" in watched.err


def test_rollback_takes_the_release_named_or_the_one_before(shop: World) -> None:
    shop.ok("config:set", "shop", "A=1")
    shop.ok("releases:rollback", "shop", "v1")
    releases = shop.store.releases(1)
    assert (releases[0].number, releases[0].image_id, releases[0].config) == (4, releases[3].image_id, {})
    shop.ok("releases:rollback", "shop", "3")
    assert shop.store.releases(1)[0].config == {"A": "1"}


@pytest.mark.parametrize(("release", "code"), [("v9", 1), ("x", 2), ("v", 2), ("v1.0", 2), ("v99999999999", 2)])
def test_rollback_to_what_is_not_there_is_refused(shop: World, release: str, code: int) -> None:
    client = shop.run("releases:rollback", "shop", release)
    assert client.code == code
    assert len(shop.store.deploys(1)) == 2


def test_the_live_release_is_marked(shop: World) -> None:
    rows = shop.ok("releases:list", "shop", "--format", "json").json
    assert [(row["release"], row["live"]) for row in rows] == [(2, True), (1, False)]


def test_the_hooks_command_deploys_the_deploy_branch_and_nothing_else(shop: World) -> None:
    old, new = "1" * 40, "2" * 40
    client = shop.ok("deploy:pushed", "shop", old, new, "refs/heads/main")
    assert "-----> Deploy 3" in client.out
    assert (shop.store.deploy(3).old, shop.store.deploy(3).commit) == (old, new)
    other = shop.ok("deploy:pushed", "shop", old, new, "refs/heads/topic")
    assert "not the deploy branch" in other.err
    shop.memory.fail_next = FAILURE
    assert shop.run("deploy:pushed", "shop", old, new, "refs/heads/main").code == 1
    assert shop.run("deploy:pushed", "shop", "HEAD", new, "refs/heads/main").code == 2


def test_a_canary_is_promoted_or_aborted_by_hand(world: World) -> None:
    world.memory.push("shop")
    live = world.store.app("shop").live_release
    tried = world.memory.try_out("shop")
    assert world.ok("deploys:list", "shop", "-n", "1", "--format", "json").json[0]["state"] == "canary"
    assert world.ok("deploys:abort", "shop", role=Role.DEPLOYER).out == f"aborted deploy {tried.id} of shop\n"
    assert world.store.deploy(tried.id).state is DeployState.FAILED
    assert world.store.app("shop").live_release == live
    again = world.memory.try_out("shop")
    assert world.ok("deploys:promote", "shop").out == f"promoted deploy {again.id} of shop\n"
    assert world.store.app("shop").live_release != live


@pytest.mark.parametrize("verb", ["promote", "abort"])
def test_without_a_canary_there_is_nothing_to_decide(world: World, verb: str) -> None:
    world.memory.push("shop")
    before = world.store.deploys(world.store.app("shop").id)
    refused = world.run(f"deploys:{verb}", "shop")
    assert refused.code == 1
    assert "shop has no canary\n" in refused.err and "to start one: git push -o canary=5%" in refused.err
    assert world.store.deploys(world.store.app("shop").id) == before


def test_a_promotion_that_came_to_nothing_says_why(world: World) -> None:
    world.memory.push("shop")
    world.memory.try_out("shop")
    world.memory.fail_next = Failure(DeployState.SWITCHING, "no answer", "push again")
    refused = world.run("deploys:promote", "shop")
    assert refused.code == 1
    assert "no answer" in refused.err and "push again" in refused.err
