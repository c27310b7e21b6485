"""The JSON that makes a container, and what Docker tells of one. GITSHIP_GOLDEN=write rewrites the golden files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from gitship.engine.container_json import arguments, epoch, healthcheck, state, summary
from gitship.engine.types import ContainerSpec
from gitship.model import Mount

GOLDEN = Path(__file__).parent / "golden"


def golden(name: str, made: dict[str, Any]) -> None:
    text = json.dumps(made, indent=2) + "\n"
    if os.environ.get("GITSHIP_GOLDEN") == "write":
        (GOLDEN / name).write_text(text)
    assert text == (GOLDEN / name).read_text()


def test_a_web_process_gets_its_address_limits_and_restart_policy() -> None:
    spec = ContainerSpec(
        name="shop.web.1.v12",
        image_id="sha256:abc",
        network="gitship-0123-7",
        command=("gunicorn", "app:app"),
        env={"PORT": "5000", "SECRET": "a=b c\n"},
        labels={"gitship.app": "shop", "gitship.release": "12"},
        address="10.231.0.2",
        stop_timeout_s=12.5,
        memory_bytes=256 << 20,
        cpus=0.5,
        pids=100,
    )
    golden("web.json", arguments(spec))


def test_a_one_off_without_limits_keeps_the_images_command_and_a_pids_limit() -> None:
    golden("one-off.json", arguments(ContainerSpec("shop.release", "sha256:abc", "net", restart=False)))


def test_a_one_off_with_a_terminal_has_its_size_and_its_input_ends_with_the_client() -> None:
    spec = ContainerSpec("shop.run.1.v2", "sha256:abc", "net", restart=False, stdin=True, terminal=(101, 33))
    golden("terminal.json", arguments(spec))


def test_mounts_are_volumes_and_directories_of_the_host() -> None:
    mounts = (Mount("data", "/var/lib/shop", volume="gitship-s-7-data-1a"), Mount("/srv/photos", "/photos", True))
    golden("mounts.json", arguments(ContainerSpec("shop.web.1.v2", "sha256:abc", "net", mounts=mounts)))


def test_an_empty_command_is_not_the_images_own() -> None:
    assert arguments(ContainerSpec("x", "i", "n", command=()))["Cmd"] == []
    assert "Cmd" not in arguments(ContainerSpec("x", "i", "n"))
    assert "Entrypoint" not in arguments(ContainerSpec("x", "i", "n"))


def test_a_command_takes_the_entrypoints_place_unless_it_is_for_it() -> None:
    alone = arguments(ContainerSpec("x", "i", "n", command=("./report", "-v")))
    assert (alone["Entrypoint"], alone["Cmd"]) == (["./report"], ["-v"])
    given = arguments(ContainerSpec("x", "i", "n", command=("./report", "-v"), entrypoint=True))
    assert given["Cmd"] == ["./report", "-v"] and "Entrypoint" not in given


def inspected(**changes: Any) -> dict[str, Any]:
    now = {"Status": "running", "ExitCode": 0, "OOMKilled": False, "Error": "", "StartedAt": "2026-01-02T03:04:05.5Z"}
    return {
        "Id": "abc",
        "Name": "/shop.web.1.v12",
        "Config": {"Labels": {"gitship.app": "shop"}},
        "State": {**now, "Pid": 7, **changes},
        "RestartCount": 3,
        "NetworkSettings": {"Networks": {"net": {"IPAddress": "10.231.0.2"}}},
    }


def test_a_running_container_tells_its_address_start_and_restarts() -> None:
    found = state(inspected())
    assert (found.name, found.status, found.address, found.restarts, found.pid) == (
        "shop.web.1.v12", "running", "10.231.0.2", 3, 7,
    )  # fmt: skip
    assert found.started_at == 1767323045.5
    assert found.health == ""


def test_health_is_the_last_probe() -> None:
    log = [{"Output": "old"}, {"Output": "connection refused\n"}]
    found = state(inspected(Health={"Status": "unhealthy", "Log": log}))
    assert (found.health, found.health_output) == ("unhealthy", "connection refused")


def test_a_disabled_healthcheck_is_none_at_all() -> None:
    assert state(inspected(Health={"Status": "none"})).health == ""


def test_the_runtimes_words_are_cut_to_the_cause() -> None:
    said = (
        "failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process:"
        ' exec: "nosuch": executable file not found in $PATH: unknown'
    )
    found = state(inspected(Status="created", ExitCode=127, Error=said, StartedAt="0001-01-01T00:00:00Z"))
    assert found.error == 'exec: "nosuch": executable file not found in $PATH'
    assert found.started_at is None


def test_a_row_of_the_list_needs_no_inspection() -> None:
    row = {"Id": "abc", "Names": ["/shop.web.1.v12"], "Labels": None, "State": "exited", "NetworkSettings": None}
    found = summary(row)
    assert (found.id, found.name, found.status, found.labels, found.address) == (
        "abc",
        "shop.web.1.v12",
        "exited",
        {},
        "",
    )


def test_times_keep_their_microseconds() -> None:
    assert epoch("2026-11-23T22:44:01.123456789Z") == pytest.approx(1795473841.123456, abs=1e-6)
    assert epoch("") is None


def test_an_images_healthcheck_is_not_run_more_often_than_each_second() -> None:
    second = 1_000_000_000
    assert healthcheck({}) == healthcheck({"Healthcheck": None}) == {}
    assert healthcheck({"Healthcheck": {"Test": ["CMD", "x"], "Interval": 30 * second}}) == {}
    often = {"Test": ["CMD", "x"], "Interval": 1_000_000, "StartInterval": 1_000_000}
    assert healthcheck({"Healthcheck": often}) == {"Healthcheck": {"Interval": second, "StartInterval": second}}
