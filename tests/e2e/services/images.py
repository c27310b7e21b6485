"""Images of services made on this machine, as no registry can be reached: Debian's packages under the official images'
names, with an entrypoint that understands what gitship sets of their variables.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from tests.e2e import docker_cli
from tests.e2e.python_image import cache_dir
from tests.e2e.services import nats_image

HERE = Path(__file__).parent
BASE = "base-files,base-passwd,bash,coreutils,dash,findutils,grep,hostname,libc-bin,mawk,sed,tar,util-linux"
# Libraries for compilers and scripts that no server here runs: half of an image.
LEFT_OUT = (
    "/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/i18n/*", "/usr/share/info/*",
    "/usr/lib/*/libLLVM*", "/usr/lib/*/libz3.so*", "/usr/lib/llvm*", "/usr/lib/postgresql/*/lib/bitcode/*",
    "/usr/lib/postgresql/*/lib/llvmjit.so", "/usr/lib/systemd/*", "/lib/systemd/*", "/usr/share/perl*",
    "/usr/bin/perl*", "/usr/lib/*/perl*", "/usr/lib/*/libperl*",
)  # fmt: skip
TIMEOUT_S = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedImage:
    """``path`` is where its programs are, beside the usual places; ``changes`` are lines of a Dockerfile."""

    engine: str
    version: str
    path: str = ""
    changes: tuple[str, ...] = ()

    def archive(self) -> Path:
        """The root file system."""
        raise NotImplementedError

    @contextmanager
    def imported(self, host: str, name: str) -> Iterator[str]:
        """The image, under this name and the version as tag; gone at the end."""
        reference = f"{name}:{self.version}"
        path = f"{self.path}:" if self.path else ""
        changes = [
            'ENTRYPOINT ["docker-entrypoint.sh"]', "ENV LANG=C.UTF-8",
            f"ENV PATH={path}/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", *self.changes,
        ]  # fmt: skip
        words = [word for change in changes for word in ("-c", change)]
        docker_cli.docker(host, "import", *words, str(self.archive()), reference, timeout_s=TIMEOUT_S)
        try:
            yield reference
        finally:
            with contextlib.suppress(subprocess.TimeoutExpired):
                docker_cli.docker(host, "rmi", "-f", reference, check=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceImage(ImportedImage):
    """``packages`` of a Debian ``suite``; ``user`` is whom the server runs as, with the official image's number."""

    suite: str
    packages: str
    user: str
    number: int

    PREPARE: ClassVar[str] = ""  # what else is done in the root file system

    @property
    def entrypoint(self) -> Path:
        return HERE / "entrypoints" / f"{self.engine}.sh"

    def archive(self) -> Path:
        """The root file system, made once (a quarter to half a minute)."""
        with (cache_dir() / f"service-{self.engine}-{self.version}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            recipe = repr((self, BASE, LEFT_OUT)).encode() + self.entrypoint.read_bytes()
            name = f"service-{self.engine}-{self.version}"
            target = cache_dir() / f"{name}-{hashlib.sha256(recipe).hexdigest()[:12]}.tar"
            if not target.exists():
                for old in cache_dir().glob(f"{name}-*.tar*"):
                    old.unlink()
                unfinished = target.with_suffix(".tar.unfinished")
                self._make(unfinished)
                unfinished.rename(target)
        return target

    def _make(self, target: Path) -> None:
        """Unpacked, not configured: nothing of the packages' scripts is needed, and they take longer than the rest."""
        assert shutil.which("mmdebstrap"), "install mmdebstrap: the tests make images of services with it"
        account = f"{self.user}:x:{self.number}:{self.number}::/:/bin/sh"
        hook = f"""set -e; cd "$1"; mkdir -p usr/local/bin tmp
            cp usr/share/base-passwd/passwd.master etc/passwd
            cp usr/share/base-passwd/group.master etc/group; echo '{account}' >> etc/passwd
            echo '{self.user}:x:{self.number}:' >> etc/group; [ -e bin/sh ] || ln -s dash bin/sh
            [ -e usr/bin/awk ] || ln -s mawk usr/bin/awk; echo 'hosts: files dns' > etc/nsswitch.conf
            cp '{self.entrypoint}' usr/local/bin/docker-entrypoint.sh; chmod 755 usr/local/bin/docker-entrypoint.sh
            {self.PREPARE}"""
        command = [
            "mmdebstrap", "--quiet", "--mode=root", "--variant=extract", f"--include={BASE},{self.packages}",
            '--aptopt=Acquire::Languages "none"', *(f"--dpkgopt=path-exclude={path}" for path in LEFT_OUT),
            f"--extract-hook={hook}", "--format=tar", self.suite, str(target),
        ]  # fmt: skip
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT_S, check=False, cwd="/"
        )
        assert done.returncode == 0, done.stderr.decode(errors="replace")[-2000:]


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonImage(ServiceImage):
    """Compiled once: a program that compiles its libraries at each start takes seconds for it."""

    PREPARE: ClassVar[str] = 'chroot "$1" python3 -m compileall -q /usr/lib/python3 /usr/lib/python3.13 || true'


@dataclass(frozen=True, slots=True)
class NatsImage(ImportedImage):
    """See ``nats_image``."""

    def archive(self) -> Path:
        return nats_image.archive()


def debian(
    engine: str, version: str, suite: str, packages: str, user: str, number: int = 999, path: str = "",
    changes: tuple[str, ...] = (),
) -> ServiceImage:  # fmt: skip
    return ServiceImage(
        engine=engine, version=version, suite=suite, packages=packages, user=user, number=number, path=path,
        changes=changes,
    )  # fmt: skip


# What apps are written with: pip would ask a registry in every build.
CLIENTS = PythonImage(
    engine="clients", version="3.13", suite="trixie", user="app", number=10001,
    packages="python3,python3-flask,python3-waitress,python3-psycopg2,python3-redis,python3-pymysql,python3-pika",
)  # fmt: skip
IMAGES: dict[str, ImportedImage] = {
    f"{image.engine}:{image.version}": image
    for image in (
        debian("postgres", "15", "bookworm", "postgresql-15", "postgres", path="/usr/lib/postgresql/15/bin"),
        debian("postgres", "17", "trixie", "postgresql-17", "postgres", path="/usr/lib/postgresql/17/bin"),
        debian("valkey", "8.1", "trixie", "valkey-server", "valkey", changes=("WORKDIR /data",)),
        debian("mariadb", "10.11", "bookworm", "mariadb-server", "mysql"),
        debian(
            "rabbitmq", "3.10", "bookworm", "rabbitmq-server,amqp-tools", "rabbitmq", path="/usr/lib/rabbitmq/bin",
            changes=("ENV HOME=/var/lib/rabbitmq",),
        ),
        debian("memcached", "1.6", "bookworm", "memcached", "memcache", number=11211),
        NatsImage(engine="nats", version="2"),
    )
}  # fmt: skip
