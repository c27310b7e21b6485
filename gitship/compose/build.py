"""The `build` of a service: context, Dockerfile, target and arguments, all from the pushed commit."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping

from gitship.appfiles import build_arguments
from gitship.compose import values
from gitship.compose.commit_files import CommitFiles
from gitship.compose.granted_files import FileSources
from gitship.compose.keys import Findings, by_name, honoured, ignored, read_keys, refused
from gitship.compose.model import ComposeBuild
from gitship.errors import ConfigError, UsageError
from gitship.model import CONFIG_NAME
from gitship.schema import Value

_URL = re.compile(r"[a-z][a-z0-9+.-]*://|git@|github\.com/")
_UNSAFE = "a build would get more than its own files"

BUILD = by_name(
    honoured("context", "a directory of the repository"),
    honoured("dockerfile", "the Dockerfile, a path from the context", values.line),
    honoured("dockerfile_inline", "the Dockerfile's text", values.text),
    honoured("target", "the stage to build", values.line),
    honoured("args", "build arguments; one without a value takes it from the app's config", values.pairs),
    honoured("network", "`none`: RUN lines have no network"),
    honoured("secrets", "for `RUN --mount=type=secret`"),
    *ignored("gitship keeps a cache of its own", "cache_from", "cache_to", "no_cache", "pull"),
    *ignored("gitship names and marks images itself", "tags", "labels", "provenance", "sbom"),
    *ignored("an image is built for the machine, or for the service's `platform`", "platforms"),
    *ignored("limits of builds are the server's", "shm_size", "ulimits"),
    refused("additional_contexts", "an image is built from one context", "COPY --from= a stage of the same Dockerfile"),
    refused("ssh", "the server has no key to lend to a build", "fetch it with a token: `secrets`"),
    refused("privileged", _UNSAFE, "remove it"),
    refused("entitlements", _UNSAFE, "remove it"),
    refused("isolation", "it is for Windows", "remove it", "default"),
    refused("extra_hosts", "RUN lines resolve names as the server does", "remove it"),
)


def read_build(
    value: Value, secrets: FileSources, config: Mapping[str, str], files: CommitFiles, found: Findings, of: str
) -> ComposeBuild:
    """``value`` is a context, or a mapping. Raises ConfigError; further problems go to ``found``."""
    if not isinstance(value.raw, dict):
        return ComposeBuild(context := _context(value, files), _dockerfile(value, context, "Dockerfile"))
    read = read_keys(value, BUILD, found, of)
    context = _context(read["context"], files) if "context" in read else ""
    if "dockerfile" in read and "dockerfile_inline" in read:
        raise value.error("must not have both dockerfile and dockerfile_inline", "keep one")
    return ComposeBuild(
        context=context,
        dockerfile=_dockerfile(value, context, read.get("dockerfile") or "Dockerfile"),
        inline=read.get("dockerfile_inline", ""),
        target=read.get("target", ""),
        args=_args(value, read.get("args", {}), config),
        network=_network(read["network"]) if "network" in read else "default",
        secrets={posixpath.basename(file.path): file for file in secrets.granted(read["secrets"])}
        if "secrets" in read
        else {},
    )


def _context(value: Value, files: CommitFiles) -> str:
    written = values.line(value)
    if _URL.match(written):
        raise values.refused(value, "an image is built from the pushed commit", "add that repository as a submodule")
    path = values.repository_path(value)
    if not files.is_directory(path):
        raise value.error("is not in the repository", f"commit the directory {path}")
    return path


def _dockerfile(value: Value, context: str, written: str) -> str:
    """As a path in the repository: `../backend.Dockerfile` stands beside its context."""
    return values.repository_path(Value(value.file, value.path, written, value.places), context)


def _args(value: Value, args: values.Pairs, config: Mapping[str, str]) -> dict[str, str]:
    for name in args:
        if not CONFIG_NAME.fullmatch(name):
            raise value.error(f"has the argument {name[:40]!r}", "a name has letters, digits and '_'")
        try:
            build_arguments.ensure_allowed(name)
        except UsageError as error:
            raise ConfigError(f"{value.place}: {value.path}: {error.message}", error.hint) from None
    filled = {name: config.get(name) if text is None else text for name, text in args.items()}
    return {name: text for name, text in filled.items() if text is not None}


def _network(value: Value) -> str:
    network = values.text(value)
    if network == "host":
        raise values.refused(value, _UNSAFE, "remove it: RUN lines have a network")
    return "none" if network == "none" else "default"
