"""Stands in for ``benchmarks.utils.build_utils`` of OpenHands' benchmarks: hundreds of images in one run.

Swap one import::

    from ohoci.openhands.benchmarks import BuildOutput, build_all_images, build_image

Names, records (``manifest.jsonl``) and the summary (``build-summary.json``) are upstream's. The deps image
is the one that ``OHOCI_DEPS_IMAGE`` names; ``SDK_SHA`` and ``SDK_REF``, or the submodule
``vendor/software-agent-sdk``, say which commit of the SDK the tags name.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from .. import commands
from .._process import Event
from ..errors import OhociError, PartlyFailed
from ._settings import deps_image

#: Where finished images go by default, as upstream reads it.
IMAGE = "OPENHANDS_EVAL_AGENT_SERVER_IMAGE"

EVAL_AGENT_SERVER_IMAGE = os.getenv(IMAGE, "ghcr.io/openhands/eval-agent-server")

#: How many of the slowest are named in the summary.
_SLOWEST = 5


def _now() -> str:
    return datetime.now(timezone.utc).isoformat()


@dataclass
class BuildOutput:
    """What became of one image: a line of the manifest, with upstream's fields."""

    base_image: str
    tags: List[str]
    error: Optional[str] = None
    time: str = ""
    log_path: Optional[str] = None
    #: ``built``, ``skipped_remote_exists`` or ``failed``.
    status: str = "built"
    skip_reason: Optional[str] = None
    attempt_count: int = 1
    started_at: Optional[str] = None
    finished_at: Optional[str] = None
    duration_seconds: Optional[float] = None
    remote_check_seconds: Optional[float] = None
    build_seconds: Optional[float] = None
    post_build_seconds: Optional[float] = None
    sdk_build_context_seconds: Optional[float] = None
    sdk_buildx_wall_clock_seconds: Optional[float] = None
    sdk_cleanup_seconds: Optional[float] = None
    sdk_cache_import_seconds: Optional[float] = None
    sdk_cache_import_miss_count: Optional[int] = None
    sdk_cache_export_seconds: Optional[float] = None
    sdk_image_export_seconds: Optional[float] = None
    sdk_push_layers_seconds: Optional[float] = None
    sdk_export_manifest_seconds: Optional[float] = None
    sdk_cached_step_count: Optional[int] = None

    def __post_init__(self) -> None:
        self.time = self.time or _now()

    def model_dump(self, mode: str = "python") -> Dict[str, Any]:
        """The fields, as upstream's model gives them."""
        return asdict(self)

    def model_dump_json(self, indent: Optional[int] = None) -> str:
        """The fields as JSON, likewise."""
        return json.dumps(asdict(self), indent=indent)

    @classmethod
    def from_record(cls, record: Dict[str, Any]) -> "BuildOutput":
        """A line of ``ohoci batch``'s journal, whose first fields are these."""
        known = {item.name for item in fields(cls)}
        output = cls(**{name: value for name, value in record.items() if name in known})
        if output.status == "skipped_remote_exists":
            output.skip_reason = "remote_image_exists"
        if output.error and record.get("hint"):
            output.error += f"\nhint: {record['hint']}"
        return output


def _get_sdk_submodule_info() -> Tuple[str, str, str]:
    """Ref, commit and version of the SDK: from the environment, else from the submodule."""
    directory = Path.cwd() / "vendor" / "software-agent-sdk"

    def git(*words: str) -> str:
        if not directory.is_dir():
            return "unknown"
        try:
            done = subprocess.run(
                ["git", *words], cwd=directory, capture_output=True, text=True, check=True
            )
        except (OSError, subprocess.CalledProcessError):
            return "unknown"
        return done.stdout.strip() or "unknown"

    sha = os.environ.get("SDK_SHA") or git("rev-parse", "HEAD")
    ref = os.environ.get("SDK_REF") or git("symbolic-ref", "-q", "--short", "HEAD")
    version = "unknown"
    manifest = directory / "openhands-sdk" / "pyproject.toml"
    if manifest.is_file():
        for line in manifest.read_text(encoding="utf-8").splitlines():
            if line.startswith("version"):
                version = line.partition("=")[2].strip().strip("\"'")
                break
    return ref, sha, version


def _force_build_enabled(force_build: bool = False) -> bool:
    return force_build or os.getenv("FORCE_BUILD", "0").lower() in ("1", "true", "yes")


