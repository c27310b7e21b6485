"""The three files together, and the processes of a release that follow from them, the image and the config."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from gitship.appfiles import manifest
from gitship.appfiles.gitship_toml import BuildTable
from gitship.appfiles.manifest import Manifest, plan
from gitship.config import DeploySettings, Settings
from gitship.engine.types import Image
from gitship.errors import ConfigError, DeployError, GitError, GitshipError
from gitship.model import Check, Process

SETTINGS = Settings(deploy=DeploySettings(check_timeout=40.0))
IMAGE = Image("sha256:1", 1, tcp_ports=(8000, 9000))
WEB_CHECKS = (
    Check(kind="listening", deadline_s=40.0),
    Check(kind="http", path="/", lenient=True, deadline_s=40.0),
)


def read(**files: str) -> Manifest:
    """The manifest of files given as Procfile=..., app=... and gitship=..."""
    names = {"app": "app.json", "gitship": "gitship.toml"}
    contents = {names.get(name, name): text.encode() for name, text in files.items()}
    return manifest.read(contents.get)


def planned(made: Manifest, image: Image = IMAGE, config: Mapping[str, str] | None = None) -> dict[str, Process]:
    return {process.type: process for process in plan(made, image, config or {}, SETTINGS)}


def test_a_commit_without_any_file_has_an_empty_manifest() -> None:
    assert manifest.read(lambda path: None) == Manifest()
    assert Manifest().build == BuildTable(dockerfile="Dockerfile", context="", target="", args={})


def test_cron_is_that_of_both_files_and_may_name_a_process() -> None:
    made = read(
        Procfile="web: ./serve\nmailer: ./mail --all\n",
        app='{"cron": [{"command": "mailer", "schedule": "@daily"}, {"command": "x", "schedule": "@daily"}]}',
        gitship="[cron.x]\nschedule = '@weekly'\ncommand = 'web'\n",
    )
    found = {entry.name: (entry.schedule, entry.command, entry.source) for entry in made.cron}
    assert found == {
        "mailer": ("@daily", ("./mail", "--all"), "app.json"),
        "x": ("@weekly", ("./serve",), "gitship.toml"),
    }


def test_limits_of_one_offs_are_not_a_process_of_gitship_toml() -> None:
    with pytest.raises(ConfigError) as caught:
        planned(read(Procfile="web: x\n", gitship="[processes.run]\nmemory = '64m'\n"))
    assert "resources:limit APP --process run" in caught.value.hint


def test_release_is_a_command_and_not_a_process() -> None:
    made = read(Procfile="release: ./migrate\nweb: ./serve\n")
    assert made.release_command == ("./migrate",)
    assert made.processes == {"web": ("./serve",)}


def test_gitship_toml_comes_before_app_json() -> None:
    checks = '{"web": [{"path": "/a"}], "worker": [{"path": "/b"}]}'
    app = f'{{"healthchecks": {checks}, "formation": {{"worker": {{"quantity": 2}}}}}}'
    made = read(app=app, gitship="[[processes.web.checks]]\npath = '/c'\n[deploy]\ndrain_timeout = 5\n")
    assert [check.path for check in made.checks["web"]] == ["/c"]
    assert [check.path for check in made.checks["worker"]] == ["/b"]
    assert made.formation == {"worker": 2}
    assert (made.drain_timeout_s, made.check_timeout_s) == (5, None)


def test_scripts_of_app_json_are_kept() -> None:
    made = read(app='{"scripts": {"dokku": {"predeploy": "a", "postdeploy": "b"}}}')
    assert (made.predeploy, made.postdeploy) == (("a",), ("b",))


def test_procfile_and_app_json_are_looked_for_in_the_context_first() -> None:
    files = {
        "gitship.toml": b"build.context = 'api'",
        "api/Procfile": b"web: below",
        "Procfile": b"web: above",
        "app.json": b'{"formation": {"web": {"quantity": 3}}}',
    }
    made = manifest.read(files.get)
    assert made.processes == {"web": ("below",)}
    assert made.formation == {"web": 3}


def test_an_error_of_the_repository_passes_through() -> None:
    def files(path: str) -> bytes | None:
        raise GitError(f"cannot read {path}", "fsck")

    with pytest.raises(GitError, match=r"cannot read gitship\.toml"):
        manifest.read(files)


def test_without_a_procfile_the_image_runs_as_web() -> None:
    assert planned(Manifest()) == {"web": Process("web", command=None, port=8000, checks=WEB_CHECKS, quantity=1)}
    assert list(planned(read(Procfile="release: ./migrate\n"))) == ["web"]


def test_an_image_without_a_command_needs_a_procfile() -> None:
    image = Image("sha256:1", 1, has_command=False)
    with pytest.raises(DeployError) as caught:
        planned(Manifest(), image)
    assert caught.value.message == "the image has no CMD and no ENTRYPOINT, and the commit has no Procfile"
    assert "CMD" in caught.value.hint
    assert planned(read(Procfile="web: ./serve"), image)["web"].command == ("./serve",)


def test_with_a_procfile_its_types_run_in_its_order() -> None:
    made = read(
        Procfile="worker: ./work\nweb: ./serve\nclock: ./tick\n", app='{"formation": {"clock": {"quantity": 2}}}'
    )
    processes = planned(made)
    assert [(p.type, p.command, p.quantity) for p in processes.values()] == [
        ("worker", ("./work",), 0), ("web", ("./serve",), 1), ("clock", ("./tick",), 2)
    ]  # fmt: skip
    assert [p.port for p in processes.values()] == [None, 8000, None]


def test_web_can_be_scaled_to_none_and_formation_may_name_more_than_there_is() -> None:
    made = read(app='{"formation": {"web": {"quantity": 0}, "ghost": {"quantity": 1}}}')
    assert {p.type: p.quantity for p in planned(made).values()} == {"web": 0}


@pytest.mark.parametrize(
    ("toml", "config", "ports", "expected"),
    [
        ("port = 1000", {"PORT": "2000"}, (3000,), 1000),
        ("", {"PORT": " 2000 "}, (3000,), 2000),
        ("", {}, (3000, 4000), 3000),
        ("", {}, (), 5000),
    ],
)
def test_the_port_of_web(toml: str, config: dict[str, str], ports: tuple[int, ...], expected: int) -> None:
    assert planned(read(gitship=toml), Image("i", 1, tcp_ports=ports), config)["web"].port == expected


@pytest.mark.parametrize("port", ["", "http", "0", "65536", "8080/tcp", "٨٠٨٠", "-1"])
def test_a_port_in_the_config_that_is_none_is_an_error(port: str) -> None:
    with pytest.raises(ConfigError) as caught:
        planned(Manifest(), config={"PORT": port})
    assert caught.value.message == f"config PORT is '{port}', which is not a port"
    assert caught.value.hint == "set a number: config:set PORT=5000"


def test_the_images_healthcheck_is_the_check_of_web_alone() -> None:
    processes = planned(read(Procfile="web: a\nworker: b"), Image("i", 1, has_healthcheck=True))
    assert processes["web"].checks == (Check(kind="image", deadline_s=40.0),)
    assert processes["worker"].checks == (Check(kind="uptime", uptime_s=3.0, deadline_s=40.0),)


def test_an_apps_own_checks_replace_the_default_ones() -> None:
    app = '{"healthchecks": {"web": [{"path": "/up", "attempts": 1}], "worker": [{"listening": true}, {"uptime": 9}]}}'
    processes = planned(read(Procfile="web: a\nworker: b", app=app), Image("i", 1, has_healthcheck=True))
    assert processes["web"].checks == (Check(kind="http", path="/up", deadline_s=10.0),)
    # `worker` has no port of its own: Dokku looks at 5000 then.
    assert [(c.kind, c.port) for c in processes["worker"].checks] == [("listening", 5000), ("uptime", None)]


def test_an_empty_list_of_checks_means_none() -> None:
    assert planned(read(gitship="[processes.web]\nchecks = []"))["web"].checks == ()


def test_check_timeout_bounds_the_checks_without_a_deadline() -> None:
    checks = "[[processes.web.checks]]\npath = '/'\n[[processes.web.checks]]\npath = '/'\ndeadline = 3\n"
    made = read(gitship=f"deploy.check_timeout = 7\n{checks}")
    assert [c.deadline_s for c in planned(made)["web"].checks] == [7, 3]


def test_limits_belong_to_their_process() -> None:
    made = read(
        Procfile="web: a\nworker: b",
        gitship="[processes.worker]\nmemory = '64m'\ncpus = 2\npids = 9\nstop_timeout = 0\n",
    )
    processes = planned(made)
    worker, web = processes["worker"], processes["web"]
    assert (worker.memory_bytes, worker.cpus, worker.pids, worker.stop_timeout_s) == (64 << 20, 2, 9, 0)
    assert (web.memory_bytes, web.cpus, web.pids, web.stop_timeout_s) == (None, None, None, 30)


@pytest.mark.parametrize(
    ("procfile", "hint"),
    [("web: a\nworker: b", "did you mean 'processes.worker'?"), ("web: a\nclock: b", "the app has: web, clock")],
)
def test_limits_for_a_process_that_there_is_not_are_an_error(procfile: str, hint: str) -> None:
    made = read(Procfile=procfile, gitship="[processes.wroker]\npids = 9\n")
    with pytest.raises(ConfigError) as caught:
        planned(made)
    assert caught.value.message == "gitship.toml: processes.wroker is not a process type of the app"
    assert caught.value.hint == hint


@pytest.mark.parametrize(
    ("name", "text"), [("Procfile", "x"), ("app", "x"), ("gitship", "x")], ids=["Procfile", "app.json", "gitship.toml"]
)
def test_an_error_names_its_file(name: str, text: str) -> None:
    with pytest.raises(GitshipError, match=rf"^{name}"):
        read(**{name: text})


@pytest.mark.parametrize(
    ("procfile", "formation", "started"),
    [
        ("web: a\nworker: b\n", {}, {"web": 1, "worker": 0}),
        ("clock: a\nworker: b\n", {}, {"clock": 0, "worker": 1}),
        ("clock: a\nmailer: b\n", {}, {"clock": 1, "mailer": 0}),
        ("clock: a\nworker: b\n", {"clock": 2}, {"clock": 2, "worker": 0}),
        ("worker: b\n", {"worker": 0}, {"worker": 0}),
    ],
)
def test_an_app_without_web_starts_its_first_worker(
    procfile: str, formation: dict[str, int], started: dict[str, int]
) -> None:
    app = json.dumps({"formation": {type_: {"quantity": number} for type_, number in formation.items()}})
    processes = planned(read(Procfile=procfile, app=app))
    assert {type_: process.quantity for type_, process in processes.items()} == started
