"""builder: set how an app's image is built, from its next build on."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from cyclopts import Parameter

from gitship import appsettings
from gitship.appfiles import overrides
from gitship.appfiles.build_arguments import ensure_allowed
from gitship.appfiles.gitship_toml import SECRET_ID
from gitship.commands.config import add_variable
from gitship.console.columns import Column
from gitship.console.command_registry import command
from gitship.console.context import AppName, Context, Ctx
from gitship.console.listing import Format, show
from gitship.errors import AlreadyGone, GitshipError, UsageError
from gitship.model import CONFIG_NAME, App, Role
from gitship.schema import Value

Dockerfile = Annotated[
    str | None, Parameter(name="--dockerfile", metavar="PATH", help="the Dockerfile's path within the context")
]
Directory = Annotated[
    str | None, Parameter(name="--context", metavar="PATH", help="the directory of the repository to build")
]
Target = Annotated[str | None, Parameter(name="--target", metavar="STAGE", help="the stage of the Dockerfile")]
Args = Annotated[
    list[str] | None,
    Parameter(name="--arg", metavar="NAME=VALUE", help="a build argument; may be repeated"),
]
ConfigArgs = Annotated[
    list[str] | None,
    Parameter(
        name="--arg-from-config",
        metavar="NAME",
        help="a build argument that takes the config variable's value at build time",
    ),
]
Platform = Annotated[
    str | None, Parameter(name="--platform", metavar="OS/ARCH", help="the platform (default: the machine's own)")
]
Network = Annotated[
    Literal["none", "default"] | None,
    Parameter(name="--network", help="network of RUN lines: none, or Docker's default"),
]
Secrets = Annotated[
    list[str] | None,
    Parameter(
        name="--secret",
        metavar="ID=NAME",
        help="config variable NAME for `RUN --mount=type=secret,id=ID`; may be repeated",
    ),
]
SecretNames = Annotated[
    list[str] | None,
    Parameter(name="--secret", metavar="ID", help="this build secret; may be repeated"),
]
ArgNames = Annotated[
    list[str] | None,
    Parameter(name="--arg", metavar="NAME", help="this build argument; may be repeated"),
]


@command(
    "builder:set",
    Role.DEPLOYER,
    "set how the image is built, from the next build on",
    details="Overrides gitship.toml. Deploys nothing: push, or run `ps:rebuild`. Build arguments are visible in "
    "the image's history. For secrets use --secret: it mounts one for a RUN and leaves it in no layer, "
    "argument or log.",
    examples=(
        "builder:set shop --dockerfile docker/Dockerfile",
        "builder:set shop --target prod --arg NODE_ENV=prod",
        "builder:set shop --secret npmrc=NPM_TOKEN",
        "builder:set shop --network none",
    ),
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
    platform: Platform = None,
    network: Network = None,
    secret: Secrets = None,
) -> None:
    changes: dict[str, Any] = {}
    if dockerfile is not None:
        path = Value("builder:set", "--dockerfile", dockerfile).inside()
        changes |= appsettings.DOCKERFILE.to(_not_empty("--dockerfile", path))
    if directory is not None:
        changes |= appsettings.CONTEXT.to(Value("builder:set", "--context", directory).inside())
    if target is not None:
        stage = _not_empty("--target", Value("builder:set", "--target", target).line())
        changes |= appsettings.TARGET.to(stage)
    changes |= _arguments(arg or [], arg_from_config or []) | _secrets(secret or [])
    if network is not None:
        changes |= appsettings.NETWORK.to(network)
    if not changes and platform is None:
        raise UsageError(
            "nothing to set", "give --dockerfile, --context, --target, --arg, --platform, --network or --secret"
        )
    found = context.app(app)
    if platform is not None:
        changes |= appsettings.PLATFORM.to(_platform(context, platform))
    _store(context, found, changes)


def _platform(context: Context, platform: str) -> str:
    known = context.operations.tuning.capacity().platforms
    if platform not in known:
        raise GitshipError(f"this server cannot build for '{platform[:80]}'", f"it can for {', '.join(known)}")
    return platform


def _secrets(given: list[str]) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    for pair in given:
        name, _, variable = pair.partition("=")
        if not SECRET_ID.fullmatch(name) or not CONFIG_NAME.fullmatch(variable):
            raise UsageError(
                f"'{name[:80]}=...' is not ID=NAME", "NAME is a variable's name, for instance --secret npmrc=NPM_TOKEN"
            )
        changes |= appsettings.SECRET(name).to(variable)
    return changes


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
    for name in (*values, *from_config):
        ensure_allowed(name)
    for name, value in values.items():
        changes |= appsettings.ARGUMENT(name).to(value) | appsettings.ARGUMENT_FROM_CONFIG(name).to(None)
    names = dict(values)
    for name in from_config:
        add_variable(names, name, "")
        changes |= appsettings.ARGUMENT(name).to(None) | appsettings.ARGUMENT_FROM_CONFIG(name).to(True)
    return changes


def _store(context: Context, app: App, changes: dict[str, Any]) -> None:
    changes = context.store.app_settings(app.id).differing(changes)
    if not changes:
        context.note("no change")
        return
    context.operations.tuning.change(app, changes, context.identity, restart=False)
    what = overrides.describe(changes)
    context.record(what)
    context.line(f"changed {what} for {app.name}")
    context.note(f"used from the next build on: push, or `ps:rebuild {app.name}`")


@command(
    "builder:unset",
    Role.DEPLOYER,
    "remove build settings, from the next build on",
    details="Without options, removes all of them. gitship.toml applies again.",
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
    platform: Annotated[bool, Parameter(name="--platform", help="the platform")] = False,
    network: Annotated[bool, Parameter(name="--network", help="the network of RUN lines")] = False,
    secret: SecretNames = None,
) -> None:
    found = context.app(app)
    there = [one.name for one in appsettings.declared(context.store.app_settings(found.id).values) if one.for_builds]
    asked = {
        "dockerfile": dockerfile, "context": directory, "target": target, "platform": platform, "network": network,
    }  # fmt: skip
    names = [overrides.BUILD[key].name for key, wanted in asked.items() if wanted]
    for name in arg or []:
        both = (appsettings.ARGUMENT(name), appsettings.ARGUMENT_FROM_CONFIG(name))
        set_ones = [one.name for one in both if one.name in there]
        if not set_ones:
            raise AlreadyGone(f"{found.name} has no build argument '{name[:80]}'", f"see `builder:show {found.name}`")
        names += set_ones
    for name in secret or []:
        kept = appsettings.SECRET(name).name
        if kept not in there:
            raise AlreadyGone(f"{found.name} has no build secret '{name[:80]}'", f"see `builder:show {found.name}`")
        names.append(kept)
    everything = not any(asked.values()) and not arg and not secret
    _store(context, found, dict.fromkeys(there if everything else names))


@command(
    "builder:show",
    Role.VIEWER,
    "show the build settings made by command",
    columns=(
        Column("name", "dockerfile, context, target, platform, network, or arg or secret and its name"),
        Column("value", "its value; for a secret the variable's name; null for an argument from config"),
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
    rows += [
        {"name": f"secret {name}", "value": variable, "source": "config"} for name, variable in own.secrets.items()
    ]
    show(context, rows, format, empty="nothing is set: gitship.toml applies, else the Dockerfile in the top directory")
