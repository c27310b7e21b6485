"""Docker 28 of Debian forky for the tests' engines, in place of the machine's own: ``GITSHIP_TEST_ENGINE=forky``.

``forky`` keeps images in containerd's store, ``forky-overlay2`` in Docker's own. Its programs run in the root file
system of a forky (debootstrap, once, in the cache directory), which a mount namespace has as its root: after a mere
chroot the container runtime, which does pivot_root itself, finds no root to leave. The tests themselves are in a
network namespace of their own then, with all that Docker makes in it: bridges, addresses, iptables rules end with them.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import subprocess
import tempfile
import zlib
from pathlib import Path

from tests.e2e.python_image import cache_dir

ENGINE = "GITSHIP_TEST_ENGINE"
STORES = {"forky": ("--feature", "containerd-snapshotter=true"), "forky-overlay2": ("--storage-driver", "overlay2")}
PACKAGES = "docker.io,docker-cli,iptables,ca-certificates,procps"  # `docker top` runs ps
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CLONE_NEWNET = 0x40000000
# The tree itself stays as it is, for all engines of all runs: what they write goes to memory. The directory of
# the tests' files is the same inside and outside: sockets, data and what containers mount have one name.
ENTER = """set -e
mount --make-rslave /
mount -t tmpfs -o mode=755 tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay -o "lowerdir=$1,upperdir=/mnt/upper,workdir=/mnt/work" overlay /mnt/root
cd /mnt/root
mkdir -p .old ".$2"
mount -t tmpfs -o mode=755 tmpfs run
mount -t proc proc proc
mount -t sysfs sysfs sys
mount --rbind /sys/fs/cgroup sys/fs/cgroup
mount --rbind /dev dev
mount --rbind "$2" ".$2"
pivot_root . .old
umount -l /.old
echo there
exec sleep infinity
"""


def asked() -> str:
    """What GITSHIP_TEST_ENGINE says: forky, forky-overlay2, or nothing for the machine's own Docker."""
    word = os.environ.get(ENGINE, "")
    assert word in ("", *STORES), f"{ENGINE}={word} is not one of {', '.join(STORES)}"
    return word


def prepare() -> None:
    """The root file system is there, and this process with all its children has a network of its own from now on."""
    tree()  # from the package mirrors, which that network does not reach
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "a network namespace needs root")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True, timeout=10)


def tree() -> Path:
    """The root file system, made once (a minute); needs debootstrap and the package mirrors then."""
    place = cache_dir() / f"forky-{zlib.crc32(PACKAGES.encode()):08x}"  # other packages: another one
    with (cache_dir() / "forky.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if place.exists():
            return place
        assert shutil.which("debootstrap"), "install debootstrap: the tests make Debian forky with it"
        work = Path(tempfile.mkdtemp(prefix="forky-", dir=cache_dir()))
        try:
            work.chmod(0o755)
            scripts = Path("/usr/share/debootstrap/scripts")
            more = [] if (scripts / "forky").exists() else ["", str(scripts / "sid")]  # older than forky's name
            command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "forky", str(work), *more]
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=900, check=False)
            assert done.returncode == 0, done.stdout.decode(errors="replace")[-2000:]
            shutil.rmtree(work / "var/cache/apt/archives", ignore_errors=True)
            work.rename(place)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return place


class House:
    """A mount namespace with forky as its root, kept by a process that does nothing else: engines in it come and go.

    Without that process the mounts of containers that live on would be in one namespace, a new dockerd in another.
    """

    def __init__(self) -> None:
        self._keeper: subprocess.Popen[bytes] | None = None

    def command(self, program: str) -> list[str]:
        """What the words of a command begin with, to run ``program`` there; it replaces what is started."""
        if self._keeper is None:
            self._keeper = self._opened()
        return ["nsenter", f"--mount=/proc/{self._keeper.pid}/ns/mnt", "env", f"PATH={PATH}", program]

    @staticmethod
    def _opened() -> subprocess.Popen[bytes]:
        # it ends with the tests, however they end
        words = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "unchanged"]
        keeper = subprocess.Popen(
            [*words, "sh", "-c", ENTER, "enter", str(tree()), tempfile.gettempdir()],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert keeper.stdout is not None and keeper.stderr is not None
        if keeper.stdout.readline() != b"there\n":
            said = keeper.stderr.read()
            keeper.wait(10)
            raise AssertionError(f"no root of Debian forky: {said.decode(errors='replace')}")
        return keeper

    def close(self) -> None:
        """Its mounts end with the last process that is there."""
        if self._keeper is not None:
            keeper, self._keeper = self._keeper, None
            keeper.kill()
            keeper.communicate(timeout=10)
