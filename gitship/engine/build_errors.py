"""Explains a failed build: the builder's output -> failed step, cause and hint. Pure.

The texts are those of Docker 20.10 (recorded) and of BuildKit in Docker 23 and later, which words some differently.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gitship.errors import BuildError

MAX_STEP_CHARS = 100
_WRAPPING = re.compile(
    r"^(?:(?:failed to solve(?: with frontend [\w.]+)?|failed to create LLB definition|rpc error: code = \w+ desc ="
    r"|executor failed running \[.*\](?=: )):? ?)+"
)
_DOCKERFILE_STEP = re.compile(r"\[(?!internal\b)")
_BASE_STEP = re.compile(r"\[internal\] load metadata for (\S+)|\[[^\]]*\] FROM (\S+)")
_NEWER = re.compile(r"unknown instruction|unknown flag", re.I)


@dataclass(frozen=True, slots=True)
class BuildFailure:
    """``error`` is the builder's last word, ``step`` the name of the step that failed, ``lines`` its last output.

    ``memory_limit`` is what the build might use, in words; "" for no limit.
    """

    error: str
    step: str
    lines: Sequence[str]
    dockerfile: str
    memory_limit: str = ""

    @property
    def cause(self) -> str:
        """The error in one line, without what the builder wraps around it."""
        return " ".join(_WRAPPING.sub("", self.error).split())

    @property
    def where(self) -> str:
        """The step as people know it."""
        step = " ".join(self.step.split())
        return step if len(step) <= MAX_STEP_CHARS else step[: MAX_STEP_CHARS - 1] + "…"


SEE_LOG = "the build log shows every line"  # whoever knows the app says by which command
Explanation = tuple[str, str]


def failed(failure: BuildFailure) -> BuildError:
    """The error that people are told."""
    return BuildError(*explain(failure), failure.lines, step=failure.where, missing=_missing(failure) or "")


def explain(failure: BuildFailure) -> Explanation:
    """(what happened, what to do), by the first rule that knows the error."""
    for rule in _RULES:
        found = rule(failure)
        if found is not None:
            return found
    where = f"{failure.where}: " if _DOCKERFILE_STEP.match(failure.step) else ""
    return f"{where}{failure.cause}", SEE_LOG


def _disk(failure: BuildFailure) -> Explanation | None:
    # Docker has no error of its own for this: the step exits 1, and only its output says why
    if not any("no space left on device" in text.lower() for text in (failure.error, *failure.lines)):
        return None
    where = f" in {failure.where}" if failure.step else ""
    return f"the server's disk is full (no space left on device){where}", "free space on it: `docker system prune`"


def _secret(failure: BuildFailure) -> Explanation | None:
    if not re.search(r"no active sessions?|--mount=type=(?:secret|ssh)", failure.cause + failure.step):
        return None
    where = failure.where or "the Dockerfile"
    if missing := re.search(r"secret (\S+): not found|secret \"?([^\s\"]+)\"? not found", failure.cause):
        name = missing[1] or missing[2]
        return f"{where} needs the build secret '{name}'", f"builder:set APP --secret {name}=CONFIG_NAME"
    if "no active session" not in failure.cause and "not found" not in failure.cause:
        return None
    return (
        f"{where} needs a build secret or an SSH agent, which is not available here",
        "remove --mount=type=secret and --mount=type=ssh, or install a docker command with BuildKit on the "
        "server (Debian: docker-buildx, or docker.io before Debian 13) for secrets",
    )


def _classic_mount(failure: BuildFailure) -> Explanation | None:
    if "requires BuildKit" not in failure.cause:
        return None
    return (
        f"{failure.where} needs BuildKit, and this server builds with the classic builder",
        'set builder = "buildkit" in [docker] on the server',
    )


def _frontend(failure: BuildFailure) -> Explanation | None:
    if not re.search(r"resolve image config for|docker/dockerfile", failure.step + failure.cause):
        return None
    return (
        f'{failure.dockerfile}: the frontend of its "# syntax=" line cannot be fetched: {_short(failure)}',
        'remove the "# syntax=" line: Docker has a built-in frontend',
    )


def _syntax(failure: BuildFailure) -> Explanation | None:
    match = re.search(r"dockerfile parse error (?:on )?line (\d+): (.*)", failure.cause, re.I)
    if not match:
        return None
    hint = "correct that line"
    if _NEWER.search(match[2]):
        hint += "; here-documents (RUN <<EOF) and newer options need Docker 23 or later on the server"
    return f"{failure.dockerfile} line {match[1]}: {match[2]}", hint


def _no_dockerfile(failure: BuildFailure) -> Explanation | None:
    if not re.search(r"failed to read dockerfile|cannot locate specified dockerfile", failure.cause, re.I):
        return None
    return f"there is no {failure.dockerfile} in the commit", "add it, or set the right path"


def _target(failure: BuildFailure) -> Explanation | None:
    match = re.search(r"target stage \"?([^\s\"]+)\"? could not be|build target (\S+) in", failure.cause)
    if not match:
        return None
    return f"{failure.dockerfile} has no stage '{match[1] or match[2]}'", "use a stage that a FROM ... AS line defines"


def _missing(failure: BuildFailure) -> str | None:
    """The file of the context that the step did not find: "" is one outside, None when that was not why."""
    match = re.search(
        r'"([^"]+)"(?: not found)?: not found|stat ([^\s:]+): file does not exist|forbidden path', failure.cause
    )
    if not match or not re.search(r"\b(?:COPY|ADD|--mount=type=bind)\b", failure.step):
        return None
    return (match[1] or match[2] or "").lstrip("/")


def _missing_file(failure: BuildFailure) -> Explanation | None:
    name = _missing(failure)
    if name is None:
        return None
    what = f"'{name}' is not in the commit" if name else "the path is outside the repository"
    return f"{failure.where}: {what}", "commit the file, or remove it from .dockerignore"


def _base(failure: BuildFailure) -> Explanation | None:
    match = _BASE_STEP.match(failure.step)
    if not match:
        return None
    name = (match[1] or match[2]).removeprefix("docker.io/library/").removeprefix("docker.io/")
    cause = failure.cause
    if re.search(r"denied|unauthorized|authorization|no basic auth|authenticat|\b40[13]\b", cause, re.I):
        hint = f"check the name in FROM; for a private image run `docker login` and `docker pull {name}` on the server"
    elif re.search(r"not found|manifest unknown|\b404\b", cause, re.I):
        hint = "check name and tag in the FROM line"
    else:
        hint = f"try `docker pull {name}` on the server: it may not reach the registry"
    return f"the base image {name} cannot be pulled: {_short(failure)}", hint


def _exit_code(failure: BuildFailure) -> Explanation | None:
    match = re.search(r".*(?:exit code|returned a non-zero code): (\d+)", failure.cause)  # the last: RUN may print such
    if not match:
        return None
    meaning = {"126": " (not executable)", "127": " (command not found)", "137": " (killed: out of memory?)"}
    where = failure.where or "a step"
    if match[1] == "137" and failure.memory_limit:
        return (
            f"{where} was killed (exit code 137): it exceeded the memory limit of {failure.memory_limit}",
            "use less memory or fewer parallel jobs; an admin can raise build_memory in [docker] on the server",
        )
    return f"{where} ended with exit code {match[1]}{meaning.get(match[1], '')}", f"see its last lines; {SEE_LOG}"


def _short(failure: BuildFailure) -> str:
    """A registry error without the request that it repeats."""
    return re.sub(r'^(?:failed to do request: )?(?:Head|Get) "[^"]*": ', "", failure.cause)


_RULES: tuple[Callable[[BuildFailure], Explanation | None], ...] = (
    _secret, _classic_mount, _frontend, _disk, _no_dockerfile, _syntax, _target, _base, _missing_file, _exit_code,
)  # fmt: skip
