"""Server settings: TOML -> frozen dataclasses. Every error names its key, and an unknown key the nearest known one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from gitship import configvalues as values
from gitship import machine_memory
from gitship.configvalues import Address
from gitship.errors import ConfigError
from gitship.schema import Value, decode, read_toml

DEFAULT_CONFIG = Path("/etc/gitship/gitship.toml")


def setting(default: Any, parse: Callable[[Value], Any], about: str) -> Any:
    """A dataclass field that carries its parser and the sentence that the manual prints of it."""
    return field(default=default, metadata={"parse": parse, "about": about})


@dataclass(frozen=True, slots=True)
class SshSettings:
    listen: Address = setting(Address("0.0.0.0", 2222), values.address, "where `git push` and the commands arrive")  # noqa: S104,
    max_pack: int = setting(1 << 30, Value.size, "largest pack that a push may send")


@dataclass(frozen=True, slots=True)
class HttpSettings:
    listen: Address = setting(Address("0.0.0.0", 80), values.address, "where Varnish serves the apps")  # noqa: S104


@dataclass(frozen=True, slots=True)
class HttpsSettings:
    listen: Address = setting(
        Address("0.0.0.0", 443),  # noqa: S104
        values.bound_address,
        "where haproxy serves the apps by HTTPS, once it is used",
    )
    email: str = setting(
        "",
        values.email,
        "every app with a public domain, and the status page at one, gets HTTPS by itself;"
        " the authority writes there about problems",
    )
    directory: str = setting(
        "https://acme-v02.api.letsencrypt.org/directory",
        values.https_url,
        "ACME directory of the certificate authority",
    )
    directory_ca: str = setting(
        "", values.optional_path, "file with the root certificates of an authority of one's own; empty: the system's"
    )
    eab_kid: str = setting("", values.line, "key id of an account that the authority wants to be bound to (EAB)")
    eab_hmac_key: str = setting("", values.line, "its key, in base64url")
    renew_before: float = setting(
        0.0,
        lambda v: v.seconds(0, 90 * 86400),
        "seconds before its end at which a certificate is renewed; 0: a third of its life",
    )
    check_dns: bool = setting(
        True,
        Value.flag,
        "look whether a domain leads here before the authority is asked; false where that can't be seen",
    )


@dataclass(frozen=True, slots=True)
class WebSettings:
    listen: Address = setting(Address("127.0.0.1", 8484), values.address, "where the status page is served")
    domain: str = setting(
        "",
        values.domain_name,
        "host name by which Varnish serves the status page, too, if need be by HTTPS; empty: it does not",
    )
    public: bool = setting(
        False, Value.flag, "whether strangers see which apps are up or down, and the manual at /docs, and nothing else"
    )


@dataclass(frozen=True, slots=True)
class DockerSettings:
    host: str = setting("unix:///var/run/docker.sock", values.text, "the Docker engine's address")
    timeout: float = setting(
        60.0, lambda v: v.seconds(1, 600), "seconds that Docker may take for a plain call until it is given up"
    )
    max_builds: int = setting(2, lambda v: v.whole(1, 64), "how many builds may run at once")
    build_timeout: float = setting(1800.0, lambda v: v.seconds(1, 86400), "a build is ended after this many seconds")
    builder: str = setting(
        "buildkit", lambda v: v.choice("buildkit", "classic"), 'the builder; "classic" for engines without BuildKit'
    )
    address_pool: IPv4Network = setting(
        IPv4Network("10.231.0.0/16"), values.pool, "private network from which each app gets a /26 of its own"
    )
    build_memory: int = setting(
        0, Value.size, "most memory of all builds together, of each with the classic builder; 0: no limit"
    )
    build_cpus: float = setting(
        0.0,
        lambda v: v.number(0, 1024),
        "most processors of all builds together, of each with the classic builder; 0: no limit",
    )
    build_share: float = setting(
        0.25,
        lambda v: v.number(0.01, 1),
        "processor time of all builds together, against 1 for a container, when both want it; 1: builds do not yield",
    )
    build_output: int = setting(
        50 << 20,
        Value.size,
        "a build that prints more is ended; a line counts as 200 bytes or more; 0: no limit",
    )
    build_network: str = setting(
        "default",
        lambda v: v.choice("default", "none"),
        'what a build\'s RUN lines may reach; "none": nothing, whatever the app says',
    )
    build_pids: int = setting(
        4096,
        lambda v: v.whole(0, 4_000_000),
        "most processes and threads of all builds together, where BuildKit's can be limited; 0: no limit",
    )
    cgroup_parent: str = setting(
        "/docker", values.cgroup, "the cgroup below which Docker runs builds, as in its own `cgroup-parent`"
    )
    min_free: int = setting(500 << 20, Value.size, "a build is refused when the disk has less free space than this")
    firewall: bool = setting(
        True,
        Value.flag,
        "iptables rules keep apps and builds from link-local addresses (a cloud's metadata) and from gitship's own"
        " ports",
    )
    host_paths: tuple[Path, ...] = setting(
        (),
        values.directories,
        "directories of the host that `storage:mount` may give to apps, with all that is below them",
    )


@dataclass(frozen=True, slots=True)
class DiskSettings:
    min_free: int = setting(
        100 << 20, Value.size, "a push is refused when the disk of `data_dir` has less free space than this"
    )
    copies: int = setting(
        7,
        lambda v: v.whole(0, 1000),
        "automatic copies of the database: so many daily ones, and of those before upgrades",
    )
    log_days: int = setting(90, lambda v: v.whole(0, 36500), "logs of deploys and runs go after so many days; 0: never")
    image_days: int = setting(
        0, lambda v: v.whole(0, 36500), "images of older releases go after so many days, too; 0: by their number alone"
    )
    build_cache: int = setting(
        20 << 30, Value.size, "most build cache that Docker keeps, what was used last stays; 0: no limit"
    )


@dataclass(frozen=True, slots=True)
class DeploySettings:
    keep_releases: int = setting(
        5, lambda v: v.whole(1, 1000), "how many releases keep their image, the live one included"
    )
    drain_timeout: float = setting(
        30.0, lambda v: v.seconds(0, 3600), "seconds that requests in flight may take after a switch"
    )
    socket_drain_timeout: float = setting(
        60.0, lambda v: v.seconds(0, 3600), "seconds that open websockets may go on after a switch"
    )
    check_timeout: float = setting(
        60.0, lambda v: v.seconds(1, 3600), "seconds that a container may take until it is healthy"
    )
    watch: float = setting(
        30.0,
        lambda v: v.seconds(0, 3600),
        "seconds after its switch in which a release that crashes again and again, or fails too many requests, is "
        "rolled back by itself; 0: never",
    )
    watch_errors: float = setting(
        50.0,
        lambda v: v.number(0, 100),
        "percent of requests that may fail meanwhile, of 20 at least; 0: nobody looks at them",
    )
    on_new_push: str = setting(
        "queue",
        lambda v: v.choice("queue", "cancel"),
        'a newer push waits ("queue") or ends the running build ("cancel")',
    )


@dataclass(frozen=True, slots=True)
class HooksSettings:
    timeout: float = setting(30.0, lambda v: v.seconds(0.1, 3600), "a hook is killed after this many seconds")


@dataclass(frozen=True, slots=True)
class PolicySettings:
    base_images: tuple[str, ...] = setting(
        (),
        values.globs,
        'images that a build may use, for instance `["python:*", "registry.example.com/team/*"]`; `[]`: all',
    )
    root: str = setting(
        "allow",
        lambda v: v.choice("allow", "warn", "refuse"),
        'an image that runs as root goes live ("allow"), with a line in the push ("warn"), or not at all ("refuse")',
    )
    max_image: int = setting(0, Value.size, "largest image that may go live; 0: any")


@dataclass(frozen=True, slots=True)
class VarnishSettings:
    memory: int = setting(0, Value.size, "size of the cache; 0: an eighth of the machine's memory, 32m to 256m")

    @property
    def cache_bytes(self) -> int:
        """The size of the cache, by the machine's memory where the setting is silent."""
        return self.memory or machine_memory.cache_bytes(machine_memory.memory_bytes())


