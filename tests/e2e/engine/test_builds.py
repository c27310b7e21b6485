"""Builds by the real engine, with BuildKit and with the classic builder."""

from __future__ import annotations

import subprocess
import threading
import time
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from gitship.engine import build_cli, build_secrets
from gitship.engine.docker import DockerEngine
from gitship.engine.types import BuildOptions, BuildOutput, BuildStep, Image
from gitship.errors import DeployCanceled, DeployError, NotFound
from tests.e2e import docker_cli
from tests.e2e.engine.conftest import Lab, wait_for
from tests.e2e.engine.context import BASE, big_context, context

pytestmark = pytest.mark.e2e
BUILDERS = pytest.mark.parametrize("builder", ["buildkit", "classic"])


def unique() -> str:
    """A word that no cached step has."""
    return f"u{time.time_ns()}"


def running(word: str) -> bool:
    """True while a process has the word in its command line."""
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if word.encode() in place.read_bytes():
                return True
        except OSError:
            continue
    return False


@BUILDERS
def test_an_image_is_built_tagged_labelled_and_described(lab: Lab, builder: str) -> None:
    image = lab.build(
        BASE + f"RUN echo {unique()}\nEXPOSE 9000 53/udp 8000\nHEALTHCHECK CMD true\nUSER 1000\n", builder=builder
    )
    assert image.tcp_ports == (8000, 9000)
    assert (image.has_healthcheck, image.has_command, image.user) == (True, False, "1000")
    assert image.size_bytes > 1_000_000
    assert lab.engine.images.inspect(lab.tag).id == image.id
    assert lab.engine.images.inspect(lab.image.id).has_command


@BUILDERS
def test_output_comes_live_and_steps_tell_their_time(lab: Lab, builder: str) -> None:
    came: dict[str, float] = {}
    events: list[BuildStep | BuildOutput] = []

    def on_event(event: BuildStep | BuildOutput) -> None:
        events.append(event)
        if isinstance(event, BuildOutput):
            came[event.text.split()[0]] = time.monotonic()

    began = time.monotonic()
    lab.build(
        BASE + f"RUN echo first {unique()}; busybox sleep 1; echo second >&2\n", builder=builder, on_event=on_event
    )
    took = time.monotonic() - began
    assert came["second"] - came["first"] > 0.5
    ended = [e for e in events if isinstance(e, BuildStep) and "RUN echo first" in e.name and e.seconds is not None]
    assert len(ended) == 1
    assert ended[0].seconds is not None
    assert 1 <= ended[0].seconds <= took
    assert {e.number for e in events if isinstance(e, BuildOutput)} == {ended[0].number}


@BUILDERS
def test_the_second_build_is_cached_unless_that_is_forbidden(lab: Lab, builder: str) -> None:
    dockerfile = BASE + f"RUN echo {unique()}\n"

    def cached() -> list[bool]:
        return [
            e.cached for e in lab.events if isinstance(e, BuildStep) and e.seconds is not None and " RUN " in e.name
        ]

    lab.build(dockerfile, builder=builder)
    assert cached() == [False]
    lab.build(dockerfile, builder=builder)
    assert cached() == [True]
    lab.build(dockerfile, builder=builder, no_cache=True)
    assert cached() == [False]


@pytest.mark.parametrize("name", ["http_proxy", "HTTPS_PROXY"])
def test_the_classic_builder_takes_no_proxy_which_it_would_leave_out_of_the_cache_of_all_apps(
    lab: Lab, name: str
) -> None:
    dockerfile = BASE + f"RUN echo proxy=$http_proxy$HTTPS_PROXY {unique()}\n"
    with pytest.raises(DeployError, match=f"the classic builder takes no build argument {name}"):
        lab.build(dockerfile, builder="classic", build_args={name: "http://192.0.2.1"})
    lab.build(dockerfile, builder="classic")
    assert any(isinstance(e, BuildOutput) and e.text.startswith("proxy= ") for e in lab.events)


