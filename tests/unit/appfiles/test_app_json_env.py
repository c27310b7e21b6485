"""`env` of app.json: what it gives an app, what it leaves alone, and what a push without it has to say."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gitship.appfiles import app_json, app_json_env
from gitship.errors import ConfigError, DeployError


def given(env: Any, config: dict[str, str] | None = None, known: tuple[str, ...] = ()) -> dict[str, str]:
    wanted = app_json.parse(json.dumps({"env": env}).encode()).env
    return app_json_env.given(wanted, config or {}, known, "shop")


def test_a_value_is_given_where_there_is_none() -> None:
    assert given({"A": "1", "B": {"value": "2"}, "C": {"description": "x", "value": 5}}, {"B": "own"}) == {
        "A": "1",
        "C": "5",
    }


def test_sync_puts_it_back_at_every_push() -> None:
    assert given({"A": {"value": "1", "sync": True}}, {"A": "2"}) == {"A": "1"}
    assert given({"A": {"value": "1", "sync": True}}, {"A": "1"}) == {}


def test_a_generated_secret_is_made_once() -> None:
    first = given({"KEY": {"generator": "secret"}})["KEY"]
    assert len(first) == 64 and int(first, 16)
    assert first != given({"KEY": {"generator": "secret"}})["KEY"]
    assert given({"KEY": {"generator": "secret"}}, {"KEY": first}) == {}
    assert given({"KEY": {"generator": "secret", "sync": True}}, {"KEY": first}) == {}


def test_what_is_required_and_not_there_is_named_with_what_it_is() -> None:
    env = {
        "DATABASE_URL": {"description": "the database's address", "required": True}, "MAIL": {"required": False},
        "TOKEN": {}, "HERE": {"required": True},
    }  # fmt: skip
    with pytest.raises(DeployError) as caught:
        given(env, {"HERE": ""})
    assert caught.value.message == "app.json requires DATABASE_URL and TOKEN, which are not set"
    assert caught.value.hint.splitlines() == [
        "config:set shop DATABASE_URL=... TOKEN=...  then push again",
        "  DATABASE_URL: the database's address",
    ]


def test_what_is_not_required_may_be_unset_for_good() -> None:
    env = {"A": {"value": "1", "required": False}, "B": "2"}
    assert given(env) == {"A": "1", "B": "2"}
    assert given(env, known=("A", "B")) == {"B": "2"}


@pytest.mark.parametrize(
    ("env", "where"),
    [
        ({"1A": "x"}, "app.json: env.1A "),
        ({"A": ["x"]}, "app.json: env.A "),
        ({"A": {"generator": "echo 5"}}, "app.json: env.A.generator "),
        ({"A": {"required": "yes"}}, "app.json: env.A.required "),
        ({"A": {"value": {}}}, "app.json: env.A.value "),
    ],
)
def test_what_cannot_be_read_is_named(env: Any, where: str) -> None:
    with pytest.raises(ConfigError) as caught:
        given(env)
    assert caught.value.message.startswith(where)


def test_what_is_not_honoured_is_listed() -> None:
    data = {
        "name": "shop", "description": "x", "keywords": ["a"], "website": "x", "repository": "x", "logo": "x",
        "success_url": "/", "$schema": "x", "env": {"A": "1"}, "cron": [],
        "addons": ["heroku-postgresql"], "buildpacks": [], "stack": "heroku-24", "image": "x",
        "environments": {"test": {}},
        "formation": {"web": {"quantity": 1, "size": "standard-1x", "max_parallel": 2}},
        "scripts": {"test": "x", "pr-predestroy": "x", "postdeploy": "seed", "dokku": {"predeploy": "a", "what": "b"}},
        "healthchecks": {"web": [{"path": "/", "warn": True}, {"path": "/", "onFailure": {}}, {"type": "liveness"}]},
    }  # fmt: skip
    assert app_json.parse(json.dumps(data).encode()).ignored == (
        "addons", "buildpacks", "stack", "image", "environments", "formation.web.size", "formation.web.max_parallel",
        "scripts.test", "scripts.pr-predestroy", "scripts.dokku.what", "healthchecks.web[0].warn",
        "healthchecks.web[1].onFailure", "healthchecks.web[2].type",
    )  # fmt: skip
    assert app_json.parse(b'{"name": "shop", "formation": {"web": {"quantity": 1}}}').ignored == ()