@dataclass(frozen=True, slots=True)
class CronSettings:
    timezone: str = setting("UTC", Value.timezone, "whose clock counts for cron entries that name no time zone")


@dataclass(frozen=True, slots=True)
class LogSettings:
    format: str = setting(
        "text",
        lambda v: v.choice("text", "json"),
        'what `gitship serve` logs: lines for people ("text") or JSON ("json")',
    )


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of a server; ``load`` fills it from a file."""

    data_dir: Path = setting(Path("/var/lib/gitship"), values.absolute_path, "where everything is kept")
    domain: str = setting("localhost", values.domain_name, "an app is served at `<app>.<domain>` without further ado")
    ssh: SshSettings = field(default_factory=SshSettings)
    http: HttpSettings = field(default_factory=HttpSettings)
    https: HttpsSettings = field(default_factory=HttpsSettings)
    web: WebSettings = field(default_factory=WebSettings)
    docker: DockerSettings = field(default_factory=DockerSettings)
    disk: DiskSettings = field(default_factory=DiskSettings)
    deploy: DeploySettings = field(default_factory=DeploySettings)
    hooks: HooksSettings = field(default_factory=HooksSettings)
    policy: PolicySettings = field(default_factory=PolicySettings)
    varnish: VarnishSettings = field(default_factory=VarnishSettings)
    cron: CronSettings = field(default_factory=CronSettings)
    log: LogSettings = field(default_factory=LogSettings)

    @property
    def database(self) -> Path:
        return self.data_dir / "gitship.db"

    @property
    def repositories(self) -> Path:
        return self.data_dir / "repos"

    @property
    def logs(self) -> Path:
        return self.data_dir / "logs"

    @property
    def varnish_dir(self) -> Path:
        return self.data_dir / "varnish"

    @property
    def status_socket(self) -> Path:
        """Where Varnish asks for the status page, with ``web.domain``."""
        return self.varnish_dir / "status.sock"

    @property
    def websockets_dir(self) -> Path:
        """Of the haproxy that websockets go through; where Varnish finds it."""
        return self.varnish_dir / "websockets"

    @property
    def tls_dir(self) -> Path:
        """haproxy's own files."""
        return self.data_dir / "tls"

    @property
    def certificates(self) -> Path:
        return self.data_dir / "certs"

    @property
    def acme_accounts(self) -> Path:
        return self.data_dir / "acme"

    @property
    def hooks_dir(self) -> Path:
        return self.data_dir / "hooks"

    @property
    def host_key(self) -> Path:
        return self.data_dir / "ssh_host_ed25519_key"

    @property
    def local_key(self) -> Path:
        """The private key with which `gitship <command>` on the server itself logs in."""
        return self.data_dir / "local_ed25519_key"