@BUILDERS
def test_build_args_target_and_path_reach_the_builder(lab: Lab, builder: str) -> None:
    dockerfile = (
        BASE.replace("scratch", "scratch AS one") + f"ARG WHO\nRUN echo hello $WHO {unique()}\nFROM nosuch AS two\n"
    )
    lab.build(dockerfile, builder=builder, build_args={"WHO": "a b"}, target="one", dockerfile="deploy/Dockerfile")
    assert any(isinstance(e, BuildOutput) and e.text.startswith("hello a b") for e in lab.events)


@BUILDERS
def test_a_failing_step_gives_cause_and_last_lines(lab: Lab, builder: str) -> None:
    with pytest.raises(DeployError) as caught:
        lab.build(BASE + "RUN for i in $(busybox seq 30); do echo line $i; done; exit 3\n", builder=builder)
    assert "RUN for i in" in caught.value.message
    assert caught.value.message.endswith("ended with exit code 3")
    assert caught.value.lines == tuple(f"line {n}" for n in range(11, 31))


@BUILDERS
@pytest.mark.parametrize(
    ("dockerfile", "cause"),
    [
        (BASE + "FOO bar\n", "Dockerfile line 5: unknown instruction: FOO"),
        (BASE + "COPY nope /x\n", "'nope' is not in the commit"),
        ("FROM nosuch.invalid/thing:1\n", "the base image nosuch.invalid/thing:1 cannot be pulled"),
        (BASE + "RUN echo 'No space left on device' >&2; exit 1\n", "the server's disk is full"),
    ],
)
def test_a_dockerfile_that_cannot_be_built_says_why(lab: Lab, builder: str, dockerfile: str, cause: str) -> None:
    with pytest.raises(DeployError) as caught:
        lab.build(dockerfile, builder=builder)
    assert cause in caught.value.message
    assert caught.value.hint


@BUILDERS
def test_a_missing_dockerfile_and_a_missing_stage_are_named(lab: Lab, builder: str) -> None:
    with pytest.raises(DeployError, match="has no stage 'nope'"):
        lab.build(BASE, builder=builder, target="nope")
    options = BuildOptions(lab.fresh_tag(), dockerfile="other/Dockerfile", labels=lab.labels)
    with pytest.raises(DeployError, match="there is no other/Dockerfile in the commit"):
        DockerEngine(lab.host, builder=builder).images.build(
            context(BASE), options, lab.events.append, threading.Event()
        )


@pytest.mark.parametrize("mount", ["type=secret,id=token", "type=ssh"])
def test_a_build_secret_is_refused_with_the_reason(lab: Lab, mount: str) -> None:
    with pytest.raises(DeployError, match="needs a build secret or an SSH agent") as caught:
        lab.build(BASE + f"RUN --mount={mount} echo {unique()}\n")
    assert "--mount=type=secret" in caught.value.hint


def test_a_build_secret_is_there_for_its_step_and_nowhere_else(lab: Lab) -> None:
    if build_cli.client(lab.host) is None:
        pytest.skip("no docker command with BuildKit is installed here")
    mount = "RUN --mount=type=secret,id=to.ken,required=true"
    text = f"{mount} busybox wc -c </run/secrets/to.ken; echo {unique()}\nRUN ! busybox test -e /run/secrets/to.ken\n"
    secret = unique()
    image = lab.build(BASE + text, session=True, secrets={"to.ken": secret}, build_args={"A": "1"})
    assert str(len(secret)) in [e.text for e in lab.events if isinstance(e, BuildOutput)]
    names = [e.name for e in lab.events if isinstance(e, BuildStep)]
    assert any(mount in name for name in names) and secret not in str(lab.events)
    saved = subprocess.run(
        ["docker", "-H", lab.host, "save", image.id], capture_output=True, timeout=60, check=True
    ).stdout  # layers are plain tars there, the history and the labels beside them
    assert secret.encode() not in saved and b"busybox" in saved
    assert docker_cli.names(lab.host, "image", f"gitship.test={lab.run}")
    with pytest.raises(DeployError, match=r"needs the build secret 'to\.ken'"):
        lab.build(BASE + text.replace("echo", "echo again"), session=True)


