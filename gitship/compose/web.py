"""Which process of a Compose file visitors reach, and by which port."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gitship.compose import values
from gitship.compose.keys import Findings
from gitship.compose.ports import PublishedPort
from gitship.compose.service import ReadService
from gitship.errors import ConfigError, GitshipError
from gitship.model import WEB
from gitship.schema import Value

HTTP, HTTPS = 80, 443
FRONTS = ("front", "web", "proxy", "nginx", "client")  # the browser's way in, where several have a port
# Ports of the server that speak something else by custom: SSH, mail, names, queues, databases and debuggers.
NOT_HTTP = frozenset({
    21, 22, 25, 53, 110, 143, 389, 465, 587, 636, 993, 995, 1025, 1433, 1521, 1883, 2181, 3306, 4222, 5005, 5432, 5671,
    5672, 5678, 6379, 6380, 7687, 8883, 9042, 9092, 9229, 9230, 9300, 11211, 27017, 27018, 33060,
})  # fmt: skip
NOBODY = "none"
MOST_NAMED = 5  # ports of one service, in a note


@dataclass(frozen=True, slots=True)
class WrittenWeb:
    """`x-gitship: web`: a service and, it may be, a port."""

    value: Value
    service: str
    port: int | None = None


def choose_web(
    services: Iterable[ReadService], written: WrittenWeb | None, found: Findings, file: str
) -> tuple[str, int | None]:
    """The service's name, "" for none, and its port, None for what its image says.

    ``services`` are those that stay up and are no databases. Ports of the server that nobody gets are noted. Raises
    ConfigError when it cannot be told.
    """
    by_name = {service.name: service for service in services}
    if written is not None and written.service == NOBODY and NOBODY not in by_name:
        chosen, port = None, None
    elif written is not None:
        if written.service not in by_name:
            raise written.value.error("must name a service that stays up, and is no database", _known(by_name))
        chosen = by_name[written.service]
        port = written.port or _port(chosen, file)
    else:
        chosen = _most_likely(list(by_name.values()), file)
        port = _port(chosen, file) if chosen else None
    for service in by_name.values():
        _note_others(service, port if service is chosen else None, service is chosen, found)
    if chosen is None and written is None and by_name:
        first = next(iter(by_name.values()))
        text = (
            f"publishes a port, so nothing is reached from outside: x-gitship: {{web: {first.name}}} would change that"
        )
        found.note(first.value, "no service", text)
    return (chosen.name if chosen else ""), port


def _known(services: Iterable[str]) -> str:
    return f"the file has: {', '.join(services)}; or write none"


def _most_likely(services: list[ReadService], file: str) -> ReadService | None:
    """The one that publishes the port of HTTP; else the one that publishes any; else the one that exposes one."""
    for candidates in (
        [s for s in services if any(p.http for p in s.ports)],
        [s for s in services if any(p.host in (HTTP, HTTPS) and not p.local for p in s.ports)],
        [s for s in services if any(not p.local for p in _tcp(s))],
        [s for s in services if _tcp(s)],
        [s for s in services if set(s.container.ports) - NOT_HTTP],
        [s for s in services if s.name == WEB],
    ):
        if len(candidates) == 1:
            return candidates[0]
        if candidates:
            raise _ambiguous(file, [s.name for s in candidates], min(candidates, key=_unlikely))
    return None


def _tcp(service: ReadService) -> list[PublishedPort]:
    """Those that may speak HTTP."""
    return [p for p in service.ports if p.protocol == "tcp" and (p.http or p.container not in NOT_HTTP)]


def _unlikely(service: ReadService) -> int:
    """0 for the one to propose, by its name: the first among equals."""
    return 0 if any(word in service.name.lower() for word in FRONTS) else 1


def _ambiguous(file: str, names: list[str], first: ReadService) -> GitshipError:
    place = first.value.places.get(f"{first.value.path}.ports", first.value.place)
    return ConfigError(
        f"{place}: {', '.join(names[:-1])} and {names[-1]} publish a port, and one of them only is the web process",
        f"say which, at the top of {file}: x-gitship: {{web: {first.name}}}",
    )


def _port(service: ReadService, file: str) -> int | None:
    """The port in the container that speaks HTTP. Raises ConfigError when it may be any of several."""
    ports: dict[int, PublishedPort] = {}
    for port in _tcp(service):
        ports.setdefault(port.container, port)
    if not ports:
        exposed = [port for port in service.container.ports if port not in NOT_HTTP]
        return exposed[0] if len(exposed) == 1 else None
    for likely in (
        [p for p in ports.values() if p.http],
        [p for p in ports.values() if p.host == HTTP],
        [p for p in ports.values() if p.container == HTTP],
        [p for p in ports.values() if p.container != HTTPS and p.host != HTTPS],
        list(ports.values()),
    ):
        if len(likely) == 1:
            return likely[0].container
        if likely:
            break
    raise ConfigError(
        f"{likely[0].value.place}: {service.name} publishes {len(likely)} ports, and visitors come to one",
        f"say which, at the top of {file}: x-gitship: {{web: '{service.name}:{likely[0].container}'}}",
    )


def _note_others(service: ReadService, port: int | None, web: bool, found: Findings) -> None:
    foreign = {other.value.path: other for other in service.ports if other.protocol != "tcp"}  # a range is one
    for other in foreign.values():
        reason = f"visitors reach no port of {other.protocol[:10]}"
        hint = "an app answers HTTP; other protocols need a server of their own"
        found.add(values.refused(other.value, reason, hint))
    rest = [p for p in service.ports if p.protocol == "tcp" and not (web and p.container == port)]
    if web and any(HTTPS in (p.host, p.container) for p in rest):
        found.note(rest[0].value, "port 443", "is not opened: gitship does HTTPS itself", service.name)
        rest = [p for p in rest if HTTPS not in (p.host, p.container)]
    if rest:
        numbers = [str(p.host or p.container) for p in rest]
        more = f" and {len(numbers) - MOST_NAMED} more" if len(numbers) > MOST_NAMED else ""
        text = "not opened on the server: other services reach it by its name"
        found.note(rest[0].value, f"port {', '.join(numbers[:MOST_NAMED])}{more}", text, service.name)
