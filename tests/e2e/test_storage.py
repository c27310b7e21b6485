"""Volumes and host directories on real Docker: data outlive all that happens to an app, and are gone only when told."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import apps, docker_cli
from tests.e2e.apps import clean_env
from tests.e2e.commands import ok
from tests.e2e.harness import Server, make_key, running
from tests.tars import tar_of
from tests.waiting import wait_to_be, wait_until

pytestmark = pytest.mark.e2e

BUSYBOX = "/bin/busybox"
SEED = "seed of the image\n"


@pytest.fixture(scope="module")
def shared(module_base: Path) -> Path:
    """A directory of the host that may be mounted; beside it one that may not."""
    for name in ("shared/photos", "private"):
        (module_base / name).mkdir(parents=True)
    (module_base / "shared" / "photos" / "cat").write_text("meow\n")
    (module_base / "shared" / "out").symlink_to(module_base / "private")
    return module_base / "shared"


@pytest.fixture(scope="module")
def server(module_base: Path, docker_host: str, shared: Path) -> Iterator[Server]:
    with running(module_base / "server", docker_host, lambda: False, docker={"host_paths": [str(shared)]}) as started:
        yield started


def make(base: Path, name: str) -> Path:
    """busybox with a directory that its image declares as a VOLUME and has content in."""
    repository = base / name
    apps.busybox(repository)
    text = (apps.APPS / "busybox" / "Dockerfile").read_text()
    text = text.replace("EXPOSE", "COPY seed /keep/seed\nVOLUME /keep\nEXPOSE")
    apps.commit(repository, "Keeps", {"Dockerfile": text, "seed": SEED})
    return repository


def refused(server: Server, *command: str, key: Path | None = None) -> str:
    done = server.ssh(*command, key=key)
    assert done.returncode != 0 and "Traceback" not in done.stderr, done.stdout
    assert "error: " in done.stderr, done.stderr
    return done.stdout + done.stderr


def shown(server: Server, app: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(ok(server, "storage:list", app, "--format", "json"))
    return found


def sh(server: Server, app: str, script: str) -> str:
    return ok(server, "run", app, BUSYBOX, "sh", "-c", f"'{script}'")


def piped(server: Server, *command: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*server.ssh_command(), "deploy@127.0.0.1", *command], input=stdin, capture_output=True, timeout=60,
        env=clean_env(), check=False,
    )  # fmt: skip


def volumes(server: Server, *labels: str) -> list[str]:
    return docker_cli.names(server.docker_host, "volume", f"gitship.server={server.server_id()}", *labels)


def helpers(server: Server) -> list[str]:
    return server.containers("gitship.helper")


def mounted(server: Server, app: str) -> list[tuple[str, str]]:
    """(source or volume, path) of the app's newest container, as Docker has them."""
    [name] = server.containers(f"gitship.app={app}", "gitship.process=web")[-1:]
    found = json.loads(docker_cli.docker(server.docker_host, "inspect", "-f", "{{json .Mounts}}", name))
    return [(m.get("Name") or m["Source"], m["Destination"]) for m in found]


def listing(archive: bytes) -> dict[str, tuple[Any, ...]]:
    """All that an archive says of its entries but their times' fractions."""
    found: dict[str, tuple[Any, ...]] = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        for m in opened:
            content = opened.extractfile(m) if m.isreg() else None
            found[m.name] = (
                m.type, m.mode & 0o7777, m.uid, m.gid, int(m.mtime), m.linkname,
                content.read() if content else b"", m.pax_headers.get("SCHILY.xattr.security.capability"),
            )  # fmt: skip
    return found