def test_a_build_by_the_client_fails_and_ends_as_any_other(lab: Lab) -> None:
    if build_cli.client(lab.host) is None:
        pytest.skip("no docker command with BuildKit is installed here")
    with pytest.raises(DeployError, match="ended with exit code 3") as caught:
        lab.build(BASE + f"RUN echo {unique()}; echo why; exit 3\n", session=True)
    assert caught.value.lines[-1] == "why"
    with pytest.raises(DeployError, match="unknown instruction: NONSENSE"):
        lab.build(BASE + "NONSENSE\n", session=True)
    with pytest.raises(OSError, match="cannot be read"):
        lab.engine.images.build(broken_context(), BuildOptions(f"{lab.run}:x", session=True), print, threading.Event())
    word, cancel = unique(), threading.Event()

    def on_event(event: BuildStep | BuildOutput) -> None:
        if isinstance(event, BuildOutput) and event.text == "started":
            assert running(word)
            cancel.set()

    with pytest.raises(DeployCanceled):
        lab.build(
            BASE + f"RUN echo started; busybox sleep 300; echo {word}\n", session=True, cancel=cancel, on_event=on_event
        )
    wait_for(lambda: not running(word), 5)
    with pytest.raises(DeployError, match="took longer than 4 s, last in"):
        lab.build(BASE + f"RUN echo begun; busybox sleep 300; echo {word}\n", session=True, timeout_s=4)
    wait_for(lambda: not running(word), 5)
    left = [p for place in build_secrets.PLACES for p in place.glob(f"{build_secrets.prefix('')}*")]
    assert left == [] and not any(t.name == "build-context" for t in threading.enumerate())


def broken_context() -> Iterator[bytes]:
    yield from context(BASE)[:2]
    raise OSError("an object cannot be read")


def test_a_cache_mount_works(lab: Lab) -> None:
    lab.build(BASE + f"RUN --mount=type=cache,target=/cache echo {unique()} >/cache/x\n")


@BUILDERS
def test_a_canceled_build_ends_its_running_command_at_once(lab: Lab, builder: str) -> None:
    word, cancel = unique(), threading.Event()

    def on_event(event: BuildStep | BuildOutput) -> None:
        if isinstance(event, BuildOutput) and event.text == "started":
            assert running(word)
            cancel.set()

    with pytest.raises(DeployCanceled):
        lab.build(
            BASE + f"RUN echo started; busybox sleep 300; echo {word}\n",
            builder=builder,
            cancel=cancel,
            on_event=on_event,
        )
    wait_for(lambda: not running(word))  # it would sleep for 300 s


@BUILDERS
def test_a_build_that_takes_too_long_ends_and_says_where(lab: Lab, builder: str) -> None:
    word = unique()
    with pytest.raises(DeployError, match="took longer than 6 s") as caught:
        lab.build(BASE + f"RUN echo begun; busybox sleep 300; echo {word}\n", builder=builder, timeout_s=6)
    assert not isinstance(caught.value, DeployCanceled)
    assert "RUN echo begun" in caught.value.message
    assert caught.value.lines == ("begun",)
    wait_for(lambda: not running(word), 5)


def test_a_large_context_goes_through_without_being_held_in_memory(lab: Lab) -> None:
    size = 100 << 20
    options = BuildOptions(lab.fresh_tag(), labels=lab.labels)
    # busybox and the directory come twice in this archive; the second ones win
    sent = big_context("FROM scratch\nCOPY big /big\n", size)
    tracemalloc.start()
    try:
        image = lab.engine.images.build(sent, options, lambda event: None, threading.Event())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert size <= image.size_bytes < size + (1 << 20), "its blocks or its bytes, as the engine counts"
    assert peak < 30 << 20  # 2 MB of it busybox, 4 times


