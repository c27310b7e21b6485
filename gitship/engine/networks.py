"""Docker networks, each with the subnet that gitship allocated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from docker import APIClient
from docker import errors as docker_errors
from docker.types import IPAMConfig, IPAMPool

from gitship.engine.errors import conflict
from gitship.engine.types import LABEL_SERVER
from gitship.errors import Conflict


def ensure(docker: APIClient, name: str, subnet: str, labels: Mapping[str, str]) -> bool:
    """See ``Engine.ensure_network``; an own network with another subnet is replaced when nothing is in it."""
    found = _find(docker, name)
    if found is not None:
        if _subnet(found) == subnet:
            return True
        # the other labels tell what the app was called when it was made
        if (found.get("Labels") or {}).get(LABEL_SERVER) != labels.get(LABEL_SERVER):
            raise Conflict(
                f"a network named {name} exists that gitship did not create", f"remove it: `docker network rm {name}`"
            )
        remove(docker, name)
    try:
        docker.create_network(
            name,
            driver="bridge",
            check_duplicate=True,
            labels=dict(labels),
            ipam=IPAMConfig(pool_configs=[IPAMPool(subnet=subnet)]),
        )
    except docker_errors.APIError as error:
        found = _find(docker, name)
        if found is not None and _subnet(found) == subnet:
            return True  # somebody else made it in the same moment
        if "overlap" in str(error.explanation):
            return False
        raise
    return True


def remove(docker: APIClient, name: str) -> None:
    """Nothing happens when it is gone already. Raises Conflict while containers are in it."""
    try:
        docker.remove_network(name)
    except docker_errors.NotFound:
        return
    except docker_errors.APIError as error:
        if "active endpoints" not in str(error.explanation):
            raise
        raise Conflict(f"network {name} is in use", "remove its containers first") from error


def names(docker: APIClient, labels: Mapping[str, str]) -> list[str]:
    """See ``Engine.networks``."""
    found = docker.networks(filters={"label": [f"{name}={value}" for name, value in labels.items()]})
    return [str(network["Name"]) for network in found]


def with_ipv6(docker: APIClient, labels: Mapping[str, str]) -> list[str]:
    """Names of those, and of the engine's default one, that have IPv6: an engine may be set up to give it to all."""
    own = docker.networks(filters={"label": [f"{name}={value}" for name, value in labels.items()]})
    default = [network for network in docker.networks(names=["bridge"]) if network["Name"] == "bridge"]
    return sorted(str(network["Name"]) for network in (*own, *default) if network.get("EnableIPv6"))


def connect(docker: APIClient, container_id: str, network: str, address: str, hosts: Sequence[str]) -> None:
    """See ``Engine.connect``."""
    try:
        docker.connect_container_to_network(container_id, network, ipv4_address=address, aliases=list(hosts))
    except docker_errors.APIError as error:
        if "already exists in network" in str(error.explanation):
            return
        raise conflict("", error) or error from None


def disconnect(docker: APIClient, container_id: str, network: str) -> None:
    """See ``Engine.disconnect``."""
    try:
        docker.disconnect_container_from_network(container_id, network, force=True)
    except docker_errors.NotFound:
        return
    except docker_errors.APIError as error:
        if "is not connected to" not in str(error.explanation):
            raise


def _find(docker: APIClient, name: str) -> dict[str, Any] | None:
    # Docker's filter by name matches parts of names
    found: list[dict[str, Any]] = docker.networks(names=[name])
    return next((network for network in found if network["Name"] == name), None)


def _subnet(network: Mapping[str, Any]) -> str:
    pools = (network.get("IPAM") or {}).get("Config") or []
    return str(pools[0].get("Subnet", "")) if pools else ""
