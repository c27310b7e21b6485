"""A wheel holds every file that gitship needs, and an installation of it finds them."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

import gitship

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
COPIED = ("gitship", "hooks", "varnish", "pyproject.toml", "README.md", "LICENSE")
NEXT = "98.7.6"  # the version of the wheel: a change of the one line that says it


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy, as the next version: setuptools leaves build/ and an egg-info directory where it works."""
    source = tmp_path_factory.mktemp("source")
    for name in COPIED:
        path = ROOT / name
        if path.is_dir():
            shutil.copytree(path, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, source / name)
    place = source / "gitship/__init__.py"
    place.write_text(place.read_text().replace(f'"{gitship.__version__}"', f'"{NEXT}"'))
    return source


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", str(source), "--no-deps", "--quiet", "--wheel-dir", str(out)]
    built = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert built.returncode == 0, built.stderr
    (path,) = out.glob("gitship-*.whl")
    return path


def files_of(directory: Path) -> set[Path]:
    """All but what tools leave: caches of Python and of linters."""
    files = {p.relative_to(directory) for p in directory.rglob("*") if p.is_file()}
    return {p for p in files if not any(part == "__pycache__" or part.startswith(".") for part in p.parts)}


def test_a_wheel_holds_every_file_of_the_package_and_of_hooks_and_varnish(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {Path(name) for name in archive.namelist()}
    expected = {Path("gitship") / p for p in files_of(ROOT / "gitship")}
    for directory in ("hooks", "varnish"):
        expected |= {Path("gitship") / directory / p for p in files_of(ROOT / directory)}
    assert expected - names == set()


def test_an_installed_wheel_finds_its_files(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    program = (
        "from gitship.assets import asset\n"
        "import gitship.web.server as web\n"
        "print(asset('hooks/post-receive'), asset('varnish'), web.HERE / 'templates' / 'base.html', sep='\\n')\n"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, timeout=60, check=True
    )
    for line in done.stdout.splitlines():
        path = Path(line)
        assert path.is_relative_to(tmp_path / "gitship")
        assert path.exists()


def test_the_package_the_wheel_and_the_installer_say_one_version(source: Path, wheel: Path) -> None:
    assert wheel.name.startswith(f"gitship-{NEXT}-")
    release = f'here={source}; . "$here/gitship/installing/release.sh"; release_id'
    done = subprocess.run(["bash", "-euc", release], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith(f"{NEXT}-")


def test_pip_installs_it_in_a_clean_environment_with_its_command(wheel: Path, tmp_path: Path) -> None:
    """Its dependencies are those of the tests; test_install.py fetches them by the lock."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True, timeout=60)
    python = tmp_path / "venv/bin/python"
    install = ["-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run([sys.executable, *install], check=True, timeout=120)
    command = str(tmp_path / "venv/bin/gitship")
    env = {"PYTHONPATH": sysconfig.get_paths()["purelib"], "PATH": "/usr/bin:/bin"}

    def run(*words: str) -> str:
        done = subprocess.run(
            words,
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert run(command, "--version") == f"gitship {NEXT}\n"
    where = run(str(python), "-c", "import gitship.daemon; print(gitship.__file__)")
    assert str(tmp_path) in where
    said = run(command, "init", "--config", str(tmp_path / "gitship.toml"), "--set", f"data_dir={tmp_path / 'data'}")
    assert "hostkey SHA256:" in said
    assert list((tmp_path / "venv").rglob("gitship/py.typed"))
