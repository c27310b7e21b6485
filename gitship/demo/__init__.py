"""Demo app, built without a registry or base image (9 kB).

A static server of 60 lines of C that needs no C library, compiled with the compiler that Varnish uses, FROM scratch.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from gitship.errors import GitshipError

HERE = Path(__file__).parent
COMPILE_S = 60.0
COMPILERS: tuple[tuple[tuple[str, ...], tuple[tuple[str, ...], ...]], ...] = (
    (("tcc", "ld"), (("tcc", "-c", "-o", "server.o", "server.c"), ("ld", "-static", "-o", "server", "server.o"))),
    (
        ("gcc",),
        (("gcc", "-O1", "-w", "-ffreestanding", "-nostdlib", "-static", "-fno-pic", "-fno-stack-protector",
          "-mgeneral-regs-only", "-o", "server", "server.c"),),
    ),
)  # fmt: skip


def archive(app: str, url: str) -> io.BytesIO:
    """The app's files as a tar; ``url`` is where it will be cloned from. Raises GitshipError: no compiler works."""
    page = (HERE / "index.html").read_text(encoding="utf-8").replace("@APP@", app).replace("@URL@", url)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        _add(tar, "Dockerfile", (HERE / "Dockerfile").read_bytes(), 0o644)
        _add(tar, "index.html", page.encode(), 0o644)
        _add(tar, "server", server(), 0o755)
        _add(tar, "server.c", (HERE / "server.c").read_bytes(), 0o644)
    packed.seek(0)
    return packed


def server(compilers: tuple[tuple[tuple[str, ...], tuple[tuple[str, ...], ...]], ...] = COMPILERS) -> bytes:
    """The program, for this machine's processor. Raises GitshipError when none of the compilers makes it."""
    failures = []
    for tools, commands in compilers:
        if any(shutil.which(tool) is None for tool in tools):
            continue
        with tempfile.TemporaryDirectory(prefix="gitship-demo-") as place:
            shutil.copy(HERE / "server.c", place)
            try:
                for command in commands:
                    subprocess.run(
                        command, cwd=place, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                        timeout=COMPILE_S, check=True,
                    )  # fmt: skip
                return Path(place, "server").read_bytes()
            except subprocess.CalledProcessError as error:
                failures.append(f"{tools[0]}: {error.stderr.strip().splitlines()[-1:]}")
            except (OSError, subprocess.TimeoutExpired) as error:
                failures.append(f"{tools[0]}: {error}")
    raise GitshipError(
        f"no compiler makes the demo ({'; '.join(failures) or 'none found'})", "apt-get install tcc binutils"
    )


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    tar.addfile(entry, io.BytesIO(content))
