"""Engine files: every key, every default, and errors that name the key and the nearest one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitship.errors import ConfigError, GitshipError
from gitship.services.engine_catalog import SHIPPED
from gitship.services.engine_file import EngineAction, ServiceEngine, read_engine

SMALL = """\
title = "Cache"
image = "docker.io/library/cache"
versions = ["2.1", "2.0"]
port = 4000
alias = "CACHE"
url = "cache://{login}:{password}@{host}:{port}/{database}"
memory = "64m"
upgrade = "none"
data = "/data"

[ready]
command = ["cache-ping", "{port}"]

[version]
command = ["cache", "--version"]
"""


def read(text: str, file: str = "cache.toml") -> ServiceEngine:
    return read_engine(file, text.encode())


def changed(key: str, line: str) -> str:
    """SMALL with another line for ``key``."""
    assert re.search(rf"(?m)^{key} = ", SMALL)
    return re.sub(rf"(?m)^{key} = .*$", lambda _: line, SMALL)


def test_what_is_left_out_has_a_default() -> None:
    engine = read(SMALL)
    assert (engine.name, engine.versions, engine.tag, engine.other_names) == ("cache", ("2.1", "2.0"), "{version}", ())
    assert (engine.stop_signal, engine.stop_timeout_s, engine.shm_bytes) == ("SIGTERM", 60.0, 64 << 20)
    assert (engine.memory_bytes, engine.least_memory_bytes) == (64 << 20, 6 << 20)
    assert (engine.capabilities, engine.fixed_hostname, engine.restore_before_start) == ((), False, False)
    assert (engine.environment, engine.arguments, engine.filled_arguments({})) == ({}, (), None)
    assert engine.create == engine.login == engine.drop_login == EngineAction(())
    assert not engine.own_logins
    assert engine.login_read_only is engine.dump is engine.console is engine.metrics is None


def test_the_port_stands_in_every_action() -> None:
    assert read(SMALL).ready.command == ("cache-ping", "4000")


def test_the_url_is_filled() -> None:
    values = {"login": "shop_1", "password": "Pw-1", "host": "shop-db.internal", "port": "4000", "database": "shop"}
    assert read(SMALL).filled_url(values) == "cache://shop_1:Pw-1@shop-db.internal:4000/shop"


def test_data_is_where_the_version_has_it() -> None:
    engine = read(changed("data", 'data = { "2.1" = "/new", "1.0" = "/old" }'))
    assert [engine.data_path(v) for v in ("2.0", "2.0.9", "2.1", "2.1.3-alpine", "3.0", "0.5")] == [
        "/old", "/old", "/new", "/new", "/new", "/old",
    ]  # fmt: skip


def test_a_tag_is_made_of_the_version_unless_it_is_one() -> None:
    engine = read(SMALL.replace("port = 4000", 'port = 4000\ntag = "v{version}-alpine"'))
    assert engine.reference("2.1") == "docker.io/library/cache:v2.1-alpine"
    assert engine.reference("2.1-slim") == "docker.io/library/cache:2.1-slim"


@pytest.mark.parametrize(
    ("key", "line", "said"),
    [
        ("port", "port = 70000", "cache.toml: port must be a whole number from 1 to 65535"),
        ("port", 'port = "4000"', "port must be a whole number"),
        ("title", "titel = 'x'", "unknown key 'titel'"),
        ("title", "title = ['x']", "title must be a string"),
        ("image", 'image = "cache"', "image must be an image with its registry"),
        ("image", 'image = "docker.io/library/cache:2"', "image must be an image with its registry"),
        ("versions", "versions = []", "versions must be a list"),
        ("versions", 'versions = ["2", "2.1"]', "versions must be a list"),
        ("versions", 'versions = ["latest"]', "versions[0] must be a version"),
        ("alias", 'alias = "MY-CACHE"', "alias must be the name of a variable"),
        ("url", 'url = "cache://{user}@{host}"', "{user}, which has no value"),
        ("memory", 'memory = "1m"', 'memory must be at least "6m"'),
        ("memory", 'memory = "7m"\nleast_memory = "8m"', "least_memory that is not above memory"),
        ("upgrade", 'upgrade = "always"', 'upgrade must be one of "dump", "in-place", "none"'),
        ("upgrade", 'upgrade = "dump"', "must have dump"),
        ("data", 'data = "data"', "data must be an absolute path"),
        ("data", 'data = "/data/../etc:/x"', "data must be an absolute path"),
        ("data", "data = {}", "data must have a path"),
        ("data", 'data = { new = "/x" }', "data.new must stand under a version"),
        ("alias", 'alias = "A"\ntag = "latest"', "tag must be the image's tag"),
        ("alias", 'alias = "A"\nstop_signal = "9"', "stop_signal must be a signal"),
        ("alias", 'alias = "A"\ncapabilities = ["SYS_ADMIN"]', "capabilities[0] 'SYS_ADMIN' can't be given"),
        ("alias", 'alias = "A"\narguments = ["--password={root_password}"]', "{root_password}: others can see it"),
        ("alias", 'alias = "A"\narguments = "x"', "arguments must be a list"),
        ("alias", 'alias = "A"\nenvironment = { "A B" = "x" }', "must be under the name of a variable"),
        ("alias", 'alias = "A"\nenvironment = { A = "{password}" }', "{password}"),
    ],
)
def test_a_wrong_value_is_refused(key: str, line: str, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        read(changed(key, line))


def test_a_password_that_linked_apps_have_is_not_changed() -> None:
    shared = changed("url", 'url = "cache://:{root_password}@{host}"')
    assert read(shared).set_root_password is None
    with pytest.raises(ConfigError, match="must not have set_root_password"):
        read(shared + "\n[set_root_password]\ncommand = ['x']\n")


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("[dmup]\ncommand = ['x']", "unknown key 'dmup'"),
        ("[login]\ncommand = ['x', '{password}']", "login.command[1] must not hold {password}"),
        ("[login]\ncommand = ['x', '{root_password}']", "login.command[1] must not hold {root_password}"),
        ("[login]\ncommand = ['x']", "must have drop_login"),
        ("[login]\ncommand = []", "login must have a command"),
        ("[login]\nstdin = 'x'", "login must have a command"),
        ("[login]\ncommand = 'x'", "login.command must be a list"),
        (
            "[login]\ncommand = ['x']\nstdin = '{pasword}'",
            "{pasword}, which has no value there; did you mean {password}?",
        ),
        ("[login]\ncommand = ['x']\nuser = 'root'", "unknown key 'login.user'"),
        ("[create]\ncommand = ['x', '{login}']", "{login}, which has no value there"),
        ("[create]\ncommand = ['x']\nenv = { 'A-B' = 'x' }", "must be under the name of a variable"),
        ("[restore]\ncommand = ['x']\nstdin = 'x'", "the dump is its input"),
        ("[console]\ncommand = ['x']\nstdin = 'x'", "a user types its input"),
        ("[dump]\ncommand = ['x']", "must have dump, restore and check_dump, or none"),
        ("[base]\ncommand = ['x']\n[wal_start]\ncommand = ['x']", "must have wal_stop as it has others of a point"),
        ("[wal_read]\ncommand = ['x', '{segmnet}']", "did you mean {segment}?"),
        ("[login_read_only]\ncommand = ['x']", "must have login"),
    ],
)
def test_a_wrong_action_is_refused(table: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(f"{SMALL}\n{table}\n")
    assert said in f"{caught.value.message}; {caught.value.hint}"


def test_the_nearest_key_is_named() -> None:
    with pytest.raises(ConfigError) as caught:
        read(changed("title", 'titel = "x"'))
    assert caught.value.hint == "did you mean 'title'?"


@pytest.mark.parametrize("key", ["title", "image", "versions", "port", "alias", "url", "memory", "upgrade", "data"])
def test_what_must_be_there_is_named(key: str) -> None:
    with pytest.raises(ConfigError, match=f"must have the key '{key}'"):
        read(changed(key, ""))


@pytest.mark.parametrize("table", ["ready", "version"])
def test_an_action_that_must_be_there_is_named(table: str) -> None:
    with pytest.raises(ConfigError, match=f"must have the key '{table}'"):
        read(re.sub(rf"(?m)^\[{table}\]\n.*\n", "", SMALL))


@pytest.mark.parametrize("name", ["Cache.toml", "my cache.toml", ".toml", "1.toml"])
def test_a_file_is_named_as_its_engine(name: str) -> None:
    with pytest.raises(ConfigError, match="must be named as the engine"):
        read(SMALL, name)


@given(st.binary(max_size=300))
def test_any_bytes_are_an_engine_or_a_config_error(content: bytes) -> None:
    with pytest.raises(ConfigError):
        read_engine("any.toml", content)


JSONISH = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 70_000) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc{}", max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(sorted(path.name for path in SHIPPED.glob("*.toml"))), st.data())
def test_one_wrong_value_never_ends_in_another_error(file: str, data: st.DataObject) -> None:
    tomli_w = pytest.importorskip("tomli_w")
    import tomllib

    document = tomllib.loads((SHIPPED / file).read_text())
    key = data.draw(st.sampled_from(sorted(document)))
    value = data.draw(JSONISH.filter(lambda v: "None" not in repr(v)))
    document[key] = value
    try:
        engine = read_engine(file, tomli_w.dumps(document).encode())
    except GitshipError as error:
        assert file in error.message
    else:
        assert engine.name == Path(file).stem
