"""Bad input gets a clear error and nothing is lost.

In each case: the exit code is not 0, the cause stands in one line, a next step follows, the old release still serves,
the ref has not moved, and a second `git push` tries again.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.e2e import apps, docker_cli
from tests.e2e.harness import Server, make_key, running
from tests.waiting import wait_until

pytestmark = pytest.mark.e2e

HEALTHCHECK = (
    '{"healthchecks": {"web": [{"type": "startup", "path": "/healthz", "attempts": 2, "wait": 1, "timeout": 1}]}}'
)
LFS_POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 12345\n"


@dataclass(frozen=True, slots=True)
class Bad:
    """A commit that cannot go live: what it changes, and what the pusher must be told (patterns, in one line each)."""

    name: str
    files: Mapping[str, str | None]
    cause: str
    shows: tuple[str, ...] = field(default=())


BAD_COMMITS = (
    Bad("no Dockerfile", {"Dockerfile": None}, r"no Dockerfile", ("FROM ",)),
    Bad(
        "Dockerfile syntax error",
        {"Dockerfile": "FROM scratch\nCOPYY tiny /tiny\n"},
        r"(?i)unknown instruction.*COPYY",
    ),
    Bad(
        "failing RUN",
        {"Dockerfile": apps.tiny_dockerfile("v2", {"RELEASE_EXIT": "7"}, extra=['RUN ["/tiny", "release"]'])},
        r"RUN .*/tiny.*release.*\bexit code 7\b",
        ("migrating v2",),
    ),
    Bad(
        "app exits at once",
        {"Dockerfile": apps.tiny_dockerfile("v2", {"CRASH": "3"})},
        r"(?i)web.*exit(ed)?\b.*\b3\b",
        ("cannot start: CRASH=3",),
    ),
    Bad(
        "app listens on the wrong port",
        {"Dockerfile": apps.tiny_dockerfile("v2", {"LISTEN_PORT": "3000"})},
        r"listens on (port )?3000\b.*\b8000\b",
        ("listening on 0.0.0.0:3000",),
    ),
    Bad(
        "app listens only on 127.0.0.1",
        {"Dockerfile": apps.tiny_dockerfile("v2", {"LISTEN_HOST": "127.0.0.1"})},
        r"listens.*\b127\.0\.0\.1\b",
        ("0.0.0.0",),
    ),
    Bad(
        "app listens only on another port of 127.0.0.1",
        {"Dockerfile": apps.tiny_dockerfile("v2", {"LISTEN_HOST": "127.0.0.1", "LISTEN_PORT": "3000"})},
        r"listens only on 127\.0\.0\.1:3000, expected 0\.0\.0\.0:8000",
        ("ports:set",),
    ),
    Bad(
        "app never becomes healthy",
        {"Dockerfile": apps.tiny_dockerfile("v2", {"HEALTH_MS": "600000"}), "app.json": HEALTHCHECK},
        r"/healthz.*\b503\b",
    ),
    Bad(
        "app sends early hints",
        {"Dockerfile": apps.tiny_dockerfile("v2", {"EARLY": "'103 Early Hints'"})},
        r"GET / .*\b103 Early Hints before the final response.*\b503\b",
        ("early_hints false",),
    ),
    Bad(
        "release command fails",
        {
            "Dockerfile": apps.tiny_dockerfile("v2", {"RELEASE_EXIT": "5"}),
            "Procfile": "release: /tiny release\nweb: /tiny\n",
        },
        r"(?i)release command.*\b5\b",
        ("migrating v2",),
    ),
    Bad("LFS pointer instead of the file", {"model.bin": LFS_POINTER}, r"model\.bin.*LFS|LFS.*model\.bin"),
    Bad(
        "COPY of a file that .dockerignore leaves out",
        {"Dockerfile": "FROM scratch\nCOPY tiny notes.txt /\n", "notes.txt": "x", ".dockerignore": "a\n*.txt\n"},
        r"building failed: .*COPY.*: 'notes\.txt' is left out of the build by \.dockerignore line 2, '\*\.txt'",
        ("'!notes.txt' below it",),
    ),
    Bad(
        "RUN with a file that .dockerignore leaves out",
        {
            "Dockerfile": apps.tiny_dockerfile("v2", {"CRASH": "1"}, extra=['RUN ["/tiny", "notes.txt"]']),
            "notes.txt": "x",
            ".dockerignore": "*.txt\n",
        },
        r"RUN .*notes\.txt.* ended with exit code",
        ("notes.txt is left out of the build by .dockerignore line 1, '*.txt'", "logs:deploy"),
    ),
    Bad(
        "command that .dockerignore leaves out",
        {"Procfile": "web: /start.sh\n", "start.sh": "#!/bin/sh\n", ".dockerignore": "*.sh\n"},
        r"Procfile: web names start\.sh, which \.dockerignore line 1, '\*\.sh' leaves out of the build",
    ),
    Bad("command that is not in the image", {"Procfile": "web: /nothing-here\n"}, r"/nothing-here"),
    Bad(
        "gitship.toml with an unknown key",
        {"gitship.toml": "[biuld]\ntarget = 'x'\n"},
        r"gitship\.toml.*biuld",
        ("build",),
    ),
)


@pytest.fixture(scope="module")
def server(module_base: Path, docker_host: str) -> Iterator[Server]:
    """Short time-outs: half of these deploys fail by waiting."""
    with running(module_base / "server", docker_host, lambda: False, deploy={"check_timeout": 3.0}) as started:
        yield started


def told(done: subprocess.CompletedProcess[str]) -> list[str]:
    """What the pusher reads, line by line."""
    return [line.removeprefix("remote: ").strip() for line in done.stderr.splitlines() if line.strip()]


def check_refused(done: subprocess.CompletedProcess[str], cause: str) -> list[str]:
    """The exit code, the cause in one line, a next step after it, and no plumbing; the lines."""
    lines = told(done)
    text = "\n".join(lines)
    assert done.returncode != 0, text
    causes = [n for n, line in enumerate(lines) if re.search(cause, line)]
    assert causes, f"no line says {cause!r}:\n{text}"
    assert "Traceback" not in text and "docker.errors" not in text and "Exception" not in text, text
    assert not re.search(r"internal error", text), text
    return lines


def check_nothing_lost(server: Server, app: str, commit: str) -> None:
    """The old release serves, the ref stands where it stood, nothing of the new one is left."""
    assert server.get(app).body == "v1\n"
    assert server.server_ref(app) == commit
    assert server.containers(f"gitship.app={app}") == [f"{app}.web.1.v1"]
    assert not server.leftovers(app)


@pytest.mark.parametrize("bad", BAD_COMMITS, ids=lambda bad: bad.name)
def test_bad_commit_is_refused_with_its_cause(server: Server, tiny_app: Callable[..., Path], bad: Bad) -> None:
    app = re.sub(r"[^a-z0-9]+", "-", bad.name.lower())
    repository = tiny_app(app)
    server.push_ok(repository, app)
    good = apps.git(repository, "rev-parse", "HEAD")
    apps.commit(repository, bad.name, bad.files)

    for attempt in (1, 2):
        done = server.push(repository, app)
        lines = check_refused(done, bad.cause)
        for shown in bad.shows:
            assert any(shown in line for line in lines), f"push {attempt} does not show {shown!r}:\n{done.stderr}"
        assert any(re.search(r"v1 (still serves|keeps serving|is still live)|still v1", line) for line in lines), (
            done.stderr
        )
        assert "[remote rejected] main -> main" in done.stderr
        check_nothing_lost(server, app, good)

    back: dict[str, str | None] = {name: None for name in bad.files if name != "Dockerfile"}
    apps.commit(repository, "Mended", {**back, "Dockerfile": apps.tiny_dockerfile("v3")})
    server.push_ok(repository, app)
    assert server.get(app).body == "v3\n"


def test_early_hints_that_no_check_sees_are_named_by_the_request_through_varnish(
    server: Server, tiny_app: Callable[..., Path]
) -> None:
    repository = tiny_app("unseen")
    server.push_ok(repository, "unseen")
    good = apps.git(repository, "rev-parse", "HEAD")
    listens = '{"healthchecks": {"web": [{"type": "startup", "listening": true}]}}'
    dockerfile = apps.tiny_dockerfile("v2", {"EARLY": "'103 Early Hints'"})
    apps.commit(repository, "Hint", {"Dockerfile": dockerfile, "app.json": listens})
    lines = check_refused(
        server.push(repository, "unseen"), r"GET / .*\b103 Early Hints before the final response.*\b503\b"
    )
    assert any("early_hints false" in line for line in lines), lines
    wait_until(lambda: len(server.containers("gitship.app=unseen")) == 1, 30, "what the new one had begun is answered")
    check_nothing_lost(server, "unseen", good)


def test_first_push_that_fails_leaves_no_release(server: Server, tiny_app: Callable[..., Path]) -> None:
    repository = tiny_app("stillborn", files={"Dockerfile": apps.tiny_dockerfile("v1", {"CRASH": "3"})})
    check_refused(server.push(repository, "stillborn"), r"(?i)exit(ed)?\b.*\b3\b")
    assert server.get("stillborn").status == 503
    assert server.containers("gitship.app=stillborn") == []
    assert server.server_ref("stillborn") is None
    apps.commit(repository, "Mended", {"Dockerfile": apps.tiny_dockerfile("v2")})
    server.push_ok(repository, "stillborn")
    assert server.get("stillborn").body == "v2\n"


def test_built_image_that_says_nothing_to_run_is_not_kept(
    server: Server, docker_host: str, tiny_app: Callable[..., Path]
) -> None:
    repository = tiny_app("speechless", files={"Dockerfile": "FROM scratch\nCOPY tiny /tiny\n"})
    check_refused(server.push(repository, "speechless"), r"no CMD and no ENTRYPOINT")
    label = f"label=gitship.server={server.server_id()}"
    left = docker_cli.docker(docker_host, "images", "-q", "--filter", label, "--filter", "label=gitship.app=speechless")
    assert left.split() == []  # no release has it, so nothing but server:cleanup would ever find it


def test_what_a_failing_build_printed_does_nothing_to_the_pushers_terminal(server: Server, base: Path) -> None:
    repository = apps.busybox(base / "loud")
    said = r"printf '\\033]0;title\\007\\033[2J\\033[31mred\\033[0m\\n'; exit 3"
    dockerfile = (repository / "Dockerfile").read_text() + f'RUN ["/bin/busybox", "sh", "-c", "{said}"]\n'
    apps.commit(repository, "Say a lot", {"Dockerfile": dockerfile})
    done = server.push(repository, "loud")
    assert done.returncode == 1
    assert "       | \x1b[31mred\x1b[0m" in done.stderr  # of all that, the colour
    assert "\x1b]" not in done.stderr and "\x1b[2J" not in done.stderr


def test_branch_that_does_not_deploy_is_rejected_with_the_fix(server: Server, tiny_app: Callable[..., Path]) -> None:
    repository = tiny_app("branches")
    server.push_ok(repository, "branches")
    good = apps.git(repository, "rev-parse", "HEAD")
    apps.git(repository, "checkout", "-q", "-b", "feature")
    apps.commit(repository, "Feature", {"Dockerfile": apps.tiny_dockerfile("v2")})
    for _ in range(2):
        done = server.push(repository, "branches", refspec="feature")
        check_refused(done, r"\[remote rejected\] feature -> feature \(.*main.*\)")
        assert "HEAD:refs/heads/main" in done.stderr, done.stderr  # the way to deploy it all the same
        check_nothing_lost(server, "branches", good)
    server.push_ok(repository, "branches", refspec="feature:main")
    assert server.get("branches").body == "v2\n"


def test_tag_alone_is_rejected(server: Server, tiny_app: Callable[..., Path]) -> None:
    repository = tiny_app("tags")
    server.push_ok(repository, "tags")
    good = apps.git(repository, "rev-parse", "HEAD")
    apps.git(repository, "tag", "v2.0")
    for _ in range(2):
        check_refused(server.push(repository, "tags", refspec="v2.0"), r"\[remote rejected\] v2\.0 -> v2\.0 \(.*\)")
        check_nothing_lost(server, "tags", good)


def test_deleting_the_deploy_branch_is_rejected(server: Server, tiny_app: Callable[..., Path]) -> None:
    repository = tiny_app("deleted")
    server.push_ok(repository, "deleted")
    good = apps.git(repository, "rev-parse", "HEAD")
    check_refused(server.push(repository, "deleted", refspec=":main"), r"\[remote rejected\] main \(.*\)")
    check_nothing_lost(server, "deleted", good)


def test_empty_repository_has_nothing_to_push_and_empty_commit_has_no_dockerfile(server: Server, base: Path) -> None:
    repository = base / "empty"
    repository.mkdir()
    apps.git(repository, "init", "-q", "-b", "main")
    assert "src refspec main does not match any" in server.push(repository, "empty").stderr
    apps.commit(repository, "Nothing in it")
    check_refused(server.push(repository, "empty"), r"no Dockerfile")
    assert server.server_ref("empty") is None


def test_unknown_key_is_refused_before_anything_is_made(server: Server, tiny_app: Callable[..., Path]) -> None:
    stranger = make_key(server.base / "stranger")
    done = server.push(tiny_app("strange"), "strange", key=stranger)
    check_refused(done, r"Permission denied \(publickey\)")
    assert server.database("SELECT name FROM apps WHERE name = 'strange'") == []


@pytest.mark.parametrize("name", ["TestApp", "a/b", "a;id", "a:latest", "a" * 64, "-a", "..", "a b", "$(id)"])
def test_bad_app_name_is_refused_with_the_rule(server: Server, tiny_app: Callable[..., Path], name: str) -> None:
    done = server.push(tiny_app("misnamed"), name)
    text = done.stderr
    assert done.returncode != 0
    assert "is not an app name" in text and "lower-case letters, digits" in text, text
    assert not re.search(r"uid=\d|Traceback|internal error", text)
    assert server.database("SELECT count(*) FROM apps WHERE name NOT GLOB '[a-z0-9]*'") == [(0,)]
    if name == "TestApp":
        assert "testapp" in text  # a valid name near it


def test_disk_that_is_full_refuses_the_build(own_server: Server, tiny_app: Callable[..., Path]) -> None:
    repository = tiny_app("full")
    own_server.push_ok(repository, "full")
    good = apps.git(repository, "rev-parse", "HEAD")
    apps.commit(repository, "Two", {"Dockerfile": apps.tiny_dockerfile("v2")})

    roomy = own_server.config.read_text()
    own_server.config.write_text(roomy.replace("[docker]", '[docker]\nmin_free = "1000000g"'))
    own_server.restart()
    for _ in range(2):
        check_refused(own_server.push(repository, "full"), r"only \d+ MB are free")
        check_nothing_lost(own_server, "full", good)

    own_server.config.write_text(roomy)
    own_server.restart()
    own_server.push_ok(repository, "full")
    assert own_server.get("full").body == "v2\n"