def test_data_outlive_all_that_happens_to_an_app(server: Server, module_base: Path) -> None:
    repository = make(module_base, "lasting")
    server.push_ok(repository, "lasting")
    [(anonymous, _)] = mounted(server, "lasting")
    ok(server, "storage:mount", "lasting", "data:/keep")
    assert mounted(server, "lasting") == [(shown(server, "lasting")[0]["source"], "/keep")]  # none for VOLUME beside it
    everything = ("volume", "ls", "-q")
    wait_until(lambda: anonymous not in docker_cli.docker(server.docker_host, *everything), 20, "v1 is gone")
    assert sh(server, "lasting", "cat /keep/seed; echo kept > /keep/mine") == SEED  # the first use takes the image's

    procfile = f"release: {BUSYBOX} cat /keep/mine\nweb: {BUSYBOX} httpd -f -p 8080 -h /www\n"
    apps.commit(repository, "Two", {"index.html": "two\n", "seed": "another seed\n", "Procfile": procfile})
    assert "kept" in server.push_ok(repository, "lasting")  # the release command has it, too
    for happens in (
        ["releases:rollback", "lasting", "v2"], ["ps:stop", "lasting"], ["ps:start", "lasting"],
        ["apps:rename", "lasting", "lasts"],
    ):  # fmt: skip
        ok(server, *happens)
    server.restart()
    server.kill9()
    server.start()
    assert ok(server, "enter", "lasts", "web", BUSYBOX, "cat", "/keep/seed", "/keep/mine") == f"{SEED}kept\n"

    ok(server, "releases:rollback", "lasts", "v1")  # from before the mount
    assert "kept" not in sh(server, "lasts", "ls /keep")
    assert [row["mounted"] for row in shown(server, "lasts")] == [False]
    ok(server, "releases:rollback", "lasts", "v2")
    assert sh(server, "lasts", "cat /keep/mine") == "kept\n"

    assert "is mounted in lasts" in refused(server, "storage:destroy", "lasts", "data", "--force")
    ok(server, "storage:unmount", "lasts", "data")
    [row] = shown(server, "lasts")
    assert (row["path"], row["mounted"], row["size_bytes"] > 0) == (None, False, True)  # the data are there yet
    assert "add --force" in refused(server, "storage:destroy", "lasts", "data")
    ok(server, "storage:destroy", "lasts", "data", "--force")
    assert shown(server, "lasts") == []
    said = refused(server, "releases:rollback", "lasts", "v2")
    assert "the volume 'data' at /keep, which has been destroyed" in said and "keeps serving" in said


