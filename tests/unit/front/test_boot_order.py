"""What a new varnishd compiles before it serves."""

from __future__ import annotations

import re
from pathlib import Path

from gitship.front.boot_order import AT_ONCE, DeferredVcl, inlined, split
from gitship.front.state_files import BootFiles


def _boot(directory: Path, slugs: list[str]) -> str:
    files = BootFiles(directory, None)
    files.prepare("always there", "no challenges")
    files.write({f"z_{s}": f"app_{s}_v1_1" for s in slugs}, "top_1", str)
    return files.read()


def _apps(text: str) -> list[str]:
    return [line.split()[1] for line in text.splitlines() if line.startswith("-vcl.load")]


def test_a_few_apps_are_all_there_before_the_first_visitor(tmp_path: Path) -> None:
    boot = _boot(tmp_path, [f"a{n}" for n in range(AT_ONCE)])
    assert split(boot, [], AT_ONCE) == (boot, [])


def test_of_many_the_first_are_and_the_others_follow_each_behind_its_page(tmp_path: Path) -> None:
    boot = _boot(tmp_path, ["a", "b", "c", "d"])
    start, later = split(boot, ["z_gone", "z_d", "z_b", "z_d"], at_once=1)
    assert _apps(start) == ["app_d_v1_1"]
    assert later == [DeferredVcl(f"app_{s}_v1_1", f"z_{s}") for s in ("b", "c", "a")]
    kept = [line for line in boot.splitlines() if not line.startswith("-")]
    assert [line for line in start.splitlines() if not line.startswith("-")] == kept
    assert {f"vcl.label z_{s} unavailable" for s in "abcd"} <= set(kept)


def test_what_gitship_did_not_write_is_left_to_varnishd(tmp_path: Path) -> None:
    assert split("damaged\n-vcl.load x\n", [], at_once=0) == ("damaged\n-vcl.load x\n", [])


def test_texts_stand_in_place_of_their_files(tmp_path: Path) -> None:
    boot = _boot(tmp_path, ["a", "b"])
    (tmp_path / "apps/app_b_v1_1.vcl").unlink()
    text = inlined(boot, BootFiles(tmp_path, None).text)
    assert re.search(
        r"^-vcl\.inline app_a_v1_1 << (\S+)\napp_a_v1_1\n\1\n-vcl\.label z_a app_a_v1_1$", text, re.MULTILINE
    )
    assert re.search(r"^vcl\.inline top_1 << (\S+)\ntop_1\n\1\nvcl\.use top_1$", text, re.MULTILINE)
    assert f'\n-vcl.load app_b_v1_1 "{tmp_path}/apps/app_b_v1_1.vcl"\n' in text
