"""What who may deploy one app gets of others': nothing, whatever is in its repository."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.e2e import apps, docker_cli
from tests.e2e.harness import Server, make_key

pytestmark = pytest.mark.e2e

BUSYBOX = "/bin/busybox"


@pytest.fixture
def stranger(server: Server, base: Path) -> Path:
    """The key of a deployer who may do nothing but deploy the app `mine`."""
    key = make_key(base / "stranger")
    assert server.ssh("apps:create", "mine").returncode in (0, 3)
    public = key.with_suffix(".pub").read_text()
    name = f"{base.name}-stranger"  # a temporary directory's may end with "_", a key's may not
    made = server.ssh("keys:add", name, "--app", "mine", stdin=public)
    assert made.returncode == 0, made.stderr
    return key


SHARED = "type=cache,target=/cache"
DOTTED = "type=cache,id=../cache,target=/cache"


def build(server: Server, base: Path, key: Path, *lines: str) -> str:
    """Pushes a Dockerfile with these lines to `mine`; all that the build has said."""
    repository = apps.busybox(base / f"mine{len(list(base.iterdir()))}")
    text = (repository / "Dockerfile").read_text().replace("EXPOSE", "\n".join([*lines, "EXPOSE"]), 1)
    apps.commit(repository, "Looks around", {"Dockerfile": text})
    pushed = server.push(repository, "mine", "--force", key=key)
    said = server.ssh("logs:deploy", "mine", key=key)
    return pushed.stdout + pushed.stderr + said.stdout


def test_a_build_cannot_take_another_apps_image(server: Server, base: Path, stranger: Path) -> None:
    server.push_ok(apps.busybox(base / "theirs"), "theirs")
    [(theirs,)] = server.database("SELECT id FROM apps WHERE name = 'theirs'")
    [(deploy,)] = server.database("SELECT max(id) FROM deploys WHERE app_id = ?", theirs)
    build(server, base, stranger, f'RUN ["{BUSYBOX}", "true"]')
    # what a deployer may come to know: the server's id (Docker's own DNS tells it), and how its own image is called
    own = docker_cli.docker(server.docker_host, "images", "--format", "{{.Repository}}:{{.Tag}}", "gitship/mine")
    [tag] = [name for name in own.split() if server.server_id() in name]
    as_own = re.sub(r"-\d+", f"-{deploy}", tag.replace("/mine:", "/theirs:"), count=1)
    guesses = {as_own, f"gitship/theirs:{server.server_id()}-{deploy}"}
    for guess in guesses:
        said = build(server, base, stranger, f"COPY --from={guess} {BUSYBOX} /bin/taken")
        assert "building failed" in said, f"{guess}\n{said}"


def uses(mount: str, word: str) -> str:
    """A step that shows what is in the cache, and leaves a word in it."""
    return f'RUN --mount={mount} ["{BUSYBOX}", "sh", "-c", "cat /cache/* ; echo {word} > /cache/{word}"]'


@pytest.mark.parametrize("mount", [SHARED, DOTTED], ids=["the same", "out of its own"])
def test_a_build_has_no_cache_in_common_with_another_apps(
    server: Server, base: Path, stranger: Path, mount: str
) -> None:
    for number, theirs in enumerate((SHARED, DOTTED)):
        repository = apps.busybox(base / f"theirs{number}")
        text = (repository / "Dockerfile").read_text().replace("EXPOSE", uses(theirs, "SECRET") + "\nEXPOSE", 1)
        apps.commit(repository, "Caches", {"Dockerfile": text})
        server.push_ok(repository, f"{base.name}-{number}".lower().replace("_", "-"))
    printed = outputs(build(server, base, stranger, uses(mount, "poison")))
    assert printed == [], printed
    assert outputs(build(server, base, stranger, uses(mount, "more"))) == ["poison"], "its own cache is there again"


def outputs(said: str) -> list[str]:
    """What the step printed."""
    assert "building failed" not in said, said
    return [
        line for line in re.findall(r"^ +: #\d+ (\w+)$", said, re.MULTILINE) if line in ("SECRET", "poison", "more")
    ]
