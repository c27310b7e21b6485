"""Services of a Compose file that are databases which gitship knows, and the logins that the file gives them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gitship.compose.commit_files import CommitFiles
from gitship.compose.keys import Findings
from gitship.compose.model import ComposeBacking, ComposeFile, WrittenLogin
from gitship.compose.service import ReadService

FILE_SUFFIX = "_FILE"  # POSTGRES_PASSWORD_FILE: the images read the value from that file


@dataclass(frozen=True, slots=True)
class KnownEngine:
    """An engine of the catalog, as an image names it. ``data`` is where that image keeps its data."""

    name: str
    version: str
    port: int
    data: str


EngineOf = Callable[[str], KnownEngine | None]  # of an image as it is written


@dataclass(frozen=True, slots=True)
class _LoginVariables:
    """Names in the environment, the first that is set counts; ``default_user`` is whom a password alone is for."""

    user: tuple[str, ...] = ()
    password: tuple[str, ...] = ()
    database: tuple[str, ...] = ()
    root_password: tuple[str, ...] = ()
    default_user: str = ""
    root_user: str = ""  # when the file names no other


_MYSQL = _LoginVariables(
    ("MYSQL_USER",), ("MYSQL_PASSWORD",), ("MYSQL_DATABASE",), ("MYSQL_ROOT_PASSWORD",), root_user="root"
)
_VARIABLES: Mapping[str, _LoginVariables] = {
    "postgres": _LoginVariables(
        ("POSTGRES_USER",), ("POSTGRES_PASSWORD",), ("POSTGRES_DB",), default_user="postgres"
    ),
    "mysql": _MYSQL,
    "mariadb": _LoginVariables(
        ("MARIADB_USER", *_MYSQL.user), ("MARIADB_PASSWORD", *_MYSQL.password),
        ("MARIADB_DATABASE", *_MYSQL.database), ("MARIADB_ROOT_PASSWORD", *_MYSQL.root_password), root_user="root",
    ),
    "mongodb": _LoginVariables(
        ("MONGO_INITDB_ROOT_USERNAME",), ("MONGO_INITDB_ROOT_PASSWORD",), ("MONGO_INITDB_DATABASE",)
    ),
    "rabbitmq": _LoginVariables(
        ("RABBITMQ_DEFAULT_USER",), ("RABBITMQ_DEFAULT_PASS",), ("RABBITMQ_DEFAULT_VHOST",), default_user="guest"
    ),
    "clickhouse": _LoginVariables(
        ("CLICKHOUSE_USER",), ("CLICKHOUSE_PASSWORD",), ("CLICKHOUSE_DB",), default_user="default"
    ),
    "meilisearch": _LoginVariables(password=("MEILI_MASTER_KEY",)),
    "opensearch": _LoginVariables(password=("OPENSEARCH_INITIAL_ADMIN_PASSWORD",), default_user="admin"),
    "redis": _LoginVariables(default_user="default"),
    "valkey": _LoginVariables(default_user="default"),
    "nats": _LoginVariables(),
    "memcached": _LoginVariables(),
}  # fmt: skip
_PASSWORD_OPTIONS = ("--requirepass", "--pass")  # of the server's command: Redis', NATS'
_USER_OPTIONS = ("--user",)
_VARIABLE = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)\}?")


def backing(
    service: ReadService, engine: KnownEngine, files: CommitFiles, config: Mapping[str, str], found: Findings
) -> ComposeBacking:
    """The backing service that it is. ``config`` is the app's; notes go to ``found``."""
    login = _login(service, engine, files)
    if {login.password, login.root_password} - {"", *config.values()}:
        way = "to keep it out, write ${NAME} and config:set APP NAME=VALUE"
        found.note(
            service.value, "its password", f"stands in the repository, and is taken as it is: {way}", service.name
        )
    for port in service.ports:
        found.note(port.value, "its port", "is not opened on the server: reach it by services:proxy", service.name)
    data = next((v.source for v in service.container.volumes if v.path == engine.data), "")
    for path, source in service.read.data_directories.items():
        own = _inside(path, engine.data)
        why = "the data are kept in the service's own volume" if own else "commit what it needs"
        found.note(service.value, source, f"is not in the repository, and not mounted: {why}", service.name)
    return ComposeBacking(service.name, engine.name, engine.version, service.container, login, data, service.depends_on)


def _inside(path: str, data: str) -> bool:
    return f"{path}/".startswith(f"{data}/") or f"{data}/".startswith(f"{path}/")


def _login(service: ReadService, engine: KnownEngine, files: CommitFiles) -> WrittenLogin:
    names = _VARIABLES.get(engine.name, _LoginVariables())
    environment = service.container.environment

    def first(candidates: tuple[str, ...]) -> str:
        for name in candidates:
            if environment.get(name):
                return environment[name]
            if environment.get(name + FILE_SUFFIX):
                return _of_file(environment[name + FILE_SUFFIX], service.container.files, files)
        return ""

    words = _words(service)
    password = first(names.password) or _option(words, _PASSWORD_OPTIONS)
    user = first(names.user) or _option(words, _USER_OPTIONS) or (names.default_user if password else "")
    database = first(names.database) or (user if engine.name == "postgres" else "")
    return WrittenLogin(user, password, database, first(names.root_password))


def _of_file(path: str, mounted: tuple[ComposeFile, ...], files: CommitFiles) -> str:
    """What the image will find in that file: without the line's end, as a shell reads it."""
    for file in mounted:
        if file.path == path:
            content = file.content if file.source is None else files.read(file.source)
            return (content or b"").decode(errors="replace").rstrip("\n")
    return ""


def _words(service: ReadService) -> list[str]:
    """Of its command; that of `sh -c` with the variables of its environment."""
    words = [*(service.container.entrypoint or ()), *(service.container.command or ())]
    if "-c" not in words[:-1]:
        return words
    try:
        inner = shlex.split(words[words.index("-c") + 1])
    except ValueError:
        return words
    environment = service.container.environment
    return [_VARIABLE.sub(lambda found: environment.get(found[1], ""), word) for word in inner]


def _option(words: list[str], options: tuple[str, ...]) -> str:
    for at, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name in options:
            return value if equals else words[at + 1] if at + 1 < len(words) else ""
    return ""
