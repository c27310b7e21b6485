"""What whole Compose files become: processes, databases, volumes, the web process and the order of the start."""

from __future__ import annotations

import pytest

from gitship.compose.app import NAMES, compose_file
from gitship.compose.model import (
    ComposeBuild,
    ComposeFile,
    ComposeVolume,
    Condition,
    Dependency,
    TemporaryDirectory,
    WrittenLogin,
)
from gitship.errors import ConfigError
from gitship.model import Check
from tests.unit.compose.repository import FilesInMemory, notes, read

SHOP = """
x-env: &env
  LEVEL: ${LEVEL:-info}
  DATABASE_URL: postgresql://shop:${DB_PASSWORD}@db/shop
services:
  front:
    image: nginx:1.27
    ports: ["8080:80", "443:443"]
    volumes:
      - ./front/site.conf:/etc/nginx/conf.d/default.conf:ro
      - /etc/localtime:/etc/localtime:ro
    depends_on: [web]
  web:
    build: {context: ./app, target: run, args: [STAGE=production, COMMIT]}
    restart: always
    container_name: shop
    environment: {<<: *env, WORKERS: 4, DEBUG: false, TOKEN: }
    ports: ["127.0.0.1:8000:8000"]
    volumes: [".:/code", uploads:/uploads, /code/node_modules]
    depends_on:
      db: {condition: service_healthy}
      migrate: {condition: service_completed_successfully}
      cache: {condition: service_started, required: false}
    healthcheck: {test: curl -f localhost:8000, interval: 1m30s, timeout: 5s, retries: 2, start_period: 10s}
    deploy: {replicas: 1, resources: {limits: {memory: 256M, cpus: "0.5"}}}
    stop_grace_period: 1m
    read_only: true
    tmpfs: /tmp:size=64m
    secrets: [token]
  migrate:
    build: app
    command: ["./migrate", "--all"]
    environment: *env
    depends_on: [db]
  db:
    image: postgres:17-alpine
    environment: {POSTGRES_USER: shop, POSTGRES_PASSWORD: "${DB_PASSWORD}"}
    volumes: ["data:/var/lib/postgresql/data", "./seed.sql:/docker-entrypoint-initdb.d/seed.sql:ro"]
    ports: ["5432:5432"]
  cache:
    image: redis:8
    command: redis-server --requirepass "${CACHE_PASSWORD:-open sesame}"
  debug:
    image: busybox
    profiles: [debug]
    privileged: true
volumes: {data: , uploads: , unused: }
secrets: {token: {environment: TOKEN}}
x-gitship: {domains: [Shop.example.com.], canary: 5% for 2m, cache: {ttl: 60}}
"""
FILES = {"app/Dockerfile": "FROM scratch", "front/site.conf": "", "seed.sql": "", "compose.override.yaml": ""}
CONFIG = {"DB_PASSWORD": "s3cret", "TOKEN": "t0ken", "COMMIT": "abc"}


def test_a_whole_shop() -> None:
    app = read(SHOP, CONFIG, FILES)
    assert {one.name for one in app.processes} == {"front", "web", "migrate"}
    assert (app.web, app.port, app.volumes, app.domains) == ("front", 80, ("data", "uploads"), ("shop.example.com",))
    assert str(app.canary) == "5% of visitors for 2m"
    assert app.cache
    order = app.order
    assert order.index("db") < order.index("migrate") < order.index("web") < order.index("front")


