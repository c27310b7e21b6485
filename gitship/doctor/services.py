"""Checks Docker and its limits, Varnish and haproxy: installed, recent and working."""

from __future__ import annotations

from collections.abc import Iterator

from gitship.config import Settings
from gitship.doctor.report import Finding, Look, fail, ok, warn
from gitship.engine.build_limits import SYSTEMD, UNIT, BuildLimits, impossible
from gitship.engine.docker import DockerEngine
from gitship.engine.docker_host import is_here
from gitship.engine.types import EngineInfo
from gitship.errors import FrontError
from gitship.front.early_responses import interim_answers
from gitship.front.haproxy import Haproxy
from gitship.front.haproxy import version as haproxy_version
from gitship.front.varnishd import Varnishd
from gitship.front.varnishd import version as varnish_version

OLDEST_DOCKER = (20, 10)
OLDEST_HAPROXY = (2, 4)
OLDEST_VARNISH = (6, 6)  # of Ubuntu 22.04 and RHEL 9; older ones were not tried


def docker(settings: Settings) -> Iterator[Finding]:
    engine = DockerEngine(settings.docker.host, builder=settings.docker.builder)
    about = engine.about()
    numbers = tuple(int(part) for part in about.version.split("-")[0].split("+")[0].split(".")[:2] if part.isdigit())
    if numbers < OLDEST_DOCKER:
        yield fail("docker", f"version {about.version} is too old", "install 20.10 or newer (Debian: docker.io)")
    else:
        yield ok("docker", f"{about.version} at {settings.docker.host}")
    if about.live_restore:
        yield ok("docker", "containers keep running while Docker restarts (live-restore)")
    else:
        yield warn(
            "docker", "a restart of Docker restarts every container: live-restore is off",
            'put { "live-restore": true } into /etc/docker/daemon.json, then reload docker',
        )  # fmt: skip
    yield _confinement(about)
    free = engine.free_bytes()
    if free < settings.docker.min_free:
        yield fail("docker", f"{free >> 20} MB free for images", "gitship server:cleanup --build-cache")
    else:
        yield ok("docker", f"{free / (1 << 30):.1f} GB free for images")


def _confinement(about: EngineInfo) -> Finding:
    if not about.seccomp:
        return warn(
            "docker", "containers may use every system call: Docker has no seccomp",
            "start dockerd without seccomp-profile=unconfined, on a kernel with CONFIG_SECCOMP",
        )  # fmt: skip
    if about.user_namespaces:
        return ok(
            "docker", "containers have seccomp, and their root is an unprivileged user on the machine (user namespace)"
        )
    return ok(
        "docker",
        "containers have seccomp; with userns-remap in daemon.json their root would be an unprivileged user here",
    )


def builds(settings: Settings) -> Iterator[Finding]:
    """Whether what the settings allow all builds together is kept."""
    limits = BuildLimits.of(settings.docker)
    if settings.docker.builder == "classic":
        yield ok("builds", "the classic builder limits the memory and processors of each")
        return
    if not limits.words:
        yield ok("builds", "no limits are set")
        return
    host = settings.docker.host
    driver = DockerEngine(host).about().cgroup_driver if is_here(host) else ""
    if reason := impossible(host, driver):
        yield warn("builds", f"not limited to {limits.words}: {reason}", 'builder = "classic" in [docker]')
    elif limits.hold(driver):
        yield ok("builds", f"all together: {limits.words}")
    elif driver == SYSTEMD:
        yield warn(
            "builds", f"not limited to {limits.words}: the unit {UNIT} does not keep them",
            f"systemctl start {UNIT}, or see why it does not run: journalctl -u {UNIT}",
        )  # fmt: skip
    else:
        yield warn("builds", f"not limited yet to {limits.words}", "as root: gitship limit-builds")


def varnish(settings: Settings) -> Iterator[Finding]:
    varnishd = Varnishd(settings.varnish_dir)
    major, minor = varnish_version()
    if (major, minor) < OLDEST_VARNISH:
        yield fail("varnish", f"version {major}.{minor} is too old", "install 6.6 or newer")
        return
    command = varnishd.compiler()
    tool = command.split()[0] if not command.startswith("exec") else command.split()[1]
    if tool == "tcc":
        yield ok("varnish", f"{major}.{minor}: its configuration compiles, with tcc")
    else:
        yield warn(
            "varnish", f"{major}.{minor}: its configuration compiles with {tool}: 5 times slower than tcc",
            "apt-get install tcc (the RHEL family has none)",
        )  # fmt: skip
    pid = varnishd.pid()
    yield ok("varnish", f"running (pid {pid})" if pid else "not running; `gitship serve` starts it")
    early = interim_answers(varnishd.workdir) if pid else None
    if early is not None and early.count:
        whose = ", ".join(slug.replace("_", ".") for slug in early.slugs) or "an app"
        yield warn(
            "varnish", f"{early.count} answers 1xx (such as 103 Early Hints) of {whose}: their visitors got 503",
            "turn early hints off in the app; a restart of Varnish resets the count",
        )  # fmt: skip


def haproxy(settings: Settings) -> Iterator[Finding]:
    """Websockets and HTTPS need it; a version that is known to take certificates while it runs."""
    found = Haproxy(settings.tls_dir)
    try:
        version = haproxy_version()
    except FrontError as error:
        yield fail("haproxy", f"{error.message}: websockets are answered 503, and there is no HTTPS", error.hint)
        return
    if version < OLDEST_HAPROXY:
        yield fail("haproxy", f"version {version[0]}.{version[1]} is too old", "install 2.4 or newer")
        return
    pid = found.pid()
    running = f"HTTPS is running (pid {pid})" if pid else "HTTPS is not running; `https:enable` starts it"
    yield ok("haproxy", f"{version[0]}.{version[1]}, {running}")
    sockets = Haproxy(settings.websockets_dir).pid()
    if sockets:
        yield ok("haproxy", f"websockets go through it (pid {sockets})")
    elif Varnishd(settings.varnish_dir).pid():
        yield fail(
            "haproxy", "websockets are answered 503: their haproxy is not running",
            "`gitship serve` restarts it within seconds; if not, see its log",
        )  # fmt: skip


LOOKS: tuple[tuple[str, Look], ...] = (
    ("docker", docker),
    ("builds", builds),
    ("varnish", varnish),
    ("haproxy", haproxy),
)
