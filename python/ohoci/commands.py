"""The commands as functions."""

import json
import os
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Union

from . import _process
from ._decode import decode
from ._process import Progress
from .errors import PARTLY, WANTING, OhociError, PartlyFailed, from_stderr
from .models import (
    BatchSummary,
    CheckReport,
    ComposeReport,
    CopyReport,
    Inspection,
    TagsReport,
)

#: One, or several, of something.
Some = Union[str, Sequence[str]]
#: A file or directory.
Path = Union[str, "os.PathLike[str]"]


def _each(value: Some) -> Sequence[str]:
    return [value] if isinstance(value, str) else value


def _words(value: Optional[Union[str, Sequence[str]]]) -> Optional[str]:
    """An entrypoint or command as its flag wants it."""
    if value is None or isinstance(value, str):
        return value

    return json.dumps(list(value))


class _Line:
    """A command line, flag by flag."""

    def __init__(self, *words: str) -> None:
        self.words: List[str] = list(words)

    def each(self, flag: str, values: Iterable[Any]) -> "_Line":
        self.words.extend(f"--{flag}={os.fspath(value)}" for value in values)
        return self

    def pairs(self, flag: str, values: Mapping[str, str]) -> "_Line":
        return self.each(flag, (f"{key}={value}" for key, value in values.items()))

    def one(self, flag: str, value: Optional[Any]) -> "_Line":
        if value is not None:
            self.words.append(f"--{flag}={os.fspath(value) if isinstance(value, os.PathLike) else value}")
        return self

    def switch(self, flag: str, on: bool) -> "_Line":
        if on:
            self.words.append(f"--{flag}")
        return self


def _additions(
    line: _Line,
    *,
    deps: Some,
    layers: Sequence[Path],
    push: Some,
    platforms: Some,
    all_platforms: bool,
    contract: Optional[str],
    fit: Optional[str],
    position: Optional[str],
    compression: Optional[str],
    env: Mapping[str, str],
    unset_env: Sequence[str],
    entrypoint: Optional[Union[str, Sequence[str]]],
    cmd: Optional[Union[str, Sequence[str]]],
    user: Optional[str],
    workdir: Optional[str],
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
    if_exists: Optional[str],
    tag_scheme: Optional[str],
    tag_input: Sequence[str],
    no_upload: bool,
    options: Sequence[str],
) -> _Line:
    line.each("deps", _each(deps)).each("layer", layers).each("push", _each(push))
    line.each("platform", _each(platforms)).switch("all-platforms", all_platforms)
    line.one("contract", contract).one("fit", fit).one("position", position)
    line.one("compression", compression)
    line.pairs("env", env).each("unset-env", unset_env)
    line.one("entrypoint", _words(entrypoint)).one("cmd", _words(cmd))
    line.one("user", user).one("workdir", workdir)
    line.pairs("label", labels).pairs("annotation", annotations)
    line.one("if-exists", if_exists)
    line.one("tag-scheme", tag_scheme).each("tag-input", tag_input)
    line.switch("no-upload", no_upload)
    line.words.extend(options)
    return line


def compose(
    base: str,
    *,
    deps: Some = (),
    layers: Sequence[Path] = (),
    push: Some = (),
    platforms: Some = (),
    all_platforms: bool = False,
    contract: Optional[str] = None,
    fit: Optional[str] = None,
    position: Optional[str] = None,
    compression: Optional[str] = None,
    env: Mapping[str, str] = {},
    unset_env: Sequence[str] = (),
    entrypoint: Optional[Union[str, Sequence[str]]] = None,
    cmd: Optional[Union[str, Sequence[str]]] = None,
    user: Optional[str] = None,
    workdir: Optional[str] = None,
    labels: Mapping[str, str] = {},
    annotations: Mapping[str, str] = {},
    if_exists: Optional[str] = None,
    tag_scheme: Optional[str] = None,
    tag_input: Sequence[str] = (),
    no_upload: bool = False,
    dry_run: bool = False,
    options: Sequence[str] = (),
    progress: Optional[Progress] = None,
) -> ComposeReport:
    """Put layers on a base image: ``ohoci compose``.

    Arguments are the command's flags. ``layers`` are ``PATH`` or ``PATH:DEST``; ``options`` are further
    flags as they are typed, such as ``["--plain-http=registry.example"]``.
    """
    line = _additions(
        _Line("compose", f"--base={base}"),
        deps=deps,
        layers=layers,
        push=push,
        platforms=platforms,
        all_platforms=all_platforms,
        contract=contract,
        fit=fit,
        position=position,
        compression=compression,
        env=env,
        unset_env=unset_env,
        entrypoint=entrypoint,
        cmd=cmd,
        user=user,
        workdir=workdir,
        labels=labels,
        annotations=annotations,
        if_exists=if_exists,
        tag_scheme=tag_scheme,
        tag_input=tag_input,
        no_upload=no_upload,
        options=options,
    ).switch("dry-run", dry_run)
    return decode(ComposeReport, _process.document(line.words, progress=progress)[0])


