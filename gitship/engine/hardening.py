"""Security options of containers: capabilities, privileges, read-only root file system. Pure.

Docker gives 14 of the kernel's capabilities to every container. A web application needs the eight that are kept here:
its entry point changes owners and modes, becomes another user, ends its children and listens below 1024. What goes:
NET_RAW (forged packets; `ping` works without), MKNOD, SYS_CHROOT, SETPCAP, SETFCAP, AUDIT_WRITE (sudo, cron, sshd).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gitship.engine.types import ContainerSpec

KEPT = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID")
# What an app can be given back. None of these reaches out of the container, so an admin of gitship does not become the
# owner of the machine: SYS_ADMIN, SYS_MODULE, SYS_RAWIO, DAC_READ_SEARCH, BPF and such would. NET_ADMIN lets a
# container take another address, and so get past the firewall.
ADDABLE = (
    "AUDIT_WRITE", "IPC_LOCK", "MKNOD", "NET_RAW", "SETFCAP", "SETPCAP", "SYS_CHROOT", "SYS_NICE", "SYS_PTRACE",
)  # fmt: skip
PIDS_LIMIT = 4096
# Where programs write that need no volume. In memory, and so within the container's limit; `exec` because Java and
# others unpack libraries there, and a read-only root is to be usable.
SCRATCH = ("/tmp", "/run")  # noqa: S108
SCRATCH_OPTIONS = "rw,nosuid,nodev,exec,mode=1777,size=256m"


def capability(text: str) -> str:
    """``text`` as Docker names it: ``cap_net_raw`` is NET_RAW. Raises ValueError with what can be given back."""
    name = text.strip().upper().removeprefix("CAP_")
    if name in KEPT:
        raise ValueError(f"every container has {name}")
    if name not in ADDABLE:
        raise ValueError(f"'{text[:40]}' can't be given to a container, only {', '.join(ADDABLE)}")
    return name


def arguments(spec: ContainerSpec) -> dict[str, Any]:
    """Its part of ``HostConfig``."""
    host: dict[str, Any] = {
        "SecurityOpt": ["no-new-privileges"],
        "PidsLimit": spec.pids or PIDS_LIMIT,
        "CapDrop": ["ALL"],
        "CapAdd": sorted({*KEPT, *spec.capabilities}),
    }
    if spec.read_only:
        mounted = [mount.path for mount in spec.mounts]
        host |= {"ReadonlyRootfs": True, "Tmpfs": dict.fromkeys(_free(mounted), SCRATCH_OPTIONS)}
    return host


def _free(mounted: Iterable[str]) -> list[str]:
    """Docker refuses two mounts at one place; the app's own comes first."""
    return [path for path in SCRATCH if path not in set(mounted)]
