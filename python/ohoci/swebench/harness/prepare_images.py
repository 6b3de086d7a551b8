"""Stands in for ``swebench.harness.prepare_images`` of version 4: images of instances, without Docker."""

import os
import sys
from typing import List, Optional

from ... import _process
from ...commands import _Line
from ...errors import PARTLY, from_stderr
from .run_evaluation import _tell

#: Further flags of ``ohoci swebench images``: where repositories, the base and Pythons come from, and where
#: images go, such as ``--repo-source=DIR --base-image=REF --push=oci:DIR``.
OPTIONS = "OHOCI_SWEBENCH_IMAGES_OPTIONS"


def main(
    dataset_name: str,
    split: str,
    instance_ids: Optional[List[str]],
    max_workers: int,
    force_rebuild: bool = False,
    open_file_limit: int = 8192,
    namespace: Optional[str] = None,
    tag: str = "latest",
    env_image_tag: str = "latest",
    dry_run: bool = False,
) -> Optional[int]:
    """Build the images of instances. Returns ``None`` as upstream does, and raises where none was built.

    ``force_rebuild``, ``open_file_limit`` and ``env_image_tag`` change nothing here: a level is built again
    when what it is made of has changed.
    """
    line = _Line("swebench", "images").one("dataset-name", dataset_name).one("split", split)
    line.each("instance-ids", instance_ids or []).one("max-workers", max_workers)
    line.one("namespace", namespace or "").one("tag", tag).switch("dry-run", dry_run)
    line.words.extend(os.environ.get(OPTIONS, "").split())
    code, out, messages, command = _process.call(line.words, progress=_tell)
    if code not in (0, PARTLY):
        raise from_stderr(code, command, messages)
    sys.stdout.write(out)
    return None
