"""Enforces the server's image policy: base images before a build, the built image after it.

Rollbacks, config changes and the like use an image that was let through when it was built, and are not asked again.
"""

from __future__ import annotations

import posixpath
import re

from gitship.appfiles.gitship_toml import BuildTable
from gitship.config import Settings
from gitship.deploy import dockerfile, image_patterns
from gitship.deploy.dockerfile_words import Unreadable
from gitship.engine.types import Image
from gitship.errors import DeployError
from gitship.git.repository import Repository

NOT_ROOT = "end the Dockerfile with a line such as `USER 10001`"


def ensure_commit(settings: Settings, repository: Repository, commit: str, build: BuildTable) -> None:
    """Every image that the commit's Dockerfile uses is allowed. Raises DeployError; a missing file is the build's."""
    if not settings.policy.base_images:
        return
    path = posixpath.normpath(posixpath.join(build.context, build.dockerfile or "Dockerfile"))  # as the build finds it
    if repository.is_link(commit, path):
        raise _refused(settings, f"{build.dockerfile} is a link")
    content = repository.blob(commit, path)
    if content is not None:
        ensure_dockerfile(settings, content, build)


def ensure_dockerfile(settings: Settings, content: bytes, build: BuildTable) -> None:
    """Raises DeployError that names the line and the image."""
    if not settings.policy.base_images:
        return
    try:
        uses = dockerfile.images(content.decode("utf-8"), build.args)
    except UnicodeDecodeError:
        raise _refused(settings, f"{build.dockerfile} is not UTF-8 text") from None
    except Unreadable as error:
        raise _refused(settings, f"{build.dockerfile} line {error.line} {error.why}") from None
    for use in uses:
        ensure_reference(settings, use.image, f"{build.dockerfile} line {use.line}: ")


def ensure_reference(settings: Settings, image: str, where: str = "") -> None:
    """The image is one that may be used. Raises DeployError with those that may."""
    if not settings.policy.base_images:
        return
    found = image_patterns.parse(image)
    if found is None:
        raise _refused(settings, f"{where}'{image[:200]}' is not an image name")
    if not any(image_patterns.matches(found, pattern) for pattern in settings.policy.base_images):
        raise _refused(settings, f"{where}the image {found} is not allowed on this server")


def ensure_image(settings: Settings, image: Image) -> tuple[str, ...]:
    """The finished image may go live; what to warn of, a sentence each. Raises DeployError."""
    policy = settings.policy
    if policy.max_image and image.size_bytes > policy.max_image:
        raise DeployError(
            f"the image has {image.size_bytes / 1e6:.0f} MB, and this server allows {policy.max_image / 1e6:.0f} MB",
            "build in several stages and copy only what is needed into the last, or start from a smaller image",
        )
    if policy.root == "allow" or not runs_as_root(image.user):
        return ()
    if policy.root == "refuse":
        raise DeployError("the image runs as root, which this server does not allow", NOT_ROOT)
    return (f"the image runs as root; {NOT_ROOT}",)


def runs_as_root(user: str) -> bool:
    """By Config.User: ``""``, ``root``, ``0``, with or without a group. Other names are taken for somebody else."""
    name = user.partition(":")[0].strip()
    return name in ("", "root") or re.fullmatch("[+-]?0+", name) is not None  # Docker takes "+0" for the number, too


def _refused(settings: Settings, message: str) -> DeployError:
    return DeployError(message, f"this server builds from: {', '.join(settings.policy.base_images)}")
