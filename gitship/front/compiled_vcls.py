"""Cache of compiled VCLs, so that a restarted varnishd does not compile them again.

Of the 18 ms of processor time that an app's VCL takes at a start, 11 are the C compiler's; finding the compiled one
takes 4. The key is the C source, which has Varnish's own interface in it, and the VCL's name. A comment in the source
lists all labels of the moment: it does not count, or a new app would have all others compiled again. A file that is
loaded under two names is one program with one memory, and the worker panics ("bogus caching by dlopen"), also when the
first one is discarded and not yet let go.

Nothing is kept over a reboot: after a power cut a file may be empty, and an app whose VCL does not load shows a page.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shlex
import shutil
from contextlib import suppress
from pathlib import Path

PREFIX = "compiled-"
_LABEL = r"^ \* vcl  *VCL "  # a line of that comment
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def keeping(compiler: str, directory: Path) -> str:
    """``compiler``, a command as cc_command, so that it keeps and finds again what it has compiled.

    It does so in ``directory``/compiled-<key>, one for each boot of the machine and compiler; others are removed.
    """
    if "%" in str(directory):  # varnishd would read it as one of its own
        return compiler
    key = hashlib.sha256((compiler + _BOOT_ID.read_text()).encode()).hexdigest()[:16]
    place = directory / f"{PREFIX}{key}"
    for other in directory.glob(f"{PREFIX}*"):
        if other != place:
            shutil.rmtree(other, ignore_errors=True)
    place.mkdir(mode=0o700, exist_ok=True)
    if os.geteuid() == 0:
        with suppress(KeyError):  # where there is that user, the compiler runs as it
            os.chown(place, pwd.getpwnam("varnish").pw_uid, -1)
    kept = f'{shlex.quote(str(place))}/"$1-$hash"'
    # In a directory vcl_<name>.<time>. Any other locale is a dozen files to open, for each program.
    key = f"export LC_ALL=C; set -- $(grep -v '{_LABEL}' %s | b2sum); hash=$1; IFS=.; set -- ${{PWD##*/}}"
    compiled = f"{compiler} && {{ ln %o {kept}; true; }}"
    return f"{key}; [ -e {kept} ] && ln -f {kept} %o 2>/dev/null || {{ {compiled}; }}"


def prune(directory: Path) -> None:
    """Removes what no loaded VCL uses: a file with no second name in varnishd's own directory."""
    for place in directory.glob(f"{PREFIX}*"):
        with os.scandir(place) as entries:
            for entry in entries:
                if entry.stat(follow_symlinks=False).st_nlink == 1:
                    Path(entry.path).unlink(missing_ok=True)
