"""Platforms that this machine can build and run: native and emulated."""

from __future__ import annotations

import re
from pathlib import Path

BINFMT = Path("/proc/sys/fs/binfmt_misc")
NAMES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm/v7", "armv6l": "arm/v6", "i686": "386", "i386": "386"}
BESIDES = {"amd64": ("386",), "arm64": ("arm/v7", "arm/v6"), "arm/v7": ("arm/v6",)}
EMULATED = {
    "aarch64": ("arm64",), "arm": ("arm/v7", "arm/v6"), "x86_64": ("amd64",), "i386": ("386",), "riscv64": ("riscv64",),
    "ppc64le": ("ppc64le",), "s390x": ("s390x",),
}  # fmt: skip
PLATFORM = re.compile(r"[a-z0-9]{1,20}/[a-z0-9_]{1,20}(?:/[a-z0-9]{1,10})?")


def of(system: str, machine: str, binfmt: Path = BINFMT) -> tuple[str, ...]:
    """From Docker's own words for a machine, its own platform first; emulators are those registered here."""
    own = NAMES.get(machine, machine)
    names = [own, *BESIDES.get(own, ())]
    for emulator, emulated in EMULATED.items():
        if (binfmt / f"qemu-{emulator}").exists():
            names += emulated
    return tuple(dict.fromkeys(f"{system}/{name}" for name in names))
