"""Stands in for ``swebench.harness.run_evaluation``, of versions 4 and 5.

``main`` takes the arguments of both, leaves the same files and returns the path of the same summary.
"""

import os
import sys
from pathlib import Path
from typing import Any, List, Optional

from ... import _process
from ..._process import Event
from ...commands import _Line
from ...errors import PARTLY, WANTING, OhociError, from_stderr

#: Further flags of ``ohoci swebench run-evaluation``, such as ``--images=oci:DIR``, for callers whose
#: arguments have no place for them.
OPTIONS = "OHOCI_SWEBENCH_OPTIONS"


def main(
    dataset_name: str,
    split: str,
    instance_ids: Optional[List[str]],
    predictions_path: str,
    max_workers: int,
    force_rebuild: bool = False,
    cache_level: str = "env",
    clean: bool = False,
    open_file_limit: int = 4096,
    run_id: str = "",
    timeout: Optional[int] = 1800,
    namespace: Optional[str] = "swebench",
    rewrite_reports: bool = False,
    modal: bool = False,
    instance_image_tag: str = "latest",
    env_image_tag: str = "latest",
    report_dir: str = ".",
    task_repo: Optional[str] = None,
    **unknown: Any,
) -> Optional[Path]:
    """Evaluate predictions; the path of the summary, ``MODEL.RUN_ID.json``.

    ``open_file_limit`` and ``env_image_tag`` change nothing here: no image of an environment is looked
    up. What cannot be done, ``modal`` and ``task_repo``, is refused.
    """
    if unknown:
        names = ", ".join(sorted(unknown))
        raise TypeError(f"main() got arguments that neither version of swebench has: {names}")
    if not run_id:
        raise AssertionError("Run ID must be provided")
    if force_rebuild and namespace is not None:
        raise ValueError("Cannot force rebuild and use a namespace at the same time.")
    for name, value in (("modal", modal), ("task_repo", task_repo)):
        if value:
            raise ValueError(f"{name} is not for ohoci: instances run in sandboxes on this machine")
    line = _Line("swebench", "run-evaluation", f"--run-id={run_id}")
    line.one("dataset-name", dataset_name).one("split", split)
    line.one("predictions-path", predictions_path).each("instance-ids", instance_ids or [])
    line.one("max-workers", max_workers).one("timeout", timeout)
    line.one("cache-level", cache_level).one("clean", str(clean).lower())
    line.one("rewrite-reports", str(rewrite_reports).lower())
    line.one("instance-image-tag", instance_image_tag).one("report-dir", report_dir or ".")
    # Upstream's default is the namespace of the row's image, which is ohoci's when nothing is said.
    if namespace != "swebench":
        line.one("namespace", namespace or "none")
    line.words.extend(os.environ.get(OPTIONS, "").split())
    code, out, messages, command = _process.call(line.words, progress=_tell)
    if code not in (0, PARTLY, WANTING):
        raise from_stderr(code, command, messages)
    sys.stdout.write(out)
    for text in out.splitlines():
        if text.startswith("  summary: "):
            return Path(text[len("  summary: ") :])
    raise OhociError("cannot find the summary", out.strip(), exit_code=code, command=command)


def _tell(event: Event) -> None:
    if event.kind == "message" and event.text is not None:
        print(event.text, file=sys.stderr, flush=True)
