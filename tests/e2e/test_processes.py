"""Procfile, app.json and scaling: which processes a release has, how they are checked; they change together."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e import apps, docker_cli
from tests.e2e.harness import Server
from tests.e2e.load import load
from tests.waiting import wait_until

pytestmark = pytest.mark.e2e

PROCFILE = "# who does what\nweb: /tiny\nworker: /tiny work\nrelease: /tiny release\n"


def running(server: Server, app: str) -> list[str]:
    return server.containers(f"gitship.app={app}")


def test_procfile_starts_web_and_waits_with_the_others(server: Server, tiny_app: Callable[..., Path]) -> None:
    said = server.push_ok(tiny_app("procs", files={"Procfile": PROCFILE}), "procs")
    assert running(server, "procs") == ["procs.web.1.v1"]
    assert "migrating v1" not in said or "release" in said
    assert server.get("procs").body == "v1\n"


def test_predeploy_and_postdeploy_run_once_each_and_only_the_first_can_hold_a_push_back(
    server: Server, tiny_app: Callable[..., Path]
) -> None:
    scripts = json.dumps({"scripts": {"dokku": {"predeploy": "/tiny release", "postdeploy": "/not-there 'a b'"}}})
    repository = tiny_app("steps", files={"app.json": scripts})
    said = server.push_ok(repository, "steps")
    lines = [line.removeprefix("remote:").strip() for line in said.splitlines()]
    begins = [line for line in lines if line.startswith(("-----> Predeploy", "-----> Switched", "-----> Postdeploy"))]
    assert [line.split()[1].rstrip(":,") for line in begins] == ["Predeploy", "Switched", "Postdeploy"], said
    assert said.count("migrating v1") == 1
    assert "postdeploy failed, the release stays live: `/not-there 'a b'` exited 127" in said
    [deploy] = json.loads(server.ssh("deploys:list", "steps", "--format", "json").stdout)
    assert (deploy["state"], deploy["reason"]) == ("live", "postdeploy failed: `/not-there 'a b'` exited 127")
    assert server.get("steps").body == "v1\n"

    before = server.server_ref("steps")
    apps.commit(repository, "Two", {"Dockerfile": apps.tiny_dockerfile("v2", {"RELEASE_EXIT": "5"})})
    refused = server.push(repository, "steps")
    assert refused.returncode != 0
    assert "predeploy `/tiny release` exited 5" in refused.stderr, refused.stderr
    assert "Postdeploy" not in refused.stderr
    assert (server.get("steps").body, server.server_ref("steps")) == ("v1\n", before)


def test_a_scale_that_is_so_already_makes_no_deploy(server: Server, tiny_app: Callable[..., Path]) -> None:
    server.push_ok(tiny_app("settled"), "settled")
    assert server.ssh("ps:scale", "settled", "web=2").returncode == 0
    before, there = len(server.deploys("settled")), running(server, "settled")
    again = server.ssh("ps:scale", "settled", "web=2")
    assert (again.returncode, again.stdout, "no change" in again.stderr) == (0, "", True)
    assert (len(server.deploys("settled")), running(server, "settled")) == (before, there)


def test_scale_up_and_down_fails_no_request(server: Server, tiny_app: Callable[..., Path]) -> None:
    server.push_ok(tiny_app("scaled", files={"Procfile": PROCFILE}), "scaled")
    with load(server.http_port, "scaled.localhost", ["v1"], workers=6) as visitors:
        up = server.ssh("ps:scale", "scaled", "web=3", "worker=2")
        assert up.returncode == 0, up.stderr
        of_type = [name.split(".")[1] for name in running(server, "scaled")]
        wait_until(
            lambda: sorted(n.split(".")[1] for n in running(server, "scaled")) == ["web"] * 3 + ["worker"] * 2,
            30, f"3 web and 2 worker (there were {of_type})",
        )  # fmt: skip
        down = server.ssh("ps:scale", "scaled", "web=1", "worker=0")
        assert down.returncode == 0, down.stderr
        wait_until(lambda: [n.split(".")[1] for n in running(server, "scaled")] == ["web"], 30, "1 web is left")
        report = visitors.end()
    assert report.failed == 0, f"{report.failures} {report.samples}"


def test_scale_is_kept_by_the_next_push(server: Server, tiny_app: Callable[..., Path]) -> None:
    repository = tiny_app("kept", files={"Procfile": PROCFILE})
    server.push_ok(repository, "kept")
    assert server.ssh("ps:scale", "kept", "web=2").returncode == 0
    apps.commit(repository, "Two", {"Dockerfile": apps.tiny_dockerfile("v2")})
    said = server.push_ok(repository, "kept")
    assert "web x2" in said
    rows = json.loads(server.ssh("ps:list", "kept", "--format", "json").stdout)
    assert len([row for row in rows if row["process"] == "web"]) == 2


@pytest.mark.parametrize("words", [["web=-1"], ["web=1000"], ["web=many"], ["nothing=1"], ["web"]], ids=" ".join)
def test_absurd_scale_is_refused(server: Server, tiny_app: Callable[..., Path], words: list[str]) -> None:
    if not server.database("SELECT 1 FROM apps WHERE name = 'absurd'"):
        server.push_ok(tiny_app("absurd", files={"Procfile": PROCFILE}), "absurd")
    before = running(server, "absurd")
    done = server.ssh("ps:scale", "absurd", *words)
    assert done.returncode != 0
    assert done.stderr.strip() and "Traceback" not in done.stderr
    assert running(server, "absurd") == before


def test_scale_to_zero_web_answers_503_and_comes_back(server: Server, tiny_app: Callable[..., Path]) -> None:
    server.push_ok(tiny_app("asleep"), "asleep")
    assert server.ssh("ps:scale", "asleep", "web=0").returncode == 0
    assert server.get("asleep").status == 503
    assert server.ssh("ps:scale", "asleep", "web=1").returncode == 0
    assert server.get("asleep").body == "v1\n"


def test_formation_of_app_json_sets_the_first_scale(server: Server, tiny_app: Callable[..., Path]) -> None:
    formation = json.dumps({"formation": {"web": {"quantity": 2}, "worker": {"quantity": 1}}})
    server.push_ok(tiny_app("formed", files={"Procfile": PROCFILE, "app.json": formation}), "formed")
    types = sorted(name.split(".")[1] for name in running(server, "formed"))
    assert types == ["web", "web", "worker"]


def test_healthcheck_of_app_json_holds_the_switch_back(server: Server, tiny_app: Callable[..., Path]) -> None:
    check = {"type": "startup", "path": "/healthz", "attempts": 8, "wait": 1, "timeout": 1, "content": "v2"}
    repository = tiny_app(
        "checked", files={"app.json": json.dumps({"healthchecks": {"web": [{**check, "content": "v1"}]}})}
    )
    server.push_ok(repository, "checked")
    slow = apps.tiny_dockerfile("v2", {"HEALTH_MS": "1500"})
    apps.commit(repository, "Two", {"Dockerfile": slow, "app.json": json.dumps({"healthchecks": {"web": [check]}})})
    with load(server.http_port, "checked.localhost", ["v1", "v2"], workers=4) as visitors:
        said = server.push_ok(repository, "checked")
        report = visitors.end()
    assert "GET /healthz 200" in said, said
    assert report.failed == 0


def test_image_healthcheck_is_used(server: Server, tiny_app: Callable[..., Path]) -> None:
    health = 'HEALTHCHECK --interval=1s --timeout=1s --retries=2 CMD ["/tiny", "check"]'
    text = apps.tiny_dockerfile("v1", {"HEALTH_MS": "600"}, extra=[health])
    said = server.push_ok(tiny_app("image-check", files={"Dockerfile": text}), "image-check")
    assert "HEALTHCHECK" in said, said


def test_worker_that_crashes_fails_the_deploy_as_a_whole(server: Server, tiny_app: Callable[..., Path]) -> None:
    repository = tiny_app("together", files={"Procfile": PROCFILE})
    server.push_ok(repository, "together")
    assert server.ssh("ps:scale", "together", "worker=1").returncode == 0
    before = running(server, "together")
    broken = {"Dockerfile": apps.tiny_dockerfile("v2"), "Procfile": PROCFILE.replace("/tiny work", "/tiny-missing")}
    apps.commit(repository, "Broken worker", broken)
    done = server.push(repository, "together")
    assert done.returncode != 0
    assert "worker" in done.stderr
    assert server.get("together").body == "v1\n"
    assert running(server, "together") == before


def test_app_that_crashes_later_is_restarted(server: Server, tiny_app: Callable[..., Path]) -> None:
    server.push_ok(tiny_app("revived"), "revived")
    assert server.get("revived", "/crash", method="POST").status == 503
    wait_until(lambda: server.get("revived").body == "v1\n", 20, "Docker's restart policy brought it back")


def test_port_is_taken_from_expose_and_config(server: Server, tiny_app: Callable[..., Path]) -> None:
    repository = tiny_app("ports", files={"Dockerfile": apps.tiny_dockerfile("v1", port=9100)})
    server.push_ok(repository, "ports")
    assert server.get("ports", "/env?PORT").body == "9100"
    assert server.ssh("config:set", "ports", "PORT=9200").returncode == 0
    assert server.get("ports", "/env?PORT").body == "9200"


def test_containers_are_named_labelled_and_publish_nothing(server: Server, tiny_app: Callable[..., Path]) -> None:
    server.push_ok(tiny_app("labels"), "labels")
    [name] = running(server, "labels")
    shown = json.loads(docker_cli.docker(server.docker_host, "inspect", name))[0]
    labels = shown["Config"]["Labels"]
    assert (labels["gitship.app"], labels["gitship.process"], labels["gitship.release"]) == ("labels", "web", "1")
    assert not shown["HostConfig"]["PortBindings"]
    assert shown["HostConfig"]["Init"] is True
    assert shown["HostConfig"]["LogConfig"]["Type"] == "local"
    assert shown["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"


def test_a_container_that_others_have_named_so_is_left_alone(server: Server, tiny_app: Callable[..., Path]) -> None:
    repository = tiny_app("squat")
    server.push_ok(repository, "squat")
    image = docker_cli.docker(server.docker_host, "inspect", "-f", "{{.Image}}", "squat.web.1.v1")
    label = f"gitship.test={server.server_id()}"
    docker_cli.docker(server.docker_host, "create", "--label", label, "--name", "squat.web.1.v2", image)
    try:
        apps.commit(repository, "Two", {"Dockerfile": apps.tiny_dockerfile("v2")})
        server.push_ok(repository, "squat")
        assert server.get("squat").body == "v2\n"
        wait_until(
            lambda: running(server, "squat") == ["squat.web.1.v2", "squat.web.2.v2"], 30, "the next number is taken"
        )
        server.restart()  # which also looks for containers that nobody wants
        assert docker_cli.names(server.docker_host, "container", label) == ["squat.web.1.v2"]
        assert server.get("squat").body == "v2\n"
    finally:
        docker_cli.remove_labelled(server.docker_host, label)


def test_what_runs_nothing_on_purpose_says_so(server: Server, tiny_app: Callable[..., Path]) -> None:
    """503, each in its own words: never deployed, scaled to none, and without a process for visitors."""
    assert server.ssh("apps:create", "nothing-yet").returncode == 0
    answer = server.get("nothing-yet")
    assert answer.status == 503 and "Nothing has been deployed" in answer.body
    server.push_ok(tiny_app("to-none"), "to-none")
    assert server.ssh("ps:scale", "to-none", "web=0").returncode == 0
    answer = server.get("to-none")
    assert answer.status == 503 and "ps:scale to-none web=1" in answer.body
    assert "deployed" not in answer.body
    assert server.ssh("ps:scale", "to-none", "web=1").returncode == 0
    assert server.get("to-none").body == "v1\n"
    server.push_ok(tiny_app("no-visitors", files={"Procfile": "worker: /tiny\n"}), "no-visitors")
    answer = server.get("no-visitors")
    assert answer.status == 503 and "It has no web process" in answer.body


def test_a_push_says_which_processes_do_not_run(server: Server, tiny_app: Callable[..., Path]) -> None:
    repository = tiny_app("waiting", files={"Procfile": PROCFILE})
    assert "worker x0: ps:scale waiting worker=1" in server.push_ok(repository, "waiting")
    assert server.ssh("ps:scale", "waiting", "worker=0").returncode == 0  # it is wanted so
    apps.commit(repository, "Two", {"Dockerfile": apps.tiny_dockerfile("v2")})
    assert "worker x0" not in server.push_ok(repository, "waiting")


def test_an_app_of_workers_starts_its_first_and_has_no_address(server: Server, tiny_app: Callable[..., Path]) -> None:
    procfile = "clock: /tiny work\nworker: /tiny work\n"
    said = server.push_ok(tiny_app("toiling", files={"Procfile": procfile}), "toiling")
    assert running(server, "toiling") == ["toiling.worker.1.v1"]
    assert "clock x0: ps:scale toiling clock=1" in said
    [last] = [line for line in said.splitlines() if "=====>" in line]
    assert "=====> toiling runs worker x1, no web   v1 in" in last, said
    assert "http://" not in last


def test_what_runs_nothing_is_not_called_live(server: Server, tiny_app: Callable[..., Path]) -> None:
    repository = tiny_app("idle")
    server.push_ok(repository, "idle")
    done = server.ssh("ps:scale", "idle", "web=0")
    apps.commit(repository, "Two", {"Dockerfile": apps.tiny_dockerfile("v2")})
    for said in (done.stdout + done.stderr, server.push_ok(repository, "idle")):
        [last] = [line for line in said.splitlines() if "=====>" in line]
        assert "=====> idle has no containers: ps:scale idle web=1   v" in last, said
        assert "is live" not in said and "http://idle" not in said, said


def test_env_of_app_json_is_set_and_asked_for(server: Server, tiny_app: Callable[..., Path]) -> None:
    env = {
        "COLOUR": "blue", "KEY": {"generator": "secret"}, "MODE": {"value": "x", "sync": True},
        "DATABASE_URL": {"description": "where the data are"},
    }  # fmt: skip
    wanted = json.dumps({"env": env, "addons": ["heroku-postgresql"], "scripts": {"postdeploy": "/tiny release"}})
    repository = tiny_app("wishes", files={"app.json": wanted})
    refused = server.push(repository, "wishes")
    assert refused.returncode == 1
    assert "failed: app.json requires DATABASE_URL, which is not set" in refused.stderr, refused.stderr
    assert "config:set wishes DATABASE_URL=..." in refused.stderr
    assert "Building" not in refused.stderr
    assert server.ssh("config:set", "wishes", "DATABASE_URL=here").returncode == 0

    said = server.push_ok(repository, "wishes")
    assert "config by app.json: COLOUR, KEY (generated), MODE" in said, said
    assert "app.json: ignored: addons" in said
    assert said.count("migrating v1") == 1 and "First postdeploy: /tiny release" in said
    key = server.get("wishes", "/env?KEY").body
    assert len(key) == 64 and key not in said
    assert server.get("wishes", "/env?COLOUR").body == "blue"

    assert server.ssh("config:set", "wishes", "COLOUR=red", "MODE=y").returncode == 0
    apps.commit(repository, "Two", {"Dockerfile": apps.tiny_dockerfile("v2")})
    again = server.push_ok(repository, "wishes")
    assert "config by app.json: MODE" in again, again
    assert "migrating" not in again and "postdeploy" not in again  # once in the app's life
    seen = [server.get("wishes", f"/env?{name}").body for name in ("COLOUR", "MODE", "KEY")]
    assert seen == ["red", "x", key]
    assert json.loads(server.ssh("config:export", "wishes", "--format", "json").stdout)["COLOUR"] == "red"


def test_a_silent_build_step_says_that_it_runs(server: Server, tiny_app: Callable[..., Path]) -> None:
    slow = apps.tiny_dockerfile("v1", {"RELEASE_MS": "13000"}, extra=['RUN ["/tiny", "release"]'])
    said = server.push_ok(tiny_app("slow", files={"Dockerfile": slow}), "slow", "-o", "no-cache")
    lines = [line for line in said.splitlines() if "RUN" in line and "migrating v1" in line]
    assert lines, said  # the step with its last line, while it ran


def test_a_crash_names_the_command_that_shows_all_of_its_log(server: Server, tiny_app: Callable[..., Path]) -> None:
    crashing = apps.tiny_dockerfile("v1", {"CRASH": "3"})
    said = server.push(tiny_app("crashing", files={"Dockerfile": crashing}), "crashing").stderr
    assert "all of it: logs crashing --release v1" in said, said
    for words in (("logs", "crashing", "--release", "v1"), ("logs", "crashing")):
        assert "cannot start: CRASH=3" in server.ssh(*words).stdout


def test_checks_are_run_of_one_process(server: Server, tiny_app: Callable[..., Path]) -> None:
    formation = json.dumps({"formation": {"worker": {"quantity": 1}}})
    server.push_ok(tiny_app("looked", files={"Procfile": PROCFILE, "app.json": formation}), "looked")
    for words, types in (((), {"web", "worker"}), (("web",), {"web"})):
        rows = json.loads(server.ssh("checks:run", "looked", *words, "--format", "json").stdout)
        assert {row["container"].split(".")[1] for row in rows} == types


def test_the_commit_is_known_by_the_names_of_dokku_and_heroku(server: Server, tiny_app: Callable[..., Path]) -> None:
    repository = tiny_app("revision")
    text = apps.tiny_dockerfile("v1", extra=["ARG SOURCE_VERSION", "ENV BUILT_FROM=$SOURCE_VERSION"])
    commit = apps.commit(repository, "With an argument", {"Dockerfile": text})
    server.push_ok(repository, "revision")
    for name in ("GIT_REV", "SOURCE_VERSION", "BUILT_FROM"):
        assert server.get("revision", f"/env?{name}").body == commit, name


def test_a_push_that_takes_a_while_says_what_ctrl_c_does(server: Server, tiny_app: Callable[..., Path]) -> None:
    slow = apps.tiny_dockerfile("v1", {"BOOT_MS": "5000"})
    said = server.push_ok(tiny_app("leaving", files={"Dockerfile": slow}), "leaving")
    assert "Ctrl-C leaves this deploy running; to end it: deploys:cancel leaving" in said, said


def test_a_push_says_which_data_go_with_the_container(server: Server, tiny_app: Callable[..., Path]) -> None:
    """A database beside the app and a VOLUME of the image are lost with the next push: said while it can be helped."""
    busybox = Path(shutil.which("busybox") or "/bin/busybox").read_bytes()
    written = " ".join(f"echo row > {path};" for path in ("/srv/app.db", "/top.db", "$KEPT/kept.db"))
    script = f"#!/busybox sh\n/busybox mkdir -p /srv; {written}\nexec /tiny\n"
    extra = ["COPY busybox boot /", 'VOLUME ["/config", "/kept/here"]', "ENV KEPT=/config"]
    files = {"Dockerfile": apps.tiny_dockerfile("v1", cmd='["/busybox", "sh", "/boot"]', extra=extra), "boot": script}
    repository = tiny_app("forgetful", files=files)
    (repository / "busybox").write_bytes(busybox)
    (repository / "busybox").chmod(0o755)
    apps.commit(repository, "busybox")
    lost = "web writes /srv/app.db inside its container, which each deploy replaces: storage:mount forgetful data:"
    anew = "is a VOLUME of the image and begins anew with each deploy: storage:mount forgetful data:"
    said = server.push_ok(repository, "forgetful")
    assert f"{lost}/srv " in said and "kept.db" not in said, said  # made by the app: nothing of the image is hidden
    beside = "web writes /top.db inside its container, which each deploy replaces: storage:mount forgetful data:"
    assert f"{beside}DIRECTORY, and have it write there" in said, said
    assert f"/config {anew}/config" in said and f"/kept/here {anew}/kept/here" in said, said

    for path in ("config:/config", "kept:/kept", "srv:/srv"):
        mounted = server.ssh("storage:mount", "forgetful", path)
        assert mounted.returncode == 0, mounted.stderr
    files["Dockerfile"] = files["Dockerfile"].replace("VOLUME", "COPY busybox /bin/test\nUSER 1000\nVOLUME")
    apps.commit(repository, "Two", files)
    said = server.push_ok(repository, "forgetful")
    assert lost not in said and anew not in said and beside not in said, said  # as this user it cannot
    assert "web of v4 wrote /top.db inside its container, which this deploy replaces: storage:mount forget" in said
    for path in ("/config", "/kept", "/srv"):
        assert f"web runs as 1000, which may not write to {path}: `RUN mkdir -p {path} && chown 1000 {path}`" in said
        assert "or storage:import one that has it: `help volumes`" in said, said


def test_a_release_that_cannot_write_to_its_volume_is_told_so_when_it_fails(
    server: Server, tiny_app: Callable[..., Path]
) -> None:
    """A program that waits for its database, which it cannot make, gets no further than the checks."""
    extra = ["COPY busybox /bin/test", "USER 1000"]
    text = apps.tiny_dockerfile("v1", {"LISTEN_PORT": "3000"}, extra=extra)
    repository = tiny_app("closed", files={"Dockerfile": text})
    (repository / "busybox").write_bytes(Path(shutil.which("busybox") or "/bin/busybox").read_bytes())
    (repository / "busybox").chmod(0o755)
    apps.commit(repository, "busybox")
    assert server.ssh("apps:create", "closed").returncode == 0
    assert server.ssh("storage:mount", "closed", "data:/data").returncode == 0
    refused = server.push(repository, "closed")
    assert refused.returncode != 0
    assert "web runs as 1000, which may not write to /data: `RUN mkdir -p /data" in refused.stderr, refused.stderr
