"""What gitship does not do is refused with file, line, key, the reason and the way; all of a file at once."""

from __future__ import annotations

import pytest

from gitship.compose.keys import ComposeRefused, KeyUse
from gitship.compose.reference import reference
from gitship.errors import ConfigError
from tests.unit.compose.repository import read

WEB = "services:\n  web:\n    image: x\n"
REFUSED = [
    ("privileged: true", "services.web.privileged: it would have the whole server"),
    ("privileged: 'true'", "services.web.privileged: it would have the whole server"),
    ("network_mode: host", "services.web.network_mode: all services are in the app's own network"),
    ("network_mode: 'service:db'", "services.web.network_mode: all services are in the app's own network"),
    ("pid: host", "services.web.pid: it would see into the server"),
    ("ipc: host", "services.web.ipc: it would see into the server"),
    ("uts: host", "services.web.uts: it would see into the server"),
    ("userns_mode: host", "services.web.userns_mode: it would see into the server"),
    ("cgroup: host", "services.web.cgroup: it would see into the server"),
    ("cgroup_parent: x", "services.web.cgroup_parent: limits are gitship's"),
    ("devices: [/dev/kvm]", "services.web.devices: apps get no devices"),
    ("gpus: all", "services.web.gpus: apps get no devices"),
    ("device_cgroup_rules: ['c 1:3 mr']", "services.web.device_cgroup_rules: apps get no devices"),
    ("deploy: {resources: {reservations: {devices: [{capabilities: [gpu]}]}}}", "devices: apps get no devices"),
    ("cap_add: [SYS_ADMIN]", "services.web.cap_add[0]: SYS_ADMIN reaches out of the container"),
    ("cap_add: [ALL]", "services.web.cap_add[0]: ALL reaches out of the container"),
    ("security_opt: [seccomp:unconfined]", "services.web.security_opt: it would take protections away"),
    ("sysctls: {net.ipv4.ip_forward: 1}", "services.web.sysctls: net.ipv4.ip_forward is not a parameter that apps set"),
    ("ulimits: {rtprio: 99}", "services.web.ulimits.rtprio is not a limit that apps set"),
    ("volumes: ['/etc:/host']", "services.web.volumes[0]: /etc is a path of the machine"),
    ("volumes: ['~/x:/x']", "services.web.volumes[0]: ~/x is a path of the machine"),
    ("volumes: ['../x:/x']", "services.web.volumes[0]: ../x is outside of the repository"),
    ("volumes: ['./a/../../x:/x']", "services.web.volumes[0]: ./a/../../x is outside of the repository"),
    ("volumes: ['./data:/data']", "services.web.volumes[0]: ./data is not in the repository"),
    ("volumes: ['data:/data']", "services.web.volumes[0] has the volume 'data', which the file does not name"),
    (
        "volumes: ['/var/run/docker.sock:/s']",
        "services.web.volumes[0]: whoever has Docker's socket has the whole server",
    ),
    ("volumes: [{type: bind, source: /run/docker.sock, target: /s}]", "whoever has Docker's socket"),
    ("volumes: [{type: npipe, source: x, target: /x}]", "services.web.volumes[0].type: a mount of type npipe"),
    ("use_api_socket: true", "services.web.use_api_socket: whoever has Docker's socket"),
    ("volumes_from: [db]", "services.web.volumes_from: it takes volumes that are not named"),
    ("external_links: [db]", "services.web.external_links: what runs outside of this file"),
    ("provider: {type: x}", "services.web.provider: it runs a program of the server"),
    ("runtime: sysbox", "services.web.runtime: containers run with Docker's own runtime"),
    ("labels: [gitship.app=other]", "services.web.labels: gitship.app is a label that only gitship and Docker set"),
    ("extra_hosts: ['h:host-gateway']", "services.web.extra_hosts[0]: an app does not reach the server itself"),
    ("ports: ['53:53/udp']", "services.web.ports[0]: visitors reach no port of udp"),
    ("networks: {default: {ipv4_address: 10.0.0.2}}", "ipv4_address: gitship gives addresses itself"),
    ("networks: [no]", "services.web.networks[0] names the network 'no', which is not there"),
    ("build: https://example.com/a.git", "services.web.build: an image is built from the pushed commit"),
    ("build: ../x", "services.web.build must be a path within the repository"),
    ("build: {ssh: [default]}", "services.web.build.ssh: the server has no key to lend"),
    ("build: {network: host}", "services.web.build.network: a build would get more than its own files"),
    ("build: {args: {BUILDKIT_CACHE_MOUNT_NS: x}}", "the build argument BUILDKIT_CACHE_MOUNT_NS"),
    ("x-gitship: {web: web}", "services.web.x-gitship: it stands at the top of the file only"),
    ("depends_on: [no]", "services.web.depends_on[0] names 'no', which is no service"),
    ("secrets: [no]", "services.web.secrets[0] is not below `secrets:` at the top"),
    ("command: a && b", "services.web.command has |, &, ;, < or > outside quotes"),
    ("stop_grace_period: 30", "services.web.stop_grace_period must be a time with its unit"),
    ("mem_limit: 1m", "services.web must have a memory limit of 6m at least"),
    ("mem_limit: lots", "services.web.mem_limit must be a size"),
    ("scale: 2\n    deploy: {replicas: 3}", "services.web must say one thing: scale and deploy.replicas differ"),
    ("healthcheck: {test: [curl, x]}", "services.web.healthcheck.test must begin with CMD and a program"),
    ("healthcheck: {intervall: 1s}", "unknown key 'services.web.healthcheck.intervall'"),
    ("enviroment: {}", "unknown key 'services.web.enviroment'"),
    ("image: 'UPPER CASE'", "services.web.image must be the name of an image"),
    (f"image: sha256:{'a' * 64}", "services.web.image must be the name of an image, not an id of this server's"),
    ("links: ['web:a b']", "services.web.links[0] must be a host name"),
    ("networks: {default: {aliases: ['a b']}}", "services.web.networks.default.aliases[0] must be a host name"),
    ("extra_hosts: {'a b': 10.0.0.1}", "must be NAME=ADDRESS"),
    ("cap_drop: ['a b']", "services.web.cap_drop[0] must be a capability"),
    ("extends: {file: ../x.yaml, service: a}", "'../x.yaml' is outside of the repository"),
    ("env_file: /etc/passwd", "services.web.env_file must be a path within the repository"),
    ("ports: [a]", "services.web.ports[0] must be [HOST:]CONTAINER"),
    ("tmpfs: '/x:suid'", "services.web.tmpfs has an unknown option suid"),
    ("user: 'a; b'", "services.web.user must be USER or USER:GROUP"),
    ("post_start: [{command: x}]", "services.web.post_start: commands in a container that runs are not run"),
]


