"""README and the manual in gitship/docs, as the tests read them."""

from __future__ import annotations

import re
from pathlib import Path

from gitship import docs

ROOT = Path(__file__).parents[1]
FILES = (ROOT / "README.md", *(docs.HERE / f"{name}.md" for names in docs.SECTIONS.values() for name in names))
TEXTS = {path: path.read_text(encoding="utf-8") for path in FILES}
README = TEXTS[FILES[0]]
# Without what is generated, but with Dokku's table, whose cells name commands.
PROSE = re.sub(r"<!-- (?!dokku)([a-z-]+):begin -->.*?<!-- \1:end -->", "", "\n".join(TEXTS.values()), flags=re.DOTALL)


def blocks(language: str) -> list[str]:
    """The blocks of code in that language, in the order of reading."""
    return re.findall(rf"^```{language}\n(.*?)^```", PROSE, re.DOTALL | re.MULTILINE)
