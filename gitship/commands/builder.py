"""builder: how an app's image is built, from its next build on."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from gitship.commands.config import add_variable
from gitship.commands.context import AppName, Context, Ctx
from gitship.commands.listing import Format, show
from gitship.commands.registry import Column, UsageError, command
from gitship.deploy import overrides
from gitship.deploy.values import Value
from gitship.errors import NotFound
from gitship.model import App, Role

SETTINGS = {"dockerfile": overrides.DOCKERFILE, "context": overrides.CONTEXT, "target": overrides.TARGET}

Dockerfile = Annotated[str | None, Parameter(name="--dockerfile", metavar="PATH", help="a path within the context")]
Directory = Annotated[
    str | None, Parameter(name="--context", metavar="PATH", help="the directory of the repository that is built")
]
Target = Annotated[str | None, Parameter(name="--target", metavar="STAGE", help="the stage of the Dockerfile")]
Args = Annotated[
    list[str] | None,
    Parameter(name="--arg", metavar="NAME=VALUE", help="a build argument; may be given several times"),
]
ConfigArgs = Annotated[
    list[str] | None,
    Parameter(
        name="--arg-from-config", metavar="NAME", help="a build argument with that variable's value at build time"
    ),
]
ArgNames = Annotated[
    list[str] | None,
    Parameter(name="--arg", metavar="NAME", help="this build argument; may be given several times"),
]


@command(
    "builder:set",
    Role.DEPLOYER,
    "say how the image is built, from the next build on",
    details="It comes before gitship.toml. Nothing is deployed by this: push, or `ps:rebuild`. Build arguments can be "
    "read in the image's history, so a secret does not belong there.",
    examples=("builder:set shop --dockerfile docker/Dockerfile", "builder:set shop --target prod --arg NODE_ENV=prod"),
)
def set_builder(
    app: AppName,
    /,
    *,
    context: Ctx,
    dockerfile: Dockerfile = None,
    directory: Directory = None,
    target: Target = None,
    arg: Args = None,
    arg_from_config: ConfigArgs = None,
) -> None:
    changes: dict[str, Any] = {}
    if dockerfile is not None:
        changes[overrides.DOCKERFILE] = _not_empty(
            "--dockerfile", Value("builder:set", "--dockerfile", dockerfile).inside()
        )
    if directory is not None:
        changes[overrides.CONTEXT] = Value("builder:set", "--context", directory).inside()
    if target is not None:
        changes[overrides.TARGET] = _not_empty("--target", Value("builder:set", "--target", target).line())
    changes |= _arguments(arg or [], arg_from_config or [])
    if not changes:
        raise UsageError("nothing to set", "give --dockerfile, --context, --target, --arg or --arg-from-config")
    _store(context, context.app(app), changes)


def _not_empty(option: str, text: str) -> str:
    if not text:
        raise UsageError(f"{option} is empty", "`builder:unset` takes it back")
    return text


def _arguments(given: list[str], from_config: list[str]) -> dict[str, Any]:
    """Each name is either a value of its own or config's."""
    values: dict[str, str] = {}
    for pair in given:
        name, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"'{pair[:80]}' is not NAME=VALUE", "for instance --arg NODE_ENV=production")
        add_variable(values, name, value)
    changes: dict[str, Any] = {}
    for name, value in values.items():
        changes[overrides.ARGUMENT + name] = value
        changes[overrides.ARGUMENT_FROM_CONFIG + name] = None
    names = dict(values)
    for name in from_config:
        add_variable(names, name, "")
        changes[overrides.ARGUMENT + name] = None
        changes[overrides.ARGUMENT_FROM_CONFIG + name] = True
    return changes


def _store(context: Context, app: App, changes: dict[str, Any]) -> None:
    there = context.operations.tuning.stored(app)
    changes = {name: value for name, value in changes.items() if there.get(name) != value}
    if not changes:
        context.note("it is so already: nothing to do")
        return
    context.operations.tuning.change(app.name, changes, context.identity, restart=False)
    what = overrides.describe(changes)
    context.record(what)
    context.line(f"changed {what} for {app.name}")
    context.note(f"the next build will use it: push, or `ps:rebuild {app.name}`")


@command(
    "builder:unset",
    Role.DEPLOYER,
    "take back how the image is built, from the next build on",
    details="Without an option: all of it. gitship.toml counts again.",
    examples=("builder:unset shop", "builder:unset shop --target --arg NODE_ENV"),
)
def unset(
    app: AppName,
    /,
    *,
    context: Ctx,
    dockerfile: Annotated[bool, Parameter(name="--dockerfile", help="the path of the Dockerfile")] = False,
    directory: Annotated[bool, Parameter(name="--context", help="the directory that is built")] = False,
    target: Annotated[bool, Parameter(name="--target", help="the stage")] = False,
    arg: ArgNames = None,
) -> None:
    found = context.app(app)
    there = [n for n in context.operations.tuning.stored(found) if n.startswith(overrides.BUILD_ONLY)]
    asked = {"dockerfile": dockerfile, "context": directory, "target": target}
    names = [SETTINGS[key] for key, wanted in asked.items() if wanted]
    for name in arg or []:
        both = [prefix + name for prefix in (overrides.ARGUMENT, overrides.ARGUMENT_FROM_CONFIG)]
        set_ones = [one for one in both if one in there]
        if not set_ones:
            raise NotFound(f"{found.name} has no build argument '{name[:80]}'", f"see `builder:show {found.name}`")
        names += set_ones
    everything = not any(asked.values()) and not arg
    _store(context, found, dict.fromkeys(there if everything else names))


@command(
    "builder:show",
    Role.VIEWER,
    "what commands have set for the next build",
    columns=(
        Column("name", "dockerfile, context, target, or arg and the argument's name"),
        Column("value", "its value; null for an argument that comes from config"),
        Column("source", "command or config"),
    ),
    examples=("builder:show shop", "builder:show shop --format json"),
    aliases=("builder",),
)
def show_builder(app: AppName, /, *, context: Ctx, format: Format = "table") -> None:
    found = context.app(app)
    own = context.operations.tuning.overrides(found)
    rows: list[dict[str, str | None]] = [
        {"name": name, "value": value, "source": "command"} for name, value in own.build.items()
    ]
    rows += [{"name": f"arg {name}", "value": value, "source": "command"} for name, value in own.args.items()]
    rows += [{"name": f"arg {name}", "value": None, "source": "config"} for name in own.args_from_config]
    show(context, rows, format, empty="nothing is set: gitship.toml counts, else the Dockerfile at the top")