def test_a_built_service_is_a_process_type_with_all_that_the_file_says() -> None:
    web = read(SHOP, CONFIG, FILES).process("web")
    assert web is not None
    assert web.build == ComposeBuild(
        "app", "app/Dockerfile", target="run", args={"STAGE": "production", "COMMIT": "abc"}
    )
    container = web.container
    assert container.environment == {
        "LEVEL": "info", "DATABASE_URL": "postgresql://shop:s3cret@db/shop", "WORKERS": "4", "DEBUG": "false",
        "TOKEN": "t0ken",
    }  # fmt: skip
    assert container.volumes == (ComposeVolume("uploads", "/uploads"),)
    assert container.files == (ComposeFile("/run/secrets/token", content=b"t0ken"),)
    assert container.tmpfs == (TemporaryDirectory("/tmp", "size=64m"),)
    assert (container.read_only, container.stop_timeout_s, container.image) == (True, 60, "")
    assert (container.limits.memory_bytes, container.limits.cpus) == (256 << 20, 0.5)
    curl = ("/bin/sh", "-c", "curl -f localhost:8000")
    assert container.healthcheck.check() == Check(kind="command", command=curl, timeout_s=5, deadline_s=10 + 2 * 95)
    assert not web.stateful  # built for several at once
    assert set(web.depends_on) == {
        Dependency("db", Condition.HEALTHY), Dependency("migrate", Condition.COMPLETED), Dependency("cache"),
    }  # fmt: skip


def test_what_others_wait_for_to_complete_runs_once() -> None:
    app = read(SHOP, CONFIG, FILES)
    assert [one.name for one in app.processes if one.once] == ["migrate"]


def test_images_of_known_engines_are_backing_services_with_the_login_of_the_file() -> None:
    db, cache = read(SHOP, CONFIG, FILES).services
    assert (db.name, db.engine, db.version, db.data) == ("db", "postgres", "17-alpine", "data")
    assert db.login == WrittenLogin("shop", "s3cret", "shop")
    assert db.container.files == (ComposeFile("/docker-entrypoint-initdb.d/seed.sql", source="seed.sql"),)
    assert (cache.engine, cache.login) == ("redis", WrittenLogin("default", "open sesame"))


def test_what_is_done_otherwise_is_said_in_a_line_each() -> None:
    said = "\n".join(notes(read(SHOP, CONFIG, FILES)))
    for line in (
        "compose.yaml: compose.override.yaml is not read: it is for your own machine",
        "container_name (web) is ignored: gitship names containers itself",
        ". (web) is not mounted: the image has the files that it was built from",
        "/code/node_modules (web) is kept by no deploy",
        "/etc/localtime (front) is not mounted: containers have UTC",
        "port 443 (front) is not opened: gitship does HTTPS itself",
        "port 8000 (web) not opened on the server",
        "its port (db) is not opened on the server: reach it by services:proxy",
        "its password (cache) stands in the repository",
        "debug is not started, as it has the profile debug: config:set APP COMPOSE_PROFILES=debug starts it",
    ):
        assert line in said
    assert "its password (db)" not in said  # it is the app's config


def test_compose_profiles_of_the_config_start_their_services() -> None:
    text = "services: {web: {image: a, ports: ['80:80']}, tool: {image: b, profiles: [tools]}}"
    assert len(read(text).processes) == 1
    assert len(read(text, {"COMPOSE_PROFILES": "other, tools"}).processes) == 2
    assert len(read(text, {"COMPOSE_PROFILES": "*"}).processes) == 2
    assert len(read(text, files={".env": "COMPOSE_PROFILES=tools"}).processes) == 2


def test_config_counts_before_the_repository_s_env_file() -> None:
    text = "services: {web: {image: 'a:${TAG}', environment: [A=$A, NAME=$COMPOSE_PROJECT_NAME, NO=$NO]}}"
    app = read(text, {"A": "config"}, {".env": "A=file\nTAG=${A}1\n"})
    (web,) = app.processes
    assert web.container.image == "a:config1"
    assert web.container.environment == {"A": "config", "NAME": "shop", "NO": ""}
    line = "compose.yaml line 1: not set, and so empty: NO; to set one: config:set APP NO=VALUE"
    assert notes(app) == [line]


def test_env_files_come_beneath_the_environment_and_a_missing_one_is_the_config_s() -> None:
    text = """
services:
  web:
    image: a
    env_file: [one.env, {path: two.env, format: raw}, {path: no.env, required: false}]
    environment: {B: own}
  other: {image: b, env_file: .env.production}
"""
    app = read(text, files={"one.env": "A=1\nB=1\nC='$A'\n", "two.env": "C='$A'\n"})
    web, other = app.processes
    assert web.container.environment == {"A": "1", "B": "own", "C": "'$A'"}
    assert (web.config, other.config) == (False, True)
    assert any("env_file .env.production (other) is not in the repository: the app's config" in n for n in notes(app))


