"""Server settings: TOML parsed into frozen dataclasses. Errors name the key and the nearest known one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from gitship import config_values as values
from gitship import varnish_memory
from gitship.config_values import Address
from gitship.errors import ConfigError
from gitship.schema import Value, decode, read_toml

DEFAULT_CONFIG = Path("/etc/gitship/gitship.toml")


def setting(default: Any, parse: Callable[[Value], Any], about: str) -> Any:
    """A dataclass field that carries its parser and the sentence that the manual prints of it."""
    return field(default=default, metadata={"parse": parse, "about": about})


@dataclass(frozen=True, slots=True)
class SshSettings:
    listen: Address = setting(Address("0.0.0.0", 2222), values.address, "address for `git push` and commands")  # noqa: S104,
    max_pack: int = setting(1 << 30, Value.size, "largest pack of a push")


@dataclass(frozen=True, slots=True)
class HttpSettings:
    listen: Address = setting(Address("0.0.0.0", 80), values.address, "address where Varnish serves the apps")  # noqa: S104


@dataclass(frozen=True, slots=True)
class HttpsSettings:
    listen: Address = setting(
        Address("0.0.0.0", 443),  # noqa: S104
        values.bound_address,
        "address where haproxy serves the apps over HTTPS, once one uses it",
    )
    email: str = setting(
        "",
        values.email,
        "turns HTTPS on for every public domain; the certificate authority reports problems to this address",
    )
    directory: str = setting(
        "https://acme-v02.api.letsencrypt.org/directory",
        values.https_url,
        "ACME directory of the certificate authority",
    )
    directory_ca: str = setting(
        "", values.optional_path, "file with the root certificates of a private authority; empty: the system's"
    )
    eab_kid: str = setting("", values.line, "key id for external account binding (EAB)")
    eab_hmac_key: str = setting("", values.line, "HMAC key for external account binding, in base64url")
    renew_before: float = setting(
        0.0,
        lambda v: v.seconds(0, 90 * 86400),
        "seconds before expiry at which a certificate is renewed; 0: a third of its lifetime",
    )
    check_dns: bool = setting(
        True,
        Value.flag,
        "check that a domain resolves to this server before requesting a certificate",
    )


@dataclass(frozen=True, slots=True)
class WebSettings:
    listen: Address = setting(Address("127.0.0.1", 8484), values.address, "address of the status page")
    domain: str = setting(
        "",
        values.domain_name,
        "host name at which Varnish also serves the status page; empty: none",
    )
    public: bool = setting(
        False, Value.flag, "true: visitors who are not signed in see which apps are up, and the manual at /docs"
    )


@dataclass(frozen=True, slots=True)
class DockerSettings:
    host: str = setting("unix:///var/run/docker.sock", values.text, "the Docker engine's address")
    timeout: float = setting(60.0, lambda v: v.seconds(1, 600), "timeout of Docker calls, in seconds")
    max_builds: int = setting(2, lambda v: v.whole(1, 64), "how many builds may run at once")
    build_timeout: float = setting(1800.0, lambda v: v.seconds(1, 86400), "timeout of a build, in seconds")
    builder: str = setting(
        "buildkit", lambda v: v.choice("buildkit", "classic"), 'the builder; "classic" for engines without BuildKit'
    )
    address_pool: IPv4Network = setting(
        IPv4Network("10.231.0.0/16"), values.pool, "private network from which each app gets its own /26"
    )
    build_memory: int = setting(
        0, Value.size, "memory limit of all builds together, or of each with the classic builder; 0: none"
    )
    build_cpus: float = setting(
        0.0,
        lambda v: v.number(0, 1024),
        "CPU limit of all builds together, or of each with the classic builder; 0: none",
    )
    build_share: float = setting(
        0.25,
        lambda v: v.number(0.01, 1),
        "CPU weight of all builds together, relative to 1 for a container; 1: builds do not yield",
    )
    build_output: int = setting(
        50 << 20,
        Value.size,
        "largest build output; a build that prints more is stopped; a line counts as at least 200 bytes; 0: no limit",
    )
    build_network: str = setting(
        "default",
        lambda v: v.choice("default", "none"),
        "network of a build's RUN lines; \"none\" overrides the app's setting",
    )
    build_pids: int = setting(
        4096,
        lambda v: v.whole(0, 4_000_000),
        "limit of processes and threads of all builds together, with BuildKit; 0: none",
    )
    cgroup_parent: str = setting("/docker", values.cgroup, "parent cgroup of builds, as in Docker's `cgroup-parent`")
    min_free: int = setting(500 << 20, Value.size, "free disk space that a build needs")
    firewall: bool = setting(
        True,
        Value.flag,
        "use iptables to block apps and builds from link-local addresses (cloud metadata) and gitship's own ports",
    )
    host_paths: tuple[Path, ...] = setting(
        (),
        values.directories,
        "host directories that apps may mount with `storage:mount`, including everything below them",
    )


@dataclass(frozen=True, slots=True)
class DiskSettings:
    min_free: int = setting(100 << 20, Value.size, "free space on the disk of `data_dir` that a push needs")
    copies: int = setting(
        7,
        lambda v: v.whole(0, 1000),
        "number of automatic database copies to keep, of daily ones and of those before upgrades",
    )
    log_days: int = setting(90, lambda v: v.whole(0, 36500), "days to keep logs of deploys and runs; 0: forever")
    image_days: int = setting(
        0, lambda v: v.whole(0, 36500), "days to keep images of old releases; 0: limit only their number"
    )
    build_cache: int = setting(
        20 << 30, Value.size, "largest build cache of Docker; the least recently used is removed; 0: no limit"
    )


@dataclass(frozen=True, slots=True)
class DeploySettings:
    keep_releases: int = setting(
        5, lambda v: v.whole(1, 1000), "number of releases whose image is kept, including the live one"
    )
    drain_timeout: float = setting(
        30.0, lambda v: v.seconds(0, 3600), "seconds to let requests in progress finish after a switch"
    )
    socket_drain_timeout: float = setting(
        60.0, lambda v: v.seconds(0, 3600), "seconds to keep websockets open after a switch"
    )
    check_timeout: float = setting(60.0, lambda v: v.seconds(1, 3600), "seconds until a container must be healthy")
    watch: float = setting(
        30.0,
        lambda v: v.seconds(0, 3600),
        "seconds after a switch during which a release that keeps crashing, or fails too many requests, is "
        "rolled back automatically; 0: never",
    )
    watch_errors: float = setting(
        50.0,
        lambda v: v.number(0, 100),
        "percentage of failed requests, of at least 20, above which it is rolled back; 0: ignore them",
    )
    on_new_push: str = setting(
        "queue",
        lambda v: v.choice("queue", "cancel"),
        'a newer push waits for the running build ("queue") or cancels it ("cancel")',
    )


@dataclass(frozen=True, slots=True)
class HooksSettings:
    timeout: float = setting(30.0, lambda v: v.seconds(0.1, 3600), "timeout of a hook, in seconds")


@dataclass(frozen=True, slots=True)
class PolicySettings:
    base_images: tuple[str, ...] = setting(
        (),
        values.globs,
        'images that builds may use, for instance `["python:*", "registry.example.com/team/*"]`; `[]`: all',
    )
    root: str = setting(
        "allow",
        lambda v: v.choice("allow", "warn", "refuse"),
        'whether images that run as root are deployed ("allow"), deployed with a warning ("warn"), or '
        'refused ("refuse")',
    )
    max_image: int = setting(0, Value.size, "largest image that may be deployed; 0: no limit")


@dataclass(frozen=True, slots=True)
class VarnishSettings:
    memory: int = setting(0, Value.size, "size of the cache; 0: an eighth of the machine's memory, 32m to 256m")

    @property
    def cache_bytes(self) -> int:
        """The size of the cache, by the machine's memory where the setting is silent."""
        return self.memory or varnish_memory.cache_bytes(varnish_memory.memory_bytes())


@dataclass(frozen=True, slots=True)
class CronSettings:
    timezone: str = setting("UTC", Value.timezone, "default time zone of cron entries")


@dataclass(frozen=True, slots=True)
class LogSettings:
    format: str = setting(
        "text",
        lambda v: v.choice("text", "json"),
        'log format of `gitship serve`: "text" or "json"',
    )


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of a server; ``load`` fills it from a file."""

    data_dir: Path = setting(Path("/var/lib/gitship"), values.absolute_path, "directory of all data")
    domain: str = setting("localhost", values.domain_name, "apps are served at `<app>.<domain>`")
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
    def engines_dir(self) -> Path:
        """An admin's own engine files."""
        return self.data_dir / "engines"

    @property
    def host_key(self) -> Path:
        return self.data_dir / "ssh_host_ed25519_key"

    @property
    def local_key(self) -> Path:
        """The private key with which `gitship <command>` on the server itself logs in."""
        return self.data_dir / "local_ed25519_key"

    @property
    def backup_key(self) -> Path:
        """The server's own key of backups, in age's format; made by the first that is encrypted."""
        return self.data_dir / "backup.age-key"


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
        raise ConfigError(f"no permission to read {path}", "run this as root: sudo gitship ...") from None
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
