from __future__ import annotations

import dataclasses
import json
import threading
import time

import pytest

from gitship.commands.logs import parse_since
from gitship.console.log_lines import short_name
from gitship.engine import logs
from gitship.engine.types import LogLine
from gitship.errors import UsageError
from gitship.logs import stream as log_stream
from gitship.logs.archive import LogArchive
from tests.unit.commands.happenings import crash
from tests.unit.commands.world import Client, World
from tests.waiting import wait_until

WAIT_S = 10


@pytest.fixture
def shop(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(log_stream, "REATTACH_S", 0.02)
    monkeypatch.setattr(logs, "LOOK_S", 0.02)
    world.memory.push("shop")
    world.ok("ps:scale", "shop", "worker=1")
    for n in range(5):
        process = "worker" if n % 2 else "web"
        world.memory.engine.print_line(LogLine(f"shop.{process}.1.v2", 1_700_000_000.0 + n, "stdout", f"line {n}"))
    return world


def texts(client: Client) -> list[str]:
    return [line.partition(" | ")[2] for line in client.out.splitlines()]


def start(world: World, client: Client) -> threading.Thread:
    thread = threading.Thread(target=world.go, args=(client,), name="logs of a test")
    thread.start()
    return thread


def wait_for(client: Client, text: str) -> None:
    wait_until(lambda: text in client.out)


def test_lines_come_with_time_and_process(shop: World) -> None:
    assert shop.ok("logs", "shop").out.splitlines()[:2] == [
        "2023-11-14T22:13:20Z web.1 | line 0",
        "2023-11-14T22:13:21Z worker.1 | line 1",
    ]


def test_they_can_be_chosen(shop: World) -> None:
    assert texts(shop.ok("logs", "shop", "-n", "1")) == ["line 3", "line 4"]  # of each container
    assert texts(shop.ok("logs", "shop", "-n", "0")) == []
    assert texts(shop.ok("logs", "shop", "--process", "worker")) == ["line 1", "line 3"]
    assert texts(shop.ok("logs", "shop", "--since", "2023-11-14T22:13:22")) == ["line 2", "line 3", "line 4"]
    assert texts(shop.ok("logs", "shop", "--since", "1h")) == []
    assert all(stream.ended for stream in shop.memory.engine.streams)


def test_a_terminal_colours_each_process_in_its_own_way(shop: World) -> None:
    lines = shop.run("logs", "shop", pty=True).out.split("\r\n")
    colours = {line.partition("m")[0] for line in lines if line}
    assert len(colours) == 2
    assert all(colour.startswith("\x1b[") for colour in colours)


def test_an_apps_escape_sequences_reach_no_terminal_but_its_colours_do(shop: World) -> None:
    shop.memory.engine.print_line(LogLine("shop.web.1.v2", 1_700_000_009.0, "stdout", "\x1b]0;x\x07\x1b[32mok\x1b[2J"))
    assert "\x1b[32mok" in shop.run("logs", "shop", pty=True).out
    for pty in (True, False):
        out = shop.run("logs", "shop", pty=pty).out
        assert "\x1b]0" not in out
        assert "\x1b[2J" not in out
    assert "\x1b" not in shop.run("logs", "shop").out


@pytest.mark.parametrize("pty", [False, True])
def test_following_goes_on_until_the_client_leaves(shop: World, pty: bool) -> None:
    client = shop.client("logs", "shop", "-f", "-n", "1", pty=pty)
    thread = start(shop, client)
    wait_for(client, "line 4")
    for n in range(100):  # some of them in the same instant
        shop.memory.engine.print_line(LogLine("shop.web.1.v2", 1_700_000_100.0 + n // 3, "stdout", f"new {n}."))
    wait_for(client, "new 99.")
    client.closed.set()
    thread.join(WAIT_S)
    assert not thread.is_alive()
    assert all(stream.ended for stream in shop.memory.engine.streams)
    assert [t for t in texts(client) if "new" in t] == [f"new {n}." for n in range(100)] or pty


def test_following_goes_on_with_the_next_release_and_doubles_nothing(shop: World) -> None:
    client = shop.client("logs", "shop", "-f")
    thread = start(shop, client)
    wait_for(client, "line 4")
    for number in (3, 4):
        shop.memory.engine.print_line(
            LogLine(f"shop.web.1.v{number}", 1_700_000_000.0, "stdout", f"hello from v{number}")
        )
        shop.ok("ps:restart", "shop")
        wait_for(client, f"hello from v{number}")
    shop.memory.engine.print_line(LogLine("shop.web.1.v4", 1_700_000_001.0, "stdout", "the end"))
    wait_for(client, "the end")
    client.closed.set()
    thread.join(WAIT_S)
    assert client.code == 130
    assert texts(client) == [f"line {n}" for n in range(5)] + ["hello from v3", "hello from v4", "the end"]


def test_following_goes_on_when_nothing_runs_for_a_while(shop: World) -> None:
    client = shop.client("logs", "shop", "-f", "--process", "worker")
    thread = start(shop, client)
    wait_for(client, "line 3")
    shop.ok("ps:scale", "shop", "worker=0")
    wait_until(lambda: all(stream.ended for stream in shop.memory.engine.streams))
    shop.ok("ps:scale", "shop", "worker=1")
    shop.memory.engine.print_line(LogLine("shop.worker.1.v4", 1_700_000_001.0, "stdout", "back"))
    wait_for(client, "back")
    client.closed.set()
    thread.join(WAIT_S)
    assert texts(client) == ["line 1", "line 3", "back"]


def test_following_goes_on_after_a_crash_and_doubles_nothing(shop: World) -> None:
    client = shop.client("logs", "shop", "-f")
    thread = start(shop, client)
    wait_for(client, "line 4")
    for number in range(3):
        shop.memory.engine.crash()
        attached = len(shop.memory.engine.streams)
        wait_until(lambda attached=attached: len(shop.memory.engine.streams) > attached)  # type: ignore[misc]
        shop.memory.engine.print_line(LogLine("shop.web.1.v2", 1_700_000_100.0 + number, "stdout", f"again {number}"))
        wait_for(client, f"again {number}")
    client.closed.set()
    thread.join(WAIT_S)
    assert texts(client) == [f"line {n}" for n in range(5)] + [f"again {n}" for n in range(3)]


def test_following_goes_on_after_the_clock_was_set_back(shop: World) -> None:
    client = shop.client("logs", "shop", "-f")
    thread = start(shop, client)
    wait_for(client, "line 4")
    now = time.time()
    shop.memory.engine.print_line(LogLine("shop.web.1.v2", now + 3600, "stdout", "before"))
    wait_for(client, "before")
    attached = len(shop.memory.engine.streams)
    shop.memory.engine.crash()
    wait_until(lambda: len(shop.memory.engine.streams) >= attached + 2)
    for number in range(2):
        shop.memory.engine.print_line(LogLine("shop.web.1.v2", now + number, "stdout", f"after {number}"))
    wait_for(client, "after 1")
    client.closed.set()
    thread.join(WAIT_S)
    assert texts(client) == [*(f"line {n}" for n in range(5)), "before", "after 0", "after 1"]


def test_following_ends_with_an_error_when_the_app_is_destroyed(shop: World) -> None:
    client = shop.client("logs", "shop", "-f")
    thread = start(shop, client)
    wait_for(client, "line 4")
    shop.ok("apps:destroy", "shop", "--force")
    thread.join(WAIT_S)
    assert not thread.is_alive()
    assert client.code == 1
    assert "no app 'shop'" in client.err


def test_following_ends_when_the_client_reads_no_more(shop: World) -> None:
    client = shop.client("logs", "shop", "-f")
    thread = start(shop, client)
    wait_for(client, "line 4")
    client.stdout.broken = True
    shop.memory.engine.print_line(LogLine("shop.web.1.v2", 1_700_000_100.0, "stdout", "unseen"))
    thread.join(WAIT_S)
    assert not thread.is_alive()
    assert client.code == 130
    assert all(stream.ended for stream in shop.memory.engine.streams)


def test_a_pattern_chooses_lines_and_n_counts_those_that_match(shop: World) -> None:
    assert texts(shop.ok("logs", "shop", "--grep", "LINE 3", "-i")) == ["line 3"]
    assert texts(shop.ok("logs", "shop", "--grep", "line 3", "-v")) == [f"line {n}" for n in (0, 1, 2, 4)]
    assert texts(shop.ok("logs", "shop", "--grep", "line [02]")) == []
    assert texts(shop.ok("logs", "shop", "-E", "--grep", "[012]$")) == ["line 0", "line 1", "line 2"]
    assert texts(shop.ok("logs", "shop", "-E", "--grep", "[012]$", "-n", "1")) == ["line 1", "line 2"]
    assert texts(shop.ok("logs", "shop", "--grep", "line", "-n", "0")) == []


def test_a_pattern_sees_the_text_without_its_colours(shop: World) -> None:
    shop.memory.engine.print_line(LogLine("shop.web.1.v2", 1_700_000_009.0, "stdout", "\x1b[31mERR\x1b[0mOR"))
    assert texts(shop.ok("logs", "shop", "--grep", "ERROR")) == ["ERROR"]


def test_following_with_a_pattern_misses_and_doubles_nothing(shop: World) -> None:
    client = shop.client("logs", "shop", "-f", "-n", "1", "-E", "--grep", "[0-3]$|end")
    thread = start(shop, client)
    wait_for(client, "line 3")
    for n in range(10, 20):
        shop.memory.engine.print_line(LogLine("shop.web.1.v2", 1_700_000_100.0 + n, "stdout", f"line {n}"))
    shop.memory.engine.print_line(LogLine("shop.web.1.v2", 1_700_000_200.0, "stdout", "the end"))
    wait_for(client, "the end")
    client.closed.set()
    thread.join(WAIT_S)
    assert texts(client) == ["line 2", "line 3", *(f"line {n}" for n in range(10, 14)), "the end"]


def test_what_happened_stands_among_the_lines(shop: World) -> None:
    shop.memory.happen(crash(shop))
    out = shop.ok("logs", "shop").out.splitlines()
    assert out[3] == "2023-11-14T22:13:22Z web.1 | -- crashed: exit code 3, restarting (2nd time)"
    rows = [json.loads(line) for line in shop.ok("logs", "shop", "--format", "json").out.splitlines()]
    assert [row["stream"] for row in rows] == ["stdout"] * 3 + ["event"] + ["stdout"] * 2
    assert "-- crashed" not in shop.ok("logs", "shop", "-p", "worker").out
    assert "-- crashed" not in shop.ok("logs", "shop", "-n", "1").out  # it is older than the first line shown
    assert texts(shop.ok("logs", "shop", "--grep", "crashed")) == ["-- crashed: exit code 3, restarting (2nd time)"]
    assert "\x1b[1;31m-- crashed" in shop.run("logs", "shop", pty=True).out


def test_an_app_that_prints_nothing_still_shows_what_happened(world: World) -> None:
    world.memory.push("shop")
    world.memory.happen(crash(world))
    assert texts(world.ok("logs", "shop")) == ["-- crashed: exit code 3, restarting (2nd time)"]


def test_what_happens_while_following_is_told_once(shop: World) -> None:
    shop.memory.happen(crash(shop))
    client = shop.client("logs", "shop", "-f")
    thread = start(shop, client)
    wait_for(client, "line 4")
    for n in (3, 4):
        shop.memory.happen(crash(shop, at=time.time() + n, deaths=n))
    wait_for(client, "4th time")
    client.closed.set()
    thread.join(WAIT_S)
    assert [t[-10:] for t in texts(client) if "--" in t] == ["(2nd time)", "(3rd time)", "(4th time)"]


def test_one_of_two_containers_that_crashes_is_followed_on(shop: World) -> None:
    client = shop.client("logs", "shop", "-f")
    thread = start(shop, client)
    wait_for(client, "line 4")
    shop.memory.engine.crash_one("shop.worker.1.v2")
    shop.memory.engine.print_line(LogLine("shop.worker.1.v2", 1_700_000_100.0, "stdout", "back again"))
    wait_for(client, "back again")
    client.closed.set()
    thread.join(WAIT_S)
    assert len(texts(client)) == 6


def test_following_without_the_past_misses_nothing_of_a_container_that_crashes_before_it_says_a_word(
    shop: World,
) -> None:
    client = shop.client("logs", "shop", "-f", "-n", "0")
    thread = start(shop, client)
    wait_until(lambda: len(shop.memory.engine.streams) == 2)
    shop.memory.engine.crash_one("shop.worker.1.v2")
    wait_until(lambda: len(shop.memory.engine.streams) > 2)
    shop.memory.engine.print_line(LogLine("shop.worker.1.v2", time.time() + 1, "stdout", "back again"))
    wait_for(client, "back again")
    client.closed.set()
    thread.join(WAIT_S)
    assert texts(client) == ["back again"]


def test_a_container_that_is_added_is_followed_though_others_run_on(shop: World) -> None:
    client = shop.client("logs", "shop", "-f", "--process", "web")
    thread = start(shop, client)
    wait_for(client, "line 4")
    app = shop.store.app("shop")
    containers = shop.store.containers(app.id)
    added = dataclasses.replace(containers[0], id="added", name="shop.web.2.v2", index=2)
    shop.store.set_live(app.id, app.live_release or 0, [*containers, added])
    shop.memory.engine.print_line(LogLine("shop.web.2.v2", 1_700_000_100.0, "stdout", "me too"))
    wait_for(client, "me too")
    client.closed.set()
    thread.join(WAIT_S)
    assert len(shop.memory.engine.streams) == 3  # one past, two live


def test_a_release_that_has_ended_shows_what_was_kept(shop: World) -> None:
    app = shop.store.app("shop")
    as_docker_names_them = [
        dataclasses.replace(container, id=f"{n:064x}") for n, container in enumerate(shop.store.containers(app.id))
    ]
    shop.store.set_live(app.id, app.live_release or 0, as_docker_names_them)
    kept = LogArchive(shop.store, shop.memory.engine, shop.settings.logs, 5)
    for container in as_docker_names_them:
        kept.keep(container)
    shop.memory.happen(crash(shop))
    shop.ok("ps:restart", "shop")
    assert texts(shop.ok("logs", "shop")) == []
    assert texts(shop.ok("logs", "shop", "--release", "v2"))[2:4] == [
        "line 2", "-- crashed: exit code 3, restarting (2nd time)",
    ]  # fmt: skip
    assert texts(shop.ok("logs", "shop", "--release", "2", "-p", "worker", "-n", "1")) == ["line 3"]
    assert texts(shop.ok("logs", "shop", "--release", "v2", "--grep", "4")) == ["line 4"]
    assert texts(shop.ok("logs", "shop", "--release", "v2", "--since", "2023-11-14T22:13:23")) == ["line 3", "line 4"]
    client = shop.run("logs", "shop", "--release", "v1")
    assert (client.code, "there are logs of v2" in client.err) == (1, True)
    assert "no process 'wrker'" in shop.run("logs", "shop", "--release", "v2", "-p", "wrker").err


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (("--grep", ""), 2),
        (("--grep", "x" * 1001), 2),
        (("-E", "--grep", "("), 2),
        (("-v",), 2),
        (("--release", "newest"), 2),
        (("--release", "v9"), 1),
        (("--release", "v1", "-f"), 2),
        (("-n", "-1"), 2),
        (("-n", "1000000"), 2),
        (("--since", "yesterday"), 2),
        (("--since", "10"), 2),
        (("--process", "wrker"), 1),
    ],
)
def test_what_makes_no_sense_is_refused(shop: World, argv: tuple[str, ...], code: int) -> None:
    client = shop.run("logs", "shop", *argv)
    assert client.code == code
    assert client.err.startswith("error: ")


def test_an_app_that_never_ran_has_no_logs_and_says_why(world: World) -> None:
    world.ok("apps:create", "shop")
    client = world.run("logs", "shop")
    assert client.code == 1
    assert "push to it first" in client.err


@pytest.mark.parametrize(
    ("text", "at"),
    [("30s", 970.0), ("10m", 400.0), ("1970-01-01T00:00:10", 10.0), ("1970-01-01T01:00:10+01:00", 10.0)],
)
def test_since_takes_ages_and_times(text: str, at: float) -> None:
    assert parse_since(text, 1000.0) == at


@pytest.mark.parametrize("text", ["", "m", "-5m", "5 m", "10w", "99999999999d"])
def test_since_refuses_the_rest(text: str) -> None:
    with pytest.raises(UsageError):
        parse_since(text, 1000.0)


def test_the_short_name_survives_dots_in_app_names() -> None:
    assert short_name("my.shop.web.2.v12") == "web.2"
    assert short_name("odd") == "odd"
