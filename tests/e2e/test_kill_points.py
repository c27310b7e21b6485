"""gitship killed with -9 at each point of a deploy, under load: nothing is lost or left, and the next push works.

The points are gitship's own functions (``trapdoor``): the process ends just before, or just after, what each one does.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import apps
from tests.e2e.agreement import await_agreement, images_left
from tests.e2e.stage import Stage, long, staged
from tests.e2e.trapdoor import Point, set_trap

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

APP = "shop"
PROCFILE = "web: /tiny\nworker: /tiny work\nrelease: /tiny release\n"
FORMATION = '{"formation": {"web": {"quantity": 1}, "worker": {"quantity": 1}}}'
TOML = "[[processes.worker.checks]]\nuptime = 0.3\n"  # instead of 3 s

# The point of no return is the store's transaction: until then the old release stands, from there on the new one.
BEFORE_THE_COMMIT = [
    Point("after", "Quarantine.__enter__"),
    Point("after", "DeployRecords.create_deploy"),
    Point("after", "BuildProgress.__call__", 3),  # in the middle of the build
    Point("after", "ReleaseCommands._run"),
    Point("after", "DockerEngine.start", 2),  # of web
    Point("before", "BootFiles.lead"),  # labelled, and not written down
    Point("after", "Repository.compare_and_set"),
    Point("after", "LiveReleases.set_live"),  # within the transaction
    *long(
        Point("after", "Quarantine.keep"),
        Point("after", "Pipeline._begin"),
        Point("after", "Builder.build"),  # built and tagged
        Point("after", "DockerEngine.start"),
        Point("after", "HealthChecker.wait_ready"),
        Point("after", "Front.label"),
        Point("before", "Builder.build"),
        Point("after", "DockerEngine.create", 2),
        Point("before", "HealthChecker.wait_ready"),
        Point("after", "BootFiles._put"),
        Point("before", "Repository.compare_and_set"),
        Point("after", "_Push._take_in"),  # the pack is whole in its quarantine
        Point("before", "DeployQueue._ensure_thread"),  # queued
        Point("after", "ReleaseRecords.create_release"),
        Point("after", "DockerEngine.create"),  # of the release command
        Point("after", "Addresses.take"),
        Point("after", "DockerEngine.start", 3),  # of the worker
        Point("after", "Front.load"),
        Point("after", "Switch._ask"),
    ),
]
AFTER_THE_COMMIT = [
    Point("after", "GoLive.make"),
    Point("after", "Drainer.start"),
    Point("after", "DockerEngine.stop"),
    Point("after", "DeployJournal.finish"),
    *long(
        Point("after", "Front.busy"),
        Point("after", "DockerEngine.remove", 2),  # the first one is of the release command
        Point("after", "Pipeline._answer"),
        Point("after", "LogArchive.keep"),
        Point("after", "LiveReleases.release_address"),
        Point("before", "Pipeline._answer"),
        Point("after", "Front.discard"),
        Point("before", "DeployJournal.finish"),
    ),
]
# Of other deploys, where they go another way: the point, and whether what is new stands.
FIRST = [
    (Point("after", "DockerEngine.start"), False),
    (Point("after", "GoLive.make"), True),
    *long(
        (Point("after", "DeployRecords.create_deploy"), False),
        (Point("after", "Builder.build"), False),
        (Point("after", "Front.label"), False),
        (Point("before", "DeployJournal.finish"), True),
        (Point("after", "Repository.compare_and_set"), False),
    ),
]
ROLLBACK = [
    (Point("after", "Front.label"), False),
    (Point("after", "DockerEngine.stop"), True),
    *long(
        (Point("after", "DockerEngine.create"), False),
        (Point("after", "LiveReleases.set_live"), False),
        (Point("after", "GoLive.make"), True),
    ),
]
RENAME = [
    (Point("after", "Repositories.rename"), False),  # within the store's transaction
    (Point("after", "GoLive.make"), True),
    *long(
        (Point("after", "AppRename.begin"), False),
        (Point("after", "AppRename.end"), True),
        (Point("after", "Front.label"), False),
    ),
]


@pytest.fixture(scope="module")
def stage(request: pytest.FixtureRequest, module_base: Path, docker_host: str, tiny_binary: Path) -> Iterator[Stage]:
    failed_before = request.session.testsfailed
    repository = apps.tiny(
        module_base / APP, tiny_binary, files={"Procfile": PROCFILE, "app.json": FORMATION, "gitship.toml": TOML}
    )
    with staged(
        module_base / "server", docker_host, APP, repository, lambda: request.session.testsfailed > failed_before
    ) as made:
        yield made


@pytest.mark.parametrize("point", BEFORE_THE_COMMIT, ids=str)
def test_old_release_stands_when_gitship_dies_before_the_commit(stage: Stage, point: Point) -> None:
    server, good = stage.server, stage.server.server_ref(APP)
    deploys = len(server.deploys(APP))
    version = stage.commit()
    output = stage.push_until(point)
    assert server.get(APP).body.strip() in (stage.live, version), "neither the old nor the new release answers"
    stage.comes_back()
    assert server.get(APP).body.strip() == stage.live
    assert server.server_ref(APP) == good
    for state, reason, commit in server.deploys(APP)[deploys:]:
        assert (state, commit) == ("failed", stage.head())
        assert reason.startswith("gitship was stopped during"), reason
    assert "main -> main" not in output.replace("! [remote rejected] main -> main", ""), output
    stage.check_visitors()

    server.push_ok(stage.repository, APP)
    stage.live = version
    assert server.get(APP).body.strip() == version
    stage.check_visitors()


@pytest.mark.parametrize("point", AFTER_THE_COMMIT, ids=str)
def test_new_release_stands_when_gitship_dies_after_the_commit(stage: Stage, point: Point) -> None:
    server = stage.server
    version = stage.commit()
    stage.push_until(point)
    assert server.get(APP).body.strip() == version
    stage.comes_back()
    stage.live = version
    assert server.get(APP).body.strip() == version
    assert server.server_ref(APP) == stage.head()
    assert server.deploys(APP)[-1] == ("live", "", stage.head())
    assert "up-to-date" in server.push_ok(stage.repository, APP)
    stage.check_visitors()


@pytest.mark.parametrize(("point", "stands"), FIRST, ids=str)
def test_first_deploy_is_whole_or_not_there(
    stage: Stage, base: Path, tiny_binary: Path, point: Point, stands: bool
) -> None:
    server, app = stage.server, f"first-{next(stage.versions)}"
    repository = apps.tiny(base / app, tiny_binary)
    with stage.dies_at(point):
        server.push(repository, app)
    stage.comes_back()
    assert server.get(app).status == (200 if stands else 503)
    assert (server.server_ref(app) is not None) == stands
    assert [state for state, _, _ in server.deploys(app)] == ["live" if stands else "failed"]
    server.push_ok(repository, app)
    assert server.get(app).body == "v1\n"
    assert server.ssh("apps:destroy", app, "--force").returncode == 0
    stage.check_visitors()


@pytest.mark.parametrize("when", ["before", "after"])
def test_app_whose_making_was_cut_short_is_made_by_the_next_push(
    stage: Stage, base: Path, tiny_binary: Path, when: str
) -> None:
    server, app = stage.server, f"new-{next(stage.versions)}"
    repository = apps.tiny(base / app, tiny_binary)
    with stage.dies_at(Point(when, "Repositories.create")):
        server.push(repository, app)
    stage.comes_back()
    assert server.database("SELECT id FROM apps WHERE name = ?", app) == []
    server.push_ok(repository, app)
    assert server.get(app).body == "v1\n"
    assert server.ssh("apps:destroy", app, "--force").returncode == 0
    stage.check_visitors()


@pytest.mark.parametrize(("point", "stands"), ROLLBACK, ids=str)
def test_rollback_is_whole_or_not_there(stage: Stage, point: Point, stands: bool) -> None:
    server = stage.server
    before, ref = stage.live, server.server_ref(APP)
    version = stage.commit()
    server.push_ok(stage.repository, APP)
    await_agreement(server)
    with stage.dies_at(point):
        server.ssh("releases:rollback", APP)
    stage.comes_back()
    stage.live = before if stands else version
    assert server.get(APP).body.strip() == stage.live
    assert server.server_ref(APP) != ref
    assert server.deploys(APP)[-1][0] == ("live" if stands else "failed")
    stage.check_visitors()


@pytest.mark.parametrize(("point", "stands"), RENAME, ids=str)
def test_renamed_app_has_one_of_its_names(
    stage: Stage, base: Path, tiny_binary: Path, point: Point, stands: bool
) -> None:
    server, number = stage.server, next(stage.versions)
    old, new = f"old-{number}", f"new-{number}"
    server.push_ok(apps.tiny(base / old, tiny_binary), old)
    with stage.dies_at(point):
        server.ssh("apps:rename", old, new)
    stage.comes_back()
    name, other = (new, old) if stands else (old, new)
    assert server.get(name).body == "v1\n"
    assert server.get(other).status == 404
    assert server.server_ref(name) is not None
    assert server.ssh("apps:destroy", name, "--force").returncode == 0
    stage.check_visitors()


def test_canary_ends_with_the_gitship_that_watches_it(stage: Stage) -> None:
    server = stage.server
    stage.commit()
    stage.push_until(Point("after", "CanaryRoutes.share"), "-o", "canary=50%")
    stage.comes_back()
    assert {server.get(APP).body.strip() for _ in range(20)} == {stage.live}
    stage.check_visitors()


def test_failed_deploy_is_undone_by_the_next_gitship(stage: Stage) -> None:
    server = stage.server
    stage.commit(CRASH="3")
    stage.push_until(Point("before", "ContainerStarter.remove"))
    stage.comes_back()
    assert server.get(APP).body.strip() == stage.live
    stage.check_visitors()


@pytest.mark.parametrize("point", [Point("after", "BootFiles._put"), Point("after", "Drainer.start")], ids=str)
def test_gitship_that_dies_while_it_comes_back_comes_back_the_next_time(stage: Stage, point: Point) -> None:
    server = stage.server
    stage.commit()
    stage.push_until(Point("after", "Front.label"))
    set_trap(server.trap, point, [], keepers=True)
    with pytest.raises(AssertionError, match="ended with -9"):
        server.start()
    assert not server.trap.exists()
    server.process = None
    stage.comes_back()
    assert server.get(APP).body.strip() == stage.live
    stage.check_visitors()


def test_no_image_is_left_by_what_was_killed(stage: Stage) -> None:
    stage.commit()
    stage.server.push_ok(stage.repository, APP)
    await_agreement(stage.server)
    assert not images_left(stage.server)
