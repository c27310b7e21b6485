"""The owner's rules: which images a build may use, and which image may go live."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gitship.appfiles.gitship_toml import BuildTable
from gitship.config import PolicySettings, Settings
from gitship.deploy import image_patterns, policy
from gitship.engine.types import Image
from gitship.errors import DeployError

DIGEST = "sha256:" + "a" * 64


def settings(*base_images: str, **more: object) -> Settings:
    return Settings(policy=replace(PolicySettings(base_images=base_images), **more))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("image", "pattern", "allowed"),
    [
        ("python", "python", True),
        ("python:3.11-slim", "python:*", True),
        ("docker.io/library/python:3", "python", True),
        ("index.docker.io/python:3", "python:3", True),
        ("python:3", "docker.io/python:3", True),
        ("python:3", "docker.io/library/*", True),
        ("team/app", "docker.io/*", True),
        ("registry.example.com/team/sub/app:1", "registry.example.com/team/*", True),
        ("localhost:5000/app", "localhost:5000/*", True),
        (f"python@{DIGEST}", "python:*", True),
        (f"python@{DIGEST}", f"python@{DIGEST}", True),
        ("anything.example.com/x", "*", True),
        ("python", "python:3", False),
        ("evil/python:3", "python:*", False),
        ("evil.example.com/python:3", "python:*", False),
        ("evil.example.com/library/python", "python", False),
        ("registry.example.com.evil.example/team/a", "registry.example.com/team/*", False),
        ("pythonx:3", "python:*", False),
        (f"python:3@{DIGEST}", "python:3", False),  # the tag says nothing of what the digest fetches
        ("python:3", f"python@{DIGEST}", False),
    ],
)
def test_names_are_compared_as_docker_reads_them(image: str, pattern: str, allowed: bool) -> None:
    found = image_patterns.parse(image)
    assert found is not None
    assert image_patterns.matches(found, pattern) is allowed


@pytest.mark.parametrize("text", ["", "Python", "a b", "python:", "python@sha256:abc", "-x", "a//b", "python\n"])
def test_what_is_no_image_is_refused(text: str) -> None:
    assert image_patterns.parse(text) is None
    with pytest.raises(DeployError, match="not an image name"):
        policy.ensure_reference(settings("*"), text)


def test_a_dockerfile_is_refused_with_line_image_and_what_is_allowed() -> None:
    content = b"FROM python:3 AS a\nFROM scratch\nCOPY --from=alpine / /\n"
    with pytest.raises(DeployError) as caught:
        policy.ensure_dockerfile(settings("python:*"), content, BuildTable())
    assert caught.value.message.startswith(
        "Dockerfile line 3: the image docker.io/library/alpine:latest is not allowed"
    )
    assert caught.value.hint == "this server builds from: python:*"
    policy.ensure_dockerfile(settings("python:*", "alpine"), content, BuildTable())


def test_without_a_policy_nothing_is_read() -> None:
    policy.ensure_dockerfile(settings(), b"FROM $X\xff", BuildTable())
    policy.ensure_reference(settings(), "???")
    assert policy.ensure_image(settings(), Image("i", 1 << 40)) == ()


def test_what_cannot_be_read_is_refused_once_there_is_a_policy() -> None:
    for content in (b"FROM $X", b"FROM a\xff"):
        with pytest.raises(DeployError):
            policy.ensure_dockerfile(settings("*"), content, BuildTable())


@pytest.mark.parametrize(
    ("user", "root"),
    [("", True), ("root", True), ("0", True), ("00", True), ("0:1000", True), ("root:staff", True), (":1000", True),
     ("+0", True), ("-0:1", True), ("9" * 5000, False), ("+1", False), ("\u0660", False),
     ("1000", False), ("10", False), ("app", False), ("app:0", False)],
)  # fmt: skip
def test_who_is_root(user: str, root: bool) -> None:
    assert policy.runs_as_root(user) is root
    image = Image("i", 1, user=user)
    assert bool(policy.ensure_image(settings(root="warn"), image)) is root
    if root:
        with pytest.raises(DeployError, match="runs as root"):
            policy.ensure_image(settings(root="refuse"), image)
    else:
        policy.ensure_image(settings(root="refuse"), image)


def test_an_image_may_be_as_large_as_the_limit() -> None:
    assert policy.ensure_image(settings(max_image=100), Image("i", 100)) == ()
    with pytest.raises(DeployError, match="MB"):
        policy.ensure_image(settings(max_image=100), Image("i", 101))
