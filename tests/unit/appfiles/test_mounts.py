"""Mounts: what is typed, what a release's processes get of it, and what is left of an older release's."""

from __future__ import annotations

import dataclasses

import pytest

from gitship.appfiles.mounts import attached, found_again, parse
from gitship.appfiles.overrides import describe
from gitship.errors import DeployError, GitshipError
from gitship.model import Mount, Process, Release
from gitship.store.settings import AppSettings

PROCESSES = (Process("web", port=5000), Process("worker"))
NOTHING = AppSettings(1, {})
SETTINGS = NOTHING.changed({
    "volume.data": "v1",
    "volume.idle": "v2",
    "mount./data": {"source": "data", "read_only": False, "processes": None},
    "mount./jobs": {"source": "data", "read_only": True, "processes": ["worker", "gone"]},
    "mount./photos": {"source": "/srv/photos", "read_only": True, "processes": ["web"]},
    "mount./taken-back": None,
    "volume-discarded.v0": 1.0,
    "run.port": 80,
})  # fmt: skip


@pytest.mark.parametrize(
    ("text", "source", "path"),
    [
        ("data:/data", "data", "/data"), ("a:/d/", "a", "/d"), ("A.b_c-9:/x y", "A.b_c-9", "/x y"),
        ("/srv/photos/:/photos", "/srv/photos", "/photos"), ("data:/development", "data", "/development"),
        ("data:/etc/shop", "data", "/etc/shop"), ("a" * 64 + ":/d", "a" * 64, "/d"),
    ],
)  # fmt: skip
def test_what_is_typed_well_is_taken(text: str, source: str, path: str) -> None:
    assert parse(text) == (source, path)


@pytest.mark.parametrize(
    "text",
    [
        "", "data", "data:", ":/data", "data:data", "data:./data", "data:/", "data://", "data:/a/../b", "data:/..",
        "data:/a//b", "data://a", "data:/a/./b", "data:/proc", "data:/proc/1", "data:/sys", "data:/dev/shm",
        "data:/dev/", "data:/etc/hosts", "data:/etc/resolv.conf", "data:/a:ro", "data:/a\nb", "data:/a\0b",
        "da ta:/data", "../x:/data", "a/b:/data", "-data:/data", "data-:/data", ".:/data", "dätä:/data",
        "a" * 65 + ":/data", "data:/" + "x" * 2000,
        "/srv/../etc:/data", "//srv:/data", "$(id):/data", "'data:/data",
    ],
)  # fmt: skip
def test_what_is_typed_wrongly_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(GitshipError) as caught:
        parse(text)
    assert caught.value.hint and "\n" not in caught.value.message.replace(text, "")


def test_each_process_gets_its_own_and_one_offs_all() -> None:
    web, worker = attached(PROCESSES, SETTINGS)
    assert [(m.source, m.path, m.read_only, m.volume) for m in web.mounts] == [
        ("data", "/data", False, "v1"), ("/srv/photos", "/photos", True, ""),
    ]  # fmt: skip
    assert [(m.path, m.read_only, m.volume) for m in worker.mounts] == [("/data", False, "v1"), ("/jobs", True, "v1")]
    assert {m.path for m in release(web, worker).mounts} == {"/data", "/jobs", "/photos"}


def test_what_was_attached_before_counts_no_more() -> None:
    old = tuple(dataclasses.replace(p, mounts=(Mount("x", "/x", volume="v9"),)) for p in PROCESSES)
    assert attached(old, NOTHING) == PROCESSES


def test_a_mount_whose_volume_was_destroyed_meanwhile_is_an_error_for_people() -> None:
    with pytest.raises(DeployError, match=r"'data' for /data has been destroyed"):
        attached(PROCESSES, SETTINGS.changed({"volume.data": None}))


def test_an_older_release_finds_its_volumes_as_they_are_now() -> None:
    old = release(*attached(PROCESSES, SETTINGS))
    again = found_again(old, NOTHING.changed({"volume.data": "v7"}))
    assert again == old.processes  # which content a volume has makes no other release
    assert {m.volume for p in again for m in p.mounts} == {"v7", ""}


def test_an_older_release_whose_volume_was_destroyed_is_refused_by_name() -> None:
    with pytest.raises(DeployError, match=r"v3 has the volume 'data' at /data, which has been destroyed"):
        found_again(release(*attached(PROCESSES, SETTINGS)), NOTHING.changed({"volume.idle": "v2"}))


def test_changes_are_described_without_what_docker_calls_them() -> None:
    assert describe({"mount./data": 1, "volume.data": 1, "volume-discarded.v0": 1}) == "mount /data, volume data"


def release(*processes: Process) -> Release:
    return Release(1, 1, 3, None, "i", 1, {}, processes, "push", "me", 1.0)
