"""What all of them ask for: the deps image and the repository."""

import os
from typing import Optional

from ..errors import UsageError

#: The deps image that is put on bases, for callers whose arguments have no place for it.
DEPS_IMAGE = "OHOCI_DEPS_IMAGE"


def deps_image(given: Optional[str]) -> str:
    """The deps image that was asked for; raises where there is none."""
    named = given or os.environ.get(DEPS_IMAGE)
    if not named:
        raise UsageError(
            "no deps image was given",
            "ohoci builds nothing on the base: it puts the layers of a deps image there",
            f"build one with `ohoci deps build`, and name it in {DEPS_IMAGE}",
        )
    return named


def is_ci() -> bool:
    """Whether this runs in a CI, as OpenHands asks it."""
    return any(
        str(os.environ.get(name, "")).lower() in ("1", "true", "yes")
        for name in ("CI", "GITHUB_ACTIONS")
    )
