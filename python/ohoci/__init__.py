"""Put ready-made layers on any container base image: no daemon, no build, no root.

Each function runs the ``ohoci`` command that this package brings, and returns what it reports as
dataclasses. What fails is raised as :class:`OhociError`, which says what failed, why, and what may help.
"""

from ._binary import find_ohoci
from ._process import Event, Progress
from .commands import (
    batch,
    check,
    compose,
    copy,
    digest,
    inspect,
    ls,
    run,
    tags,
    version,
)
from .errors import OhociError, PartlyFailed, UsageError
from .models import (
    BatchSummary,
    CheckReport,
    ComposeReport,
    CopyReport,
    Inspection,
    Outcome,
)
from . import models, swebench

__all__ = [
    "BatchSummary",
    "CheckReport",
    "ComposeReport",
    "CopyReport",
    "Event",
    "Inspection",
    "OhociError",
    "Outcome",
    "PartlyFailed",
    "Progress",
    "UsageError",
    "batch",
    "check",
    "compose",
    "copy",
    "digest",
    "find_ohoci",
    "inspect",
    "ls",
    "models",
    "run",
    "swebench",
    "tags",
    "version",
]
