"""Compiled VCLs that the next varnishd finds again."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from gitship.front import compiled_vcls

pytestmark = pytest.mark.clients

COMPILER = "echo once >> runs && cp %s %o"


def _compile(place: Path, command: str, source: str) -> str:
    """As varnishd does it: in the directory of one VCL, in which the object is there already, empty."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    (place / "vgc.c").write_text(source)
    (place / "vgc.so").touch()
    line = command.replace("%s", "vgc.c").replace("%o", "vgc.so")
    subprocess.run(["/bin/sh", "-c", line], cwd=place, check=True, stderr=subprocess.DEVNULL)
    return (place / "vgc.so").read_text()


def test_the_same_source_is_compiled_once(tmp_path: Path) -> None:
    command = compiled_vcls.keeping(COMPILER, tmp_path)
    assert _compile(tmp_path / "a", command, "int a;") == "int a;"
    assert (tmp_path / "a/runs").exists()
    assert _compile(tmp_path / "a", command, "int a;") == "int a;"  # of the varnishd before nothing else is left
    assert not (tmp_path / "a/runs").exists()
    assert _compile(tmp_path / "b", command, "int b;") == "int b;"
    assert (tmp_path / "b/runs").exists()


def test_apps_that_come_and_go_are_no_other_source(tmp_path: Path) -> None:
    command = compiled_vcls.keeping(COMPILER, tmp_path)
    source = "int a;\n/*\n * Symbol Table MAIN\n *\n * var       HTTP     0 99 req\n{}*/\n"
    label = " * vcl       VCL                    40 41 z_shop\n"
    _compile(tmp_path / "a", command, source.format(""))
    _compile(tmp_path / "a", command, source.format(label))
    assert not (tmp_path / "a/runs").exists()
    _compile(tmp_path / "a", command, source.format("").replace("int", "long"))
    assert (tmp_path / "a/runs").exists()


def test_the_same_source_under_another_name_is_a_file_of_its_own(tmp_path: Path) -> None:
    command = compiled_vcls.keeping(COMPILER, tmp_path)
    for name in ("vcl_top_1.1795568564.671243", "vcl_top_2.1795568564.671244"):
        _compile(tmp_path / name, command, "int a;")
    one, two = (p.stat().st_ino for p in tmp_path.glob("vcl_*/vgc.so"))
    assert one != two
    shutil.rmtree(tmp_path / "vcl_top_1.1795568564.671243")
    _compile(tmp_path / "vcl_top_1.1795568570.1", command, "int a;")  # of the next varnishd
    assert not (tmp_path / "vcl_top_1.1795568570.1/runs").exists()


def test_what_does_not_compile_is_not_kept(tmp_path: Path) -> None:
    command = compiled_vcls.keeping("echo damaged > %o && false", tmp_path)
    for _ in range(2):
        with pytest.raises(subprocess.CalledProcessError):
            _compile(tmp_path / "a", command, "int a;")
    [place] = tmp_path.glob("compiled-*")
    assert not list(place.iterdir())


def test_nothing_is_taken_over_from_another_compiler_or_boot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _compile(tmp_path / "a", compiled_vcls.keeping(COMPILER, tmp_path), "int a;")
    _compile(tmp_path / "a", compiled_vcls.keeping(f"true; {COMPILER}", tmp_path), "int a;")
    assert (tmp_path / "a/runs").exists()
    assert len(list(tmp_path.glob("compiled-*"))) == 1
    (tmp_path / "boot").write_text("another")
    monkeypatch.setattr(compiled_vcls, "_BOOT_ID", tmp_path / "boot")
    _compile(tmp_path / "a", compiled_vcls.keeping(f"true; {COMPILER}", tmp_path), "int a;")
    assert (tmp_path / "a/runs").exists()


def test_what_no_vcl_uses_any_more_is_removed(tmp_path: Path) -> None:
    command = compiled_vcls.keeping(COMPILER, tmp_path)
    for name in ("a", "b"):
        _compile(tmp_path / name, command, f"int {name};")
    (tmp_path / "b/vgc.so").unlink()
    compiled_vcls.prune(tmp_path)
    [kept] = next(tmp_path.glob("compiled-*")).iterdir()
    assert kept.read_text() == "int a;"


def test_only_the_user_who_compiles_may_put_something_there(tmp_path: Path) -> None:
    compiled_vcls.keeping(COMPILER, tmp_path)
    [place] = tmp_path.glob("compiled-*")
    assert place.stat().st_mode & 0o777 == 0o700
    assert (place.owner() == "varnish") == (os.geteuid() == 0)


def test_a_path_that_varnishd_would_misread_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "100%s").mkdir()
    assert compiled_vcls.keeping(COMPILER, tmp_path / "100%s") == COMPILER
