"""`config:set` makes a release and redeploys it without a build."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e import apps
from tests.e2e.harness import Server
from tests.e2e.load import load

pytestmark = pytest.mark.e2e


def test_config_set_reaches_the_app_without_a_build(server: Server, tiny_app: Callable[..., Path]) -> None:
    server.push_ok(tiny_app("conf"), "conf")
    with load(server.http_port, "conf.localhost", ["v1"], workers=4) as visitors:
        done = server.ssh("config:set", "conf", "GREETING=hello", "OTHER=1")
        assert done.returncode == 0, done.stderr
        assert server.get("conf", "/env?GREETING").body == "hello"
        report = visitors.end()
    assert report.failed == 0, report
    assert "Building" not in done.stdout + done.stderr
    assert server.database("SELECT count(DISTINCT image_id), count(*) FROM releases") == [(1, 2)]

    assert server.ssh("config:unset", "conf", "GREETING").returncode == 0
    assert server.get("conf", "/env?GREETING").body == ""
    assert server.get("conf", "/env?OTHER").body == "1"


@pytest.mark.parametrize(
    "value", ["two words", 'it\'s $HOME `id` "quoted" \\ back', "a=b=c&d;e|f", "Grüße, мир", "x" * 3000], ids=repr
)
def test_config_values_survive_unchanged(server: Server, tiny_app: Callable[..., Path], value: str) -> None:
    if not server.database("SELECT 1 FROM apps WHERE name = 'values'"):
        server.push_ok(tiny_app("values"), "values")
    done = server.ssh("config:set", "values", shlex.quote(f"VALUE={value}"))
    assert done.returncode == 0, done.stderr
    assert server.get("values", "/env?VALUE").body == value
    shown = json.loads(server.ssh("config:show", "values", "--reveal", "--format", "json").stdout)
    assert shown == [{"name": "VALUE", "value": value}]


def test_config_before_the_first_push_is_used_by_it(server: Server, tiny_app: Callable[..., Path]) -> None:
    assert server.ssh("apps:create", "early").returncode == 0
    assert server.ssh("config:set", "early", "COLOUR=blue").returncode == 0
    server.push_ok(tiny_app("early"), "early")
    assert server.get("early", "/env?COLOUR").body == "blue"


def test_config_that_breaks_the_app_is_taken_back(server: Server, tiny_app: Callable[..., Path]) -> None:
    repository = tiny_app("fragile")
    server.push_ok(repository, "fragile")
    done = server.ssh("config:set", "fragile", "CRASH=4")
    assert done.returncode == 1
    assert "4" in done.stdout + done.stderr
    assert server.get("fragile").body == "v1\n"
    apps.commit(repository, "Two", {"Dockerfile": apps.tiny_dockerfile("v2")})
    server.push_ok(repository, "fragile")  # the bad value must not wait for the next push
    assert server.get("fragile").body == "v2\n"


def test_values_are_hidden_unless_asked_for(server: Server, tiny_app: Callable[..., Path]) -> None:
    server.push_ok(tiny_app("secrets"), "secrets")
    said = server.ssh("config:set", "secrets", "TOKEN=s3cr3t-value")
    assert "s3cr3t-value" not in said.stdout + said.stderr
    assert "s3cr3t-value" not in server.ssh("config:show", "secrets").stdout
    assert "s3cr3t-value" in server.ssh("config:show", "secrets", "--reveal").stdout
    assert "s3cr3t-value" not in server.logs


@pytest.mark.parametrize("word", ["1ABC=x", "A-B=x", "NOVALUE", "=x"])
def test_bad_config_name_is_refused(server: Server, tiny_app: Callable[..., Path], word: str) -> None:
    if not server.database("SELECT 1 FROM apps WHERE name = 'wrong'"):
        server.push_ok(tiny_app("wrong"), "wrong")
    before = server.database("SELECT count(*) FROM releases")
    done = server.ssh("config:set", "wrong", word)
    assert done.returncode != 0 and done.stderr.strip()
    assert server.database("SELECT count(*) FROM releases") == before
