"""gitship.toml: every key, every default, and errors that name the key and the nearest one."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitship.appfiles import gitship_toml
from gitship.appfiles.canary_rules import CanaryPlan
from gitship.appfiles.gitship_toml import BuildTable, DeclaredService, GitshipToml, ProcessLimits
from gitship.errors import ConfigError
from gitship.model import Check, CronEntry, Overlap
from tests.examples import examples

FULL = b"""\
port = 8080
entrypoint = true

[build]
dockerfile = "./docker/prod.Dockerfile"
context = "services/api/"
target = "runtime"
args = { NODE_ENV = "production", VERSION = "1" }
platform = "linux/arm64/v8"
network = "none"
secrets = { "npm.rc" = "NPM_TOKEN" }

[deploy]
drain_timeout = 60
socket_drain_timeout = 600
check_timeout = 12.5
canary = "5% for 90s"
watch = 60
watch_errors = 20

[cache]
ttl = "90s"
grace = 600
ignore_cookies = ["_ga*", "consent"]
strip_query = "utm_*, fbclid"
assets_for = "2h"
warm = ["/", "/feed?all=1"]
sticky = true

[processes.web]
memory = "256m"
cpus = 0.5
pids = 100
stop_timeout = 45
read_only = true

[[processes.web.checks]]
name = "ready"
path = "/healthz?deep=1"
port = 9000
scheme = "https"
headers = { Host = "shop.example.com" }
content = "fine"
initial_delay = 1
timeout = 2.5
deadline = 20

[[processes.web.checks]]
command = "./ready --now"

[processes.celery_beat]
checks = [{ uptime = 10 }, { listening = true, port = 7 }, { image = true }, { command = ["a b", "c"] }]

[processes.cron]
checks = []

[cron.nightly]
schedule = "30 2 * * mon-fri"
command = "./report | mail"
timezone = "Europe/Berlin"
overlap = "queue"
timeout = 600

[cron.sync]
schedule = "@hourly"
command = ["./sync", "a b"]

[services.db]
engine = "postgres:17"
alias = "MAIN"
memory = "256m"