def test_an_archive_goes_out_and_comes_back_whole(server: Server, module_base: Path) -> None:
    server.push_ok(make(module_base, "moved"), "moved")
    ok(server, "storage:mount", "moved", "data:/keep")
    busy = "mkdir -p a/b; echo one > a/b/one; ln a/b/one a/hard; ln -s ../../../outside up; ln -s /keep/seed abs;"
    sh(
        server, "moved",
        f"cd /keep; PATH=/bin; for c in mkdir ln chmod chown mkfifo touch; do ln -s {BUSYBOX} /bin/$c; done; {busy}"
        " touch set; chown 12:34 set a; chmod 4751 set; chmod 700 a; mkfifo pipe; chown 999:998 .; chmod 1771 .",
    )  # fmt: skip
    out = piped(server, "storage:export", "moved", "data")
    assert out.returncode == 0, out.stderr
    before = listing(out.stdout)
    assert before["./set"][1:4] == (0o4751, 12, 34)
    assert before["."][1:4] == (0o1771, 999, 998) and before["./up"][5] == "../../../outside"
    assert before["./a/hard"][5] == "./a/b/one" or before["./a/b/one"][5] == "./a/hard"
    zipped = piped(server, "storage:export", "moved", "data", "--gzip")
    assert listing(zipped.stdout) == before and len(zipped.stdout) < len(out.stdout)

    server.push_ok(make(module_base, "other"), "other")
    ok(server, "storage:mount", "other", "data:/keep")
    sh(server, "other", "echo mine > /keep/mine")
    assert not {v for v, _ in mounted(server, "moved")} & {v for v, _ in mounted(server, "other")}  # one name, two apps
    kept = piped(server, "storage:export", "other", "data").stdout
    old = shown(server, "other")[0]["source"]

    evil = tar_of(**{"../up": b"x"})
    for stdin, options, said in (
        (out.stdout, (), b"not empty"),
        (out.stdout[: len(out.stdout) // 2], ("--replace",), b"ends early"),
        (out.stdout[:512], ("--replace",), b"ends early"),
        (zipped.stdout[:-20], ("--replace",), b"ends early"),
        (b"no archive at all" * 100, ("--replace",), b"not a tar archive"),
        (evil, ("--replace",), b"outside the volume"),
        (b"", ("--replace",), b"ends early"),
    ):
        done = piped(server, "storage:import", "other", "data", *options, stdin=stdin)
        assert done.returncode == 1 and said in done.stderr, done.stderr
    assert listing(piped(server, "storage:export", "other", "data").stdout) == listing(kept)
    assert shown(server, "other")[0]["source"] == old and len(volumes(server, "gitship.app=other")) == 1

    done = piped(server, "storage:import", "other", "data", "--replace", stdin=zipped.stdout)
    assert done.returncode == 0, done.stderr
    assert listing(piped(server, "storage:export", "other", "data").stdout) == before
    assert mounted(server, "other") == [(shown(server, "other")[0]["source"], "/keep")]
    assert shown(server, "other")[0]["source"] != old
    wait_until(lambda: old not in volumes(server), 25, "the old content is gone", every_s=0.5)
    assert helpers(server) == []

    ok(server, "apps:create", "before-push")
    ok(server, "storage:mount", "before-push", "data:/keep")
    assert piped(server, "storage:import", "before-push", "data", stdin=out.stdout).returncode == 0
    server.push_ok(make(module_base, "before-push"), "before-push")
    assert sh(server, "before-push", "cat /keep/a/b/one /keep/seed") == f"one\n{SEED}"
    ok(server, "apps:destroy", "other", "--force")
    assert volumes(server, "gitship.app=other") == [] and volumes(server, "gitship.app=moved") != []


def test_a_client_or_gitship_that_goes_away_leaves_the_old_content(server: Server, module_base: Path) -> None:
    server.push_ok(make(module_base, "cut"), "cut")
    ok(server, "storage:mount", "cut", "data:/keep")
    sh(
        server,
        "cut",
        "dd if=/dev/zero of=/keep/big bs=1M count=64; echo mine > /keep/mine".replace("dd", f"{BUSYBOX} dd"),
    )
    [volume] = volumes(server, "gitship.app=cut")

    def begun(*command: str) -> subprocess.Popen[bytes]:
        client = subprocess.Popen(
            [*server.ssh_command(), "deploy@127.0.0.1", *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env=clean_env(),
        )  # fmt: skip
        wait_until(lambda: helpers(server), 10, "it has begun")
        return client

    def left(client: subprocess.Popen[bytes]) -> None:
        client.kill()
        client.communicate(timeout=10)

    left(begun("storage:export", "cut", "data"))  # one that does not read
    wait_until(lambda: not helpers(server), 10, "nothing is left of the export")
    half = tar_of(new=b"x" * (4 << 20))[: 3 << 20]
    client = begun("storage:import", "cut", "data", "--replace")
    assert client.stdin is not None
    client.stdin.write(half)
    client.stdin.flush()
    assert "exported, imported or backed up" in refused(server, "apps:destroy", "cut", "--force")
    assert "an import into 'data' of cut is in progress" in refused(
        server, "storage:import", "cut", "data", "--replace"
    )
    left(client)
    wait_until(lambda: not helpers(server) and volumes(server, "gitship.app=cut") == [volume], 10, "nothing is left")

    client = begun("storage:import", "cut", "data", "--replace")
    assert client.stdin is not None
    client.stdin.write(half)
    client.stdin.flush()
    server.kill9()
    left(client)
    assert helpers(server) and len(volumes(server, "gitship.app=cut")) == 2
    server.start()
    wait_until(lambda: not helpers(server) and volumes(server, "gitship.app=cut") == [volume], 15, "it is cleared up")
    assert sh(server, "cut", "cat /keep/mine") == "mine\n"


def test_a_volume_that_is_gone_from_docker_is_named_and_not_made_empty(server: Server, module_base: Path) -> None:
    server.push_ok(make(module_base, "gone"), "gone")
    ok(server, "storage:mount", "gone", "data:/keep")
    ok(server, "ps:stop", "gone")
    [volume] = volumes(server, "gitship.app=gone")
    wait_until(lambda: not server.containers("gitship.app=gone"), 20, "its containers have ended")
    docker_cli.docker(server.docker_host, "volume", "rm", volume)
    said = "the volume 'data' no longer exists in Docker"
    for words in (("ps:start", "gone"), ("run", "gone", BUSYBOX, "true"), ("storage:export", "gone", "data")):
        assert said in refused(server, *words)
    assert volumes(server, "gitship.app=gone") == []
    backup = tar_of(seed=b"of a backup\n")
    assert piped(server, "storage:import", "gone", "data", "--replace", stdin=backup).returncode == 0
    ok(server, "ps:start", "gone")
    assert sh(server, "gone", "cat /keep/seed") == "of a backup\n"


def test_directories_of_the_host_are_for_admins_and_below_the_list(
    server: Server, module_base: Path, shared: Path
) -> None:
    deployer = make_key(module_base / "deployer_ed25519")
    public = deployer.with_suffix(".pub").read_text().strip()
    ok(server, "keys:add", "deployer", "--role", "deployer", f"'{public}'")
    server.push_ok(make(module_base, "host"), "host")
    photos, out = shared / "photos", shared / "out"
    for key, spec, said in (
        (deployer, f"{photos}:/photos", "no permission"),
        (deployer, f"{photos}:/photos", "needs the role admin"),
        (None, f"{out}:/photos", "not below an allowed directory"),
        (None, f"{shared}/../private:/photos", "'..'"),
        (None, f"{module_base}/private:/photos", "not below"),
        (None, "/:/photos", "not below"),
        (None, f"{shared}/nothing:/photos", "no directory"),
        (None, f"{module_base}/shared-not:/photos", "not below"),
    ):
        assert said in refused(server, "storage:mount", "host", spec, key=key)
    assert shown(server, "host") == []
    ok(server, "storage:mount", "host", f"{photos}:/photos", "--read-only")
    assert sh(server, "host", "cat /photos/cat; touch /photos/dog 2> /dev/null || echo refused") == "meow\nrefused\n"
    [row] = shown(server, "host")
    assert (row["kind"], row["name"], row["source"], row["mounted"]) == ("host", None, str(photos), True)

    assert "keeps serving, unchanged" in refused(server, "storage:mount", "host", f"{photos}:/bin")  # no busybox there
    assert [row["path"] for row in shown(server, "host")] == ["/photos"]

    photos.rename(shared / "moved")  # as another app could do that has the directory above
    photos.symlink_to(module_base / "private")
    assert "not below an allowed directory" in refused(server, "ps:restart", "host")
    assert "not below" in refused(server, "run", "host", BUSYBOX, "true")
    assert server.get("host").status == 200
    photos.unlink()
    (shared / "moved").rename(photos)
    ok(server, "ps:restart", "host")
    ok(server, "storage:unmount", "host", "/photos")
    assert (photos / "cat").read_text() == "meow\n"


def test_a_directory_that_an_admin_took_away_comes_back_by_no_road(
    server: Server, module_base: Path, shared: Path
) -> None:
    server.push_ok(make(module_base, "taken"), "taken")
    pair = f"{shared / 'photos'}:/photos"
    ok(server, "storage:mount", "taken", pair)  # v2
    assert sh(server, "taken", "cat /photos/cat") == "meow\n"
    ok(server, "storage:unmount", "taken", "/photos")  # v3
    refused(server, "releases:rollback", "taken", "v2")
    [(reason, way)] = server.database("SELECT reason, hint FROM deploys ORDER BY id DESC LIMIT 1")
    assert reason == f"v2 mounts the host directory {shared / 'photos'} at /photos, which taken may no longer use"
    assert f"storage:mount taken {pair}; without it: git:deploy taken " in way
    assert mounted(server, "taken") == [m for m in mounted(server, "taken") if m[1] != "/photos"]
    ok(server, *way.partition("without it: ")[2].split())  # the old commit, with what the app has now
    assert not any(path == "/photos" for _, path in mounted(server, "taken"))

    ok(server, "storage:mount", "taken", pair)
    ok(server, "storage:unmount", "taken", "/photos", "--no-restart")
    assert "which taken may no longer use" in refused(server, "run", "taken", BUSYBOX, "true")
    assert "v5 keeps serving, unchanged" in refused(server, "ps:scale", "taken", "web=2")
    wait_to_be(lambda: len(server.containers("gitship.app=taken", "gitship.process=web")), 1)
    [name] = server.containers("gitship.app=taken", "gitship.process=web")
    docker_cli.docker(server.docker_host, "rm", "-f", name)
    wait_until(lambda: f"{name}: v5 mounts the host directory" in server.logs, 20, "the repair is refused")
    assert server.containers("gitship.app=taken", "gitship.process=web") == []
    ok(server, "ps:restart", "taken")
    assert server.get("taken").status == 200
    assert not any(path == "/photos" for _, path in mounted(server, "taken"))
