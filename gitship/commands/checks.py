"""checks: set, skip and run the health checks of an app's containers."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from gitship.appsettings import CHECK, HttpCheck, Skip
from gitship.commands.ps import no_process
from gitship.console.apply_settings import NoRestart, OneProcess, change, note_pending, process_type
from gitship.console.columns import Column
from gitship.console.command_registry import command
from gitship.console.context import AppName, Ctx
from gitship.console.follow_deploy import Detach
from gitship.console.listing import Format, show
from gitship.errors import UsageError
from gitship.model import WEB, Role
from gitship.schema import Value

Process = Annotated[str, Parameter(name="--process", metavar="P", help="the process type to check")]
Path = Annotated[str, Parameter(name="--path", help="the path that must answer with a status below 400")]
Port = Annotated[int | None, Parameter(name="--port", metavar="N", help="the port, if not the process's own")]
Timeout = Annotated[float | None, Parameter(name="--timeout", metavar="S", help="seconds per attempt (default 5)")]
Content = Annotated[str | None, Parameter(name="--content", metavar="TEXT", help="text that the response must contain")]
Headers = Annotated[
    list[str] | None,
    Parameter(name="--header", metavar="'NAME: VALUE'", help="a request header; may be repeated"),
]
Once = Annotated[bool, Parameter(name="--once", help="only for the next deploy that starts containers")]
Off = Annotated[bool, Parameter(name="--off", help="run the checks again")]


@command(
    "checks:set",
    Role.DEPLOYER,
    "set the HTTP health check of a process type, and deploy",
    details="Replaces the checks from gitship.toml, app.json and the image. If the new release does not pass it, "
    "the old one keeps serving. Text with spaces needs quotes for both shells: ssh ... 'checks:set APP "
    '--header "Accept: text/html"\'.',
    examples=("checks:set shop --path /healthz", "checks:set shop --path /healthz --content ok --timeout 2"),
)
def set_checks(
    app: AppName,
    /,
    *,
    context: Ctx,
    process: Process = WEB,
    path: Path = "/",
    port: Port = None,
    timeout: Timeout = None,
    content: Content = None,
    header: Headers = None,
    no_restart: NoRestart = False,
    detach: Detach = False,
) -> None:
    values: HttpCheck = {"path": _option("--path", path).http_path()}
    if port is not None:
        values["port"] = _option("--port", port).whole(1, 65535)
    if timeout is not None:
        values["timeout_s"] = _option("--timeout", timeout).seconds(0.1)
    if content is not None:
        values["content"] = _option("--content", content).line()
    if header:
        values["headers"] = parse_headers(header)
    found = context.app(app)
    changes = CHECK.to({process_type(context, found, process): values})
    change(context, found, changes, detach=detach, no_restart=no_restart)


def parse_headers(lines: list[str]) -> dict[str, str]:
    """``["A: b"]`` as a mapping. Raises UsageError or ConfigError."""
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise UsageError(f"'{line[:80]}' is not a header", "for instance --header 'Accept: text/html'")
        headers[_option("--header", name.strip()).header_name()] = _option("--header", value.strip()).header_value()
    return headers


def _option(name: str, value: Any) -> Value:
    return Value("checks:set", name, value)


@command(
    "checks:unset",
    Role.DEPLOYER,
    "remove checks set by command; gitship.toml, app.json or the image apply again",
    examples=("checks:unset shop", "checks:unset shop --process worker"),
)
def unset(
    app: AppName,
    /,
    *,
    context: Ctx,
    process: OneProcess = None,
    no_restart: NoRestart = False,
    detach: Detach = False,
) -> None:
    found = context.app(app)
    processes = [p for p in CHECK.keys(context.store.app_settings(found.id).values) if process in (None, p)]
    change(context, found, CHECK.to(dict.fromkeys(processes)), detach=detach, no_restart=no_restart)


@command(
    "checks:show",
    Role.VIEWER,
    "show the checks of new containers, and where each was set",
    columns=(
        Column("process", "the process type"),
        Column("check", "GET and its path, listening, uptime, HEALTHCHECK, or a command"),
        Column("source", "checks:set, gitship.toml, app.json, the image, default, or an earlier release"),
        Column("timeout", "seconds per attempt"),
        Column("deadline", "seconds until it must have passed, null for the server's default"),
        Column("content", "what the response must contain"),
        Column("headers", "request headers", json_only=True),
        Column("skipped", "once or always if it is skipped, else null"),
    ),
    examples=("checks:show shop", "checks:show shop --format json"),
    aliases=("checks",),
)
def show_checks(app: AppName, /, *, context: Ctx, format: Format = "table") -> None:
    found = context.app(app)
    skipped = context.operations.tuning.skipping(found)
    rows = [
        {
            "process": used.process,
            "check": used.text,
            "source": used.source,
            "timeout": used.check.timeout_s,
            "deadline": used.check.deadline_s,
            "content": used.check.content,
            "headers": dict(used.check.headers),
            "skipped": skipped,
        }
        for used in context.operations.tuning.checks(found)
    ]
    show(context, rows, format, empty="no checks, or the app was never pushed")
    note_pending(context, found)


@command(
    "checks:skip",
    Role.DEPLOYER,
    "skip the checks of new containers",
    details="Containers must still stay up for a second, and web must still answer one request through Varnish. "
    "Deploys nothing.",
    examples=("checks:skip shop --once", "checks:skip shop", "checks:skip shop --off"),
)
def skip(app: AppName, /, *, context: Ctx, once: Once = False, off: Off = False) -> None:
    if once and off:
        raise UsageError("--once and --off exclude each other", "give one of them, or none to skip until --off")
    found = context.app(app)
    how = None if off else Skip.ONCE if once else Skip.ALWAYS
    context.operations.tuning.skip_checks(found, how, context.identity)
    said = {None: "run the checks again", Skip.ONCE: "the next deploy skips the checks"}
    context.line(f"{found.name}: {said.get(how, 'checks are skipped until `checks:skip --off`')}")


@command(
    "checks:run",
    Role.DEPLOYER,
    "run the live release's checks once in every running container",
    details="The exit code is 1 if a check fails. Changes nothing.",
    columns=(
        Column("container", "the container's name"),
        Column("check", "the check"),
        Column("passed", "whether it passed"),
        Column("seen", "the response"),
    ),
    examples=("checks:run shop", "checks:run shop web", "checks:run shop --format json"),
)
def run(
    app: AppName,
    process: Annotated[str | None, Parameter(name="PROCESS", help="only this process type")] = None,
    /,
    *,
    context: Ctx,
    format: Format = "table",
) -> int:
    found = context.app(app)
    if process is not None and found.live_release:
        known = [p.type for p in context.store.release(found.live_release).processes]
        if process not in known:
            raise no_process(found.name, process, known)
    looks = context.operations.tuning.run_checks(found)
    looks = [look for look in looks if process in (None, look.container.split(".")[-3])]
    rows = [{"container": k.container, "check": k.check, "passed": k.passed, "seen": k.seen} for k in looks]
    show(context, rows, format, empty="the live release has no checks")
    return 0 if all(look.passed for look in looks) else 1
