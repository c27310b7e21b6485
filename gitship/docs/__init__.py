"""Manual: one Markdown file per topic, shown by `help TOPIC`, on the status page and in the repository."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent

# In the order of reading; a test holds it against the files, and runs their shell blocks in this order.
SECTIONS: Mapping[str, tuple[str, ...]] = {
    "Deploy": ("config-vars", "rollbacks", "deploying", "dockerfiles", "health-checks", "ci"),
    "Run apps": (
        "domains-and-https", "databases", "volumes", "caching", "scaling", "scheduling", "requests", "logging",
        "status-page", "scripting", "notifications", "access",
    ),
    "Run the server": (
        "install", "upgrade", "memory-and-disk", "security", "limits", "troubleshooting", "dokku",
        "server-backup",
        "backup-targets",
    ),
    "Look up": ("commands", "exit-codes", "settings", "gitship-toml", "app-json", "service-engines"),
    "About gitship": ("how-it-works", "contributing"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ManualTopic:
    """``about`` is its first paragraph, a line; ``text`` the whole of it as Markdown, without comments."""

    name: str
    title: str
    about: str
    text: str


@functools.cache
def topics() -> Mapping[str, ManualTopic]:
    """By name, in the order of SECTIONS."""
    return {name: _topic(name) for names in SECTIONS.values() for name in names}


def _topic(name: str) -> ManualTopic:
    text = re.sub(r"<!--.*?-->\n*", "", (HERE / f"{name}.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    title, about, _ = text.split("\n\n", 2)
    return ManualTopic(name, title.removeprefix("# "), " ".join(about.split()), text)


def anchor(heading: str) -> str:
    """What GitHub calls a heading in an address."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