def _item(base: str, image: str, custom_tag: str, target: str, force_build: bool) -> Dict[str, Any]:
    """One image, as a line of a plan."""
    ref, sha, version = _get_sdk_submodule_info()
    inputs = [f"sha={sha}", f"ref={ref}", f"target={target}"]
    if custom_tag:
        inputs.append(f"custom-tag={custom_tag}")
    if version != "unknown":
        inputs.append(f"sdk-version={version}")
    return {
        "base": base,
        "deps": [deps_image(None)],
        "contract": "v1",
        "platform": ["linux/amd64"],
        "tag_scheme": "v1",
        "tag_input": inputs,
        "push": [image],
        "if_exists": "replace" if force_build else "skip",
        "env": [f"OPENHANDS_BUILD_GIT_SHA={sha}", f"OPENHANDS_BUILD_GIT_REF={ref}"],
    }


def _compose(
    plan: Sequence[Dict[str, Any]],
    jobs: Optional[int],
    attempts: int,
    ended: Callable[[BuildOutput], None],
    options: Sequence[str] = (),
) -> None:
    """Compose all of them; each is told of as it ends."""

    def told(event: Event) -> None:
        if event.kind == "image" and event.record is not None:
            ended(BuildOutput.from_record(event.record))

    with tempfile.TemporaryDirectory() as directory:
        try:
            commands.batch(
                plan=plan,
                journal=Path(directory, "journal.jsonl"),
                jobs=jobs,
                attempts=attempts,
                options=options,
                progress=told,
            )
        except PartlyFailed:
            # Which of them failed has been told, one by one.
            pass


def build_image(
    base_image: str,
    target_image: str,
    custom_tag: str,
    target: str = "source-minimal",
    push: bool = False,
    force_build: bool = False,
    cached_sdist: Optional[Path] = None,
) -> BuildOutput:
    """Make one image and push it. ``push=False`` is refused: there is no daemon to load it into.

    ``cached_sdist`` is not needed.
    """
    if not push:
        return BuildOutput(base_image, [], error=_NO_DAEMON, status="failed")
    outputs: List[BuildOutput] = []
    plan = [_item(base_image, target_image, custom_tag, target, _force_build_enabled(force_build))]
    try:
        _compose(plan, None, 1, outputs.append)
    except OhociError as error:
        return BuildOutput(base_image, [], error=str(error), status="failed")
    if not outputs:
        return BuildOutput(base_image, [], error="ohoci told of no image", status="failed")
    return outputs[0]


_NO_DAEMON = "there is no daemon to load images into: push them (push=True), to a registry on this machine, too"


def default_build_output_dir(dataset: str, split: str, base_dir: Optional[Path] = None) -> Path:
    """Where manifests go: ``builds/DATASET/SPLIT``."""
    root = (base_dir or Path.cwd()) / "builds" / dataset / split
    root.mkdir(parents=True, exist_ok=True)
    return root


def build_all_images(
    base_images: List[str],
    target: str,
    build_dir: Path,
    image: str = EVAL_AGENT_SERVER_IMAGE,
    push: bool = False,
    base_image_to_custom_tag_fn: Optional[Callable[[str], str]] = None,
    max_workers: int = 1,
    build_batch_size: Optional[int] = None,
    dry_run: bool = False,
    force_build: bool = False,
    max_retries: int = 3,
    post_build_fn: Optional[Callable[[BuildOutput, bool], BuildOutput]] = None,
    *,
    options: Sequence[str] = (),
) -> int:
    """Make all images in one run, and write the manifest and the summary. 0 when all are there, else 1.

    ``build_batch_size`` is not needed: nothing is kept on disk that would have to be pruned. How many run at
    once is up to the registry's pace; ``max_workers`` is a limit where it is above one.
    """
    if dry_run:
        print("\n".join(base_images))
        return 0
    build_dir = Path(build_dir)
    build_dir.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    outputs: List[BuildOutput] = []
    with (build_dir / "manifest.jsonl").open("w", encoding="utf-8") as manifest:

        def ended(output: BuildOutput) -> None:
            output = _after_build(output, push, max_retries, post_build_fn)
            manifest.write(output.model_dump_json() + "\n")
            manifest.flush()
            outputs.append(output)

        if push:
            force = _force_build_enabled(force_build)
            name = base_image_to_custom_tag_fn or (lambda _: "")
            plan = [_item(base, image, name(base), target, force) for base in base_images]
            if plan:
                _compose(plan, max_workers if max_workers > 1 else None, max_retries, ended, options)
        else:
            for base in base_images:
                ended(BuildOutput(base, [], error=_NO_DAEMON, status="failed"))
    summary = summarize_build_records([output.model_dump() for output in outputs], 1 if outputs else 0)
    text = json.dumps(summary, indent=2)
    (build_dir / "build-summary.json").write_text(text, encoding="utf-8")
    failed = len(base_images) - len(outputs) + sum(1 for output in outputs if output.status == "failed")
    print(
        f"{summary['built']} built, {summary['skipped']} there already, {failed} failed "
        f"in {time.monotonic() - started:.1f} s",
        file=sys.stderr,
    )
    return 1 if failed else 0


