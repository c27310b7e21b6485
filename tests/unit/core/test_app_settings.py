"""An app's settings: as they have always been stored, and what a damaged one costs."""

from __future__ import annotations

import ast
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import gitship
from gitship import appsettings as declared
from gitship.appsettings import FAMILIES, SETTINGS, AppLock, HttpsWish, MountSource, ReleaseBefore, Skip
from gitship.config import Settings
from gitship.deploy.rename import AppRename
from gitship.errors import DamagedSetting
from gitship.front.gate import HttpsRedirect, Login, Maintenance, Redirect
from gitship.front.visitor_limits import Rate
from gitship.model import App, CronEntry, Overlap
from gitship.routing.gate_settings import gate_of
from gitship.routing.switch import hosts
from gitship.store import Store
from gitship.store.settings import Setting

pytestmark = pytest.mark.unit
CRON = (
    '{"name": "tick", "schedule": "@daily", "command": ["./tick"], "source": "command", "timezone": "",'
    ' "overlap": "skip", "timeout_s": 60, "suspended": false}'
)
STORED: list[tuple[Setting[Any], str, Any]] = [
    (declared.STOPPED, "true", True),
    (declared.LOCK, '{"by": "ada", "message": "", "at": 1.5}', AppLock("ada", "", 1.5)),
    (declared.RENAMING, '"new"', "new"),
    (declared.DESTROYING, "1.5", 1.5),
    (declared.BEFORE, '{"key": "1/a", "since": 7}', ReleaseBefore("1/a", 7)),
    (declared.BAD("3"), '"it exited 1"', "it exited 1"),
    (declared.PENDING, "1.5", 1.5),
    (declared.SKIP_CHECKS, '"always"', Skip.ALWAYS),
    (declared.GIVEN, '["A", "B"]', ("A", "B")),
    (declared.BUILT_CONTEXT, '"api"', "api"),
    (declared.PORT, "3000", 3000),
    (declared.CHECK("web"), '{"path": "/x", "timeout_s": 2}', {"path": "/x", "timeout_s": 2}),
    (declared.LIMIT("web.memory_bytes"), "1024", 1024),
    (declared.LIMIT("*.cpus"), "2", 2),
    (declared.LIMIT("run.read_only"), "true", True),
    (declared.CAPABILITY("NET_RAW"), "true", True),
    (
        declared.MOUNT("/data"),
        '{"source": "data", "read_only": false, "processes": ["web"]}',
        MountSource("data", False, ("web",)),
    ),
    (
        declared.MOUNT("/a"),
        '{"source": "/srv", "read_only": true, "processes": null}',
        MountSource("/srv", True, None),
    ),
    (declared.VOLUME("data"), '"v1"', "v1"),
    (declared.DISCARDED("v0"), "1", 1),
    (declared.CRON("tick"), CRON, CronEntry("tick", "@daily", ("./tick",), "command", "", Overlap.SKIP, 60)),
    (declared.CRON_SUSPENDED("tick"), "false", False),
    *((one, '"x"', "x") for one in SETTINGS if one.for_builds),
    (declared.ARGUMENT("A"), '"1"', "1"),
    (declared.ARGUMENT_FROM_CONFIG("A"), "true", True),
    (declared.SECRET("npmrc"), '"TOKEN"', "TOKEN"),
    (declared.ALLOW, '["10.0.0.0/8"]', ("10.0.0.0/8",)),
    (declared.RATE, '{"requests": 5, "per_s": 60, "by": "ip"}', Rate(5, 60)),
    (declared.BODY, "0", 0),
    (declared.VCL, '"sub x {}"', "sub x {}"),
    (declared.AUTH, '[{"user": "a", "credentials": "YTpi"}]', (Login("a", "YTpi"),)),
    (declared.MAINTENANCE, '{"page": null, "allow": ["10.0.0.0/8"]}', Maintenance(None, ("10.0.0.0/8",))),
    (declared.REDIRECTS, '[{"source": "/a", "target": "/b", "code": 301}]', (Redirect("/a", "/b", 301),)),
    (declared.HTTPS, '{"on": true, "hsts_s": 60}', HttpsWish(True, 60)),
    (declared.HTTPS_GATE, '{"hosts": ["a.example.com"], "port": 443, "hsts_s": 0}', HttpsRedirect(("a.example.com",))),
    (declared.ERROR_PAGE, '"<p>"', "<p>"),
    (declared.CACHE("ttl_s"), "60", 60),
    (declared.CACHE("warm"), '["/"]', ("/",)),
]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "gitship.db")
    yield made
    made.close()


