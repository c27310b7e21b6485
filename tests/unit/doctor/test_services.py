"""Docker, Varnish and haproxy that are old, missing, or set up badly: each is said with its fix."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from gitship.config import Settings, load
from gitship.doctor import Finding, Level, examine, services
from gitship.engine.docker import DockerEngine
from gitship.engine.types import EngineInfo

pytestmark = pytest.mark.clients

GOOD = EngineInfo("26.1.5+dfsg1", live_restore=True)
GB = 1 << 30


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "gitship.toml").write_text(f'data_dir = "{tmp_path}"\n')
    return load(tmp_path / "gitship.toml")


def of_docker(settings: Settings, patch: pytest.MonkeyPatch, about: EngineInfo, free: int = 50 * GB) -> list[Finding]:
    patch.setattr(DockerEngine, "about", lambda engine: about)
    patch.setattr(DockerEngine, "free_bytes", lambda engine: free)
    return list(services.docker(settings))


def test_a_good_docker(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {f.level for f in of_docker(settings, monkeypatch, GOOD)} == {Level.OK}


@pytest.mark.parametrize(
    ("about", "free", "level", "said", "fix"),
    [
        (replace(GOOD, version="19.03.8"), 50 * GB, Level.FAIL, "version 19.03.8 is too old", "20.10 or newer"),
        (replace(GOOD, live_restore=False), 50 * GB, Level.WARN, "live-restore is off", "/etc/docker/daemon.json"),
        (replace(GOOD, seccomp=False), 50 * GB, Level.WARN, "no seccomp", "CONFIG_SECCOMP"),
        (GOOD, 100 << 20, Level.FAIL, "100 MB free for images", "server:cleanup --build-cache"),
    ],
)
def test_a_docker_that_lacks_something(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, about: EngineInfo, free: int, level: Level, said: str, fix: str
) -> None:
    [bad] = [f for f in of_docker(settings, monkeypatch, about, free) if f.level is not Level.OK]
    assert bad.level is level
    assert said in bad.text
    assert fix in bad.fix


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where programs are looked for."""
    place = tmp_path / "bin"
    place.mkdir()
    monkeypatch.setenv("PATH", str(place))
    return place


def has(path: Path, name: str, said: str) -> None:
    (path / name).write_text(f"#!/bin/sh\necho '{said}'\n")
    (path / name).chmod(0o755)


def test_an_old_varnish(settings: Settings, path: Path) -> None:
    has(path, "varnishd", "varnishd (varnish-6.0.8 revision 97e54ada6ac578af332e52b44d2038bb4fa4cd4a)")
    [finding] = services.varnish(settings)
    assert (finding.level, finding.text) == (Level.FAIL, "version 6.0 is too old")


def test_a_varnish_that_compiles_nothing(settings: Settings, path: Path) -> None:
    has(path, "varnishd", "varnishd (varnish-7.1.1 revision 7cee1c581bead20e88d101ab3d72afb29f14d87a)")
    [finding] = [f for f in examine(settings.data_dir / "gitship.toml") if f.subject == "varnish"]
    assert finding.level is Level.FAIL
    assert "no working compiler for Varnish's configuration" in finding.text
    assert "tcc" in finding.fix


@pytest.mark.parametrize(
    ("said", "level", "text"),
    [
        ("HAProxy version 2.0.33 2024/01/01", Level.FAIL, "version 2.0 is too old"),
        ("HAProxy version 2.4.22 2023/02/14", Level.OK, "2.4, HTTPS is not running; `https:enable` starts it"),
        (
            "a test",
            Level.FAIL,
            "haproxy does not report its version: websockets are answered 503, and there is no HTTPS",
        ),
    ],
)
def test_haproxys_version(settings: Settings, path: Path, said: str, level: Level, text: str) -> None:
    has(path, "haproxy", said)
    [finding] = services.haproxy(settings)
    assert (finding.level, finding.text) == (level, text)


def test_without_haproxy_there_are_no_websockets(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)  # it is looked for beyond PATH, too
    [finding] = services.haproxy(settings)
    assert (finding.level, finding.fix) == (Level.FAIL, "apt-get install haproxy, then restart gitship")
    assert "haproxy is not installed: websockets are answered 503" in finding.text
