"""policy: show which images the server allows."""

from __future__ import annotations

from gitship.console.columns import Column
from gitship.console.command_registry import command
from gitship.console.context import Ctx
from gitship.console.listing import Format, show_one, size
from gitship.model import Role


def _patterns(found: list[str]) -> str:
    return ", ".join(found) or "all"


@command(
    "policy:show",
    Role.VIEWER,
    "show the server's image policy: base images, root, size",
    details=(
        "Set in [policy] of the server's settings. Base images are checked before a build, in FROM, COPY --from, "
        "RUN --mount=from and `# syntax=`; root and size after it. A refused push changes nothing. Rollbacks and "
        "config changes use images that passed, and are not checked again."
    ),
    one=True,
    columns=(
        Column("base_images", "patterns of allowed base images, empty for all", _patterns),
        Column("root", "allow, warn or refuse: images that run as root"),
        Column("max_image_bytes", "the largest image, null for any", size),
    ),
    examples=("policy:show", "policy:show --format json"),
    aliases=("policy",),
)
def show_policy(*, context: Ctx, format: Format = "table") -> None:
    policy = context.settings.policy
    row = {
        "base_images": list(policy.base_images),
        "root": policy.root,
        "max_image_bytes": policy.max_image or None,
    }
    show_one(context, row, format)