def _fill(cls: type[Any], table: Value) -> Any:
    fields = {f.name: f for f in dataclasses.fields(cls)}
    filled = {}
    for key, value in table.known(fields).items():
        parse = fields[key].metadata.get("parse")
        filled[key] = parse(value) if parse else _fill(fields[key].default_factory, value)  # type: ignore[arg-type]
    return cls(**filled)


def parse(text: str, file: str = "settings") -> Settings:
    """Settings from TOML text. Raises ConfigError that names the key and, for an unknown one, the nearest."""
    settings: Settings = _fill(Settings, read_toml(file, text))
    return settings


def load(path: Path) -> Settings:
    """Settings from ``path``. Raises ConfigError, which names the file."""
    try:
        content = path.read_bytes()
    except PermissionError:
        raise ConfigError(f"you may not read {path}", "run this as root: sudo gitship ...") from None
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}: {error.strerror}", "run `gitship init` first, or give --config FILE"
        ) from None
    return parse(decode(str(path), content), str(path))


def reference(cls: type[Any] = Settings, prefix: str = "") -> list[tuple[str, str, str]]:
    """Every setting as (key, default as it is written in the file, sentence), for the manual."""
    rows: list[tuple[str, str, str]] = []
    for f in dataclasses.fields(cls):
        if "about" in f.metadata:
            rows.append((f"{prefix}{f.name}", values.written(f.default, f.metadata["parse"]), f.metadata["about"]))
        else:
            rows += reference(f.default_factory, f"{prefix}{f.name}.")  # type: ignore[arg-type]
    return rows
