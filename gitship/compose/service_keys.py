"""The keys of a Compose file's service that gitship honours, ignores or refuses, with the reasons."""

from __future__ import annotations

import re

from gitship.compose import values
from gitship.compose.keys import by_name, honoured, ignored, refused, silent
from gitship.compose.limits import read_ulimits
from gitship.compose.options import (
    read_capabilities,
    read_dropped,
    read_extra_hosts,
    read_healthcheck,
    read_labels,
    read_sysctls,
    read_tmpfs,
)
from gitship.engine.platforms import PLATFORM
from gitship.schema import Value

MOST_REPLICAS = 100
LOCAL = "or give it `profiles: [local]`: then it starts on your own machine only"
_SIGNAL = re.compile(r"(?:SIG)?[A-Z][A-Z0-9+-]{1,15}|[0-9]{1,2}")
_USER = re.compile(r"[A-Za-z0-9_.-]{1,64}(?::[A-Za-z0-9_.-]{1,64})?")
_HOSTS_NAMESPACE = "it would see into the server, or into other containers"
_HARDWARE = "apps get no devices of the server"


def _signal(value: Value) -> str:
    if not _SIGNAL.fullmatch(values.text(value).upper()):
        raise value.error("must be a signal, for instance SIGINT")
    return values.text(value).upper()


def _user(value: Value) -> str:
    if not _USER.fullmatch(values.text(value)):
        raise value.error("must be USER or USER:GROUP, by name or number")
    return values.text(value)


def _platform(value: Value) -> str:
    if not PLATFORM.fullmatch(values.line(value)):
        raise value.error("must be a platform", "for instance linux/arm64")
    return values.line(value)


def _working_dir(value: Value) -> str:
    if not values.line(value).startswith("/"):
        raise value.error("must be an absolute path in the container", "for instance /app")
    return values.line(value)


