"""Checks build arguments that would change the builder or docker's client instead of the Dockerfile. Pure."""

from __future__ import annotations

from gitship.engine.types import CACHE_NAMESPACE, PROXIES
from gitship.errors import UsageError

SYNTAX = "BUILDKIT_SYNTAX"  # an image that reads the Dockerfile, in the place of `# syntax=`
# What else of BuildKit's own an app may choose: it changes the app's own image and nothing else.
HARMLESS = (SYNTAX, "BUILDKIT_CONTEXT_KEEP_GIT_DIR", "BUILDKIT_DOCKERFILE_CHECK", "BUILDKIT_SANDBOX_HOSTNAME")


def ensure_allowed(name: str) -> None:
    """Raises UsageError for a name by which an app would reach beyond its own image.

    ``EXPERIMENTAL_BUILDKIT_SOURCE_POLICY`` names a file that docker's client reads on the server, as gitship's user;
    ``BUILDKIT_ATTEST_SBOM`` an image that runs beside the build, whatever ``policy.base_images`` says;
    ``BUILDKIT_CACHE_MOUNT_NS`` whose cache mounts a build gets. What is not known to be harmless is not let through.
    """
    word = name.upper()
    if word == CACHE_NAMESPACE:
        raise UsageError(f"the build argument {name} is set by gitship itself", "leave it out: each app has its own")
    if word.startswith(("EXPERIMENTAL_", "BUILDX_")):
        raise UsageError(
            f"the build argument {name} cannot be set",
            "names that begin with EXPERIMENTAL_ or BUILDX_ are settings of docker's client on the server: "
            "choose another name",
        )
    if word.startswith("BUILDKIT_") and name not in HARMLESS:
        raise UsageError(
            f"the build argument {name} cannot be set",
            f"of BuildKit's own settings an app may choose {', '.join(HARMLESS)}; choose another name for your own",
        )


def is_proxy(name: str) -> bool:
    """True for what every RUN line has in its environment, but no builder has in the key of its cache."""
    return name.lower() in PROXIES