def test_an_error_of_the_context_ends_the_build_and_stays_what_it_is(lab: Lab) -> None:
    def broken() -> object:
        yield from context(BASE)[:2]
        raise OSError("an object cannot be read")

    options = BuildOptions(lab.fresh_tag(), labels=lab.labels)
    with pytest.raises(OSError, match="an object cannot be read"):
        lab.engine.images.build(broken(), options, lab.events.append, threading.Event())  # type: ignore[arg-type]


def test_two_builds_at_once_do_not_mix(lab: Lab) -> None:
    seen: dict[str, list[str]] = {"one": [], "two": []}
    images: dict[str, str] = {}
    met = threading.Barrier(2)  # both are running their step at the same moment

    def build(word: str) -> None:
        def on_event(event: BuildStep | BuildOutput) -> None:
            if isinstance(event, BuildOutput):
                seen[word].append(event.text)
                if event.text.startswith("begin"):
                    met.wait(60)

        dockerfile = BASE + f"RUN echo begin {word} {unique()}; busybox sleep 1; echo end {word} >/word; cat /word\n"
        dockerfile = dockerfile.replace("cat /word", "busybox cat /word")
        options = BuildOptions(f"{lab.run}:{word}", labels=lab.labels)
        images[word] = lab.engine.images.build(context(dockerfile), options, on_event, threading.Event()).id

    threads = [threading.Thread(target=build, args=(word,), name=f"build-{word}") for word in seen]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert {word: lines[-1] for word, lines in seen.items()} == {"one": "end one", "two": "end two"}
    assert images["one"] != images["two"]


@pytest.mark.parametrize("first", ["x" * 120 + "/file", "é.txt", "plain"])
def test_a_context_whose_first_file_has_an_odd_name_is_taken_for_an_archive(lab: Lab, first: str) -> None:
    lab.build(f'FROM scratch\nCOPY ["{first}", "/file"]\n', files={first: b"data"})


def test_an_image_goes_only_when_it_may_and_only_when_no_container_needs_it(lab: Lab) -> None:
    image = lab.build(BASE + f'RUN echo {unique()}\nCMD ["/bin/sh"]\n')
    spec = lab.spec("user", "true")
    container = lab.engine.create(replace(spec, image_id=image.id))
    assert lab.engine.images.remove(image.id, bool, untagged=False) is False
    lab.engine.remove(container)
    assert lab.engine.images.remove(image.id, lambda tag: False, untagged=True) is False
    assert lab.engine.images.inspect(image.id).id == image.id
    assert lab.engine.images.remove(image.id, bool, untagged=False) is True
    assert lab.engine.images.remove(image.id, bool, untagged=False) is True


def test_an_image_with_two_tags_keeps_both_while_it_is_needed_and_goes_with_both(lab: Lab) -> None:
    image = lab.build(BASE + f"RUN echo {unique()}\n")
    docker_cli.docker(lab.host, "tag", image.id, f"{lab.run}:second")
    container = lab.engine.create(replace(lab.spec("user", "true"), image_id=image.id))
    assert lab.engine.images.remove(image.id, bool, untagged=False) is False
    assert {lab.engine.images.inspect(tag).id for tag in (lab.tag, f"{lab.run}:second")} == {image.id}
    lab.engine.remove(container)
    assert lab.engine.images.remove(image.id, bool, untagged=False) is True
    with pytest.raises(NotFound):
        lab.engine.images.inspect(image.id)


def test_an_image_that_several_remove_at_once_is_gone_for_each_of_them(lab: Lab) -> None:
    """Two drains of an app that end together, or a gitship that was killed while Docker removed it, and the next."""
    together = threading.Barrier(4)

    def remove(image: Image) -> bool:
        together.wait(20)
        return lab.engine.images.remove(image.id, bool, untagged=True)

    for _ in range(5):
        image = lab.build(f"FROM scratch\nLABEL word={unique()}\n")
        with ThreadPoolExecutor(together.parties) as pool:
            assert list(pool.map(remove, [image] * together.parties)) == [True] * together.parties