def _after_build(
    output: BuildOutput,
    push: bool,
    attempts: int,
    post_build_fn: Optional[Callable[[BuildOutput, bool], BuildOutput]],
) -> BuildOutput:
    """Lets the caller's function do what it does to an image that is there, as often as it may fail."""
    if post_build_fn is None or output.error or not output.tags:
        return output
    started = time.monotonic()
    result = output
    for attempt in range(1, attempts + 1):
        result = post_build_fn(replace(output), push)
        result.attempt_count = max(result.attempt_count, attempt)
        if not result.error:
            break
        result.status = "failed"
    result.post_build_seconds = round(time.monotonic() - started, 3)
    return result


def summarize_build_records(records: Sequence[Dict[str, Any]], manifest_files: int = 0) -> Dict[str, Any]:
    """The numbers of a manifest, with the fields of upstream's summary."""

    def status(record: Dict[str, Any]) -> str:
        return str(record.get("status") or ("failed" if record.get("error") else "built"))

    def seconds(name: str) -> float:
        return sum(float(record.get(name) or 0.0) for record in records)

    counts: Dict[str, int] = {}
    reasons: Dict[str, int] = {}
    for record in records:
        counts[status(record)] = counts.get(status(record), 0) + 1
        if status(record).startswith("skipped"):
            reason = str(record.get("skip_reason") or status(record)[len("skipped_") :])
            reasons[reason] = reasons.get(reason, 0) + 1
    built = [record for record in records if status(record) == "built"]
    times = [float(record["duration_seconds"]) for record in built if record.get("duration_seconds") is not None]
    slowest = sorted(built, key=lambda record: -float(record.get("duration_seconds") or 0.0))
    started = [_parsed(str(record["started_at"])) for record in records if record.get("started_at")]
    finished = [_parsed(str(record["finished_at"])) for record in records if record.get("finished_at")]
    begun, ended = min(started, default=None), max(finished, default=None)
    wall = (ended - begun).total_seconds() if begun and ended else None
    parts = "build_context buildx_wall_clock cleanup cache_import cache_export image_export push_layers"
    phases = [*parts.split(), "export_manifest"]
    return {
        "manifest_files": manifest_files,
        "total": len(records),
        "successful": len(records) - counts.get("failed", 0),
        "built": len(built),
        "skipped": sum(count for name, count in counts.items() if name.startswith("skipped")),
        "failed": counts.get("failed", 0),
        "retried": sum(1 for record in records if int(record.get("attempt_count") or 1) > 1),
        "started_at": begun.isoformat() if begun else None,
        "finished_at": ended.isoformat() if ended else None,
        "wall_clock_seconds": wall,
        "cumulative_duration_seconds": seconds("duration_seconds"),
        "cumulative_remote_check_seconds": seconds("remote_check_seconds"),
        "cumulative_build_seconds": seconds("build_seconds"),
        "cumulative_post_build_seconds": seconds("post_build_seconds"),
        **{f"cumulative_sdk_{part}_seconds": seconds(f"sdk_{part}_seconds") for part in phases},
        "cumulative_sdk_cache_import_misses": int(seconds("sdk_cache_import_miss_count")),
        "cumulative_sdk_cached_steps": int(seconds("sdk_cached_step_count")),
        "average_build_seconds": statistics.mean(times) if times else None,
        "median_build_seconds": statistics.median(times) if times else None,
        "max_build_seconds": max(times, default=None),
        "status_counts": counts,
        "skip_reasons": reasons,
        "slowest_builds": [
            {
                "base_image": record["base_image"],
                "duration_seconds": float(record.get("duration_seconds") or 0.0),
                "attempt_count": int(record.get("attempt_count") or 1),
                "status": status(record),
            }
            for record in slowest[:_SLOWEST]
        ],
        "failed_builds": [
            {
                "base_image": record["base_image"],
                "error": record.get("error") or "No tags generated",
                "attempt_count": int(record.get("attempt_count") or 1),
            }
            for record in records
            if status(record) == "failed"
        ],
    }


def _parsed(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
