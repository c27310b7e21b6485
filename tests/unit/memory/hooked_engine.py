"""Docker in memory, as far as the reconciler and who destroys an app need it, with a hook before each call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from gitship.engine.types import ContainerSpec, ContainerState, Image, LogLine
from gitship.errors import Conflict, EngineError, GitshipError, NotFound
from gitship.model import Mount
from tests.unit.memory.volumes import MemoryVolumes


class SwappedVolumes(MemoryVolumes):
    """``swapped`` are directories that have become links."""

    def __init__(self) -> None:
        super().__init__()
        self.swapped: set[str] = set()

    def ensure_usable(self, mount: Mount, beside: Sequence[Mount] = ()) -> None:
        if mount.source in self.swapped:
            raise GitshipError(f"{mount.source} has become a symbolic link")


class HookedImages:
    def __init__(self, hook: Callable[[str, object], None]) -> None:
        self.gone: list[str] = []
        self._hook = hook

    def inspect(self, image_id: str) -> Image:
        return Image(image_id, 1)

    def tag(self, image_id: str, name: str) -> None:
        pass

    def remove(self, image_id: str, mine: object, *, untagged: bool) -> bool:
        self._hook("images.remove", image_id)
        self.gone.append(image_id)
        return True


class HookedEngine:
    """Networks refuse to go while a container is in them. ``before[call]`` is called with each such call's argument."""

    def __init__(self) -> None:
        self.containers: dict[str, ContainerState] = {}
        self.networks: dict[str, str] = {}
        self.network_of: dict[str, str] = {}
        self.made: list[str] = []
        self.before: dict[str, Callable[[object], None]] = {}
        self.down = False
        self.volumes = SwappedVolumes()
        self.images = HookedImages(self._hook)

    def _hook(self, call: str, about: object = None) -> None:
        if self.down:
            raise EngineError("Docker does not answer", "start it")
        if call in self.before:
            self.before[call](about)

    def ping(self) -> str:
        self._hook("ping")
        return "1"

    def ensure_network(self, name: str, subnet: str, labels: Mapping[str, str]) -> bool:
        self._hook("ensure_network", name)
        self.networks[name] = subnet
        return True

    def remove_network(self, name: str) -> None:
        self._hook("remove_network", name)
        if name in self.network_of.values():
            raise Conflict(f"network {name} is in use", "remove its containers first")
        self.networks.pop(name, None)

    def create(self, spec: ContainerSpec) -> str:
        self._hook("create", spec)
        if spec.network not in self.networks:
            raise EngineError(f"network {spec.network} not found")
        made = f"{spec.name}#{len(self.made)}"
        self.made.append(spec.name)
        self.containers[made] = ContainerState(made, spec.name, spec.labels, "created", address=spec.address or "")
        self.network_of[made] = spec.network
        return made

    def start(self, container_id: str) -> None:
        self._hook("start", container_id)
        self.containers[container_id] = replace(self.inspect(container_id), status="running")

    def leave_down(self, container_id: str) -> None:
        self._hook("leave_down", container_id)

    def stop(self, container_id: str, timeout_s: float) -> None:
        self._hook("stop", container_id)
        if container_id in self.containers:
            self.containers[container_id] = replace(self.containers[container_id], status="exited")

    def changed(self, container_id: str) -> Mapping[str, bool]:
        return {}

    def remove(self, container_id: str) -> None:
        self._hook("remove", container_id)
        self.containers.pop(container_id, None)
        self.network_of.pop(container_id, None)

    def inspect(self, container_id: str) -> ContainerState:
        if container_id not in self.containers:
            raise NotFound("no container")
        return self.containers[container_id]

    def list(self, labels: Mapping[str, str]) -> Iterable[ContainerState]:
        found = [s for s in self.containers.values() if labels.items() <= s.labels.items()]
        self._hook("list", labels)  # after it was made: what happens now is not in it
        return found

    def logs(self, container_id: str, **how: object) -> Iterator[LogLine]:
        return iter(())

    def names(self) -> Sequence[str]:
        return sorted(state.name for state in self.containers.values())
