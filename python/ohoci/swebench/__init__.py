"""SWE-bench without Docker: images of its instances, and predictions run and graded."""

import os
from typing import List, Mapping, Optional, Sequence, Union

from .. import _process
from .._decode import decode
from .._process import Progress
from ..commands import _Line
from ..errors import PARTLY, WANTING
from ..models import Outcome

#: A file or directory.
Path = Union[str, "os.PathLike[str]"]


def run_evaluation(
    dataset_name: Path,
    predictions_path: Path,
    run_id: str,
    *,
    split: Optional[str] = None,
    instance_ids: Sequence[str] = (),
    max_workers: Optional[int] = None,
    timeout: Optional[int] = None,
    namespace: Optional[str] = None,
    registry: Optional[str] = None,
    images: Optional[str] = None,
    report_dir: Optional[Path] = None,
    logs: Optional[Path] = None,
    rewrite_reports: bool = False,
    env: Mapping[str, str] = {},
    options: Sequence[str] = (),
    progress: Optional[Progress] = None,
) -> List[Outcome]:
    """Evaluate predictions: ``ohoci swebench run-evaluation``.

    Returns an outcome for each instance, resolved or not. Raises :class:`ohoci.OhociError` where nothing
    was evaluated.
    """
    line = _Line("swebench", "run-evaluation", f"--run-id={run_id}")
    line.one("dataset-name", dataset_name).one("predictions-path", predictions_path)
    line.one("split", split).each("instance-ids", instance_ids)
    line.one("max-workers", max_workers).one("timeout", timeout)
    line.one("namespace", namespace).one("registry", registry).one("images", images)
    line.one("report-dir", report_dir).one("logs", logs)
    line.switch("rewrite-reports", rewrite_reports).pairs("env", env)
    line.words.extend(options)
    value = _process.document(line.words, accept=(0, PARTLY, WANTING), progress=progress)[0]
    return [decode(Outcome, outcome, f"outcome {at}") for at, outcome in enumerate(value)]
