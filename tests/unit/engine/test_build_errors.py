"""The builder's words, recorded from Docker 20.10 or taken from BuildKit 0.11 and later, and what people are told."""

from __future__ import annotations

import pytest

from gitship.engine.build_errors import BuildFailure, explain, failed

LLB = "failed to solve with frontend dockerfile.v0: failed to create LLB definition: "
NO_HOST = 'failed to do request: Head "https://nosuch.invalid/v2/thing/manifests/1": dial tcp: lookup: no such host'

CASES = {
    "exit code": (
        "executor failed running [/bin/sh -c echo one && exit 3]: exit code: 3",
        "[3/3] RUN echo one && exit 3",
        "[3/3] RUN echo one && exit 3 ended with exit code 3",
    ),
    "exit code, newer": (
        'process "/bin/sh -c pip install x" did not complete successfully: exit code: 1',
        "[3/3] RUN pip install x",
        "[3/3] RUN pip install x ended with exit code 1",
    ),
    "exit code, classic": (
        "The command '/bin/sh -c exit 3' returned a non-zero code: 3",
        "[4/5] RUN exit 3",
        "[4/5] RUN exit 3 ended with exit code 3",
    ),
    "exit code in the command's own text": (
        'executor failed running [/bin/sh -c echo "exit code: 5"; exit 2]: exit code: 2',
        "[2/2] RUN",
        "[2/2] RUN ended with exit code 2",
    ),
    "killed": (
        "executor failed running [make]: exit code: 137",
        "[2/2] RUN make",
        "[2/2] RUN make ended with exit code 137 (killed: out of memory?)",
    ),
    "unknown instruction": (
        LLB + "dockerfile parse error line 4: unknown instruction: FOO",
        "",
        "Dockerfile line 4: unknown instruction: FOO",
    ),
    "unknown instruction, newer": (
        "dockerfile parse error on line 4: unknown instruction: FOO",
        "",
        "Dockerfile line 4: unknown instruction: FOO",
    ),
    "file not committed": (
        'failed to compute cache key: "/nope" not found: not found',
        "[3/3] COPY nope /x",
        "[3/3] COPY nope /x: 'nope' is not in the commit",
    ),
    "file not committed, newer": (
        'failed to calculate checksum of ref abc::def: "/nope": not found',
        "[3/3] COPY nope /x",
        "[3/3] COPY nope /x: 'nope' is not in the commit",
    ),
    "file not committed, classic": (
        "COPY failed: file not found in build context or excluded by .dockerignore: stat nope: file does not exist",
        "[4/5] COPY nope /x",
        "[4/5] COPY nope /x: 'nope' is not in the commit",
    ),
    "base image, no network": (
        LLB + NO_HOST,
        "[internal] load metadata for nosuch.invalid/thing:1",
        "the base image nosuch.invalid/thing:1 cannot be pulled: dial tcp: lookup: no such host",
    ),
    "base image, official": (
        "docker.io/library/nosuch:1: not found",
        "[internal] load metadata for docker.io/library/nosuch:1",
        "the base image nosuch:1 cannot be pulled: docker.io/library/nosuch:1: not found",
    ),
    "base image, classic": (
        'Get "https://nosuch.invalid/v2/": dial tcp: lookup: no such host',
        "[1/3] FROM nosuch.invalid/thing:1",
        "the base image nosuch.invalid/thing:1 cannot be pulled: dial tcp: lookup: no such host",
    ),
    "no Dockerfile": (
        "failed to solve with frontend dockerfile.v0: failed to read dockerfile: open /x/Dockerfile: no such file",
        "",
        "there is no Dockerfile in the commit",
    ),
    "no stage": (LLB + "target stage zzz could not be found", "", "Dockerfile has no stage 'zzz'"),
    "no stage, newer": ('target stage "zzz" could not be found', "", "Dockerfile has no stage 'zzz'"),
    "no stage, classic": ("failed to reach build target zzz in Dockerfile", "", "Dockerfile has no stage 'zzz'"),
    "secret": (
        "no active sessions",
        "[3/3] RUN --mount=type=secret,id=tok cat /run/secrets/tok",
        "[3/3] RUN --mount=type=secret,id=tok cat /run/secrets/tok needs a build secret or an SSH agent, which "
        "is not available here",
    ),
    "frontend": (
        "failed to solve with frontend dockerfile.v0: failed to solve with frontend gateway.v0: " + NO_HOST,
        "resolve image config for docker.io/docker/dockerfile:1",
        'Dockerfile: the frontend of its "# syntax=" line cannot be fetched: dial tcp: lookup: no such host',
    ),
    "mount with the classic builder": (
        "the --mount option requires BuildKit. Refer to some page",
        "[2/2] RUN --mount=type=cache,target=/x true",
        "[2/2] RUN --mount=type=cache,target=/x true needs BuildKit, and this server builds with the classic builder",
    ),
    "disk full while the context is read": (
        "failed to read dockerfile: write /busybox: no space left on device",
        "copy /context /",
        "the server's disk is full (no space left on device) in copy /context /",
    ),
    "disk full while it is received": (
        "failed to read downloaded context: write /var/x: no space left on device",
        "",
        "the server's disk is full (no space left on device)",
    ),
    "something new": (
        "failed to solve: rpc error: code = Unknown desc = the moon\nis full",
        "[2/2] RUN x",
        "[2/2] RUN x: the moon is full",
    ),
    "wrapped in a step": (
        "executor failed running [/bin/sh -c echo]: unable to find user 1000: invalid argument",
        "[2/2] RUN echo",
        "[2/2] RUN echo: unable to find user 1000: invalid argument",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_cause_stands_in_one_line_with_a_next_step(case: str) -> None:
    error, step, expected = CASES[case]
    message, hint = explain(BuildFailure(error, step, (), "Dockerfile"))
    assert message == expected
    assert hint
    assert "\n" not in message + hint


def test_a_full_disk_is_seen_in_what_the_step_printed() -> None:
    failure = BuildFailure(
        "executor failed running [cp]: exit code: 1", "[2/2] RUN cp", ("cp: No space left on device",), "Dockerfile"
    )
    assert explain(failure)[0] == "the server's disk is full (no space left on device) in [2/2] RUN cp"


@pytest.mark.parametrize(
    ("cause", "hint"),
    [
        ("pull access denied, repository does not exist or may require authorization", "docker login"),
        ("failed to authorize: unexpected status: 401 Unauthorized", "docker login"),
        ("registry.example.com/a:1: not found", "check name and tag"),
        ("dial tcp: i/o timeout", "may not reach the registry"),
    ],
)
def test_the_hint_for_a_base_image_depends_on_why(cause: str, hint: str) -> None:
    step = "[internal] load metadata for registry.example.com/a:1"
    assert hint in explain(BuildFailure(cause, step, (), "Dockerfile"))[1]


def test_a_here_document_on_an_old_engine_is_explained() -> None:
    error = LLB + "dockerfile parse error line 5: unknown instruction: ECHO"
    assert "here-documents" in explain(BuildFailure(error, "", (), "Dockerfile"))[1]


def test_a_long_step_is_cut() -> None:
    message, _ = explain(BuildFailure("exit code: 1", "[2/2] RUN " + "x" * 500, (), "Dockerfile"))
    assert len(message) < 140


def test_another_path_of_the_dockerfile_is_named() -> None:
    error = "Cannot locate specified Dockerfile: deploy/Dockerfile"
    assert explain(BuildFailure(error, "", (), "deploy/Dockerfile"))[0] == "there is no deploy/Dockerfile in the commit"


@pytest.mark.parametrize("case", [name for name in CASES if name.startswith("file not committed")])
def test_a_file_that_is_not_in_the_context_is_known_apart_from_the_words(case: str) -> None:
    error, step, _ = CASES[case]
    found = failed(BuildFailure(error, step, ("a line",), "Dockerfile"))
    assert (found.step, found.missing, found.lines) == (step, "nope", ("a line",))


def test_another_failure_misses_no_file() -> None:
    assert failed(BuildFailure("exit code: 1", "[3/3] RUN cat nope", (), "Dockerfile")).missing == ""
