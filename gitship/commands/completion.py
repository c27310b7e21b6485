"""completion: shell scripts that complete commands, options and app names."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from cyclopts import Parameter

from gitship import docs
from gitship.console import command_registry
from gitship.console.command_registry import Argument, Command, command
from gitship.console.context import Context, Ctx
from gitship.errors import UsageError
from gitship.model import Role

DEFAULT_NAME = "gitship"
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}")

Shell = Annotated[Literal["bash", "zsh"], Parameter(name="SHELL", help="which shell")]
Name = Annotated[str, Parameter(name="--name", metavar="NAME", help="the alias or command to complete")]


@command(
    "completion",
    Role.VIEWER,
    "print a shell script that completes commands, options, choices and app names",
    details="It contains the commands that this key may use. App names are fetched from the server as you "
    "complete them.",
    examples=("completion bash", "completion zsh --name ship"),
)
def completion(shell: Shell, /, *, context: Ctx, name: Name = DEFAULT_NAME) -> None:
    if not NAME.fullmatch(name):
        raise UsageError(f"'{name[:80]}' is not the name of a command", "for instance --name ship")
    text = (_BASH if shell == "bash" else _ZSH).replace("@NAME@", name)
    text = text.replace("@FUNCTION@", "_gitship_" + re.sub(r"[^A-Za-z0-9_]", "_", name))
    context.line(text.replace("@CASES@", "\n".join(_cases(_allowed(context)))))


def _allowed(context: Context) -> list[Command]:
    role = context.identity.role
    return sorted(
        (c for c in command_registry.load().values() if not c.hidden and role.allows(c.role)), key=lambda c: c.name
    )


def _cases(commands: list[Command]) -> list[str]:
    """For each command: ``offered`` gets its options and choices, ``apps`` whether its first argument is an app.

    After an option that takes a value, ``offered`` is what it may be; ``apps`` is ``here`` when that is an app.
    """
    every = " ".join(n for c in commands for n in (c.name, *c.aliases))
    lines = [f"    '') offered='{every}' ;;"]
    for item in commands:
        arguments = command_registry.arguments(item)
        options = [name for a in arguments if not a.positional for name in a.names if name.startswith("--")]
        choices = [choice for a in arguments if a.positional for choice in a.choices]
        if item.name == "help":
            choices = [every, *docs.topics()]
        words = " ".join([*choices, *options, "--quiet", "--help"])
        takes_app = any(a.positional and "APP" in a.names for a in arguments)
        names = "|".join([item.name, *item.aliases])
        values = " ".join(filter(None, map(_value, arguments)))
        after = f" case $previous in {values} esac" if values else ""
        lines.append(f"    {names}) offered='{words}'{' apps=1' if takes_app else ''};{after} ;;")
    return lines


def _value(argument: Argument) -> str:
    """The case of what comes after an option that takes a value."""
    if argument.positional or argument.flag:
        return ""
    names = "|".join(argument.names)
    if argument.value == "APP":
        return f"{names}) apps=here ;;"
    return f"{names}) offered='{' '.join(argument.choices)}' apps='' ;;"


_BASH = r"""# bash completion. For good: @NAME@ completion bash --name @NAME@ >> ~/.bash_completion
@FUNCTION@() {
  local line=${COMP_LINE:0:COMP_POINT} command='' offered='' apps='' current previous=''
  local -a typed run
  read -ra typed <<<"$line"
  [[ $line == *[[:space:]] ]] && typed+=('')
  current=${typed[-1]}
  ((${#typed[@]} > 2)) && command=${typed[1]} previous=${typed[-2]}
  case $command in
@CASES@
  esac
  if [[ $current != -* && ($apps == here || (-n $apps && ${#typed[@]} == 3)) ]]; then
    read -ra run <<<"${BASH_ALIASES[@NAME@]:-@NAME@}"
    offered=$("${run[@]}" apps:list --quiet 2>/dev/null </dev/null)
  fi
  mapfile -t COMPREPLY < <(compgen -W "$offered" -- "$current")
  # bash takes a colon for the end of a word: what stands before the last one must not come again
  if [[ $current == *:* && $COMP_WORDBREAKS == *:* ]]; then
    COMPREPLY=("${COMPREPLY[@]#"${current%"${current##*:}"}"}")
  fi
}
complete -F @FUNCTION@ @NAME@"""

_ZSH = r"""#compdef @NAME@
# zsh completion. For good: @NAME@ completion zsh --name @NAME@ > a directory of $fpath/_@NAME@
@FUNCTION@() {
  local command='' offered='' apps='' previous=''
  local -a run
  ((CURRENT > 2)) && command=${words[2]} previous=${words[CURRENT - 1]}
  case $command in
@CASES@
  esac
  if [[ ${words[CURRENT]} != -* && ($apps == here || (-n $apps && $CURRENT == 3)) ]]; then
    run=(${(z)${aliases[@NAME@]:-@NAME@}})
    offered=$($run apps:list --quiet 2>/dev/null </dev/null)
  fi
  compadd -- ${=offered}
}
if [[ ${funcstack[1]} == _@NAME@ ]]; then @FUNCTION@; else compdef @FUNCTION@ @NAME@; fi"""