[services.cache]
engine = "valkey"
"""


def test_every_key_is_read() -> None:
    assert gitship_toml.parse(FULL) == GitshipToml(
        entrypoint=True,
        port=8080,
        build=BuildTable(
            dockerfile="docker/prod.Dockerfile",
            context="services/api",
            target="runtime",
            args={"NODE_ENV": "production", "VERSION": "1"},
            platform="linux/arm64/v8",
            network="none",
            secrets={"npm.rc": "NPM_TOKEN"},
        ),
        drain_timeout_s=60,
        socket_drain_timeout_s=600,
        check_timeout_s=12.5,
        canary=CanaryPlan(5, 90),
        watch_s=60,
        watch_errors=20,
        limits={
            "web": ProcessLimits(memory_bytes=256 << 20, cpus=0.5, pids=100, stop_timeout_s=45, read_only=True),
            "celery_beat": ProcessLimits(),
            "cron": ProcessLimits(),
        },
        checks={
            "web": (
                Check(
                    kind="http",
                    name="ready",
                    path="/healthz?deep=1",
                    port=9000,
                    scheme="https",
                    headers={"Host": "shop.example.com"},
                    content="fine",
                    initial_delay_s=1,
                    timeout_s=2.5,
                    deadline_s=20,
                ),
                Check(kind="command", command=("./ready", "--now")),
            ),
            "celery_beat": (
                Check(kind="uptime", uptime_s=10),
                Check(kind="listening", port=7),
                Check(kind="image"),
                Check(kind="command", command=("a b", "c")),
            ),
            "cron": (),
        },
        cron=(
            CronEntry(
                "nightly",
                "30 2 * * mon-fri",
                ("/bin/sh", "-c", "./report | mail"),
                "gitship.toml",
                timezone="Europe/Berlin",
                overlap=Overlap.QUEUE,
                timeout_s=600,
            ),
            CronEntry("sync", "@hourly", ("./sync", "a b"), "gitship.toml"),
        ),
        cache={
            "ttl_s": 90,
            "grace_s": 600,
            "ignore_cookies": ["_ga*", "consent"],
            "strip_query": ["utm_*", "fbclid"],
            "assets_for_s": 7200,
            "warm": ["/", "/feed?all=1"],
            "sticky": True,
        },
        services=(DeclaredService("db", "postgres:17", "MAIN", 256 << 20), DeclaredService("cache", "valkey")),
    )


def test_the_example_above_has_every_key_of_the_reference() -> None:
    data = tomllib.loads(FULL.decode())
    assert {name for name, _, _ in gitship_toml.reference()} == keys(data)


def keys(data: dict[str, Any]) -> set[str]:
    """Every key of the example, written as the reference writes it."""
    found = {"port", "entrypoint"} | {f"{table}.{key}" for table in ("build", "deploy", "cache") for key in data[table]}
    for process in data["processes"].values():
        found |= {f"processes.<type>.{key}" for key in process}
        found |= {f"processes.<type>.checks[].{key}" for check in process["checks"] for key in check}
    named = {
        f"{table}.<name>.{key}" for table in ("cron", "services") for entry in data[table].values() for key in entry
    }
    return found | named


def test_the_reference_says_something_of_every_key() -> None:
    rows = gitship_toml.reference()
    assert len({name for name, _, _ in rows}) == len(rows)
    assert all(about for _, _, about in rows)
    defaults = {name: default for name, default, _ in rows}
    assert defaults["build.dockerfile"] == BuildTable().dockerfile
    assert defaults["processes.<type>.checks[].timeout"] == f"{Check().timeout_s:g}"
    assert defaults["processes.<type>.checks[].scheme"] == Check().scheme


def test_an_empty_file_changes_nothing() -> None:
    assert gitship_toml.parse(b"") == gitship_toml.parse(b"\xef\xbb\xbf# nothing\r\n[build]\r\n") == GitshipToml()


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("prot = 1", "unknown key 'prot'", "did you mean 'port'?"),
        ("[buidl]", "unknown key 'buidl'", "did you mean 'build'?"),
        ("[zzz]", "unknown key 'zzz'", "known: port, entrypoint, build, deploy, cache, processes, cron, services"),
        ("build.dockerfil = 'x'", "unknown key 'build.dockerfil'", "did you mean 'build.dockerfile'?"),
        ("[deploy]\ndrain_time = 1", "unknown key 'deploy.drain_time'", "did you mean 'deploy.drain_timeout'?"),
        ("[processes.web]\nmemroy = '1g'", "unknown key 'processes.web.memroy'",
         "did you mean 'processes.web.memory'?"),
        ("[[processes.web.checks]]\npaht = '/'", "unknown key 'processes.web.checks[0].paht'",
         "did you mean 'processes.web.checks[0].path'?"),
        ("port = 0", "port must be a whole number from 1 to 65535", "it is 0"),
        ("port = '80'", "port must be a whole number", 'it is "80"'),
        ("port = true", "port must be a whole number", "it is true"),
        ("build = 'x'", "build must be a table", "write it as [build]"),
        ("build.network = 'host'", 'build.network must be one of "default", "none"', 'it is "host"'),
        ("build.platform = 'x'", "build.platform must be a platform", 'for instance "linux/arm64"'),
        ("build.secrets = { 'a/b' = 'C' }",
         "build.secrets.a/b must have an id of letters, digits, '.', '_' and '-'", "it is 'a/b'"),
        ("build.secrets = { a = 'not a name' }",
         "build.secrets.a must be the name of a config variable", "don't commit the value itself"),
        ("build.dockerfile = '../x'", "build.dockerfile must be a path within the repository", 'it is "../x"'),
        ("build.context = '/etc'", "build.context must be a path within the repository", 'it is "/etc"'),
        ("build.args.A = 1", "build.args.A must be a string", "it is 1"),
        ("build.args.'a-b' = 'x'", "build.args.a-b must have a name of letters, digits and '_'", "it is 'a-b'"),
        ("deploy.drain_timeout = -1", "deploy.drain_timeout must be a number of seconds from 0 to 3600",
         "it is -1"),
        ("deploy.check_timeout = 0", "deploy.check_timeout must be a number of seconds from 1 to 3600", "it is 0"),
        ("deploy.check_timeout = nan", "deploy.check_timeout must be a number of seconds from 1 to 3600",
         "it is NaN"),
        ("[processes]\n'a b' = {}", "processes.a b is not a process type", "use letters, digits, '-' and '_'"),
        ("processes.web = 1", "processes.web must be a table", "write it as [processes.web]"),
        ("processes.web.memory = '5m'", 'processes.web.memory must be at least "6m"', 'it is "5m"'),
        ("processes.web.memory = 'much'", 'processes.web.memory must be a size, for instance "256m" or "1g"',
         'it is "much"'),
        ("processes.web.cpus = 0", "processes.web.cpus must be a number from 0.01 to 1024", "it is 0"),
        ("processes.web.checks = {}", "processes.web.checks must be a list", "it is {}"),
        ("processes.web.checks = [{}]",
         "processes.web.checks[0] must have one of path, listening, command, uptime, image",
          "make each a table of its own"),
        ("processes.web.checks = [{listening = false}]",
         "processes.web.checks[0] must have one of path, listening, command, uptime, image",
          "make each a table of its own"),
        ("processes.web.checks = [{path = '/', uptime = 1}]",
         "processes.web.checks[0] must have one of path, listening, command, uptime, image, not path and uptime",
         "make each a table of its own"),
        ("processes.web.checks = [{command = []}]", "processes.web.checks[0].command must name a program",
         "it is []"),
        ("processes.web.checks = [{path = '/', headers = {'a b' = 'x'}}]",
         "processes.web.checks[0].headers must be the name of an HTTP header", 'it is "a b"'),
        ("cron.x.command = 'y'", "cron.x must have a schedule", 'for instance schedule = "0 3 * * *"'),
        ("cron.x.schedule = '@daily'", "cron.x must have a command", 'for instance command = "./report"'),
        ("cron.X = {}", "cron.X is not a name", "use lower-case letters, digits, '-' and '_'"),
        ("cron.x.schedule = '0 25 * * *'",
         "cron.x.schedule has an invalid hour '25': 0 to 23, with `,` `-` `/` and `*`", 'it is "0 25 * * *"'),
        ("cron.x.timezone = 'Europe/Berln'",
         "cron.x.timezone is not a known time zone, for instance Europe/Berlin", 'it is "Europe/Berln"'),
        ("cron.x.overlap = 'no'", 'cron.x.overlap must be one of "skip", "queue", "replace", "allow"',
         'it is "no"'),
        ("cron.x.timeout = 0", "cron.x.timeout must be a number of seconds from 1 to 2.592e+06", "it is 0"),
        ("cron.x.when = 'y'", "unknown key 'cron.x.when'",
         "known: cron.x.schedule, cron.x.command, cron.x.timezone, cron.x.overlap, cron.x.timeout"),
        ("port = 1979-05-27", "port must be a whole number", "it is date"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_key(text: str, message: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        gitship_toml.parse(text.encode())
    assert (caught.value.message, caught.value.hint) == (f"gitship.toml: {message}", hint)


@pytest.mark.parametrize(
    "text", [b"a", b"a = ", b"[a", b"\xff", b"a = " + b"[" * 50_000, b"a = " + b"9" * 5000, b"a=1\na=2"]
)
def test_what_is_not_toml_is_said_to_be_so(text: bytes) -> None:
    with pytest.raises(ConfigError, match=r"^gitship\.toml is not ") as caught:
        gitship_toml.parse(text)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "size"), [("'256m'", 256 << 20), ("'1G'", 1 << 30), ("'8000 kb'", 8_192_000), ("9000000", 9_000_000)]
)
def test_sizes(text: str, size: int) -> None:
    assert gitship_toml.parse(f"processes.web.memory = {text}".encode()).limits["web"].memory_bytes == size


PARTS = [
    "port", "build", "deploy", "processes", "web", "checks", "path", "args", "memory", ".", " = ", "\n", "[", "]",
     "[[", "]]",
    "{", "}", ",", "'/'", "'1g'", "1", "0.5", "true", "''", "'a b'", "command", "headers", "uptime", "\r\n", "inf",
]  # fmt: skip


@given(
    st.lists(st.sampled_from(PARTS), max_size=14).map(lambda parts: "".join(parts).encode()) | st.binary(max_size=30)
)
@examples(100)
def test_no_text_makes_the_parser_fail_otherwise(text: bytes) -> None:
    try:
        gitship_toml.parse(text)
    except ConfigError as error:
        assert error.hint
        assert error.message.isprintable()


VALUES = st.recursive(
    st.sampled_from(
        ["1", "-1", "0.5", "inf", "nan", "true", "false", "''", "'/'", "'a b'", "'1g'", "1979-05-27", "'\\u0000'"]
    ),
    lambda inner: (
        st.lists(inner, max_size=2).map(lambda items: f"[{', '.join(items)}]")
        | st.tuples(st.sampled_from([k.name for _, keys in gitship_toml.TABLES for k in keys]), inner).map(
            lambda pair: f"{{{pair[0]} = {pair[1]}}}"
        )
    ),
    max_leaves=5,
)


@given(st.sampled_from([name for name, _, _ in gitship_toml.reference()]), VALUES)
@examples(100)
def test_no_value_of_any_key_makes_the_parser_fail_otherwise(key: str, value: str) -> None:
    key = key.replace("<type>", "web")
    table, _, last = key.rpartition("[].")
    text = f"[[{table}]]\n{last} = {value}" if table else f"{key} = {value}"
    try:
        gitship_toml.parse(text.encode())
    except ConfigError as error:
        assert error.hint
        assert error.message.startswith("gitship.toml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a." * 30_000 + "a=1", "line 1 has more than 200 dots"),  # else half a minute
        ("\n\n[" + "a." * 30_000 + "a]", "line 3 has more than 200 dots"),
        ("#" * (65 << 10), "has more than 64 KB"),
        ("port=" + "9" * 60_000, "is not valid TOML"),
        ("a=" + "[" * 60_000, "is not valid TOML"),
        ("".join(f"{'a.' * 200}a{n}=1\n" for n in range(150)), "unknown key 'a'"),
    ],
)
def test_a_file_that_is_made_to_take_long_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        gitship_toml.parse(text.encode())
    assert message in caught.value.message and caught.value.hint


def test_a_canary_is_read_with_the_deploys_other_settings() -> None:
    parsed = gitship_toml.parse(b'[deploy]\ncanary = "5% for 90s"\ndrain_timeout = 5')
    assert (parsed.canary, parsed.drain_timeout_s) == (CanaryPlan(5, 90), 5)
    assert gitship_toml.parse(b"").canary is None
    with pytest.raises(ConfigError, match=r"deploy\.canary must be a share of visitors"):
        gitship_toml.parse(b'[deploy]\ncanary = "some"')
