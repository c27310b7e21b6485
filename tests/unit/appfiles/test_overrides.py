from __future__ import annotations

import pytest

from gitship.appfiles import overrides
from gitship.appfiles.gitship_toml import BuildTable, ProcessLimits
from gitship.appfiles.manifest import Manifest, read
from gitship.appfiles.overrides import Overrides, building, describe, running
from gitship.errors import ConfigError
from gitship.model import Check
from gitship.store.settings import AppSettings, Changes

MANIFEST = Manifest(
    processes={"web": ("a",), "worker": ("b",)},
    checks={"web": (Check(path="/file"),), "worker": (Check(path="/file"),)},
    check_sources={"web": "gitship.toml", "worker": "app.json"},
    limits={"worker": ProcessLimits(pids=90, stop_timeout_s=5)},
    port=8000,
)


def parse(changes: Changes) -> Overrides:
    return overrides.parse(AppSettings(1, {}).changed(changes))


def test_nothing_set_changes_nothing() -> None:
    assert parse({"lock": {"by": "ada"}, "run.port": None}) == Overrides()
    assert running(MANIFEST, Overrides()) == building(MANIFEST, Overrides(), {}) == MANIFEST


def test_what_is_set_comes_before_the_files_value_by_value() -> None:
    made = running(
        MANIFEST,
        parse(
            {
                "run.port": 3000,
                "check.web": {"path": "/set", "timeout_s": 2},
                "limit.*.memory_bytes": 64 << 20,
                "limit.*.cpus": 0.5,
                "limit.web.cpus": 1.5,
            }
        ),
    )
    assert made.port == 3000
    assert made.checks == {"web": (Check(path="/set", timeout_s=2),), "worker": (Check(path="/file"),)}
    assert made.check_sources == {"web": "checks:set", "worker": "app.json"}
    assert made.limits == {
        "web": ProcessLimits(memory_bytes=64 << 20, cpus=1.5),
        "worker": ProcessLimits(memory_bytes=64 << 20, cpus=0.5, pids=90, stop_timeout_s=5),
    }


def test_settings_of_a_process_that_the_commit_does_not_have_wait() -> None:
    gone = {"check.cron": {"path": "/"}, "limit.cron.pids": 5}
    assert running(MANIFEST, parse(gone)) == MANIFEST
    only_web = running(Manifest(), parse({"limit.web.pids": 5, "limit.worker.pids": 6}))
    assert only_web.limits == {"web": ProcessLimits(pids=5)}


def test_build_settings() -> None:
    manifest = Manifest(build=BuildTable(dockerfile="D", target="old", args={"A": "1", "B": "1"}))
    own = parse({"build.target": "new", "build.arg.B": "2", "build.arg-from-config.C": True})
    made = building(manifest, own, {"C": "3", "D": "4"})
    assert made.build == BuildTable(dockerfile="D", target="new", args={"A": "1", "B": "2", "C": "3"})
    with pytest.raises(ConfigError, match="config, which does not have C"):
        building(manifest, own, {})


def test_build_secrets_are_variables_by_name_and_their_values_are_shown_nowhere() -> None:
    manifest = Manifest(build=BuildTable(secrets={"npmrc": "NPM_TOKEN"}))
    own = parse({"build.secret.key": "DEPLOY_KEY", "build.platform": "linux/386"})
    made = building(manifest, own, {"NPM_TOKEN": "swordfish", "DEPLOY_KEY": "k"})
    assert made.build.secrets == {"npmrc": "NPM_TOKEN", "key": "DEPLOY_KEY"} and made.build.platform == "linux/386"
    assert made.build.values == {"npmrc": "swordfish", "key": "k"} and "swordfish" not in repr(made)
    with pytest.raises(ConfigError, match="the build secret key comes from config, which does not have DEPLOY_KEY"):
        building(manifest, own, {"NPM_TOKEN": "swordfish"})


def test_a_context_that_is_set_is_where_the_procfile_is_looked_for() -> None:
    files = {"gitship.toml": b"build.context = 'api'", "api/Procfile": b"web: api", "new/Procfile": b"web: new"}
    assert read(files.get, "new").processes == {"web": ("new",)}
    assert read(files.get, "").processes == {}
    assert read(files.get).processes == {"web": ("api",)}


def test_settings_are_called_as_people_call_them() -> None:
    names = ["run.port", "check.web", "limit.*.memory_bytes", "limit.a.pids",
             "build.arg.A", "build.arg-from-config.A", "build.target"]  # fmt: skip
    assert describe(dict.fromkeys(names, True)) == (
        "build argument A, target, checks of web, memory of every process, pids of a, port"
    )


def test_what_is_unset_is_told_from_what_is_set() -> None:
    changes = {"mount./data": None, "run.port": 80, "limit.web.pids": None}
    assert describe(changes) == "no pids of web, no mount /data, port"
