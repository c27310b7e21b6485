"""config:import and config:export: an app's variables as a file."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from gitship.commands.config import ENVIRONMENT_BYTES, NoRestart, add_variable, change, check_total
from gitship.console import env_file
from gitship.console.command_registry import command
from gitship.console.context import AppName, Ctx
from gitship.console.follow_deploy import Detach
from gitship.console.prompt import read_all
from gitship.errors import GitshipError, UsageError
from gitship.model import Role

FILE_BYTES = 2 * ENVIRONMENT_BYTES  # quoting can double a value

ExportFormat = Annotated[
    Literal["env", "json", "shell"], Parameter(name="--format", help="an env file, JSON, or shell commands")
]


def read_variables(text: str) -> dict[str, str]:
    """The variables of an env file. Raises GitshipError naming the line."""
    values: dict[str, str] = {}
    for line, name, value in env_file.parse(text):
        try:
            add_variable(values, name, value)
        except GitshipError as error:
            raise GitshipError(f"line {line}: {error.message}", error.hint) from None
    return values


@command(
    "config:import",
    Role.DEPLOYER,
    "set the variables of an env file on standard input, in one deploy",
    details="Supports comments, `export`, quotes, and quoted values over several lines; nothing is expanded. "
    "Variables not in the file stay.",
    examples=("config:import shop < .env", "config:import shop --no-restart < .env"),
)
def import_config(app: AppName, /, *, context: Ctx, no_restart: NoRestart = False, detach: Detach = False) -> None:
    found = context.app(app)
    values = read_variables(read_all(context.session, FILE_BYTES))
    if not values:
        raise UsageError("there is no variable on standard input", f"for instance `config:import {app} < .env`")
    before = context.store.config(found.id)
    check_total({**before, **values})
    changes = {name: value for name, value in values.items() if before.get(name) != value}
    change(context, found, changes, ("set", "setting"), detach=detach, restart=not no_restart)


@command(
    "config:export",
    Role.DEPLOYER,
    "print an app's variables with their values, as a file",
    details="`config:import` reads the formats env and shell back exactly.",
    examples=("config:export shop", "config:export shop --format json"),
)
def export(app: AppName, /, *, context: Ctx, format: ExportFormat = "env") -> None:
    values = context.store.config(context.app(app).id)
    text = {"env": env_file.dotenv, "json": env_file.as_json, "shell": env_file.shell}[format](values)
    context.console.file.write(text)