@pytest.mark.parametrize(("key", "message"), REFUSED)
def test_of_a_service(key: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        read((WEB if not key.startswith("image") else WEB.replace("    image: x\n", "")) + f"    {key}\n")
    assert message in error.value.message
    assert error.value.message.startswith("compose.yaml line ")
    assert error.value.hint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("volumes: {v: {external: true}}", "line 4: volumes.v.external: what is outside of this file"),
        ("volumes: {v: {driver: nfs}}", "line 4: volumes.v.driver: volumes are the server's own directories"),
        ("volumes: {v: {driver_opts: {device: /}}}", "line 4: volumes.v.driver_opts: it would mount another place"),
        ("networks: {n: {external: true}}", "line 4: networks.n.external: what is outside of this file"),
        ("secrets: {s: {external: true}}", "line 4: secrets.s.external: it would come from another place"),
        ("secrets: {s: {file: ./s.txt}}", "line 4: secrets.s is s.txt, which is not in the repository"),
        ("secrets: {s: {environment: NO}}", "line 4: secrets.s is the variable NO, which is not set"),
        ("configs: {s: {file: /etc/passwd}}", "line 4: configs.s.file must be a path within the repository"),
        ("include: [../other.yaml]", "line 4: '../other.yaml' is outside of the repository"),
        ("include: [no.yaml]", "no.yaml is not in the repository"),
        ("include: [compose.yaml]", "compose.yaml includes itself"),
        ("modells: {}", "line 4: unknown key 'modells'"),
        ("x-gitship: {wep: web}", "line 4: unknown key 'x-gitship.wep'"),
        ("x-gitship: {web: no}", "line 4: x-gitship.web must name a service that stays up"),
        ("x-gitship: {domains: ['a b']}", "line 4: x-gitship.domains[0] must be a host name"),
        ("x-gitship: {cache: {tll: 1}}", "line 4: unknown key 'x-gitship.cache.tll'"),
    ],
)
def test_at_the_top(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        read(f"{WEB}{text}\n")
    assert message in error.value.message
    assert error.value.hint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "compose.yaml has no services"),
        ("services: []", "services must be a mapping"),
        ("web: {build: .}\ndb: {image: postgres}", "compose.yaml has its services at the top, as Fig had them"),
        ("[]", "compose.yaml must be a mapping"),
        ("services: {web: }", "services.web must be a mapping"),
        ("services: {web: {command: x}}", "services.web must have build or image"),
        ("services: {'a.b': {image: x}}", "services.a.b must be named as a process type is"),
        ("services: {a: {image: x, profiles: [p]}}", "services must have a service that starts"),
        ("services: {" + ", ".join(f"a{n}: {{image: x}}" for n in range(101)) + "}", "services must be 100 at most"),
        ("services: {a: {image: x, depends_on: [b]}, b: {image: x, links: [a]}}", "services wait for each other: "),
        ("services: {a: {image: x, depends_on: [a]}}", "services wait for each other: a -> a"),
        ("services: {a: {image: x, depends_on: [b]}, b: {image: x, profiles: [p]}}", "which has the profile p"),
        (
            "services: {a: {image: x, depends_on: {b: {condition: service_completed_successfully}}}, b: {image: nats}}",
            "services.a.depends_on must not wait for b to complete, which stays up",
        ),
        ("services: {a: {image: x, volumes: ['./x:/etc/hosts']}}", "must not be /etc/hosts, which is the system's"),
        ("services: {a: {image: x, qqqq: 1}}", "unknown key 'services.a.qqqq'"),
        ("services: {a: {image: x, scale: 2, volumes: ['v:/v']}}\nvolumes: {v: }", "must not write to v from several"),
    ],
)
def test_of_the_whole(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        read(text)
    assert message in error.value.message
    assert error.value.hint


def test_all_problems_are_told_at_once_each_with_its_line() -> None:
    with pytest.raises(ComposeRefused) as error:
        read("services:\n  a:\n    image: x\n    privileged: true\n  b: {image: y,\n    pid: host,\n    prots: []}\n")
    lines = error.value.message.split("\n")
    assert [line.split(": ")[0] for line in lines] == [f"compose.yaml line {n}" for n in (4, 6, 7)]
    assert lines[2].endswith("did you mean 'services.b.ports'?")
    assert len(error.value.problems) == 3


def test_a_variable_that_is_not_set_is_named_as_the_reason() -> None:
    with pytest.raises(ConfigError) as error:
        read("services: {a: {image: 'x:${TAG}'}}")
    assert error.value.hint == "the variable TAG there is not set: config:set APP TAG=VALUE"


HARMLESS = [
    "privileged: false", "devices: []", "network_mode: bridge", "ipc: private", "pid: ''", "runtime: runc",
    "security_opt: ['no-new-privileges:true']", "cap_add: [CHOWN, NET_RAW]", "cap_drop: [ALL]", "init: true",
    "sysctls: [net.core.somaxconn=1024]", "ulimits: {nofile: {soft: 1, hard: 2}, nproc: 65535}", "tty: true",
    "extra_hosts: {h: [10.0.0.1, '::1']}", "x-mine: {any: [thing]}", "cpus: '0.5'",
    "mem_limit: 1.5gb", "scale: ${NO:-2}",
    "read_only: ${NO:-true}", "platform: ${NO:-}", "healthcheck: {disable: true}", "healthcheck: {test: NONE}",
    "entrypoint: ''", "command: []", "ports: [{target: 80, x-mine: 1}]",
    "hostname: my_host.", "shm_size: 64m", "stop_signal: SIGINT", "user: 1000",
    "networks: {default: {aliases: [db]}}", "expose: [80, '90-92/tcp', 53/udp]", "labels: {a: 1}", "group_add: []",
    "ports: ['[::1]:6001:80', 9090-9091:8080-8081, '8000-9000:90', {target: 80, published: '80', mode: host}]",
    "volumes: [{type: tmpfs, target: /t, tmpfs: {size: 64m, mode: 0755}}]", "deploy: {mode: replicated, replicas: 2}",
]  # fmt: skip


@pytest.mark.parametrize("key", HARMLESS)
def test_what_harms_nobody_is_taken(key: str) -> None:
    assert len(read(f"{WEB}    {key}\n").processes) == 1


def test_every_refused_key_has_a_way_and_every_key_a_sentence() -> None:
    keys = {use: reference(use) for use in KeyUse}
    assert all(about for some in keys.values() for _, about in some)
    assert all("; " in about for _, about in keys[KeyUse.REFUSED])
    names = [name for some in keys.values() for name, _ in some]
    assert len(names) == len(set(names))
    assert "services.<name>.ports" in dict(keys[KeyUse.HONOURED])
    assert "services.<name>.restart" in dict(keys[KeyUse.IGNORED])
