"""Validates and embeds an app's custom VCL.

It is part of that app's VCL alone. What reaches beyond it (other apps' VCLs, bans, files) is refused before Varnish
sees it, and what could bring down the worker that all apps share (a stack frame of its size) is kept small.
"""

from __future__ import annotations

import re

from gitship.errors import FrontError

MOST_BYTES = 32 * 1024
# Each call of a module takes some 95 bytes of a stack of 80 KB: 1000 calls in one sub brought the worker down.
MOST_CALLS = 200

RECV, HASH = "app_recv", "app_hash"
FETCH, RESPONSE, DELIVER = "app_backend_fetch", "app_backend_response", "app_deliver"
HOOKS = (RECV, HASH, FETCH, RESPONSE, DELIVER)
# Those that act on one request. Not: xkey (all apps' pages), debug and vtc (which can end the worker).
MODULES = (
    "std",
    "directors",
    "blob",
    "cookie",
    "header",
    "str",
    "var",
    "vsthrottle",
    "saintmode",
    "accept",
    "bodyaccess",
    "proxy",
    "unix",
)
OWN_SUBS = ("vcl_init", "vcl_fini")  # run when it is loaded and unloaded

_TOKENS = re.compile(
    r'"""(?:.|\n)*?"""|\{"(?:.|\n)*?"\}|"[^"\n]*"'  # strings
    r"|#[^\n]*|//[^\n]*|/\*(?:.|\n)*?\*/"  # comments
)
_VERSION = re.compile(r"\A(\s*)vcl\s+4\.[01]\s*;")
_REFUSED = (
    (r"\binclude\b", "include: put everything into this text"),
    (r"\bimport\s+\w+\s+from\b", "import from a file: only Varnish's modules are allowed"),
    (r"\bvcl\s*\(", "return (vcl(...)): it leads to another app"),
    (r"\brestart\b", "restart: not supported by gitship"),
    (r"\bban\b", "ban: it affects the cached pages of all apps"),
    (r"\bC\s*\{", "inline C"),
)


def checked(text: str) -> str:
    """The text as it is kept. Raises ValueError that names what is refused, with its line."""
    if len(text.encode()) > MOST_BYTES:
        raise ValueError(f"longer than {MOST_BYTES >> 10} KB")
    if re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", text):
        raise ValueError("it contains control characters")
    text = _VERSION.sub(r"\1", text.replace("\r\n", "\n"))
    program = bare(text)
    _check_braces(program)
    for pattern, what in _REFUSED:
        if found := re.search(pattern, program):
            raise ValueError(f"line {_line(program, found.start())}: not allowed here: {what}")
    for found in re.finditer(r"\bsub\s+([\w-]+)", program):
        if not found[1].startswith("app_") and found[1] not in OWN_SUBS:
            line = _line(program, found.start())
            raise ValueError(f"line {line}: gitship does not call sub {found[1]}, but {', '.join(HOOKS)}")
    for found in re.finditer(r"\bimport\s+(\w+)", program):
        if found[1] not in MODULES:
            line = _line(program, found.start())
            raise ValueError(f"line {line}: not allowed here: import {found[1]}; these are: {', '.join(MODULES)}")
    if len(re.findall(r"\w\s*\.\s*\w+\s*\(", program)) > MOST_CALLS:
        raise ValueError(f"more than {MOST_CALLS} calls of modules")
    return text


def _check_braces(program: str) -> None:
    """What is left open would go on into Varnish's own VCL, and its error say nothing of the author's."""
    opened: list[int] = []
    for found in re.finditer(r"[{}]", program):
        if found[0] == "{":
            opened.append(found.start())
        elif opened:
            opened.pop()
        else:
            raise ValueError(f"line {_line(program, found.start())}: unmatched }}")
    if opened:
        raise ValueError(f"line {_line(program, opened[-1])}: this {{ is not closed")


def bare(text: str) -> str:
    """The program without comments and what strings say, line by line as it was."""
    return _TOKENS.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)


def call(text: str, hook: str, indent: str = "    ") -> str:
    """The statement that calls the hook, if the text has it."""
    return f"{indent}call {hook};" if re.search(rf"\bsub\s+{hook}\b", bare(text)) else ""


def appended(vcl: str, text: str) -> str:
    return f"{vcl.rstrip()}\n\n{_MARK}\n{text.rstrip()}\n" if text else vcl


def refusal(message: str, vcl: str) -> FrontError:
    """What the compiler says of the app's own text, with lines counted as its author counts."""
    first = vcl.partition(f"{_MARK}\n")[0].count("\n") + 1

    def renumbered(found: re.Match[str]) -> str:
        number = int(found[1]) - first
        return f"(line {number}" if number > 0 else f"(gitship's own line {found[1]}"

    said = re.sub(r"\('[^']*' Line (\d+)", renumbered, message)
    said = re.sub(r"\AVarnish cannot load [^ ]+: ", "", said)
    said = re.sub(r"(?m)^(Message from VCC-compiler:|Running VCC.*|VCL compilation failed)\n?", "", said)
    return FrontError(f"Varnish refuses the app's own VCL:\n{said.strip()}", "`vcl:show` shows the one that is in use")


_MARK = "# -- the app's own, set by vcl:set"


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1
