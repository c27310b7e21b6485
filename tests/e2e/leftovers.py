"""What a server has beside its apps once nothing is under way, beyond what ``agreement`` looks at."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from docker import APIClient

from gitship.config import load
from gitship.front.app_vcl import LABEL_PREFIX, UNAVAILABLE
from gitship.front.vcl_labels import targets
from tests.e2e import docker_cli
from tests.e2e.agreement import control_of
from tests.e2e.harness import Server

KEPT = 5  # ``deploy.keep_releases``
_BACKEND = re.compile(r"^(app_\S+?)\.\S+ ", re.M)


def leftovers(server: Server) -> list[str]:
    """Sentences about what nobody needs, and what is needed and not there; none when all is well."""
    parts = (_store, _networks, _volumes, _mounts, _images, _varnish, _files, _children)
    return [line for part in parts for line in part(server)]


def _store(server: Server) -> Iterator[str]:
    for (row,) in server.database("PRAGMA integrity_check"):
        if row != "ok":
            yield f"the database: {row}"
    for table, *_ in server.database("PRAGMA foreign_key_check"):
        yield f"the database: a row of {table} belongs to nothing"
    sql = (
        "SELECT a.name, s.name FROM settings s JOIN apps a ON a.id = s.app_id"
        " WHERE s.name IN ('destroying', 'renaming') OR s.name LIKE 'volume-discarded.%'"
    )
    for app, name in server.database(sql):
        yield f"{app} still has the setting {name}"
    refs = (
        "SELECT a.name, r.commit_sha, a.deploy_branch FROM apps a JOIN releases r ON r.id = a.live_release"
        " WHERE r.id NOT IN (SELECT release_id FROM deploys WHERE kind <> 'push' AND release_id IS NOT NULL)"
    )
    for app, commit, branch in server.database(refs):
        if server.server_ref(app, f"refs/heads/{branch}") != commit:
            yield f"{branch} of {app} is not at the live commit {commit}"


def _apps(server: Server) -> dict[int, str]:
    return {int(number): str(name) for number, name in server.database("SELECT id, name FROM apps")}


def _named(server: Server, kind: str) -> set[str]:
    return set(docker_cli.names(server.docker_host, kind, f"gitship.server={server.server_id()}"))


def _networks(server: Server) -> Iterator[str]:
    """One for each app that has had a container; gitship may have been killed before it wrote down which."""
    prefix = f"gitship-{server.server_id()}-"
    allowed = {f"{prefix}{number}" for number in _apps(server)}
    needed = {f"{prefix}{number}" for (number,) in server.database("SELECT app_id FROM containers")}
    there = _named(server, "network")
    yield from (f"network {name} is left" for name in there - allowed)
    yield from (f"network {name} is missing" for name in needed - there)


def _volumes(server: Server) -> Iterator[str]:
    rows = server.database("SELECT value FROM settings WHERE name LIKE 'volume.%'")
    wanted, there = {str(json.loads(value)) for (value,) in rows}, _named(server, "volume")
    yield from (f"volume {name} is left" for name in there - wanted)
    yield from (f"volume {name} is missing" for name in wanted - there)


def _mounts(server: Server) -> Iterator[str]:
    """Each live container has the mounts of its release."""
    sql = "SELECT c.name, c.docker_id, r.processes FROM containers c JOIN releases r ON r.id = c.release_id"
    with closing(APIClient(server.docker_host, version="auto")) as client:
        for name, docker_id, processes in server.database(sql):
            mounts = [m for p in json.loads(processes) if p["type"] == "web" for m in p.get("mounts", ())]
            wanted = sorted((m["volume"], m["path"]) for m in mounts)
            found = sorted((m.get("Name"), m["Destination"]) for m in client.inspect_container(docker_id)["Mounts"])
            if found != wanted:
                yield f"{name} mounts {found}, its release {wanted}"


def _images(server: Server) -> Iterator[str]:
    """Exactly the images that can be gone back to."""
    kept: set[str] = set()
    for number in _apps(server):
        good = (
            "SELECT image_id FROM releases WHERE app_id = ? AND id IN"
            " (SELECT release_id FROM deploys WHERE state = 'live') ORDER BY number DESC LIMIT ?"
        )
        live = "SELECT r.image_id FROM releases r JOIN apps a ON a.live_release = r.id WHERE a.id = ?"
        kept |= {str(i) for (i,) in (*server.database(good, number, KEPT), *server.database(live, number))}
    own = f"{server.server_id()}-"
    with closing(APIClient(server.docker_host, version="auto")) as client:
        rows = [
            *client.images(filters={"label": f"gitship.server={server.server_id()}"}),
            *client.images(filters={"reference": f"gitship/*:{own}*"}),
        ]
    there = {str(row["Id"]): row["RepoTags"] or [] for row in rows}
    yield from (f"image {image[:19]} {there[image]} is left" for image in there.keys() - kept)
    yield from (f"image {image[:19]} is missing" for image in kept - there.keys())
    deploys = {int(number) for (number,) in server.database("SELECT id FROM deploys")}
    for tag in sorted({tag for tags in there.values() for tag in tags}):
        _, _, word = tag.rpartition(":")
        if not word.startswith(own) or int(word.split("-")[1]) not in deploys:
            yield f"tag {tag} is left"


def _varnish(server: Server) -> Iterator[str]:
    """Labels and VCLs on the disk of apps alone, and backends of what serves."""
    with closing(control_of(server)) as control:
        loaded = control.loaded()
        backends = set(_BACKEND.findall(control.ask("backend.list *.*").text))
    slugs = {name.replace(".", "_") for name in _apps(server).values()}
    # that of an app that is gone leads to a page, and goes once no table of hosts from before is busy
    labels = {name: target for name, target in targets(loaded).items() if target != UNAVAILABLE}
    yield from (f"label {LABEL_PREFIX}{name} is left" for name in labels.keys() - slugs)
    yield from (f"{name} has no label" for name in slugs - labels.keys())
    yield from (f"backends of {name} are left" for name in backends - set(labels.values()))
    there = {vcl.name for vcl in loaded}
    for path in load(server.config).varnish_dir.glob("apps/*.vcl"):
        if path.stem not in there:
            yield f"{path.name} is left on the disk"


def _files(server: Server) -> Iterator[str]:
    wanted = {f"app_{number}" for number in _apps(server)}
    for path in (server.data_dir / "logs").iterdir():
        if path.name not in wanted:
            yield f"the logs {path.name} are left"
    known = {"hooks", "repos", "logs", "certs", "tls", "varnish", "copies"}
    for path in server.data_dir.iterdir():
        if path.is_dir() and path.name not in known and any(path.iterdir()):
            yield f"the directory {path.name} is left with {[child.name for child in path.iterdir()][:5]}"


def _children(server: Server) -> Iterator[str]:
    """Processes that work for this server, and are not of its own."""
    own = re.compile(r"varnishd|varnishncsa|haproxy|gitship\.cli serve|tests\.e2e\.(forks|load)")
    for pid, line in server.processes().items():
        if not own.search(line):
            yield f"process {pid} is left: {line[:200]}"
    pids = {pid for pid, line in server.processes().items() if "gitship" in line}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = entry.read_text().rpartition(")")
            if int(rest.split()[1]) in pids and re.search(r"\((git|ssh|docker)", name):
                yield f"a child is left: {name})"
        except (OSError, IndexError, ValueError):  # it has ended just now
            continue