@pytest.fixture
def apps(store: Store) -> tuple[App, App]:
    return store.create_app("bad"), store.create_app("good")


def write(store: Store, app: App, name: str, text: str) -> None:
    with store.transaction() as db:
        db.execute("INSERT OR REPLACE INTO settings VALUES (?, ?, ?)", (app.id, name, text))


@pytest.mark.parametrize(("setting", "text", "value"), STORED)
def test_the_database_of_an_earlier_version_is_read_and_written_as_it_is(
    store: Store, apps: tuple[App, App], setting: Setting[Any], text: str, value: Any
) -> None:
    write(store, apps[0], setting.name, text)
    assert store.setting(apps[0].id, setting) == value
    store.set_setting(apps[1].id, setting, value)
    assert json.loads(store.app_settings(apps[1].id).values[setting.name]) == json.loads(text)
    store.set_setting(apps[1].id, setting, None)
    assert store.app_settings(apps[1].id).values == {}


def test_every_declaration_stands_in_that_table() -> None:
    names = {setting.name for setting, _, _ in STORED}
    assert {one.name for one in SETTINGS} - names == set()
    assert [family.name for family in FAMILIES if not family.keys(names)] == []
    assert {one.name for one in declared.declared(names)} == names


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        (declared.STOPPED, "1"), (declared.PORT, "true"), (declared.PORT, '"80"'), (declared.PORT, "{"),
        (declared.LOCK, '{"by": "ada"}'), (declared.LOCK, "7"), (declared.ALLOW, '"10.0.0.0/8"'),
        (declared.ALLOW, "[1]"), (declared.RATE, '{"requests": 0, "per_s": 1, "by": "ip"}'),
        (declared.SKIP_CHECKS, '"often"'), (declared.CHECK("web"), '{"uptime_s": 1}'),
        (declared.LIMIT("web.memory_bytes"), "1.5"), (declared.CACHE("sticky"), '"on"'), (declared.RENAMING, "null"),
        (declared.CRON("tick"), CRON.replace("skip", "never")), (declared.PORT, "[" * 200_000),
    ],
)  # fmt: skip
def test_a_damaged_value_is_an_error_that_names_app_and_setting(
    store: Store, apps: tuple[App, App], setting: Setting[Any], text: str
) -> None:
    write(store, apps[0], setting.name, text)
    write(store, apps[0], "vcl", '"x"')
    with pytest.raises(DamagedSetting) as caught:
        store.setting(apps[0].id, setting)
    assert setting.name in caught.value.message and f"app {apps[0].id} " in caught.value.message
    assert store.app_settings(apps[0].id).get(declared.VCL) == "x"


def test_a_damaged_value_costs_no_other_app(
    store: Store, apps: tuple[App, App], caplog: pytest.LogCaptureFixture
) -> None:
    bad, good = apps
    write(store, bad, "renaming", "{")
    write(store, bad, "allow", "7")
    write(store, good, "renaming", '"better"')
    with caplog.at_level(logging.WARNING):
        assert {"bad.a.test", "good.a.test", "better.a.test"} <= hosts(store, "a.test").keys()
    assert f"the setting renaming of app {bad.id} is damaged" in caplog.text
    AppRename(Settings(domain="a.test"), store, None, None).ensure_free("free")  # type: ignore[arg-type]
    assert gate_of(store, good.id).open
    with pytest.raises(DamagedSetting):
        gate_of(store, bad.id)
    store.set_setting(bad.id, declared.ALLOW, ("10.0.0.0/8",))
    assert gate_of(store, bad.id).allow == ("10.0.0.0/8",)


def test_settings_are_declared_in_one_place_and_used_by_no_other_name() -> None:
    calls = {"setting", "set_setting", "setting_of_all", "apps_with_setting"}
    found = []
    for path in Path(gitship.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            by_name = isinstance(node.func, ast.Attribute) and node.func.attr in calls
            literal = any(isinstance(a, ast.JoinedStr) or isinstance(getattr(a, "value", None), str) for a in node.args)
            makes = isinstance(node.func, ast.Name) and node.func.id in ("Setting", "Family")
            if (by_name and literal) or (makes and path.name != "appsettings.py" and path.parent.name != "store"):
                found.append(f"{path.name}:{node.lineno}")
    assert found == []