def batch(
    bases: Optional[Sequence[str]] = None,
    *,
    plan: Optional[Sequence[Mapping[str, Any]]] = None,
    deps: Some = (),
    layers: Sequence[Path] = (),
    push: Some = (),
    platforms: Some = (),
    all_platforms: bool = False,
    contract: Optional[str] = None,
    fit: Optional[str] = None,
    position: Optional[str] = None,
    compression: Optional[str] = None,
    env: Mapping[str, str] = {},
    unset_env: Sequence[str] = (),
    entrypoint: Optional[Union[str, Sequence[str]]] = None,
    cmd: Optional[Union[str, Sequence[str]]] = None,
    user: Optional[str] = None,
    workdir: Optional[str] = None,
    labels: Mapping[str, str] = {},
    annotations: Mapping[str, str] = {},
    if_exists: Optional[str] = None,
    tag_scheme: Optional[str] = None,
    tag_input: Sequence[str] = (),
    no_upload: bool = False,
    journal: Optional[Path] = None,
    resume: bool = False,
    jobs: Optional[int] = None,
    attempts: Optional[int] = None,
    report: Optional[Path] = None,
    markdown: Optional[Path] = None,
    options: Sequence[str] = (),
    progress: Optional[Progress] = None,
) -> BatchSummary:
    """Compose many images in one run: ``ohoci batch``.

    ``bases`` are base images; ``plan`` has one compose per item, with its flags as fields, in their place.
    Raises :class:`PartlyFailed`, whose ``result`` is the summary, where some images failed.
    """
    if (bases is None) == (plan is None):
        raise TypeError("batch() takes either bases or a plan")
    if plan is None:
        assert bases is not None
        line = _Line("batch", "--bases=-")
        stdin = "".join(f"{base}\n" for base in bases)
    else:

        line = _Line("batch", "--plan=-")
        stdin = "".join(json.dumps(dict(item)) + "\n" for item in plan)
    _additions(
        line,
        deps=deps,
        layers=layers,
        push=push,
        platforms=platforms,
        all_platforms=all_platforms,
        contract=contract,
        fit=fit,
        position=position,
        compression=compression,
        env=env,
        unset_env=unset_env,
        entrypoint=entrypoint,
        cmd=cmd,
        user=user,
        workdir=workdir,
        labels=labels,
        annotations=annotations,
        if_exists=if_exists,
        tag_scheme=tag_scheme,
        tag_input=tag_input,
        no_upload=no_upload,
        options=options,
    )
    line.one("journal", journal).switch("resume", resume).one("jobs", jobs).one("attempts", attempts)
    line.one("report", report).one("markdown", markdown)
    value, code, messages, command = _process.document(
        line.words, accept=(0, PARTLY), progress=progress, stdin=stdin
    )
    summary = decode(BatchSummary, value)
    if code == PARTLY:
        raise PartlyFailed(
            f"{summary.failed} of {summary.total + summary.left} images failed, {summary.left} were left",
            summary,
            command=command,
            stderr=messages,
        )
    return summary


def copy(
    source: str,
    *targets: str,
    platform: Optional[str] = None,
    referrers: bool = False,
    no_upload: bool = False,
    options: Sequence[str] = (),
    progress: Optional[Progress] = None,
) -> CopyReport:
    """Copy an image or index: ``ohoci copy``."""
    line = _Line("copy", source, *targets).one("platform", platform)
    line.switch("referrers", referrers).switch("no-upload", no_upload)
    line.words.extend(options)
    return decode(CopyReport, _process.document(line.words, progress=progress)[0])


