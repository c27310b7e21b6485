"""Whether the store, Docker, Varnish and the disk of a server say the same: they do whenever nothing is under way."""

from __future__ import annotations

import re
from contextlib import closing

from docker import APIClient

from gitship.config import load
from gitship.errors import FrontError
from gitship.front.varnish_cli import LoadedVcl, VarnishCli
from gitship.front.varnish_service import VarnishService
from gitship.front.vcl_labels import targets
from tests.e2e.harness import Server
from tests.waiting import wait_until

_BACKEND = re.compile(r"^backend (?!socket_|any_)\w+ \{\n\s*\.host = \"([0-9.]+)\";\n\s*\.port = \"(\d+)\";", re.M)
_OWN_VCL = re.compile(r"app_.*_v\d+_\d+")


def disagreements(server: Server) -> list[str]:
    """Sentences about what does not fit together, or is left over; none when all is well."""
    try:
        routes = _routes(server)
    except FrontError as error:
        routes = [error.message]
    return [*unfinished(server), *_containers(server), *routes, *_repositories(server), *_addresses(server)]


def await_agreement(server: Server, timeout_s: float = 40.0) -> None:
    """Returns when everything agrees. AssertionError with what does not."""
    found: list[str] = []

    def agreed() -> bool:
        found[:] = unfinished(server) or disagreements(server)  # the first costs little
        return not found

    try:
        wait_until(agreed, timeout_s, "all agree", every_s=0.1)
    except AssertionError as error:
        raise AssertionError("\n".join([str(error), *found, "--- gitship serve", server.logs[-4000:]])) from None


def unfinished(server: Server) -> list[str]:
    sql = (
        "SELECT a.name, d.id, d.state FROM deploys d JOIN apps a ON a.id = d.app_id"
        " WHERE d.state NOT IN ('live', 'failed', 'canceled', 'superseded')"
    )
    return [f"{app}: deploy {number} is {state}" for app, number, state in server.database(sql)]


def _containers(server: Server) -> list[str]:
    """Exactly the containers of the live releases, running under their addresses."""
    wanted = {
        (str(i), str(name), str(address)): (app, release, live)
        for i, name, address, app, release, live in server.database(
            "SELECT c.docker_id, c.name, c.address, a.name, c.release_id, a.live_release"
            " FROM containers c JOIN apps a ON a.id = c.app_id"
        )
    }
    wrong = [
        f"{name} is of release {release}, live is {live}"
        for (_, name, _), (_, release, live) in wanted.items()
        if release != live
    ]
    client = APIClient(server.docker_host, version="auto")
    try:
        rows = client.containers(all=True, filters={"label": [f"gitship.server={server.server_id()}"]})
    finally:
        client.close()
    there = set()
    for row in rows:
        name = row["Names"][0].removeprefix("/")
        address = next((n["IPAddress"] for n in row["NetworkSettings"]["Networks"].values()), "")
        there.add((row["Id"], name, address))
        if row["State"] != "running":
            wrong.append(f"{name} is {row['State']}")
    wrong += [f"container {name} ({address}) is missing" for _, name, address in wanted.keys() - there]
    return wrong + [f"container {name} ({address}) is left" for _, name, address in there - wanted.keys()]


def loaded_vcls(server: Server) -> list[LoadedVcl]:
    """All that Varnish has loaded, labels too."""
    with closing(control_of(server)) as control:
        return control.loaded()


def panic(server: Server) -> str:
    """What Varnish says of its worker's last death by its own hand."""
    with closing(control_of(server)) as control:
        return control.ask("panic.show").text


def control_of(server: Server) -> VarnishCli:
    settings = load(server.config)
    return VarnishService(settings.http.listen, settings.varnish_dir, settings.varnish.cache_bytes, lambda: ()).control


def _routes(server: Server) -> list[str]:
    """Each app's label leads to its live web containers, and no VCL is loaded for nothing."""
    with closing(control_of(server)) as control:
        loaded = control.loaded()
        labels = targets(loaded)
        texts = {target: control.text(target) for target in labels.values()}
    wrong = []
    for app, app_id in server.database("SELECT name, id FROM apps"):
        rows = server.database(
            "SELECT address, port FROM containers WHERE app_id = ? AND process = 'web' AND port IS NOT NULL", app_id
        )
        wanted = sorted((str(address), str(port)) for address, port in rows)
        target = labels.get(str(app).replace(".", "_"))
        found = sorted(_BACKEND.findall(texts.get(target or "", "")))
        if found != wanted:
            wrong.append(f"Varnish leads {app} to {found} by {target}, live is {wanted}")
    serving = set(labels.values())
    wrong += [
        f"VCL {vcl.name} is loaded and serves nobody"
        for vcl in loaded
        if _OWN_VCL.fullmatch(vcl.name) and vcl.name not in serving and not vcl.discarded
    ]
    return wrong


def _repositories(server: Server) -> list[str]:
    apps = {str(name) for (name,) in server.database("SELECT name FROM apps")}
    there = {path.name.removesuffix(".git") for path in (server.data_dir / "repos").iterdir()}
    wrong = [f"repository {name} without an app, or the other way round" for name in apps ^ there]
    return wrong + [f"{app}: {name} is left" for app in apps for name in server.leftovers(app)]


def _addresses(server: Server) -> list[str]:
    """An address is taken for as long as its container is there."""
    taken = {str(name) for (name,) in server.database("SELECT owner FROM addresses WHERE released_at IS NULL")}
    live = {str(name) for (name,) in server.database("SELECT name FROM containers")}
    return [f"an address is taken by {name}, which is not live" for name in taken - live]


def images_left(server: Server) -> list[str]:
    """Images of this server that no release has."""
    client = APIClient(server.docker_host, version="auto")
    try:
        rows = client.images(filters={"label": f"gitship.server={server.server_id()}"})
    finally:
        client.close()
    released = {str(image) for (image,) in server.database("SELECT image_id FROM releases")}
    return [f"image {row['Id'][:19]} {row['RepoTags']} is left" for row in rows if row["Id"] not in released]
