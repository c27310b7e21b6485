"""Files from which a new varnishd starts: a VCL per app, the host table, and boot.cli.

A file is named after its VCL and never changes; boot.cli is replaced as a whole. So at any instant, also after a power
cut, boot.cli and the files that it names fit together.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from gitship.front import acme_challenges
from gitship.front.app_vcl import TRIAL_LABEL, UNAVAILABLE
from gitship.front.atomic_file import write_atomically


class BootFiles:
    """``directory``/apps/<vcl>.vcl and ``directory``/boot.cli; ``group`` may read them (None: only the owner)."""

    def __init__(self, directory: Path, group: int | None) -> None:
        self._boot = directory / "boot.cli"
        self._apps = directory / "apps"
        self._group = group

    def prepare(self, unavailable: str, no_challenges: str) -> None:
        """Makes the directory with the right modes, and the files of the VCLs that are always there."""
        self._apps.mkdir(parents=True, exist_ok=True)
        if self._group is None:
            self._apps.chmod(0o700)
        else:
            os.chown(self._apps, -1, self._group)
            self._apps.chmod(0o750)
        for name, text in ((UNAVAILABLE, unavailable), (acme_challenges.EMPTY, no_challenges)):
            path = self._path(name)
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                self._put(path, text)

    def exists(self) -> bool:
        return self._boot.exists()

    def read(self) -> str:
        """boot.cli as it stands."""
        return self._boot.read_text(encoding="utf-8", errors="replace")

    def text(self, vcl: str) -> str | None:
        """The text of a VCL that boot.cli names; None when its file cannot be read."""
        try:
            return self._path(vcl).read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            return None

    def write(self, labels: Mapping[str, str], top: str, text_of: Callable[[str], str]) -> None:
        """From now on a new varnishd has exactly ``labels`` (each to a VCL) and the table of hosts ``top``.

        ``text_of`` gives the text of a VCL that has no file yet.
        """
        always = {UNAVAILABLE, acme_challenges.EMPTY}
        names = {*always, top, *labels.values()}
        there = {name.removesuffix(".vcl"): name for name in os.listdir(self._apps)}  # noqa: PTH208 (1000 Paths: 5 ms)
        for name in names - always - there.keys():
            self._put(self._path(name), text_of(name))
        self._put(self._boot, self._commands(labels, top))
        for name in there.keys() - names:
            (self._apps / there[name]).unlink(missing_ok=True)

    def lead(self, label: str, before: str, name: str, text_of: Callable[[str], str]) -> bool:
        """As ``write``, where all stays but ``label``, which led to ``before``. False when boot.cli says otherwise."""
        directory = _escaped(self._apps)
        old, new = ("\n".join(["", *self._entry(label, vcl, directory), ""]) for vcl in (before, name))
        boot = self.read()
        if boot.count(old) != 1 or f"{old}-" in boot:  # the page's line stands before a VCL's, too
            return False
        if not self._path(name).exists():
            self._put(self._path(name), text_of(name))
        boot = boot.replace(old, new)
        self._put(self._boot, boot)
        if f"vcl.load {before} " not in boot:
            self._path(before).unlink(missing_ok=True)
        return True

    def _commands(self, labels: Mapping[str, str], top: str) -> str:
        # "-": may fail. One damaged file costs one app, whose label then leads to a page that says so.
        directory = _escaped(self._apps)  # once: a Path for each of 1000 apps takes 7 ms
        lines = [f'vcl.load {name} "{directory}/{name}.vcl"' for name in (UNAVAILABLE, acme_challenges.EMPTY)]
        lines.append(f"vcl.label {TRIAL_LABEL} {UNAVAILABLE}")
        lines.append(f"vcl.label {acme_challenges.LABEL} {acme_challenges.EMPTY}")
        # The last first: the compiler puts the labels in order, each from the start of what it has. Up, 1000 take 5 ms.
        for label, name in sorted(labels.items(), reverse=True):
            lines += self._entry(label, name, directory)
        lines += [f'vcl.load {top} "{directory}/{top}.vcl"', f"vcl.use {top}"]
        return "\n".join(lines) + "\n"

    @staticmethod
    def _entry(label: str, name: str, directory: str) -> list[str]:
        page = f"vcl.label {label} {UNAVAILABLE}"
        if name == UNAVAILABLE:
            return [page]
        return [page, f'-vcl.load {name} "{directory}/{name}.vcl"', f"-vcl.label {label} {name}"]

    def _path(self, name: str) -> Path:
        return self._apps / f"{name}.vcl"

    def _put(self, path: Path, text: str) -> None:
        write_atomically(path, text, self._group)


def _escaped(path: Path) -> str:
    """A path as Varnish's CLI reads it between quotes."""
    return str(path).replace("\\", "\\\\").replace('"', '\\"')
