"""Options of a service that refer to nothing else: health check, capabilities, sysctls, hosts, labels, tmpfs."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from gitship.appfiles.mounts import RESERVED, RESERVED_FILES
from gitship.compose import values
from gitship.compose.keys import Findings, by_name, honoured, read_keys
from gitship.compose.model import ComposeHealthcheck, TemporaryDirectory
from gitship.engine.hardening import ADDABLE, KEPT
from gitship.schema import Value

# Those that Kubernetes calls safe: of the container's own network or memory, and no way round the firewall.
SYSCTLS = (
    "kernel.shm_rmid_forced", "net.core.somaxconn", "net.ipv4.ip_local_port_range", "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ping_group_range", "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_max_syn_backlog", "net.ipv4.tcp_rmem", "net.ipv4.tcp_syncookies", "net.ipv4.tcp_tw_reuse",
    "net.ipv4.tcp_wmem",
)  # fmt: skip
TMPFS_OPTIONS = re.compile(r"(?:size=[0-9]+[kmgKMG]?|mode=[0-7]{3,4}|[ug]id=[0-9]{1,9}|rw|noexec|exec|nosuid|nodev)")
HOST_GATEWAY = "host-gateway"
RESERVED_LABELS = ("gitship.", "com.docker.")  # what names a container's app, or whom it belongs to

HEALTHCHECK = by_name(
    honoured("test", "a command that exits 0: a text for the shell, or a list after CMD or CMD-SHELL; NONE for none"),
    honoured("interval", "time between two attempts", values.duration_s),
    honoured("timeout", "time for one attempt", values.duration_s),
    honoured("retries", "attempts that may fail in a row", lambda v: values.whole(v, 0, 10_000)),
    honoured("start_period", "time for the start, in which no failure counts", values.duration_s),
    honoured("start_interval", "time between two attempts meanwhile", values.duration_s),
    honoured("disable", "true: no check, also not the image's", values.flag),
)


def read_healthcheck(value: Value) -> ComposeHealthcheck:
    """Raises ComposeRefused or ConfigError."""
    found = Findings()
    read = read_keys(value, HEALTHCHECK, found)
    test = found.attempt(None, _test, read.pop("test", None))
    found.ensure_none()
    if read.pop("disable", False):
        test = ()
    return ComposeHealthcheck(test, **{key if key == "retries" else f"{key}_s": one for key, one in read.items()})


def _test(value: Value | None) -> tuple[str, ...] | None:
    if value is None:
        return None
    if not isinstance(value.raw, list):
        return ("CMD-SHELL", values.text(value)) if values.text(value).strip() else None
    words = values.texts(value)
    if not words:
        return None
    if words[0] == "NONE":
        return ()
    if words[0] not in ("CMD", "CMD-SHELL") or len(words) < 2:
        hint = 'for instance ["CMD", "curl", "-f", "http://localhost"]'
        raise value.error("must begin with CMD and a program, with CMD-SHELL and a text, or be NONE", hint)
    return words


def read_capabilities(value: Value) -> tuple[str, ...]:
    """Those beyond what every container has. Raises ConfigError for one that nobody gets."""
    found = []
    for item in value.items():
        name = values.text(item).strip().upper().removeprefix("CAP_")
        if name not in KEPT and name not in ADDABLE:
            hint = f"an admin can give {', '.join(ADDABLE)}; or give the service `profiles: [local]`"
            raise values.refused(item, f"{name[:40]} reaches out of the container", hint)
        if name not in KEPT:
            found.append(name)
    return tuple(dict.fromkeys(found))


def read_dropped(value: Value) -> tuple[str, ...]:
    """As Docker names them; ALL for all. Raises ConfigError."""
    names = [values.text(item).strip().upper().removeprefix("CAP_") for item in value.items()]
    for item, name in zip(value.items(), names, strict=True):
        if not re.fullmatch(r"[A-Z][A-Z_]{1,30}", name):
            raise item.error("must be a capability", "for instance NET_RAW, or ALL")
    return tuple(dict.fromkeys(names))


def read_sysctls(value: Value) -> dict[str, str]:
    """Raises ConfigError for one that is not known to be safe."""
    found = {}
    for name, setting in values.pairs(value).items():
        if name not in SYSCTLS:
            raise values.refused(value, f"{name[:60]} is not a parameter that apps set", f"known: {', '.join(SYSCTLS)}")
        if setting is None or not re.fullmatch(r"[0-9]{1,10}(?:[ \t,-]+[0-9]{1,10}){0,9}", setting):
            raise value.error(f"must have numbers for {name}", "for instance net.core.somaxconn: 1024")
        found[name] = setting
    return found


def read_extra_hosts(value: Value) -> dict[str, tuple[str, ...]]:
    """Addresses by name. Raises ConfigError for the server's own."""
    found: dict[str, list[str]] = {}
    for one, name, address in _hosts(value):
        if not re.fullmatch(r"[A-Za-z0-9_.-]{1,253}", name):
            raise one.error("must be NAME=ADDRESS", 'for instance "somehost=162.242.195.82"')
        if address == HOST_GATEWAY:
            raise values.refused(one, "an app does not reach the server itself", "use a service's name; or remove it")
        try:
            ipaddress.ip_address(address)
        except ValueError:
            raise one.error("must be NAME=ADDRESS", 'for instance "somehost=162.242.195.82"') from None
        found.setdefault(name, []).append(address)
    return {name: tuple(dict.fromkeys(addresses)) for name, addresses in found.items()}


def _hosts(value: Value) -> Iterator[tuple[Value, str, str]]:
    if isinstance(value.raw, dict):
        for name, one in value.table().items():
            for item in one.items() if isinstance(one.raw, list) else [one]:
                yield one, name, values.text(item).strip("[]")
        return
    for one in value.items():
        written = values.text(one)
        name, separator, address = written.partition("=")
        if not separator:
            name, separator, address = written.partition(":")
        yield one, name, address.strip("[]")


def read_labels(value: Value) -> dict[str, str]:
    """Raises ConfigError for one that says what only gitship or Docker says."""
    found = {name: text or "" for name, text in values.pairs(value).items()}
    for name in found:
        if name.lower().startswith(RESERVED_LABELS):
            raise values.refused(value, f"{name[:60]} is a label that only gitship and Docker set", "remove it")
    return found


def read_tmpfs(value: Value) -> tuple[TemporaryDirectory, ...]:
    return tuple(_tmpfs(value, word) for word in values.texts(value))


def _tmpfs(value: Value, text: str) -> TemporaryDirectory:
    path, _, options = text.partition(":")
    for option in filter(None, options.split(",")):
        if not TMPFS_OPTIONS.fullmatch(option):
            raise value.error(f"has an unknown option {option[:40]}", "for instance /data:size=64m,mode=1777")
    return TemporaryDirectory(container_path(value, path), options)


def container_path(value: Value, text: str) -> str:
    """An absolute path in a container, without a slash at its end, and nowhere that the kernel keeps."""
    path = re.sub(r"/+", "/", text).rstrip("/")
    if not path.startswith("/") or len(path) > 1024 or not path.isprintable() or "/../" in f"{path}/":
        raise value.error("must be an absolute path in the container, below /", "for instance /data")
    below = any(f"{path}/".startswith(f"{root}/") for root in RESERVED)
    if (below and path != "/dev/shm") or path in RESERVED_FILES:  # noqa: S108
        raise value.error(f"must not be {path}, which is the system's", "choose another path, for instance /data")
    return path