@pytest.mark.parametrize(
    ("services", "web"),
    [
        ("a: {image: x, ports: ['3000']}", ("a", 3000)),
        ("a: {image: x, ports: ['80:3000', '9000:9000']}, b: {image: y, ports: ['3001:3001']}", ("a", 3000)),
        ("a: {image: x, expose: [3000]}, b: {image: y}", ("a", 3000)),
        ("a: {image: x, ports: ['6379:6379']}, b: {image: y, ports: ['8000:8000']}", ("b", 8000)),
        ("a: {image: x, ports: ['8000:8000', '9229:9229']}", ("a", 8000)),
        ("a: {image: x, ports: ['127.0.0.1:9000:9000']}, b: {image: y, ports: ['8000:8000']}", ("b", 8000)),
        (
            "a: {image: x, ports: [{target: 9000, app_protocol: http}, '9001']}, b: {image: y, ports: ['80:80']}",
            ("a", 9000),
        ),
        ("web: {image: x}, worker: {image: x}", ("web", None)),
        ("a: {image: x}, b: {image: y}", ("", None)),
        ("db: {image: 'postgres:17', ports: ['80:5432']}, b: {image: y, ports: ['8000:8000']}", ("b", 8000)),
    ],
)
def test_web_is_the_one_that_publishes_a_port_of_http(services: str, web: tuple[str, int | None]) -> None:
    app = read(f"services: {{{services}}}")
    assert (app.web, app.port) == web


@pytest.mark.parametrize(
    ("services", "hint"),
    [
        ("a: {image: x, ports: ['3000:3000']}, b: {image: y, ports: ['8000:8000']}", "x-gitship: {web: a}"),
        ("b: {image: x, ports: ['3000:3000']}, a: {build: ., ports: ['8000:8000'], tty: true}", "x-gitship: {web: b}"),
        ("back: {image: x, ports: ['3000:3000']}, front: {image: y, ports: ['8000:8000']}", "x-gitship: {web: front}"),
        ("a: {image: x, ports: ['3000:3000', '8000:8000']}", "x-gitship: {web: 'a:3000'}"),
    ],
)
def test_which_is_web_is_asked_for_with_the_line_to_write(services: str, hint: str) -> None:
    with pytest.raises(ConfigError) as error:
        read(f"services: {{{services}}}")
    assert error.value.hint == f"say which, at the top of compose.yaml: {hint}"
    said = read(f"{hint}\nservices: {{{services}}}")
    assert f"web: {said.web}" in hint.replace("'", "")
    assert any("not opened on the server" in note for note in notes(said))


def test_no_one_may_be_web() -> None:
    app = read("services: {a: {image: x, ports: ['80:80']}}\nx-gitship: {web: none}")
    assert (app.web, app.port) == ("", None)


@pytest.mark.parametrize(
    ("image", "environment", "login"),
    [
        ("postgres:16", "{POSTGRES_PASSWORD: p}", WrittenLogin("postgres", "p", "postgres")),
        ("postgres:16", "{POSTGRES_HOST_AUTH_METHOD: trust}", WrittenLogin()),
        ("mysql:8", "{MYSQL_ROOT_PASSWORD: r, MYSQL_USER: u, MYSQL_PASSWORD: p, MYSQL_DATABASE: d}",
            WrittenLogin("u", "p", "d", "r")),
        ("mariadb:11.4", "{MARIADB_ROOT_PASSWORD: r, MYSQL_DATABASE: d}", WrittenLogin("", "", "d", "r")),
        ("mongo:8", "{MONGO_INITDB_ROOT_USERNAME: u, MONGO_INITDB_ROOT_PASSWORD: p}", WrittenLogin("u", "p")),
        ("rabbitmq:4-management", "{RABBITMQ_DEFAULT_PASS: p}", WrittenLogin("guest", "p")),
        ("postgres:16", "{POSTGRES_PASSWORD_FILE: /run/secrets/pw}", WrittenLogin("postgres", "from file", "postgres")),
        ("redis", "{}", WrittenLogin()),
    ],
)  # fmt: skip
def test_logins_are_taken_as_the_file_has_them(image: str, environment: str, login: WrittenLogin) -> None:
    text = f"""
services: {{db: {{image: {image}, environment: {environment}, secrets: [pw]}}}}
secrets: {{pw: {{file: pw.txt}}}}
"""
    (service,) = read(text, files={"pw.txt": "from file\n"}).services
    assert service.login == login


