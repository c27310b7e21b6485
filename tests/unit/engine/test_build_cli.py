"""A build by docker's own client: its words, its environment, what it says, and what is left of its secrets."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from gitship.engine import build_cli, build_secrets, platforms
from gitship.engine.progress_plain import PlainTrace
from gitship.engine.types import CACHE_NAMESPACE, BuildOptions, BuildOutput, BuildStep

OPTIONS = BuildOptions(
    tag="shop:1",
    dockerfile="docker/Dockerfile",
    target="prod",
    platform="linux/386",
    network="none",
    no_cache=True,
    labels={"a": "b c"},
    build_args={"TOKEN": "swordfish", "HTTP_PROXY": "http://proxy"},
    secrets={"key": "s3cret"},
)
SAID = """\
#1 [internal] load remote build context
#1 sha256:b045e919a25405c87f33dace71ecd6ea831358794242a58f7b53ea75e816521e
#1 DONE 0.0s

#6 [4/6] RUN --mount=type=secret,id=token wc -c /run/secrets/token
#6 0.150 7
#7 [5/6] RUN true
#7 CACHED
#6 0.250 8
#6 DONE 0.2s
#8 [6/6] RUN false
#8 0.1 last words
#8 ERROR: executor failed running [/bin/sh -c false]: exit code: 1
------
 > [6/6] RUN false:
------
executor failed running [/bin/sh -c false]: exit code: 1
"""


def test_no_value_is_among_the_words_and_no_secret_in_the_environment(tmp_path: Path) -> None:
    files = build_secrets.write(tmp_path, OPTIONS.secrets)
    words = build_cli.arguments("docker", "unix:///x", OPTIONS, files, tmp_path / "image")
    assert words == [
        "docker", "-H", "unix:///x", "build", "--progress=plain", f"--iidfile={tmp_path}/image", "--tag=shop:1",
        "--file=docker/Dockerfile", "--target=prod", "--platform=linux/386", "--network=none", "--no-cache",
        "--label=a=b c",
        "--build-arg=TOKEN", "--build-arg=HTTP_PROXY=http://proxy", f"--secret=id=key,src={tmp_path}/secret-0", "-",
    ]  # fmt: skip
    env = build_cli.environment(OPTIONS, tmp_path)
    assert env["TOKEN"] == "swordfish" and "HTTP_PROXY" not in env  # the client would go through that proxy
    assert "s3cret" not in str(env) + str(words) + repr(OPTIONS)
    assert files["key"].read_text() == "s3cret" and stat.S_IMODE(files["key"].stat().st_mode) == 0o600


def test_the_namespace_of_the_cache_is_gitships_word_and_in_no_process_list(tmp_path: Path) -> None:
    options = replace(OPTIONS, cache="mine", build_args={CACHE_NAMESPACE: "theirs", "OTEL_EXPORTER_OTLP_ENDPOINT": "x"})
    words = build_cli.arguments("docker", "unix:///x", options, {}, tmp_path / "image")
    env = build_cli.environment(options, tmp_path)
    assert f"--build-arg={CACHE_NAMESPACE}" in words and env[CACHE_NAMESPACE] == "mine"
    assert "theirs" not in f"{words} {env}"
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" not in env  # the client would tell whoever listens there


@pytest.mark.parametrize(
    "name", ["EXPERIMENTAL_BUILDKIT_SOURCE_POLICY", "GIT_SSH_COMMAND", "KUBECONFIG", "SUDO_UID", "SOURCE_DATE_EPOCH"]
)
def test_the_client_itself_heeds_no_argument_of_the_apps(tmp_path: Path, name: str) -> None:
    options = replace(OPTIONS, build_args={name: "/etc/shadow"})
    assert f"--build-arg={name}=/etc/shadow" in build_cli.arguments("docker", "unix:///x", options, {}, tmp_path / "i")
    assert name not in build_cli.environment(options, tmp_path)


def test_a_build_that_shares_no_layers_has_a_host_of_its_own(tmp_path: Path) -> None:
    words = build_cli.arguments("docker", "unix:///x", replace(OPTIONS, layers="word"), {}, tmp_path / "image")
    assert "--add-host=word.invalid:192.0.2.1" in words


def test_what_the_client_says_becomes_steps_and_output() -> None:
    trace = PlainTrace()
    events = [event for line in SAID.splitlines() for event in trace.feed(line)]
    assert [e.text for e in events if isinstance(e, BuildOutput)] == ["7", "8", "last words"]
    ended = [e for e in events if isinstance(e, BuildStep) and e.seconds is not None]
    assert [(e.number, e.seconds, e.cached, bool(e.error)) for e in ended] == [
        (1, 0.0, False, False), (7, 0.0, True, False), (6, 0.2, False, False), (8, 0.0, False, True),
    ]  # fmt: skip
    assert trace.failed_step() == ("[6/6] RUN false", ("last words",))
    assert trace.error == "executor failed running [/bin/sh -c false]: exit code: 1"


def test_a_directory_of_secrets_is_private_and_goes_with_the_build(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), build_secrets.directory("me", (tmp_path / "not there", tmp_path)) as path:
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.clients
def test_what_a_killed_server_left_goes_at_the_next_start_with_its_client(tmp_path: Path) -> None:
    left, others = tmp_path / f"{build_secrets.prefix('me')}x", tmp_path / f"{build_secrets.prefix('another')}x"
    others.mkdir()
    stranger = subprocess.Popen(["sleep", "60"], process_group=0)
    client = subprocess.Popen(["sh", "-c", "sleep 60; true", str(left)], process_group=0)
    try:
        for process, ends in ((stranger, False), (client, True)):  # the number may be another process's by now
            left.mkdir()
            build_secrets.write(left, {"a": "b"})
            (left / build_secrets.PID).write_text(str(process.pid))
            assert build_secrets.sweep("me", (tmp_path,)) == 1
            assert not left.exists() and others.exists()
            assert process.wait(10) == -signal.SIGKILL if ends else process.poll() is None
    finally:
        for process in (client, stranger):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.mark.clients
def test_a_docker_without_buildkit_is_not_a_client(tmp_path: Path) -> None:
    program = tmp_path / "docker"
    program.write_text("#!/bin/sh\necho 'ERROR: BuildKit is enabled but the buildx component is missing'; exit 1\n")
    program.chmod(0o755)
    assert not build_cli._usable(str(program), "unix:///x")
    program.write_text("#!/bin/sh\necho '      --secret stringArray'\n")
    assert build_cli._usable(str(program), "unix:///x")
    assert not build_cli._usable(str(tmp_path / "none"), "unix:///x")


def test_platforms_are_the_machines_own_and_those_that_are_emulated(tmp_path: Path) -> None:
    assert platforms.of("linux", "x86_64", tmp_path) == ("linux/amd64", "linux/386")
    (tmp_path / "qemu-aarch64").touch()
    assert platforms.of("linux", "x86_64", tmp_path)[-1] == "linux/arm64"
