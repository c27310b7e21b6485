"""app.json as Dokku documents it: fields, defaults, what counts at a deploy, and errors that name the field."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitship.appfiles import app_json
from gitship.appfiles.app_json import AppJson
from gitship.errors import ConfigError
from gitship.model import CRON_NAME, Check, CronEntry, Overlap
from tests.examples import examples


def parse(data: Any) -> AppJson:
    return app_json.parse(json.dumps(data).encode())


def check(**fields: Any) -> Check:
    """The check that is made of one healthcheck of `web`."""
    (made,) = parse({"healthchecks": {"web": [{"type": "startup", **fields}]}}).checks["web"]
    return made


def test_an_http_check_has_dokkus_defaults() -> None:
    assert check(path="/health") == Check(kind="http", path="/health", timeout_s=5, deadline_s=3 * (5 + 5))


def test_every_field_of_an_http_check_counts() -> None:
    assert check(
        name="web check", path="/health/ready?full=1", port=8080, scheme="HTTPS", content="fine", attempts=4, wait=2,
        timeout=7, initialDelay=10, description="ours",
        httpHeaders=[{"name": "X-Forwarded-Proto", "value": "https"}, {"name": "Host", "value": "shop.example.com"}],
    ) == Check(
        kind="http", name="web check", path="/health/ready?full=1", port=8080, scheme="https", content="fine",
        headers={"X-Forwarded-Proto": "https", "Host": "shop.example.com"},
        initial_delay_s=10, timeout_s=7, deadline_s=10 + 4 * (2 + 7),
    )  # fmt: skip


def test_the_other_kinds_of_check() -> None:
    assert check(listening=True, port=6379) == Check(kind="listening", port=6379, deadline_s=30)
    assert check(command=["./ready", "--now"]) == Check(kind="command", command=("./ready", "--now"), deadline_s=30)
    assert check(uptime=10) == Check(kind="uptime", uptime_s=10, deadline_s=30)
    assert check(uptime=60, initialDelay=5).deadline_s == 70
    assert check(name="up") == Check(kind="uptime", name="up", uptime_s=app_json.UPTIME_S, deadline_s=30)


@pytest.mark.parametrize("value", [0, -1])
def test_numbers_below_one_mean_the_default(value: int) -> None:
    assert check(path="/", attempts=value, wait=value, timeout=value, initialDelay=value, uptime=value) == check(
        path="/"
    )


def test_null_false_and_empty_mean_not_there() -> None:
    assert check(
        path="/",
        command=[],
        listening=False,
        uptime=None,
        port=0,
        content="",
        httpHeaders=[],
        scheme="",
        onFailure=None,
    ) == check(path="/")


def test_only_startup_checks_run_at_a_deploy() -> None:
    checks = [
        {"type": "liveness", "path": "/live"},
        {"type": "readiness", "path": "/ready"},
        {"type": "startup", "path": "/start"},
        {"path": "/untyped"},
        {"type": "startup", "path": "/soft", "warn": True},
    ]
    found = parse({"healthchecks": {"web": checks, "worker": checks[:2]}}).checks
    assert [c.path for c in found["web"]] == ["/start", "/untyped"]
    assert "worker" not in found  # so that it gets the default checks


def test_on_failure_is_never_taken_over() -> None:
    made = check(path="/", onFailure={"command": ["touch", "/tmp/x"], "url": "http://192.0.2.1/"})
    assert made == check(path="/")


def test_formation_gives_quantities() -> None:
    data = {
        "formation": {
            "web": {"quantity": 2, "max_parallel": 1},
            "worker": {"size": "standard-1x"},
            "x": {"quantity": 0},
        }
    }
    assert parse(data).formation == {"web": 2, "x": 0}


def test_dokkus_deploy_scripts_are_commands() -> None:
    found = parse({"scripts": {"postdeploy": "once", "dokku": {"predeploy": "a | b", "postdeploy": "curl x"}}})
    assert found.predeploy == ("/bin/sh", "-c", "a | b")
    assert found.postdeploy == ("curl", "x")
    assert found.first_postdeploy == ("once",)
    assert parse({"scripts": {"dokku": {"predeploy": " "}, "test": {"any": 1}}}).predeploy is None


def test_dokkus_cron_entries_are_called_by_their_command() -> None:
    cron = [
        {"command": "npm run send-email", "schedule": "@daily"},
        {"command": "npm run send-email", "schedule": "0 12 * * *", "concurrency_policy": "Replace"},
        {"command": "a | b", "schedule": "0 1 * * *", "concurrency_policy": "allow", "maintenance": True},
        {"command": "--", "schedule": "0 1 * * *", "concurrency_policy": "forbid", "task": "unknown"},
        {"command": "x" * 80 + " y", "schedule": "@hourly", "maintenance": False},
    ]
    found = {entry.name: entry for entry in parse({"cron": cron}).cron}
    assert list(found) == ["npm-run-send-email", "npm-run-send-email-2", "a-b", "entry", "x" * 40]
    assert found["npm-run-send-email"] == CronEntry(
        "npm-run-send-email", "@daily", ("npm", "run", "send-email"), "app.json"
    )
    assert [(e.overlap, e.suspended) for e in found.values()] == [
        (Overlap.SKIP, False), (Overlap.REPLACE, False), (Overlap.ALLOW, True), (Overlap.SKIP, False),
        (Overlap.SKIP, False),
    ]  # fmt: skip
    assert all(CRON_NAME.fullmatch(name) for name in found)


def test_what_others_put_into_the_file_is_passed_over() -> None:
    heroku = {
        "name": "Small Sharp Tool", "keywords": ["a"], "image": "heroku/ruby",
        "addons": ["openredis"], "buildpacks": [{"url": "x"}], "environments": {"test": {"scripts": {"test": "t"}}},
        "stack": "heroku-24", "success_url": None,
    }  # fmt: skip
    assert parse(heroku) == AppJson(ignored=("image", "addons", "buildpacks", "environments", "stack"))
    assert app_json.parse(b"\xef\xbb\xbf{}\r\n") == AppJson()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "app.json must be an object"),
        ({"cron": {}}, "app.json: cron must be a list"),
        ({"cron": [{"command": "x"}]}, 'app.json: cron[0] must have a "schedule"'),
        ({"cron": [{"schedule": "@daily"}]}, 'app.json: cron[0] must have a "command"'),
        ({"cron": [{"command": "", "schedule": "@daily"}]}, "app.json: cron[0].command is empty"),
        ({"cron": [{"command": "x", "schedule": "0 0 * * 8"}]},
         "app.json: cron[0].schedule has an invalid day-of-week '8': 0 to 7 or sun to sat, with `,` `-` `/` and `*`"),
        ({"cron": [{"command": "x", "schedule": "@daily", "concurrency_policy": "often"}]},
         'app.json: cron[0].concurrency_policy must be one of "allow", "forbid", "replace"'),
        ({"healthchecks": []}, "app.json: healthchecks must be an object"),
        ({"healthchecks": {"web": {}}}, "app.json: healthchecks.web must be a list"),
        ({"healthchecks": {"web": [1]}}, "app.json: healthchecks.web[0] must be an object"),
        ({"healthchecks": {"web": [{"path": "/"}, {"attempts": "3"}]}},
         "app.json: healthchecks.web[1].attempts must be a whole number"),
        ({"healthchecks": {"web": [{"attempts": True}]}},
         "app.json: healthchecks.web[0].attempts must be a whole number"),
        ({"healthchecks": {"web": [{"wait": 1.5}]}}, "app.json: healthchecks.web[0].wait must be a whole number"),
        ({"healthchecks": {"web": [{"timeout": 10**9}]}},
         "app.json: healthchecks.web[0].timeout must be a whole number from -86400 to 86400"),
        ({"healthchecks": {"web": [{"path": 1}]}}, "app.json: healthchecks.web[0].path must be a string"),
        ({"healthchecks": {"web": [{"path": "health"}]}},
         "app.json: healthchecks.web[0].path must be a path that begins with '/', without spaces"),
        ({"healthchecks": {"web": [{"path": "/ HTTP/1.1\r\nHost: x"}]}},
         "app.json: healthchecks.web[0].path must be a path that begins with '/', without spaces"),
        ({"healthchecks": {"web": [{"port": 70000}]}},
         "app.json: healthchecks.web[0].port must be a whole number from 0 to 65535"),
        ({"healthchecks": {"web": [{"scheme": "ftp"}]}},
         'app.json: healthchecks.web[0].scheme must be one of "http", "https"'),
        ({"healthchecks": {"web": [{"type": "start"}]}},
         'app.json: healthchecks.web[0].type must be one of "startup", "readiness", "liveness"'),
        ({"healthchecks": {"web": [{"listening": "yes"}]}},
         "app.json: healthchecks.web[0].listening must be true or false"),
        ({"healthchecks": {"web": [{"command": "ready"}]}}, "app.json: healthchecks.web[0].command must be a list"),
        ({"healthchecks": {"web": [{"command": ["a", 1]}]}},
         "app.json: healthchecks.web[0].command[1] must be a string"),
        ({"healthchecks": {"web": [{"path": "/", "uptime": 3}]}},
         "app.json: healthchecks.web[0] must be one check, not path and uptime at once"),
        ({"healthchecks": {"web": [{"httpHeaders": [{"name": "a\r\nb"}]}]}}, None),
        ({"healthchecks": {"web": [{"path": "/", "httpHeaders": [{"name": "a b"}]}]}},
         "app.json: healthchecks.web[0].httpHeaders[0].name must be the name of an HTTP header"),
        ({"healthchecks": {"web": [{"path": "/", "httpHeaders": [{"name": "a", "value": "b\r\nc: d"}]}]}},
         "app.json: healthchecks.web[0].httpHeaders[0].value must be one line of plain characters"),
        ({"healthchecks": {"web": [{"path": "/", "httpHeaders": [{"value": "b"}]}]}},
         'app.json: healthchecks.web[0].httpHeaders[0] must have a "name"'),
        ({"healthchecks": {"web": [{"name": "a\nb"}]}},
         "app.json: healthchecks.web[0].name must be one line of printable text"),
        ({"formation": {"web": 2}}, "app.json: formation.web must be an object"),
        ({"formation": {"web": {"quantity": "2"}}}, "app.json: formation.web.quantity must be a whole number"),
        ({"formation": {"web": {"quantity": -1}}},
         "app.json: formation.web.quantity must be a whole number from 0 to 1000"),
        ({"scripts": {"dokku": "x"}}, "app.json: scripts.dokku must be an object"),
        ({"scripts": {"dokku": {"predeploy": ["x"]}}}, "app.json: scripts.dokku.predeploy must be a string"),
        ({"scripts": {"dokku": {"predeploy": "it's"}}},
         "app.json: scripts.dokku.predeploy cannot be read: no closing quotation"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_path(data: Any, message: str | None) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(data)
    assert caught.value.hint
    assert message is None or caught.value.message == message


@pytest.mark.parametrize("text", [b"", b"{", b"{,}", b"\xff{}", b"[" * 100_000, b"9" * 5000, b"null", b"NaN"])
def test_what_is_not_json_is_said_to_be_so(text: bytes) -> None:
    with pytest.raises(ConfigError, match=r"^app\.json"):
        app_json.parse(text)


FIELDS = ["healthchecks", "formation", "scripts", "dokku", "web", "quantity", "path", "command", "uptime", "port",
 "type",
          "httpHeaders", "name", "value", "attempts", "predeploy", "listening", "scheme", "content"]  # fmt: skip
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["/", "startup", "a b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
    max_leaves=12,
)
CHECKS = st.fixed_dictionaries(
    {
        "healthchecks": st.fixed_dictionaries(
            {"web": st.lists(st.dictionaries(st.sampled_from(FIELDS), ANYTHING), max_size=2)}
        )
    }
)


@given(ANYTHING | CHECKS)
@examples(60)
def test_no_content_makes_the_parser_fail_otherwise(data: Any) -> None:
    try:
        parse(data)
    except ConfigError as error:
        assert error.hint
        assert error.message.isprintable()


@given(st.binary(max_size=40) | st.text('{}[]":,0truenullé\\ud8', max_size=30).map(str.encode))
@examples(60)
def test_no_text_makes_the_parser_fail_otherwise(text: bytes) -> None:
    try:
        app_json.parse(text)
    except ConfigError as error:
        assert error.hint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 60_000, "is not valid JSON"),
        ('{"formation": {"web": {"quantity": ' + "9" * 60_000 + "}}}", "is not valid JSON"),
        ('{"formation": {"web": {"quantity": 1e999}}}', "must be a whole number"),
        (" " * (65 << 10), "has more than 64 KB"),
    ],
)
def test_a_file_that_is_made_to_take_long_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        app_json.parse(text.encode())
    assert message in caught.value.message and caught.value.hint


def test_1500_cron_entries_of_one_command_are_read() -> None:
    entries = ", ".join(['{"command": "a", "schedule": "@daily"}'] * 1500)
    assert app_json.parse(f'{{"cron": [{entries}]}}'.encode()).cron[-1].name == "a-1500"
