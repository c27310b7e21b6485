"""Output of a push: short, timed lines. Pure text; a golden file in the tests shows a whole push."""

from __future__ import annotations

import textwrap

from gitship.model import DeployState

COLUMN = 56  # where the seconds stand
WIDTH = 96  # of a hint
RAW = "    : "  # lines for the log alone; no other line begins like this, whatever an app prints


def headline(text: str, seconds: float | None = None) -> str:
    """A stage: ``-----> Building Dockerfile        2.4s``."""
    return _timed(f"-----> {text}", seconds)


def detail(text: str, seconds: float | None = None) -> str:
    """Something within a stage."""
    return _timed(f"       {text}", seconds)


def raw(text: str) -> str:
    """A line that only the log keeps."""
    return RAW + text


def is_raw(line: str) -> bool:
    """True for a line that the push client is spared."""
    return line.startswith(RAW)


def result(where: str, release: str, seconds: float, image_bytes: int, growth_bytes: int | None, deploy_id: int) -> str:
    """The last line of a deploy that went well; by its number the log and the status page have it.

    ``where`` is its address, or what stands for one.
    """
    unit, unit_bytes = ("MB", 1e6) if image_bytes >= 1e6 else ("kB", 1e3)
    change = "" if growth_bytes is None else _short(growth_bytes / unit_bytes, sign=True)
    growth = f" ({change})" if change.strip("+-.0") else ""  # none of "+0.0"
    image = f", image {_short(image_bytes / unit_bytes)} {unit}{growth}" if image_bytes else ""
    return f"=====> {where}   {release} in {seconds:.1f}s{image}, deploy {deploy_id}"


def stopped(url: str, release: str, seconds: float) -> str:
    """The last line of a deploy after which nothing runs."""
    return f"=====> {url}   stopped in {seconds:.1f}s; ps:start starts {release}"


def failure(stage: str, reason: str, hint: str, lines: tuple[str, ...], standing: str) -> list[str]:
    """The last lines of a failed deploy: the output concerned, stage and cause, the next step, what still runs."""
    out = [detail(f"| {line}") for line in lines]
    out.append(f" !     {failed_part(stage)} failed: {reason}")
    for paragraph in hint.splitlines():  # a hint may hold a Dockerfile to copy: its lines stay lines
        wrapped = textwrap.wrap(paragraph, WIDTH, break_long_words=False, break_on_hyphens=False) or [""]
        out += [f" !     {line}" for line in ([paragraph] if paragraph.startswith(" ") else wrapped)]
    out.append(f" !     {standing}")
    return out


def failed_part(stage: str | None) -> str:
    """What to call that which failed: before the first stage it is the deploy as a whole."""
    return stage if stage and stage not in (DeployState.RECEIVED, DeployState.QUEUED) else "deploy"


def title(text: str, limit: int = 40) -> str:
    """A commit's subject, printable and short."""
    clean = "".join(c if c.isprintable() else " " for c in text).strip()
    return clean if len(clean) <= limit else clean[: limit - 1].rstrip() + "…"


def _timed(text: str, seconds: float | None) -> str:
    return text if seconds is None else f"{text:<{COLUMN}}{seconds:>6.1f}s"


def _short(value: float, sign: bool = False) -> str:
    digits = 0 if abs(value) >= 10 else 1
    return f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"
