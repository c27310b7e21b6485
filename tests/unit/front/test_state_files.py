"""What the next varnishd finds on disk."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from gitship.front.atomic_file import write_atomically
from gitship.front.state_files import BootFiles


def _made(directory: Path) -> BootFiles:
    files = BootFiles(directory, None)
    files.prepare("always there", "no challenges")
    return files


def test_boot_cli_loads_each_app_behind_a_page_that_covers_for_it(tmp_path: Path) -> None:
    _made(tmp_path).write({"z_shop": "app_shop_v1_1", "z_lost": "unavailable"}, "top_1", lambda name: f"text of {name}")
    assert (tmp_path / "boot.cli").read_text().replace(str(tmp_path), "DIR").splitlines() == [
        'vcl.load unavailable "DIR/apps/unavailable.vcl"',
        'vcl.load challenge_none "DIR/apps/challenge_none.vcl"',
        "vcl.label T_trial unavailable",
        "vcl.label challenges challenge_none",
        "vcl.label z_shop unavailable",
        '-vcl.load app_shop_v1_1 "DIR/apps/app_shop_v1_1.vcl"',
        "-vcl.label z_shop app_shop_v1_1",
        "vcl.label z_lost unavailable",
        'vcl.load top_1 "DIR/apps/top_1.vcl"',
        "vcl.use top_1",
    ]
    assert (tmp_path / "apps/app_shop_v1_1.vcl").read_text() == "text of app_shop_v1_1"
    assert (tmp_path / "apps/unavailable.vcl").read_text() == "always there"


def test_files_that_boot_cli_no_longer_names_are_removed_after_it_is_written(tmp_path: Path) -> None:
    files = _made(tmp_path)
    files.write({"z_shop": "app_shop_v1_1"}, "top_1", str)
    files.write({"z_shop": "app_shop_v2_2"}, "top_1", str)
    assert sorted(p.name for p in (tmp_path / "apps").iterdir()) == [
        "app_shop_v2_2.vcl",
        "challenge_none.vcl",
        "top_1.vcl",
        "unavailable.vcl",
    ]


def test_one_label_is_led_elsewhere_as_if_all_was_written_anew(tmp_path: Path) -> None:
    files = _made(tmp_path)
    led = {"z_shop": "app_shop_v1_1", "z_shop-2": "app_shop-2_v1_1", "z_lost": "unavailable"}
    for label, new in (("z_shop", "app_shop_v2_2"), ("z_lost", "app_lost_v1_1"), ("z_shop-2", "unavailable")):
        files.write(led, "top_1", str)
        before, led[label] = led[label], new
        assert files.lead(label, before, new, str)
        found = {p.name: p.read_text() for p in tmp_path.rglob("*") if p.is_file()}
        files.write(led, "top_1", str)
        assert found == {p.name: p.read_text() for p in tmp_path.rglob("*") if p.is_file()}


def test_a_label_that_led_elsewhere_than_boot_cli_says_changes_nothing(tmp_path: Path) -> None:
    files = _made(tmp_path)
    files.write({"z_shop": "app_shop_v1_1"}, "top_1", str)
    before = files.read()
    assert not files.lead("z_shop", "app_shop_v2_2", "app_shop_v3_3", str)
    assert not files.lead("z_shop", "unavailable", "app_shop_v3_3", str)
    assert not files.lead("z_other", "unavailable", "app_other_v1_1", str)
    assert files.read() == before


def test_when_writing_fails_the_old_state_is_whole(tmp_path: Path) -> None:
    files = _made(tmp_path)
    files.write({"z_shop": "app_shop_v1_1"}, "top_1", str)
    before = (tmp_path / "boot.cli").read_text()

    def fails(name: str) -> str:
        raise OSError("no space left on device")

    with pytest.raises(OSError):
        files.write({"z_shop": "app_shop_v2_2"}, "top_2", fails)
    assert (tmp_path / "boot.cli").read_text() == before
    assert {"app_shop_v1_1.vcl", "top_1.vcl"} <= {p.name for p in (tmp_path / "apps").iterdir()}


def test_nobody_else_may_read_them(tmp_path: Path) -> None:
    _made(tmp_path).write({"z_shop": "app_shop_v1_1"}, "top_1", str)
    for path in (tmp_path / "boot.cli", tmp_path / "apps", *(tmp_path / "apps").iterdir()):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to another group")
def test_the_readers_group_may_read_but_not_write_them(tmp_path: Path) -> None:
    files = BootFiles(tmp_path, 12345)
    files.prepare("x", "y")
    files.write({"z_shop": "app_shop_v1_1"}, "top_1", str)
    for path in (tmp_path / "apps", *(tmp_path / "apps").iterdir()):
        assert path.stat().st_gid == 12345
        assert stat.S_IMODE(path.stat().st_mode) == (0o750 if path.is_dir() else 0o640)


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "new \udc80")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_changed_covering_page_replaces_the_one_of_an_older_gitship(tmp_path: Path) -> None:
    _made(tmp_path)
    BootFiles(tmp_path, None).prepare("newer", "none")
    assert (tmp_path / "apps/unavailable.vcl").read_text() == "newer"