SERVICE = by_name(
    honoured("build", "built from the pushed commit: a context, or the keys of `build`"),
    honoured("image", "a database that gitship knows becomes a backing service; any other image a process of its own",
        values.line),
    honoured("command", "in place of the image's CMD: a list, or words by the shell's quoting", values.command,
        empty=True),
    honoured("entrypoint", "in place of the image's ENTRYPOINT", values.command, empty=True),
    honoured("environment", "a mapping, or a list of NAME=VALUE; a name alone takes the value from the app's config",
        values.pairs),
    honoured("env_file", "files of the repository; for one that git leaves out, the app's config counts"),
    honoured("depends_on", "order of the start; `service_healthy` waits for the health check, "
        "`service_completed_successfully` makes the other one run before the switch"),
    honoured("links", "other names for services; NAME_HOST, NAME_PORT and the variables of Docker's links are set"),
    honoured("ports", "visitors come to the port of one service, by gitship's address; ports of the server are no "
        "one's"),
    honoured("expose", "ports that other services use", values.texts),
    honoured("volumes", "named volumes are storage; a path of the repository is its files of the commit, read-only"),
    honoured("tmpfs", "directories in memory", read_tmpfs),
    honoured("secrets", "read-only files at /run/secrets"),
    honoured("configs", "read-only files"),
    honoured("healthcheck", "must pass before a release gets visitors", read_healthcheck),
    honoured("deploy", "`replicas` and `resources.limits`"),
    honoured("scale", "containers to start", lambda v: values.whole(v, 0, MOST_REPLICAS)),
    honoured("mem_limit", "memory limit of a container", values.size),
    honoured("cpus", "CPU limit of a container", lambda v: values.number(v, 0, 1024)),
    honoured("pids_limit", "limit of processes and threads", lambda v: values.whole(v, -1, 4_000_000)),
    honoured("shm_size", "size of /dev/shm", values.size),
    honoured("ulimits", "limits of a process, but for those of priority", read_ulimits),
    honoured("sysctls", "those of a container's own network that harm nobody", read_sysctls),
    honoured("cap_add", "capabilities that an admin has given to the app: `capabilities:add`", read_capabilities),
    honoured("cap_drop", "capabilities to go without", read_dropped),
    honoured("stop_signal", "the signal that ends it", _signal),
    honoured("stop_grace_period", "time from the signal to SIGKILL", values.duration_s),
    honoured("user", "user and group that it runs as", _user),
    honoured("working_dir", "its working directory", _working_dir),
    honoured("read_only", "true: its root file system is read-only", values.flag),
    honoured("hostname", "its host name", values.host_name),
    honoured("extra_hosts", "further names in /etc/hosts", read_extra_hosts),
    honoured("networks", "`aliases` are further names; all services of an app share its network"),
    honoured("labels", "labels of its containers", read_labels),
    honoured("platform", "platform of its image; the machine must be able to run it", _platform),
    honoured("profiles", "a service with a profile starts when COMPOSE_PROFILES of the app's config names it",
        values.texts),
    honoured("extends", "another service of this file, or of a file in the repository"),
    *silent("is so anyway", "init", "attach", "tty", "stdin_open"),
    *ignored("gitship names containers itself", "container_name"),
    *ignored("gitship restarts what ends", "restart", same=("always", "unless-stopped", "on-failure")),
    *ignored("gitship keeps the logs: `logs APP`", "logging"),
    *ignored("an image is fetched when its service changes", "pull_policy", "pull_refresh_after"),
    *ignored("it is for your own machine", "develop"),
    *ignored("gitship has no use for it", "annotations", "label_file", "storage_opt"),
    *ignored("limit `mem_limit`, `cpus` and `pids_limit`", "blkio_config", "cpu_count", "cpu_percent", "cpu_shares",
        "cpu_period", "cpu_quota", "cpu_rt_runtime", "cpu_rt_period", "cpuset", "mem_reservation", "mem_swappiness",
        "memswap_limit", "oom_kill_disable", "oom_score_adj"),
    *ignored("the server's resolver and addresses count", "dns", "dns_opt", "dns_search", "domainname", "mac_address"),
    refused("privileged", "it would have the whole server", f"name the capability in `cap_add`, {LOCAL}"),
    refused("devices", _HARDWARE, LOCAL[3:]),
    refused("device_cgroup_rules", _HARDWARE, LOCAL[3:]),
    refused("gpus", _HARDWARE, LOCAL[3:]),
    refused("network_mode", "all services are in the app's own network, and in no other", f"remove it, {LOCAL}",
        "bridge", "default"),
    refused("pid", _HOSTS_NAMESPACE, f"remove it, {LOCAL}"),
    refused("ipc", _HOSTS_NAMESPACE, "remove it; for more of /dev/shm write `shm_size`", "private", "shareable"),
    refused("uts", _HOSTS_NAMESPACE, "remove it; a host name is `hostname`"),
    refused("userns_mode", _HOSTS_NAMESPACE, "remove it"),
    refused("cgroup", _HOSTS_NAMESPACE, "remove it", "private"),
    refused("cgroup_parent", "limits are gitship's to keep", "write `mem_limit`, `cpus` or `pids_limit`"),
    refused("security_opt", "it would take protections away", "remove it: no-new-privileges is always set",
        ["no-new-privileges"], ["no-new-privileges:true"], ["no-new-privileges=true"]),
    refused("use_api_socket", "whoever has Docker's socket has the whole server", f"remove it, {LOCAL}"),
    refused("volumes_from", "it takes volumes that are not named", "name the volumes under `volumes` of both services"),
    refused("external_links", "what runs outside of this file is not the app's", "services of gitship: services:link"),
    refused("provider", "it runs a program of the server", f"use a backing service: services:engines, {LOCAL}"),
    refused("models", "gitship runs no models", "run it as a service with an image of its own"),
    refused("credential_spec", "it is for Windows", "remove it"),
    refused("isolation", "it is for Windows", "remove it", "default"),
    refused("runtime", "containers run with Docker's own runtime", "remove it", "runc"),
    refused("group_add", "groups cannot be added", "write `user: USER:GROUP`"),
    refused("post_start", "commands in a container that runs are not run", "write them into the image's entrypoint"),
    refused("pre_start", "commands before a container are not run", "write a service that others wait for to complete"),
    refused("pre_stop", "commands in a container that ends are not run", "let the program answer its stop signal"),
    refused("x-gitship", "it stands at the top of the file only", "move it to the top, beside `services`"),
)  # fmt: skip