def inspect(
    reference: str, *, platform: Optional[str] = None, options: Sequence[str] = ()
) -> Inspection:
    """What an image consists of: ``ohoci inspect``."""
    line = _Line("inspect", reference).one("platform", platform)
    line.words.extend(options)
    return decode(Inspection, _process.document(line.words)[0])


def check(
    reference: str,
    *,
    deps: Some = (),
    contract: Optional[str] = None,
    platform: Optional[str] = None,
    options: Sequence[str] = (),
) -> CheckReport:
    """What will not work on a base or in an image: ``ohoci check``. The report's ``works`` says whether
    it will do.
    """
    line = _Line("check", reference).each("deps", _each(deps)).one("contract", contract)
    line.one("platform", platform)
    line.words.extend(options)
    return decode(CheckReport, _process.document(line.words, accept=(0, WANTING))[0])


def ls(repository: str, *, options: Sequence[str] = ()) -> List[str]:
    """The tags of a repository: ``ohoci ls``."""
    value = _process.document(["ls", repository, *options])[0]
    return [str(tag) for tag in value["tags"]]


def digest(reference: str, *, platform: Optional[str] = None, options: Sequence[str] = ()) -> str:
    """The digest that a reference names: ``ohoci digest``."""
    line = _Line("digest", reference).one("platform", platform)
    line.words.extend(options)
    return str(_process.document(line.words)[0]["digest"])


def tags(
    scheme: str,
    base: Optional[str] = None,
    *,
    image: Optional[str] = None,
    options: Sequence[str] = (),
    env: Optional[Dict[str, str]] = None,
) -> List[str]:
    """The tags under which OpenHands looks up an image: ``ohoci tags``. With ``image``, references."""
    line = _Line("tags", f"--scheme={scheme}").one("base", base).one("image", image)
    line.words.extend([*options, "--format=json"])
    code, out, messages, command = _process.call(line.words, env=env)
    if code != 0:
        raise from_stderr(code, command, messages)

    report = decode(TagsReport, json.loads(out))
    return report.tags if image is None else report.references or []


class Completed:
    """How a program in an image ended."""

    def __init__(self, exit_code: int, stdout: str, stderr: str) -> None:
        #: What the program ended with; 124 when its time was over.
        self.exit_code = exit_code
        #: What it wrote.
        self.stdout = stdout
        #: What it wrote to standard error.
        self.stderr = stderr

    def __repr__(self) -> str:
        return f"Completed(exit_code={self.exit_code})"


def run(
    image: Optional[str],
    *command: str,
    base: Optional[str] = None,
    deps: Some = (),
    env: Mapping[str, str] = {},
    user: Optional[str] = None,
    workdir: Optional[str] = None,
    mounts: Sequence[str] = (),
    network: Optional[str] = None,
    timeout: Optional[float] = None,
    keep: Optional[str] = None,
    read_only: bool = False,
    options: Sequence[str] = (),
) -> Completed:
    """Run a program in an image: ``ohoci run``. With ``image=None``, in what would be composed of ``base``
    and ``deps``.

    Raises :class:`OhociError` where the sandbox failed (125); whatever the program itself ends with is in
    the result.
    """
    line = _Line("run").one("base", base).each("deps", _each(deps)).pairs("env", env)
    line.one("user", user).one("workdir", workdir).each("mount", mounts).one("network", network)
    line.one("timeout", timeout).one("keep", keep).switch("read-only", read_only)
    line.words.extend(options)
    if image is not None:
        line.words.append(image)
    line.words.extend(["--", *command])
    code, out, messages, words = _process.call(line.words)
    if code in (2, 125) and messages.startswith("error: "):
        raise from_stderr(code, words, messages)
    return Completed(code, out, messages)


def version() -> str:
    """What ``ohoci --version`` says."""
    code, out, messages, command = _process.call(["--version"])
    if code != 0:
        raise from_stderr(code, command, messages)
    if not out.startswith("ohoci "):
        raise OhociError("cannot read what ohoci printed", out.strip(), command=command)
    return out.strip()
