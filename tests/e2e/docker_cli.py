"""Docker as the tests see it: by label, through the stock client, with time-outs."""

from __future__ import annotations

import subprocess

LIST = {
    "container": ["ps", "-a", "--format", "{{.Names}}"],
    "network": ["network", "ls", "--format", "{{.Name}}"],
    "image": ["images", "-a", "--format", "{{.ID}}"],
    "volume": ["volume", "ls", "--format", "{{.Name}}"],
}
REMOVE = {
    "container": ["rm", "-f", "-v"],
    "network": ["network", "rm"],
    "image": ["rmi", "-f"],
    "volume": ["volume", "rm"],
}


def docker(host: str, *args: str, timeout_s: float = 120, check: bool = True, stdin: bytes | None = None) -> str:
    """`docker ARGS`; its standard output."""
    done = subprocess.run(
        ["docker", "-H", host, *args], input=stdin, capture_output=True, timeout=timeout_s, check=False
    )
    if check and done.returncode:
        raise AssertionError(f"docker {' '.join(args)}: exit {done.returncode}\n{done.stderr.decode(errors='replace')}")
    return done.stdout.decode(errors="replace").strip()


def names(host: str, kind: str, *labels: str) -> list[str]:
    """Names (of images: ids) of what carries all these labels ("key=value")."""
    filters = [word for label in labels for word in ("--filter", f"label={label}")]
    return sorted(set(docker(host, *LIST[kind], *filters).split()))


def remove_labelled(host: str, label: str) -> None:
    """Removes everything that carries the label, containers first."""
    for kind, command in REMOVE.items():
        found = names(host, kind, label)
        if found:
            docker(host, *command, *found, check=False)


def remove_images_of(host: str, server: str) -> None:
    """What was pulled for its apps and services, which has its name and not its label."""
    wanted = [f"--filter=reference={kind}/*:{server}-*" for kind in ("gitship", "gitship-service")]
    tags = docker(host, "images", *wanted, "--format", "{{.Repository}}:{{.Tag}}")
    if tags:
        docker(host, "rmi", "-f", *tags.split(), check=False)


def left(host: str, label: str) -> list[str]:
    """What still carries the label, as sentences."""
    return [f"{kind} {name} is left" for kind in REMOVE for name in names(host, kind, label)]