def test_a_password_in_a_shell_s_command_is_that_of_the_environment() -> None:
    text = "services: {r: {image: 'redis:8', environment: {P: x}, command: sh -c 'redis-server --requirepass \"$$P\"'}}"
    (service,) = read(text).services
    assert service.login.password == "x"


def test_a_version_that_is_not_known_runs_as_a_process_with_its_volume() -> None:
    app = read("services: {db: {image: 'postgres:9.6', volumes: ['d:/var/lib/postgresql/data']}}\nvolumes: {d: }")
    (db,) = app.processes
    assert db.stateful
    assert any("postgres:9.6 (db) is no version of postgres that gitship knows" in note for note in notes(app))


def test_links_are_names_and_variables_as_fig_set_them() -> None:
    web_service = "{image: x, links: ['db:main-db'], environment: {MAIN_DB_PORT: mine}}"
    app = read(f"services: {{db: {{image: 'postgres:17'}}, web: {web_service}}}")
    (web,) = app.processes
    assert web.container.links == {"main-db": "db"}
    assert web.depends_on == (Dependency("db"),)
    environment = web.container.environment
    assert environment["MAIN_DB_HOST"] == "db"
    assert environment["MAIN_DB_PORT_5432_TCP_ADDR"] == environment["MAIN_DB_1_PORT_5432_TCP_ADDR"] == "db"
    assert environment["MAIN_DB_PORT_5432_TCP"] == "tcp://db:5432"
    assert environment["MAIN_DB_PORT"] == "mine"


def test_links_to_many_ports_give_few_variables() -> None:
    app = read("services: {a: {image: x, ports: ['1-400']}, b: {image: y, links: [a]}}\nx-gitship: {web: none}")
    assert len(app.process("b").container.environment) < 100  # type: ignore[union-attr]
    assert notes(app) == [
        "compose.yaml line 1: port 1, 2, 3, 4, 5 and 395 more (a) not opened on the server: other services reach it by"
        " its name"
    ]


def test_files_of_the_commit_are_mounted_read_only_where_no_image_is_built_from_them() -> None:
    text = """
services:
  web:
    build: {context: app, dockerfile: ../docker/web.Dockerfile}
    volumes: ["./app/src:/src", "./conf:/conf:ro", "${PWD}/one.txt:/one.txt"]
    configs: [{source: c, target: /etc/c, mode: 0444, uid: "7"}]
configs: {c: {content: "level=${LEVEL:-info}"}}
"""
    app = read(text, files={"app/src/a.py": "", "conf/a.conf": "", "one.txt": "", "docker/web.Dockerfile": ""})
    (web,) = app.processes
    assert web.build is not None
    assert web.build.dockerfile == "docker/web.Dockerfile"
    assert web.container.files == (
        ComposeFile("/conf", source="conf", directory=True),
        ComposeFile("/one.txt", source="one.txt"),
        ComposeFile("/etc/c", content=b"level=info", mode=0o444, uid=7),
    )
    assert any("./app/src (web) is not mounted" in note for note in notes(app))


def test_the_data_directory_of_a_database_needs_no_name() -> None:
    app = read("services: {db: {image: 'mysql:8.4', volumes: ['./mysql:/var/lib/mysql']}}")
    assert (app.services[0].data, app.volumes) == ("", ())
    assert any("the data are kept in the service's own volume" in note for note in notes(app))


@pytest.mark.parametrize("names", [("compose.yaml", "docker-compose.yml"), ("docker-compose.yml",), NAMES])
def test_the_file_is_found_as_docker_compose_finds_it(names: tuple[str, ...]) -> None:
    assert compose_file(FilesInMemory(dict.fromkeys(reversed(names), b""))) == names[0]
    assert compose_file(FilesInMemory({"compose.json": b""})) is None
