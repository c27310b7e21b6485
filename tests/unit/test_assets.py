"""The files of hooks/ and varnish/ are found, and pyproject.toml names all that a wheel must carry."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from gitship.assets import asset
from gitship.errors import GitshipError

ROOT = Path(__file__).parents[2]


def test_a_checkout_has_its_files_beside_the_package() -> None:
    assert asset("hooks/post-receive") == ROOT / "hooks" / "post-receive"
    assert asset("varnish").is_dir()


def test_an_installed_package_prefers_its_own_over_a_stray_directory_beside_it(tmp_path: Path) -> None:
    own, stray = tmp_path / "gitship" / "hooks", tmp_path / "hooks"
    for directory in (own, stray):
        directory.mkdir(parents=True)
        (directory / "post-receive").touch()
    assert asset("hooks/post-receive", tmp_path / "gitship") == own / "post-receive"


def test_a_missing_file_is_named() -> None:
    with pytest.raises(GitshipError, match="hooks/none") as caught:
        asset("hooks/none")
    assert caught.value.hint == "reinstall gitship"


def test_pyproject_names_every_package() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    packages = {".".join(p.parent.relative_to(ROOT).parts) for p in (ROOT / "gitship").rglob("__init__.py")}
    assert set(settings["packages"]) == packages | set(settings["package-dir"])
